-- The cells that are not settled as one, in pieces. The edges of fitting windows cut a cell: from one edge on, `since`,
-- until the next every version has the same candidates, but for those of the edge's very instant (`on_edge` in what
-- follows). `edge_fits` and `rest_fits` tell whether any export fits. A cell that fits none is one piece.
WITH edge AS (
    SELECT place, hr, hr AS since FROM cell_fit WHERE NOT whole
    UNION
    SELECT place, hr, from_at AS since FROM cell_fit WHERE NOT whole AND from_at > hr
    UNION
    SELECT place, hr, until_at AS since FROM cell_fit
    WHERE NOT whole AND until_at > hr AND until_at < hr + INTERVAL 1 HOUR
),
piece AS (
    SELECT place, hr, since, lead(since) OVER (PARTITION BY place, hr ORDER BY since) AS before
    FROM edge
),
fitted AS (
    SELECT
        p.place, p.hr, p.since, p.before,
        max(CASE WHEN f.whole OR f.from_at <= p.since AND f.until_at >= p.since THEN 1 ELSE 0 END) AS edge_fits,
        max(CASE WHEN f.whole OR f.from_at <= p.since AND f.until_at > p.since THEN 1 ELSE 0 END) AS rest_fits
    FROM piece p
    JOIN cell_fit f ON f.place = p.place AND f.hr = p.hr
    GROUP BY p.place, p.hr, p.since, p.before
),
fitting AS (
    SELECT DISTINCT place, hr FROM cell_fit
)
SELECT
    place, hr, since, coalesce(before, hr + INTERVAL 1 HOUR) AS before,
    edge_fits = 1 AS edge_fits, rest_fits = 1 AS rest_fits
FROM fitted
UNION ALL
SELECT c.place, c.hr, c.hr AS since, c.hr + INTERVAL 1 HOUR AS before, FALSE AS edge_fits, FALSE AS rest_fits
FROM cell c
LEFT JOIN fitting f ON f.place = c.place AND f.hr = c.hr
WHERE f.place IS NULL
