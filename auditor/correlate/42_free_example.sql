-- The first five keys of each directory of what belongs to no export; a key of several versions as often as it has them.
WITH times AS (
    SELECT 1 AS nth UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5
)
SELECT bucket, dir, key, rank
FROM (
    SELECT f.bucket, f.dir, f.key, row_number() OVER (PARTITION BY f.bucket, f.dir ORDER BY f.key) AS rank
    FROM free f
    JOIN times t ON t.nth <= f.objects
) ranked
WHERE rank <= 5
