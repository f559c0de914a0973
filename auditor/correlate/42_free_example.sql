-- The first five keys of each directory of what belongs to no export.
SELECT bucket, dir, key, rank
FROM (
    SELECT bucket, dir, key, row_number() OVER (PARTITION BY bucket, dir ORDER BY key) AS rank
    FROM free
) ranked
WHERE rank <= 5
