-- In which directories do the objects of exports lie?
-- Directories are joined to prefixes, never objects: there are few of them.
SELECT DISTINCT d.bucket, d.dir
FROM (
    SELECT DISTINCT bucket, dir FROM s3_object_version WHERE NOT is_delete_marker
) AS d
JOIN (SELECT DISTINCT bucket, prefix FROM export) AS e ON e.bucket = d.bucket AND starts_with(d.dir, e.prefix)
WHERE d.dir NOT LIKE '%/_temporary/%' AND d.dir NOT LIKE '%/__magic%' AND d.dir NOT LIKE '%/.spark-staging%'
