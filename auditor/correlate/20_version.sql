-- Every object version with when its key was next written, and the data event that tells who wrote it.
-- `witness` is the kind of the writer's credential (14_credential); NULL when no event tells.
-- `exists_at`: a multipart object's last_modified is the START of its upload; it exists when the upload completes.
-- `rewritten`: the same job wrote the key again, over a delete marker or not: that is neither an overwrite nor a loss.
-- `superseded_at` tells of the next write by anybody else, and of delete markers.
-- A version whose event holds no version id is matched by key when the event is within two seconds of it, and only if
-- all such events are of one credential.
-- `own_key`: it was encrypted as its bucket's default is now, which only the event of its write tells; NULL where the
-- event does not say, where several fit, and where the bucket's key is not known. `sse_c`: by a key the writer sent along.
WITH written AS (
    SELECT DISTINCT
        e.event_id, e.at, e.bucket, e.key, e.version_id,
        coalesce(e.access_key_id, '') AS access_key_id,
        coalesce(e.principal_arn, '') AS principal_arn,
        e.encryption = 'SSE-C' AS sse_c,
        CASE
            WHEN e.encryption = 'SSE-C' THEN FALSE
            WHEN e.encryption IS NULL OR h.encryption IS NULL THEN NULL
            WHEN h.encryption = 'AES256' OR e.encryption = 'AES256' THEN h.encryption = e.encryption
            WHEN h.encryption = 'aws:kms:dsse' AND e.encryption <> 'aws:kms:dsse' THEN FALSE
            WHEN e.kms_key LIKE 'arn:%:key/%' THEN h.kms_key = e.kms_key
        END AS own_key
    FROM s3_data_event e
    LEFT JOIN object_home h ON h.bucket = e.bucket
    WHERE coalesce(e.error_code, '') = ''
      AND e.event_name IN ('PutObject', 'PostObject', 'CopyObject', 'CompleteMultipartUpload')
),
exact AS (
    SELECT v.bucket, v.key, v.version_id, max(w.event_id) AS event_id, count(DISTINCT w.event_id) AS events
    FROM s3_object_version v
    JOIN written w ON w.bucket = v.bucket AND w.key = v.key AND w.version_id = v.version_id
    GROUP BY v.bucket, v.key, v.version_id
),
near AS (
    SELECT v.bucket, v.key, v.version_id, max(w.event_id) AS event_id, count(DISTINCT w.event_id) AS events
    FROM s3_object_version v
    JOIN written w ON w.bucket = v.bucket AND w.key = v.key AND w.version_id IS NULL
     AND w.at BETWEEN v.last_modified - INTERVAL 2 SECOND AND v.last_modified + INTERVAL 2 SECOND
    WHERE NOT v.is_delete_marker
    GROUP BY v.bucket, v.key, v.version_id
    HAVING count(DISTINCT w.access_key_id || ' ' || w.principal_arn) = 1
),
told AS (
    SELECT
        n.bucket, n.key, n.version_id, coalesce(e.event_id, n.event_id) AS event_id, coalesce(e.events, n.events) AS events
    FROM near n
    LEFT JOIN exact e ON e.bucket = n.bucket AND e.key = n.key AND e.version_id = n.version_id
    UNION
    SELECT bucket, key, version_id, event_id, events FROM exact
),
named AS (
    SELECT
        v.bucket, v.key, v.version_id, v.account, v.region, v.dir,
        v.last_modified, v.bytes, v.storage_class, v.is_latest, v.is_delete_marker,
        v.checksums <> 'none' AS checksummed,
        CASE WHEN t.events = 1 THEN w.own_key END AS own_key,
        CASE WHEN t.events = 1 THEN w.sse_c END AS sse_c,
        t.event_id, w.at AS event_at, w.access_key_id, w.principal_arn, c.kind, c.job_uuid,
        greatest(v.last_modified, coalesce(w.at, v.last_modified)) AS exists_at
    FROM s3_object_version v
    LEFT JOIN told t ON t.bucket = v.bucket AND t.key = v.key AND t.version_id = v.version_id
    LEFT JOIN written w ON w.event_id = t.event_id
    LEFT JOIN credential c
      ON c.bucket = w.bucket AND c.access_key_id = w.access_key_id AND c.principal_arn = w.principal_arn
),
followed AS (
    SELECT
        n.*,
        lead(n.exists_at) OVER later AS next_at,
        lead(n.kind) OVER later AS next_kind,
        lead(n.is_delete_marker) OVER later AS next_is_marker,
        count(CASE WHEN NOT n.is_delete_marker THEN 1 END) OVER later AS nth
    FROM named n
    WINDOW later AS (
        PARTITION BY n.bucket, n.key ORDER BY coalesce(n.is_latest, FALSE), n.last_modified, n.version_id
    )
),
again AS (
    SELECT f.bucket, f.key, f.nth, f.job_uuid FROM followed f WHERE NOT f.is_delete_marker
),
judged AS (
    SELECT f.*, coalesce(NOT f.is_delete_marker AND a.job_uuid = f.job_uuid, FALSE) AS rewritten
    FROM followed f
    LEFT JOIN again a ON a.bucket = f.bucket AND a.key = f.key AND a.nth = f.nth + 1
)
SELECT
    bucket, key, version_id, account, region, dir,
    last_modified, exists_at, bytes, storage_class, is_latest, is_delete_marker, rewritten,
    CASE WHEN NOT rewritten THEN next_at END AS superseded_at,
    NOT rewritten AND coalesce(next_kind IN ('foreign', 'job'), FALSE) AS superseded_by_other,
    CASE WHEN next_is_marker AND NOT rewritten THEN next_at END AS deleted_at,
    (key = '_SUCCESS' OR key LIKE '%/\_SUCCESS' ESCAPE '\') AS is_marker,
    (key LIKE '%/\_temporary/%' ESCAPE '\' OR key LIKE '\_temporary/%' ESCAPE '\'
     OR key LIKE '%.spark-staging-%' OR key LIKE '%/\_\_magic%' ESCAPE '\') AS is_staging,
    checksummed, own_key, sse_c,
    event_id, event_at, access_key_id, principal_arn, kind AS witness, job_uuid
FROM judged
