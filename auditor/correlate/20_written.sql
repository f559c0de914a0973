-- Every data event of a write that succeeded, with what kind of writer its credential is (14_credential).
-- `own_key`: the write was encrypted as its bucket's default is now; NULL where the event does not say, and where the
-- bucket's key is not known. `sse_c`: by a key the writer sent along.
SELECT DISTINCT
    e.event_id, e.at, e.bucket, e.key, e.version_id,
    coalesce(e.access_key_id, '') AS access_key_id,
    coalesce(e.principal_arn, '') AS principal_arn,
    c.kind, c.job_uuid,
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
LEFT JOIN credential c
  ON c.bucket = e.bucket
 AND c.access_key_id = coalesce(e.access_key_id, '')
 AND c.principal_arn = coalesce(e.principal_arn, '')
WHERE coalesce(e.error_code, '') = ''
  AND e.event_name IN ('PutObject', 'PostObject', 'CopyObject', 'CompleteMultipartUpload')
