-- What is known of the objects of each directory, by storage class.
-- `objects` and what is counted beside it are current versions; `versions` and `oldest_at` take in the noncurrent ones.
-- Of a version that no data event tells of, neither key nor writer is known.
WITH written_key AS (
    SELECT DISTINCT bucket, key FROM written
),
counted AS (
    SELECT
        v.bucket, v.dir, v.storage_class,
        count(*) AS versions,
        count(CASE WHEN v.is_latest THEN 1 END) AS objects,
        count(CASE WHEN v.is_latest AND v.checksums = 'none' THEN 1 END) AS unchecked,
        count(CASE WHEN v.is_latest AND v.checksums IS NULL THEN 1 END) AS unchecked_unseen,
        0 AS other_key,
        count(CASE WHEN v.is_latest THEN 1 END) AS key_unseen,
        0 AS sse_c,
        count(CASE WHEN v.is_latest THEN 1 END) AS sse_c_unseen,
        0 AS by_declared,
        count(CASE WHEN v.is_latest THEN 1 END) AS by_nobody_seen,
        min(v.last_modified) AS oldest_at
    FROM s3_object_version v
    LEFT JOIN written_key w ON w.bucket = v.bucket AND w.key = v.key
    WHERE NOT v.is_delete_marker AND w.key IS NULL
    GROUP BY v.bucket, v.dir, v.storage_class
    UNION ALL
    SELECT
        bucket, dir, storage_class,
        count(*),
        sum(CASE WHEN is_latest THEN 1 ELSE 0 END),
        sum(CASE WHEN is_latest AND NOT checksummed THEN 1 ELSE 0 END),
        sum(CASE WHEN is_latest AND checksummed IS NULL THEN 1 ELSE 0 END),
        sum(CASE WHEN is_latest AND NOT own_key THEN 1 ELSE 0 END),
        sum(CASE WHEN is_latest AND own_key IS NULL THEN 1 ELSE 0 END),
        sum(CASE WHEN is_latest AND sse_c THEN 1 ELSE 0 END),
        sum(CASE WHEN is_latest AND sse_c IS NULL THEN 1 ELSE 0 END),
        sum(CASE WHEN is_latest AND witness = 'declared' THEN 1 ELSE 0 END),
        sum(CASE WHEN is_latest AND witness IS NULL THEN 1 ELSE 0 END),
        min(last_modified)
    FROM followed
    WHERE NOT is_delete_marker
    GROUP BY bucket, dir, storage_class
)
SELECT
    bucket, dir, coalesce(storage_class, '') AS storage_class,
    CAST(sum(versions) AS BIGINT) AS versions,
    CAST(sum(objects) AS BIGINT) AS objects,
    CAST(sum(unchecked) AS BIGINT) AS unchecked,
    CAST(sum(unchecked_unseen) AS BIGINT) AS unchecked_unseen,
    CAST(sum(other_key) AS BIGINT) AS other_key,
    CAST(sum(key_unseen) AS BIGINT) AS key_unseen,
    CAST(sum(sse_c) AS BIGINT) AS sse_c,
    CAST(sum(sse_c_unseen) AS BIGINT) AS sse_c_unseen,
    CAST(sum(by_declared) AS BIGINT) AS by_declared,
    CAST(sum(by_nobody_seen) AS BIGINT) AS by_nobody_seen,
    min(oldest_at) AS oldest_at
FROM counted
GROUP BY bucket, dir, coalesce(storage_class, '')
