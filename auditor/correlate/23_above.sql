-- Which prefixes of exports each directory lies under: a plain join on the distinct prefix lengths of a bucket.
WITH dirs AS (
    SELECT bucket, dir FROM cell
    UNION
    SELECT bucket, dir FROM followed
),
prefixes AS (
    SELECT DISTINCT bucket, prefix, plen FROM export_output
),
lengths AS (
    SELECT DISTINCT bucket, plen FROM prefixes
)
SELECT d.bucket, d.dir, p.plen
FROM dirs d
JOIN lengths l ON l.bucket = d.bucket AND l.plen <= length(d.dir)
JOIN prefixes p ON p.bucket = d.bucket AND p.plen = l.plen AND p.prefix = substr(d.dir, 1, l.plen)
