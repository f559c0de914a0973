-- The cells that are not settled as one, in pieces. The edges of fitting windows cut a cell: from one edge on, `since`,
-- until the next every version has the same candidates, but for those of the edge's very instant (`on_edge` in what
-- follows). `edge_fits` and `rest_fits` tell whether any export fits. A cell that fits none is one piece.
WITH edge AS (
    SELECT bucket, dir, hr, hr AS since FROM cell_fit WHERE NOT whole
    UNION
    SELECT bucket, dir, hr, from_at AS since FROM cell_fit WHERE NOT whole AND from_at > hr
    UNION
    SELECT bucket, dir, hr, until_at AS since FROM cell_fit
    WHERE NOT whole AND until_at > hr AND until_at < hr + INTERVAL 1 HOUR
),
piece AS (
    SELECT bucket, dir, hr, since, lead(since) OVER (PARTITION BY bucket, dir, hr ORDER BY since) AS before
    FROM edge
),
fitted AS (
    SELECT
        p.bucket, p.dir, p.hr, p.since, p.before,
        max(CASE WHEN f.whole OR f.from_at <= p.since AND f.until_at >= p.since THEN 1 ELSE 0 END) AS edge_fits,
        max(CASE WHEN f.whole OR f.from_at <= p.since AND f.until_at > p.since THEN 1 ELSE 0 END) AS rest_fits
    FROM piece p
    JOIN cell_fit f ON f.bucket = p.bucket AND f.dir = p.dir AND f.hr = p.hr
    GROUP BY p.bucket, p.dir, p.hr, p.since, p.before
),
fitting AS (
    SELECT DISTINCT bucket, dir, hr FROM cell_fit
)
SELECT
    p.bucket, p.dir, p.hr, p.since, coalesce(p.before, p.hr + INTERVAL 1 HOUR) AS before,
    p.edge_fits = 1 AS edge_fits, p.rest_fits = 1 AS rest_fits, c.staging
FROM fitted p
JOIN cell c ON c.bucket = p.bucket AND c.dir = p.dir AND c.hr = p.hr
UNION ALL
SELECT c.bucket, c.dir, c.hr, c.hr AS since, c.hr + INTERVAL 1 HOUR AS before, FALSE AS edge_fits, FALSE AS rest_fits, c.staging
FROM cell c
LEFT JOIN fitting f ON f.bucket = c.bucket AND f.dir = c.dir AND f.hr = c.hr
WHERE f.bucket IS NULL
