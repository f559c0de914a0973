-- The first five keys of each directory of what belongs to no export; a key of several versions as often as it has them.
WITH times AS (
    SELECT 1 AS nth UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5
),
ranked AS (
    SELECT f.place, f.key, row_number() OVER (PARTITION BY f.place ORDER BY f.key) AS rank
    FROM portion f
    JOIN times t ON t.nth <= f.objects
    WHERE f.key IS NOT NULL
)
SELECT p.bucket, p.dir, r.key, r.rank
FROM ranked r
JOIN place p ON p.place = r.place
WHERE r.rank <= 5
