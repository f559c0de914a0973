-- Writes by credentials that are neither a job's session nor declared, one row each, and those nobody can tell yet.
-- `gone`: no listing shows the version any more.
SELECT DISTINCT
    e.event_id, e.bucket, e.key, e.version_id, regexp_replace(e.key, '[^/]*$', '') AS dir, e.at,
    c.access_key_id, c.principal_arn, c.principal_type, c.kind, c.session_key, c.because,
    e.version_id IS NOT NULL AND v.key IS NULL AS gone
FROM s3_data_event e
JOIN credential c
  ON c.bucket = e.bucket
 AND c.access_key_id = coalesce(e.access_key_id, '')
 AND c.principal_arn = coalesce(e.principal_arn, '')
LEFT JOIN followed v
  ON v.bucket = e.bucket AND v.key = e.key AND v.version_id = e.version_id
WHERE c.kind IN ('foreign', 'ambiguous', 'no_issue')
  AND coalesce(e.error_code, '') = ''
  AND e.event_name IN ('PutObject', 'PostObject', 'CopyObject', 'CompleteMultipartUpload')
  AND e.key IS NOT NULL AND e.at IS NOT NULL
