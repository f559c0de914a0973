-- Which exports each cell may belong to: the prefix is an ancestor of the directory and the windows meet.
-- A plain join on the distinct prefix lengths of a bucket; `whole` says that the window holds the whole cell.
-- A prefix that only its session's writes tell of takes in what these wrote, and nothing by its look.
WITH dirs AS (
    SELECT bucket, dir, min(lo) AS lo, max(hi) AS hi FROM cell GROUP BY bucket, dir
),
looked_for AS (
    SELECT bucket, prefix, plen, export_id, from_at, until_at FROM export_output WHERE found_by <> 'session'
),
lengths AS (
    SELECT DISTINCT bucket, plen FROM looked_for
),
near AS (
    SELECT d.bucket, d.dir, o.export_id, o.plen, o.from_at, o.until_at
    FROM dirs d
    JOIN lengths l ON l.bucket = d.bucket AND l.plen <= length(d.dir)
    JOIN looked_for o
      ON o.bucket = d.bucket AND o.plen = l.plen AND o.prefix = substr(d.dir, 1, l.plen)
     AND o.from_at <= d.hi AND o.until_at >= d.lo
)
SELECT
    c.bucket, c.dir, c.hr, n.export_id, n.plen, n.from_at, n.until_at,
    (n.from_at <= c.lo AND n.until_at >= c.hi) AS whole
FROM cell c
JOIN near n ON n.bucket = c.bucket AND n.dir = c.dir AND n.from_at <= c.hi AND n.until_at >= c.lo
