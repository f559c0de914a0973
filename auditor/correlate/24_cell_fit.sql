-- Which exports each cell may belong to: the prefix is an ancestor of the directory and the windows meet.
-- `whole` says that the window holds the whole cell.
-- A prefix that only its session's writes tell of takes in what these wrote, and nothing by its look.
SELECT
    c.bucket, c.dir, c.hr, o.export_id, o.plen, o.from_at, o.until_at,
    (o.from_at <= c.lo AND o.until_at >= c.hi) AS whole
FROM cell c
JOIN above a ON a.bucket = c.bucket AND a.dir = c.dir
JOIN export_output o
  ON o.bucket = a.bucket AND o.prefix = a.prefix AND o.from_at <= c.hi AND o.until_at >= c.lo
WHERE o.found_by <> 'session'
