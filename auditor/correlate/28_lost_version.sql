-- Versions that a job's session wrote and no listing shows any more: deleted, and when, where an event says so.
-- Lifecycle actions are never in CloudTrail, and DeleteObjects is logged without keys (sources.md, section 7).
-- What an event tells of is followed (21_followed), if it is there at all.
-- A version that the same job wrote again is no loss when it goes.
WITH written AS (
    SELECT DISTINCT e.event_id, e.bucket, e.key, e.version_id, e.at, c.job_uuid
    FROM s3_data_event e
    JOIN credential c
      ON c.bucket = e.bucket AND c.kind = 'job'
     AND c.access_key_id = coalesce(e.access_key_id, '')
     AND c.principal_arn = coalesce(e.principal_arn, '')
    WHERE e.version_id IS NOT NULL AND e.key IS NOT NULL AND e.at IS NOT NULL
      AND coalesce(e.error_code, '') = ''
      AND e.event_name IN ('PutObject', 'PostObject', 'CopyObject', 'CompleteMultipartUpload')
      AND NOT (e.key LIKE '%/\_temporary/%' ESCAPE '\' OR e.key LIKE '\_temporary/%' ESCAPE '\'
       OR e.key LIKE '%.spark-staging-%' OR e.key LIKE '%/\_\_magic%' ESCAPE '\')
),
last AS (
    SELECT job_uuid, bucket, key, max(written.at) AS last_at FROM written GROUP BY job_uuid, bucket, key
),
gone AS (
    SELECT w.job_uuid, w.bucket, w.key, w.version_id, max(w.at) AS written_at
    FROM written w
    JOIN last l ON l.job_uuid = w.job_uuid AND l.bucket = w.bucket AND l.key = w.key AND l.last_at = w.at
    LEFT JOIN followed v
      ON v.bucket = w.bucket AND v.key = w.key AND v.version_id = w.version_id
    WHERE v.key IS NULL
    GROUP BY w.job_uuid, w.bucket, w.key, w.version_id
),
placed AS (
    SELECT g.*, o.export_id,
        row_number() OVER (
            PARTITION BY g.job_uuid, g.bucket, g.key, g.version_id ORDER BY o.plen DESC, o.export_id
        ) AS rank
    FROM gone g
    JOIN export_output o
      ON o.job_uuid = g.job_uuid AND o.bucket = g.bucket AND substr(g.key, 1, o.plen) = o.prefix
)
SELECT
    p.export_id, p.bucket, p.key, p.version_id, p.written_at,
    min(d.at) AS deleted_at, max(d.principal_arn) AS deleted_by
FROM placed p
LEFT JOIN s3_data_event d
  ON d.bucket = p.bucket AND d.key = p.key AND d.version_id = p.version_id
 AND d.event_name = 'DeleteObject' AND coalesce(d.error_code, '') = ''
WHERE p.rank = 1
GROUP BY p.export_id, p.bucket, p.key, p.version_id, p.written_at
