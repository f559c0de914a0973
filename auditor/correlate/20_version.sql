-- Every object version with when its key was next written, and the data event that tells who wrote it.
-- `witness` is the kind of the writer's credential (15_credential); NULL when no event tells.
-- A key that a job writes twice itself is not overwritten: `superseded_at` tells of others, and of delete markers.
-- A version whose event holds no version id is matched by key when the event is within two seconds of it.
WITH written AS (
    SELECT
        e.event_id, e.at, e.bucket, e.key, e.version_id,
        coalesce(e.access_key_id, '') AS access_key_id,
        coalesce(e.principal_arn, '') AS principal_arn
    FROM s3_data_event e
    WHERE coalesce(e.error_code, '') = ''
      AND e.event_name IN ('PutObject', 'PostObject', 'CopyObject', 'CompleteMultipartUpload')
),
exact AS (
    SELECT v.bucket, v.key, v.version_id, max(w.event_id) AS event_id
    FROM s3_object_version v
    JOIN written w ON w.bucket = v.bucket AND w.key = v.key AND w.version_id = v.version_id
    GROUP BY v.bucket, v.key, v.version_id
),
near AS (
    SELECT v.bucket, v.key, v.version_id, max(w.event_id) AS event_id
    FROM s3_object_version v
    JOIN written w ON w.bucket = v.bucket AND w.key = v.key AND w.version_id IS NULL
     AND w.at BETWEEN v.last_modified - INTERVAL 2 SECOND AND v.last_modified + INTERVAL 2 SECOND
    WHERE NOT v.is_delete_marker
    GROUP BY v.bucket, v.key, v.version_id
),
told AS (
    SELECT bucket, key, version_id, max(event_id) AS event_id
    FROM (SELECT * FROM exact UNION ALL SELECT * FROM near) every_match
    GROUP BY bucket, key, version_id
)
SELECT
    v.bucket, v.key, v.version_id, v.account, v.region, v.dir,
    v.last_modified, v.bytes, v.storage_class, v.is_latest, v.is_delete_marker,
    CASE WHEN coalesce(c.job_uuid = lead(c.job_uuid) OVER later, FALSE) THEN NULL
         ELSE lead(v.last_modified) OVER later END AS superseded_at,
    CASE WHEN lead(c.kind) OVER later IN ('foreign', 'job') THEN TRUE ELSE FALSE END AS superseded_by_other,
    CASE WHEN lead(v.is_delete_marker) OVER later THEN lead(v.last_modified) OVER later END AS deleted_at,
    (v.key = '_SUCCESS' OR v.key LIKE '%/\_SUCCESS' ESCAPE '\') AS is_marker,
    (v.key LIKE '%/\_temporary/%' ESCAPE '\' OR v.key LIKE '\_temporary/%' ESCAPE '\'
     OR v.key LIKE '%.spark-staging-%' OR v.key LIKE '%/\_\_magic%' ESCAPE '\') AS is_staging,
    t.event_id,
    w.at AS event_at,
    w.access_key_id,
    w.principal_arn,
    c.kind AS witness,
    c.job_uuid
FROM s3_object_version v
LEFT JOIN told t ON t.bucket = v.bucket AND t.key = v.key AND t.version_id = v.version_id
LEFT JOIN written w ON w.event_id = t.event_id
LEFT JOIN credential c
  ON c.bucket = w.bucket AND c.access_key_id = w.access_key_id AND c.principal_arn = w.principal_arn
WINDOW later AS (PARTITION BY v.bucket, v.key ORDER BY v.last_modified, v.is_latest, v.version_id)
