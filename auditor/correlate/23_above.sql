-- Which prefixes of exports each directory lies under: a plain join on the distinct prefix lengths of a bucket.
-- A prefix is numbered in the order of all of them, here and in 24_cell_fit alike.
WITH prefixes AS (
    SELECT bucket, prefix, plen, row_number() OVER (ORDER BY bucket, prefix) AS number
    FROM (SELECT DISTINCT bucket, prefix, plen FROM export_output) outputs
),
lengths AS (
    SELECT DISTINCT bucket, plen FROM prefixes
)
SELECT d.place, p.number AS prefix
FROM place d
JOIN lengths l ON l.bucket = d.bucket AND l.plen <= length(d.dir)
JOIN prefixes p ON p.bucket = d.bucket AND p.plen = l.plen AND p.prefix = substr(d.dir, 1, l.plen)
