-- Versions that no event attributes, grouped by bucket, directory and hour: cells are joined with prefixes, objects
-- are not (engine.md, section 1). A stranger's or a declared writer's version belongs to no job.
-- `lo` and `hi` are what windows are compared with; `last` is when the newest of them existed, which ends an export.
-- What committers stage (`staging`) is no object of an export, and a marker is told apart from what it marks.
WITH written_key AS (
    SELECT DISTINCT bucket, key FROM written
),
version AS (
    SELECT
        v.bucket, v.dir, v.last_modified, v.last_modified AS exists_at, FALSE AS rewritten, v.bytes, v.storage_class,
        ends_with(v.key, '/_SUCCESS') OR v.key = '_SUCCESS' AS marks
    FROM s3_object_version v
    LEFT JOIN written_key w ON w.bucket = v.bucket AND w.key = v.key
    WHERE NOT v.is_delete_marker AND w.key IS NULL
    UNION ALL
    SELECT
        bucket, dir, last_modified, exists_at, rewritten, bytes, storage_class,
        ends_with(key, '/_SUCCESS') OR key = '_SUCCESS' AS marks
    FROM followed
    WHERE NOT is_delete_marker AND (witness IS NULL OR witness IN ('ambiguous', 'no_issue'))
),
cells AS (
    SELECT
        bucket, dir, date_trunc('hour', last_modified) AS hr,
        min(last_modified) AS lo,
        max(last_modified) AS hi,
        max(exists_at) AS last,
        max(CASE WHEN NOT marks THEN exists_at END) AS part_hi,
        count(CASE WHEN NOT marks THEN 1 END) AS objects,
        count(CASE WHEN rewritten AND NOT marks THEN 1 END) AS rewritten,
        sum(CASE WHEN NOT marks THEN bytes END) AS bytes,
        count(CASE WHEN storage_class IN ('GLACIER', 'DEEP_ARCHIVE') THEN 1 END) AS unsupported,
        dir LIKE '%/\_temporary/%' ESCAPE '\' OR dir LIKE '\_temporary/%' ESCAPE '\'
         OR dir LIKE '%.spark-staging-%' OR dir LIKE '%/\_\_magic%' ESCAPE '\' AS staging
    FROM version
    GROUP BY bucket, dir, date_trunc('hour', last_modified)
)
SELECT
    bucket, dir, hr, lo, hi, last, staging,
    CASE WHEN NOT staging THEN part_hi END AS part_hi,
    CASE WHEN staging THEN 0 ELSE objects END AS objects,
    CASE WHEN staging THEN 0 ELSE rewritten END AS rewritten,
    CAST(CASE WHEN staging OR bytes IS NULL THEN 0 ELSE bytes END AS BIGINT) AS bytes,
    unsupported
FROM cells
