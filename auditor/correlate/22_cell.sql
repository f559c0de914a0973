-- Versions that no event attributes, grouped by bucket, directory and hour: cells are joined with prefixes, objects
-- are not (engine.md, section 1). A stranger's or a declared writer's version belongs to no job.
-- `lo` and `hi` are what windows are compared with; `last` is when the newest of them existed, which ends an export.
-- What committers stage (`staging`) is no object of an export, and a marker is told apart from what it marks.
WITH written_key AS (
    SELECT DISTINCT bucket, key FROM written
),
grouped AS (
    SELECT
        v.bucket, v.dir, date_trunc('hour', v.last_modified) AS hr,
        min(v.last_modified) AS lo,
        max(v.last_modified) AS hi,
        max(v.last_modified) AS last,
        max(CASE WHEN ends_with(v.key, '/_SUCCESS') OR v.key = '_SUCCESS' THEN NULL ELSE v.last_modified END) AS part_hi,
        sum(CASE WHEN ends_with(v.key, '/_SUCCESS') OR v.key = '_SUCCESS' THEN 0 ELSE 1 END) AS objects,
        0 AS rewritten,
        sum(CASE WHEN ends_with(v.key, '/_SUCCESS') OR v.key = '_SUCCESS' THEN 0 ELSE v.bytes END) AS bytes,
        sum(CASE WHEN v.storage_class IN ('GLACIER', 'DEEP_ARCHIVE') THEN 1 ELSE 0 END) AS unsupported,
        sum(CASE WHEN v.version_id = 'null' THEN 1 ELSE 0 END) AS unversioned,
        CAST(NULL AS TIMESTAMP) AS superseded_at,
        CAST(NULL AS TIMESTAMP) AS taken_at,
        CAST(NULL AS TIMESTAMP) AS deleted_at
    FROM s3_object_version v
    LEFT JOIN written_key w ON w.bucket = v.bucket AND w.key = v.key
    WHERE v.is_latest AND NOT v.is_delete_marker AND w.key IS NULL
    GROUP BY v.bucket, v.dir, date_trunc('hour', v.last_modified)
    UNION ALL
    SELECT
        bucket, dir, date_trunc('hour', last_modified) AS hr,
        min(last_modified), max(last_modified), max(exists_at),
        max(CASE WHEN ends_with(key, '/_SUCCESS') OR key = '_SUCCESS' THEN NULL ELSE exists_at END),
        sum(CASE WHEN ends_with(key, '/_SUCCESS') OR key = '_SUCCESS' THEN 0 ELSE 1 END),
        sum(CASE WHEN ends_with(key, '/_SUCCESS') OR key = '_SUCCESS' OR NOT rewritten THEN 0 ELSE 1 END),
        sum(CASE WHEN ends_with(key, '/_SUCCESS') OR key = '_SUCCESS' THEN 0 ELSE bytes END),
        sum(CASE WHEN storage_class IN ('GLACIER', 'DEEP_ARCHIVE') THEN 1 ELSE 0 END),
        sum(CASE WHEN version_id = 'null' THEN 1 ELSE 0 END),
        min(CASE WHEN ends_with(key, '/_SUCCESS') OR key = '_SUCCESS' THEN NULL ELSE superseded_at END),
        min(CASE WHEN ends_with(key, '/_SUCCESS') OR key = '_SUCCESS' OR NOT superseded_by_other THEN NULL ELSE superseded_at END),
        min(CASE WHEN ends_with(key, '/_SUCCESS') OR key = '_SUCCESS' THEN NULL ELSE deleted_at END)
    FROM followed
    WHERE NOT is_delete_marker AND (witness IS NULL OR witness IN ('ambiguous', 'no_issue'))
    GROUP BY bucket, dir, date_trunc('hour', last_modified)
),
cells AS (
    SELECT
        bucket, dir, hr, min(lo) AS lo, max(hi) AS hi, max(last) AS last, max(part_hi) AS part_hi,
        sum(objects) AS objects, sum(rewritten) AS rewritten, sum(bytes) AS bytes,
        sum(unsupported) AS unsupported, sum(unversioned) AS unversioned,
        min(superseded_at) AS superseded_at, min(taken_at) AS taken_at, min(deleted_at) AS deleted_at,
        dir LIKE '%/\_temporary/%' ESCAPE '\' OR dir LIKE '\_temporary/%' ESCAPE '\'
         OR dir LIKE '%.spark-staging-%' OR dir LIKE '%/\_\_magic%' ESCAPE '\' AS staging
    FROM grouped
    GROUP BY bucket, dir, hr
)
SELECT
    bucket, dir, hr, lo, hi, last, staging,
    CASE WHEN NOT staging THEN part_hi END AS part_hi,
    CAST(CASE WHEN staging THEN 0 ELSE objects END AS BIGINT) AS objects,
    CAST(CASE WHEN staging THEN 0 ELSE rewritten END AS BIGINT) AS rewritten,
    CAST(CASE WHEN staging THEN 0 ELSE bytes END AS BIGINT) AS bytes,
    CAST(unsupported AS BIGINT) AS unsupported,
    CAST(unversioned AS BIGINT) AS unversioned,
    CASE WHEN NOT staging THEN superseded_at END AS superseded_at,
    CASE WHEN NOT staging THEN taken_at END AS taken_at,
    CASE WHEN NOT staging THEN deleted_at END AS deleted_at
FROM cells
