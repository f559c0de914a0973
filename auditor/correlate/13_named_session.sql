-- Sessions whose name holds the uuid of one job, whose subject is that job's and known, that were issued in its time
-- and whose credentials wrote nothing that was seen: whatever else fits, 13_session_match.py says of them what stands here.
SELECT
    s.session_key,
    j.job_uuid,
    'strong' AS strength,
    CAST(1 AS BIGINT) AS candidates,
    'its name holds the job_uuid and its subject is the job''s' AS because,
    j.job_uuid AS claimed_job
FROM sts_session s
JOIN chain_job j
  ON j.job_uuid = CASE WHEN starts_with(s.session_name, 'dataproc-') THEN substr(s.session_name, 10) ELSE s.session_name END
CROSS JOIN as_of n
WHERE s.event_name = 'AssumeRoleWithWebIdentity' AND coalesce(s.error_code, '') = ''
  AND EXISTS (SELECT 1 FROM config_federation f WHERE f.role_arn = s.role_arn)
  AND s.session_name <> '' AND s.subject <> '' AND j.subject = s.subject
  AND s.issued_at >= j.started_at - INTERVAL 5 MINUTE
  AND s.issued_at <= coalesce(j.finished_at, n.as_of) + n.skew_s * INTERVAL 1 SECOND
  AND NOT EXISTS (
    SELECT 1 FROM chain_job o WHERE o.job_uuid = s.session_name AND starts_with(o.job_uuid, 'dataproc-')
  )
  AND NOT EXISTS (SELECT 1 FROM credential_write w WHERE w.access_key_id = s.access_key_id AND w.access_key_id <> '')
