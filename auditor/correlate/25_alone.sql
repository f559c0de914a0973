-- The versions of unsettled cells, one by one: few, in any estate. What came after each is told by 25_overwritten.
WITH written_key AS (
    SELECT DISTINCT bucket, key FROM written
)
SELECT
    v.bucket, v.key, v.account, v.region, v.dir, u.hr, u.straddles, v.last_modified, v.last_modified AS exists_at,
    v.bytes, v.storage_class, FALSE AS rewritten, CAST(NULL AS VARCHAR) AS principal_arn, CAST(NULL AS VARCHAR) AS witness
FROM s3_object_version v
JOIN unsettled u ON u.bucket = v.bucket AND u.dir = v.dir AND u.hr = date_trunc('hour', v.last_modified)
LEFT JOIN written_key w ON w.bucket = v.bucket AND w.key = v.key
WHERE NOT v.is_delete_marker AND w.key IS NULL
UNION ALL
SELECT
    v.bucket, v.key, v.account, v.region, v.dir, u.hr, u.straddles, v.last_modified, v.exists_at,
    v.bytes, v.storage_class, v.rewritten, v.principal_arn, v.witness
FROM followed v
JOIN unsettled u ON u.bucket = v.bucket AND u.dir = v.dir AND u.hr = date_trunc('hour', v.last_modified)
WHERE NOT v.is_delete_marker AND (v.witness IS NULL OR v.witness IN ('ambiguous', 'no_issue'))
