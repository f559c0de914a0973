-- Versions that a job's session wrote and no listing shows any more: deleted, and when, where an event says so.
-- Lifecycle actions are never in CloudTrail, and DeleteObjects is logged without keys (sources.md, section 7).
WITH gone AS (
    SELECT e.event_id, e.bucket, e.key, e.version_id, e.at, c.job_uuid
    FROM s3_data_event e
    JOIN credential c
      ON c.bucket = e.bucket AND c.kind = 'job'
     AND c.access_key_id = coalesce(e.access_key_id, '')
     AND c.principal_arn = coalesce(e.principal_arn, '')
    LEFT JOIN s3_object_version v
      ON v.bucket = e.bucket AND v.key = e.key AND v.version_id = e.version_id
    WHERE v.key IS NULL AND e.version_id IS NOT NULL
      AND coalesce(e.error_code, '') = ''
      AND e.event_name IN ('PutObject', 'PostObject', 'CopyObject', 'CompleteMultipartUpload')
      AND NOT (e.key LIKE '%/\_temporary/%' ESCAPE '\' OR e.key LIKE '\_temporary/%' ESCAPE '\'
       OR e.key LIKE '%.spark-staging-%' OR e.key LIKE '%/\_\_magic%' ESCAPE '\')
),
placed AS (
    SELECT g.*, o.export_id,
        row_number() OVER (PARTITION BY g.event_id ORDER BY o.plen DESC, o.export_id) AS rank
    FROM gone g
    JOIN export_output o
      ON o.job_uuid = g.job_uuid AND o.bucket = g.bucket AND substr(g.key, 1, o.plen) = o.prefix
)
SELECT
    p.export_id, p.bucket, p.key, p.version_id, p.at AS written_at,
    min(d.at) AS deleted_at, max(d.principal_arn) AS deleted_by
FROM placed p
LEFT JOIN s3_data_event d
  ON d.bucket = p.bucket AND d.key = p.key AND d.version_id = p.version_id
 AND d.event_name = 'DeleteObject' AND coalesce(d.error_code, '') = ''
WHERE p.rank = 1
GROUP BY p.export_id, p.bucket, p.key, p.version_id, p.at
