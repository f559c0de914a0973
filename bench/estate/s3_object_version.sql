-- The versions of some jobs: three in a hundred late, one ad hoc; what is shared is overwritten in turn.
SELECT bucket, key, version_id, '111111111111' AS account, 'eu-west-1' AS region,
    regexp_extract(key, '^.*/') AS dir, last_modified, bytes, etag, 'STANDARD' AS storage_class,
    'CRC64NVME' AS checksums,
    next IS NULL AS is_latest, FALSE AS is_delete_marker
FROM (
    SELECT j.bucket,
        CASE WHEN hash(j.n, i) % 100 = 0 THEN 'adhoc/' || hash(j.n) % 50 || '/' || j.n || '-' || i
            ELSE j.dir || 'region=' || i % 4 || '/part-' || lpad(CAST(i AS VARCHAR), 5, '0') || '.parquet' END AS key,
        md5(j.n || '/' || i) AS version_id, md5(i || '/' || j.n) AS etag,
        CAST(1000 + hash(i) % 9000 AS BIGINT) AS bytes,
        j.began + to_seconds(CAST(60 + hash(j.n, i) % 900 AS BIGINT))
            + CASE WHEN hash(i, j.n) % 100 < 3 THEN to_hours(CAST(hash(i) % 200 AS BIGINT)) ELSE to_hours(0) END AS last_modified,
        CASE WHEN j.h >= 600 AND j.h < 850 AND hash(j.n, i) % 100 <> 0
            THEN lead(j.n) OVER (PARTITION BY j.bucket, j.prefix, j.h >= 600 AND j.h < 850,
            i ORDER BY j.n) END AS next
    FROM job j, range($each) AS r(i)
    WHERE j.n >= $first AND j.n < $end
    UNION ALL
    SELECT bucket, prefix || '_SUCCESS', md5('m' || n), md5('e' || n), 0, ended,
        CASE WHEN h >= 600 AND h < 850 THEN lead(n) OVER (PARTITION BY bucket, prefix ORDER BY ended) END
    FROM job
    WHERE h < 995 AND n >= $first AND n < $end
)
ORDER BY bucket, key, version_id
