-- Which exports each cell may belong to: the prefix is an ancestor of the directory and the windows meet.
-- `whole` says that the window holds the whole cell. Windows are looked up by the days they touch: a prefix that every run
-- shares, and the root of a bucket, have windows without number.
-- The prefix is cut out of the directory again so that no engine joins windows with directories before it knows the day.
-- A prefix that only its session's writes tell of takes in what these wrote, and nothing by its look.
WITH days AS (
    SELECT DISTINCT date_trunc('day', hr) AS day FROM cell
),
touched AS (
    SELECT o.bucket, o.prefix, d.day, o.export_id, o.plen, o.from_at, o.until_at
    FROM export_output o
    JOIN days d ON o.from_at < d.day + INTERVAL 1 DAY AND o.until_at >= d.day
    WHERE o.found_by <> 'session'
)
SELECT
    c.bucket, c.dir, c.hr, t.export_id, t.plen, t.from_at, t.until_at,
    (t.from_at <= c.lo AND t.until_at >= c.hi) AS whole
FROM cell c
JOIN above a ON a.bucket = c.bucket AND a.dir = c.dir
JOIN touched t
  ON t.bucket = c.bucket AND t.prefix = substr(c.dir, 1, a.plen) AND t.day = date_trunc('day', c.hr)
 AND t.from_at <= c.hi AND t.until_at >= c.lo
