-- The first five keys of each directory of what belongs to no export.
SELECT bucket, dir, key, version_id, rank
FROM (
    SELECT bucket, dir, key, version_id, row_number() OVER (PARTITION BY bucket, dir ORDER BY key, version_id) AS rank
    FROM free
) ranked
WHERE rank <= 5
