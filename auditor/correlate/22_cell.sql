-- Versions that no event attributes, grouped by directory and hour: cells are joined with prefixes, objects are not
-- (engine.md, section 1). A stranger's or a declared writer's version belongs to no job.
-- `lo` and `hi` are what windows are compared with; `last` is when the newest of them existed, which ends an export.
-- What committers stage is no object of an export, and a marker is told apart from what it marks.
WITH written_key AS (
    SELECT DISTINCT bucket, key FROM written
),
version AS (
    SELECT
        p.place, v.last_modified, v.last_modified AS exists_at, FALSE AS rewritten, v.bytes, v.storage_class,
        p.staging OR ends_with(v.key, '/_SUCCESS') OR v.key = '_SUCCESS' AS apart
    FROM s3_object_version v
    JOIN place p ON p.bucket = v.bucket AND p.dir = v.dir
    LEFT JOIN written_key w ON w.bucket = v.bucket AND w.key = v.key
    WHERE NOT v.is_delete_marker AND w.key IS NULL
    UNION ALL
    SELECT
        place, last_modified, exists_at, rewritten, bytes, storage_class,
        staging OR ends_with(key, '/_SUCCESS') OR key = '_SUCCESS' AS apart
    FROM followed
    WHERE NOT is_delete_marker AND (witness IS NULL OR witness IN ('ambiguous', 'no_issue'))
)
SELECT
    place, date_trunc('hour', last_modified) AS hr,
    min(last_modified) AS lo,
    max(last_modified) AS hi,
    max(exists_at) AS last,
    max(CASE WHEN NOT apart THEN exists_at END) AS part_hi,
    count(CASE WHEN NOT apart THEN 1 END) AS objects,
    count(CASE WHEN rewritten AND NOT apart THEN 1 END) AS rewritten,
    CAST(coalesce(sum(CASE WHEN NOT apart THEN bytes END), 0) AS BIGINT) AS bytes,
    count(CASE WHEN storage_class IN ('GLACIER', 'DEEP_ARCHIVE') THEN 1 END) AS unsupported
FROM version
GROUP BY place, date_trunc('hour', last_modified)
