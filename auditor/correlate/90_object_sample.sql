-- Some objects of each directory that stand for what is wrong there: one of each fifth of a minute, five at most.
-- Only what is wrong is read, and never sorted.
WITH outside AS (
    SELECT p.bucket, p.dir FROM object_place p WHERE NOT p.declared
),
wrong AS (
    SELECT bucket, dir, key, last_modified, 'unchecked' AS kind FROM s3_object_version
    WHERE is_latest AND NOT is_delete_marker AND checksums = 'none'
    UNION ALL
    SELECT bucket, dir, key, last_modified, 'other_key' AS kind FROM followed
    WHERE is_latest AND NOT is_delete_marker AND NOT own_key
    UNION ALL
    SELECT bucket, dir, key, last_modified, 'skipped' AS kind FROM followed
    WHERE is_latest AND NOT is_delete_marker AND sse_c
    UNION ALL
    SELECT bucket, dir, key, last_modified, 'skipped' AS kind FROM s3_object_version
    WHERE is_latest AND NOT is_delete_marker AND storage_class NOT IN (
        '', 'STANDARD', 'STANDARD_IA', 'ONEZONE_IA', 'INTELLIGENT_TIERING', 'GLACIER_IR', 'REDUCED_REDUNDANCY'
    )
    UNION ALL
    SELECT v.bucket, v.dir, v.key, v.last_modified, 'outside' AS kind
    FROM s3_object_version v
    JOIN outside p ON p.bucket = v.bucket AND p.dir = v.dir
    LEFT JOIN followed d ON d.bucket = v.bucket AND d.key = v.key AND d.version_id = v.version_id AND d.witness = 'declared'
    WHERE v.is_latest AND NOT v.is_delete_marker AND d.key IS NULL
)
SELECT bucket, dir, kind, min(key) AS key
FROM wrong
GROUP BY bucket, dir, kind, second(last_modified) % 5
