-- Sessions that were matched with a job, so are no orphans; 41_orphan_session.py judges the others. Of what is no session of
-- an export role, or lacks its subject or time, none is matched (13_session_match, 13_named_session).
SELECT s.session_key, s.account, s.role_arn, s.subject, s.issued_at, s.source_ip, FALSE AS orphan, m.because
FROM sts_session s
JOIN session_match m ON m.session_key = s.session_key
WHERE m.job_uuid <> ''
