-- Some objects of each directory that stand for what is wrong there: one of each fifth of a minute, five at most.
-- Only what is wrong is read, and never sorted.
WITH wrong AS (
    SELECT bucket, dir, key, last_modified, 'unchecked' AS kind FROM version
    WHERE is_latest AND NOT is_delete_marker AND NOT checksummed
    UNION ALL
    SELECT bucket, dir, key, last_modified, 'other_key' AS kind FROM version
    WHERE is_latest AND NOT is_delete_marker AND NOT own_key
    UNION ALL
    SELECT bucket, dir, key, last_modified, 'skipped' AS kind FROM version
    WHERE is_latest AND NOT is_delete_marker
        AND (sse_c OR storage_class NOT IN (
            '', 'STANDARD', 'STANDARD_IA', 'ONEZONE_IA', 'INTELLIGENT_TIERING', 'GLACIER_IR', 'REDUCED_REDUNDANCY'
        ))
    UNION ALL
    SELECT v.bucket, v.dir, v.key, v.last_modified, 'outside' AS kind
    FROM version v
    JOIN object_place p ON p.bucket = v.bucket AND p.dir = v.dir
    WHERE v.is_latest AND NOT v.is_delete_marker AND NOT p.declared AND coalesce(v.witness, '') <> 'declared'
)
SELECT bucket, dir, kind, min(key) AS key
FROM wrong
GROUP BY bucket, dir, kind, EXTRACT(SECOND FROM last_modified) % 5
