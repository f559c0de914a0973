-- Sessions that were matched with a job, so are no orphans; 41_orphan_session.py judges the others.
SELECT s.session_key, s.account, s.role_arn, s.subject, s.issued_at, s.source_ip, FALSE AS orphan, m.because
FROM sts_session s
JOIN session_match m ON m.session_key = s.session_key
WHERE s.event_name = 'AssumeRoleWithWebIdentity' AND coalesce(s.error_code, '') = ''
  AND EXISTS (SELECT 1 FROM config_federation f WHERE f.role_arn = s.role_arn)
  AND m.job_uuid <> '' AND s.subject <> '' AND s.issued_at IS NOT NULL
