-- The versions of cells that are in pieces: grouped by piece where an export fits it, by key where none does.
-- `key` is NULL where an export fits. What is staged, and markers, are counted apart as in a cell (22_cell).
WITH written_key AS (
    SELECT DISTINCT bucket, key FROM written
),
version AS (
    SELECT
        c.bucket, c.dir, c.hr, c.since, v.last_modified = c.since AS on_edge,
        CASE WHEN v.last_modified = c.since THEN c.edge_fits ELSE c.rest_fits END AS fits,
        v.key, v.account, v.region, v.last_modified, v.last_modified AS exists_at, FALSE AS rewritten, v.bytes,
        v.storage_class, c.staging OR ends_with(v.key, '/_SUCCESS') OR v.key = '_SUCCESS' AS apart,
        CAST(NULL AS VARCHAR) AS principal_arn
    FROM s3_object_version v
    JOIN cut c
      ON c.bucket = v.bucket AND c.dir = v.dir AND c.hr = date_trunc('hour', v.last_modified)
     AND c.since <= v.last_modified AND c.before > v.last_modified
    LEFT JOIN written_key w ON w.bucket = v.bucket AND w.key = v.key
    WHERE NOT v.is_delete_marker AND w.key IS NULL
    UNION ALL
    SELECT
        c.bucket, c.dir, c.hr, c.since, v.last_modified = c.since AS on_edge,
        CASE WHEN v.last_modified = c.since THEN c.edge_fits ELSE c.rest_fits END AS fits,
        v.key, v.account, v.region, v.last_modified, v.exists_at, v.rewritten, v.bytes,
        v.storage_class, c.staging OR ends_with(v.key, '/_SUCCESS') OR v.key = '_SUCCESS' AS apart,
        v.principal_arn
    FROM followed v
    JOIN cut c
      ON c.bucket = v.bucket AND c.dir = v.dir AND c.hr = date_trunc('hour', v.last_modified)
     AND c.since <= v.last_modified AND c.before > v.last_modified
    WHERE NOT v.is_delete_marker AND (v.witness IS NULL OR v.witness IN ('ambiguous', 'no_issue'))
)
SELECT
    bucket, dir, hr, since, on_edge,
    CASE WHEN NOT fits THEN key END AS key,
    CASE WHEN NOT fits THEN principal_arn END AS principal_arn,
    max(account) AS account,
    max(region) AS region,
    min(last_modified) AS lo,
    max(last_modified) AS hi,
    max(exists_at) AS last,
    max(CASE WHEN NOT apart THEN exists_at END) AS part_hi,
    count(CASE WHEN NOT apart THEN 1 END) AS objects,
    count(CASE WHEN rewritten AND NOT apart THEN 1 END) AS rewritten,
    CAST(sum(CASE WHEN apart THEN 0 ELSE bytes END) AS BIGINT) AS bytes,
    count(CASE WHEN storage_class IN ('GLACIER', 'DEEP_ARCHIVE') THEN 1 END) AS unsupported
FROM version
GROUP BY bucket, dir, hr, since, on_edge, CASE WHEN NOT fits THEN key END, CASE WHEN NOT fits THEN principal_arn END
