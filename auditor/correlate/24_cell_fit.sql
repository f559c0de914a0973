-- Which exports each cell may belong to: the prefix is an ancestor of the directory and the windows meet.
-- `whole` says that the window holds the whole cell. Windows are looked up by the days they touch: a prefix that every run
-- shares, and the root of a bucket, have windows without number.
-- What windows are compared with is said of cell and directory together, and windows are made DISTINCT, so that no engine joins
-- windows with cells by the day alone, or with directories by the prefix alone: at 50 million versions that took 120 times as long.
-- A prefix that only its session's writes tell of takes in what these wrote, and nothing by its look.
-- An export is its number in the order of ids, here and in 26_burst alike.
WITH days AS (
    SELECT DISTINCT date_trunc('day', hr) AS day FROM cell
),
prefixes AS (
    SELECT bucket, prefix, row_number() OVER (ORDER BY bucket, prefix) AS number
    FROM (SELECT DISTINCT bucket, prefix FROM export_output) outputs
),
numbered AS (
    SELECT *, row_number() OVER (ORDER BY export_id) AS export FROM export_output
),
touched AS (
    SELECT DISTINCT p.number AS prefix, d.day, o.export, o.plen, o.from_at, o.until_at
    FROM numbered o
    JOIN prefixes p ON p.bucket = o.bucket AND p.prefix = o.prefix
    JOIN days d ON o.from_at < d.day + INTERVAL 1 DAY AND o.until_at >= d.day
    WHERE o.found_by <> 'session'
),
under AS (
    SELECT
        c.place, c.hr,
        CASE WHEN a.place = c.place THEN a.prefix END AS prefix,
        CASE WHEN a.place = c.place THEN date_trunc('day', c.hr) END AS day,
        CASE WHEN a.place = c.place THEN c.lo END AS lo,
        CASE WHEN a.place = c.place THEN c.hi END AS hi
    FROM cell c
    JOIN above a ON a.place = c.place
)
SELECT u.place, u.hr, t.export, t.plen, t.from_at, t.until_at, (t.from_at <= u.lo AND t.until_at >= u.hi) AS whole
FROM under u
JOIN touched t ON t.prefix = u.prefix AND t.day = u.day AND t.from_at <= u.hi AND t.until_at >= u.lo
