-- Which exports each cell may belong to: the prefix is an ancestor of the directory and the windows meet.
-- A plain join on the distinct prefix lengths of a bucket; `whole` says that the window holds the whole cell.
WITH dirs AS (
    SELECT bucket, dir, min(lo) AS lo, max(hi) AS hi FROM cell GROUP BY bucket, dir
),
lengths AS (
    SELECT DISTINCT bucket, plen FROM export_output
),
near AS (
    SELECT d.bucket, d.dir, o.export_id, o.plen, o.from_at, o.until_at
    FROM dirs d
    JOIN lengths l ON l.bucket = d.bucket AND l.plen <= length(d.dir)
    JOIN export_output o
      ON o.bucket = d.bucket AND o.plen = l.plen AND o.prefix = substr(d.dir, 1, l.plen)
     AND o.from_at <= d.hi AND o.until_at >= d.lo
)
SELECT
    c.bucket, c.dir, c.hr, n.export_id, n.plen, n.from_at, n.until_at,
    (n.from_at <= c.lo AND n.until_at >= c.hi) AS whole
FROM cell c
JOIN near n ON n.bucket = c.bucket AND n.dir = c.dir AND n.from_at <= c.hi AND n.until_at >= c.lo
