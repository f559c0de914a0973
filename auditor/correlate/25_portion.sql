-- The versions of cells that are in pieces: grouped by piece where an export fits it, by key where none does.
-- `key` is NULL where an export fits. What is staged, and markers, are counted apart as in a cell (22_cell).
-- Times of a piece are said of it and its directory together: no engine joins versions with pieces by the hour alone.
-- What an event gives to no export is told by key too, with its `witness`.
WITH written_key AS (
    SELECT DISTINCT bucket, key FROM written
),
piece AS (
    SELECT
        p.bucket, p.dir, p.staging, c.place, c.edge_fits, c.rest_fits,
        CASE WHEN p.place = c.place THEN c.hr END AS hr,
        CASE WHEN p.place = c.place THEN c.since END AS since,
        CASE WHEN p.place = c.place THEN c.before END AS before
    FROM cut c
    JOIN place p ON p.place = c.place
),
version AS (
    SELECT
        c.place, c.hr, c.since, v.last_modified = c.since AS on_edge,
        CASE WHEN v.last_modified = c.since THEN c.edge_fits ELSE c.rest_fits END AS fits,
        v.key, v.account, v.region, v.last_modified, v.last_modified AS exists_at, FALSE AS rewritten, v.bytes,
        v.storage_class, c.staging OR ends_with(v.key, '/_SUCCESS') OR v.key = '_SUCCESS' AS apart,
        CAST(NULL AS VARCHAR) AS principal_arn, CAST(NULL AS VARCHAR) AS witness
    FROM s3_object_version v
    JOIN piece c
      ON c.bucket = v.bucket AND c.dir = v.dir AND c.hr = date_trunc('hour', v.last_modified)
     AND c.since <= v.last_modified AND c.before > v.last_modified
    LEFT JOIN written_key w ON w.bucket = v.bucket AND w.key = v.key
    WHERE NOT v.is_delete_marker AND w.key IS NULL
    UNION ALL
    SELECT
        c.place, c.hr, c.since, v.last_modified = c.since AS on_edge,
        CASE WHEN v.last_modified = c.since THEN c.edge_fits ELSE c.rest_fits END AS fits,
        v.key, v.account, v.region, v.last_modified, v.exists_at, v.rewritten, v.bytes,
        v.storage_class, v.staging OR ends_with(v.key, '/_SUCCESS') OR v.key = '_SUCCESS' AS apart,
        v.principal_arn, CAST(NULL AS VARCHAR) AS witness
    FROM followed v
    JOIN cut c
      ON c.place = v.place AND c.hr = date_trunc('hour', v.last_modified)
     AND c.since <= v.last_modified AND c.before > v.last_modified
    WHERE NOT v.is_delete_marker AND (v.witness IS NULL OR v.witness IN ('ambiguous', 'no_issue'))
    UNION ALL
    SELECT
        v.place, date_trunc('hour', v.last_modified) AS hr, v.last_modified AS since, FALSE AS on_edge, FALSE AS fits,
        v.key, v.account, v.region, v.last_modified, v.exists_at, v.rewritten, v.bytes,
        v.storage_class, v.staging OR ends_with(v.key, '/_SUCCESS') OR v.key = '_SUCCESS' AS apart,
        v.principal_arn, v.witness
    FROM followed v
    LEFT JOIN witnessed t ON t.bucket = v.bucket AND t.key = v.key AND t.version_id = v.version_id
    WHERE NOT v.is_delete_marker AND v.witness NOT IN ('ambiguous', 'no_issue') AND t.key IS NULL
)
SELECT
    place, hr, since, on_edge,
    CASE WHEN NOT fits THEN key END AS key,
    CASE WHEN NOT fits THEN principal_arn END AS principal_arn,
    witness,
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
WHERE fits OR NOT apart
GROUP BY place, hr, since, on_edge, CASE WHEN NOT fits THEN key END, CASE WHEN NOT fits THEN principal_arn END, witness
