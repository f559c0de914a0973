-- In which directories do the objects of exports lie, and between when were they written?
-- Directories are joined to prefixes, never objects: there are few of them.
SELECT DISTINCT d.bucket, d.dir, d.first_at, d.last_at
FROM (
    SELECT bucket, dir, min(last_modified) AS first_at, max(last_modified) AS last_at
    FROM s3_object_version
    WHERE NOT is_delete_marker
    GROUP BY bucket, dir
) AS d
JOIN (SELECT DISTINCT bucket, prefix FROM export) AS e ON e.bucket = d.bucket AND starts_with(d.dir, e.prefix)
WHERE d.dir NOT LIKE '%/_temporary/%' AND d.dir NOT LIKE '%/__magic%' AND d.dir NOT LIKE '%/.spark-staging%'
