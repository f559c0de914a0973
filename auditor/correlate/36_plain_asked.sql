-- What exports have to be asked for to tell which of them leave no doubt, each combination once: few, whatever their number.
-- What is asked for in vain costs time and no verdict: 39_plain_export decides of each export, but for buckets that a stranger
-- wrote to and accounts that are not known, which are asked for here alone.
-- day: a bucket and label of jobs, and from when to when exports of one day ended; session: as whom a session was taken;
-- issue: for buckets of which account; rival: from when on exports matter that another fits as well; call: who started what,
-- from when to when; name: whom the audit log and the jobs name, as the directory is asked for all of them.
WITH limits AS (
    SELECT job_id FROM config_duty UNION ALL SELECT job_id FROM config_automation
),
by_id AS (
    SELECT count(*) AS n FROM limits WHERE job_id <> '' AND job_id <> '*'
),
stray AS (
    SELECT DISTINCT bucket FROM stray_write
)
SELECT
    'day' AS what, o.bucket AS bucket, j.zone_label AS zone_label,
    min(greatest(j.finished_at, w.last_write_at)) AS from_at, max(greatest(j.finished_at, w.last_write_at)) AS until_at, CAST(NULL AS VARCHAR) AS service_account, CAST(NULL AS VARCHAR) AS role_arn,
    CAST(NULL AS VARCHAR) AS provider, CAST(NULL AS VARCHAR) AS audience, CAST(NULL AS VARCHAR) AS principal,
    CAST(NULL AS VARCHAR) AS subject, CAST(NULL AS VARCHAR) AS delegation, CAST(NULL AS VARCHAR) AS kind,
    CAST(NULL AS VARCHAR) AS project, CAST(NULL AS VARCHAR) AS region, CAST(NULL AS VARCHAR) AS job_id,
    CAST(NULL AS BOOLEAN) AS by_id, CAST(NULL AS VARCHAR) AS account
FROM export_output o
JOIN chain_job j ON j.job_uuid = o.job_uuid
JOIN export_write w ON w.export_id = o.export_id
LEFT JOIN stray s ON s.bucket = o.bucket
WHERE s.bucket IS NULL AND j.labels_known AND j.ending = 'well' AND j.finished_at IS NOT NULL
  AND w.last_write_at IS NOT NULL
GROUP BY o.bucket, j.zone_label, date_trunc('day', j.finished_at)
UNION ALL
SELECT
    'session', NULL, NULL, NULL, NULL, j.service_account, i.role_arn, i.provider, i.audience, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL
FROM session_match m
JOIN chain_job j ON j.job_uuid = m.job_uuid
JOIN sts_session i ON i.session_key = m.session_key
WHERE j.service_account <> ''
GROUP BY j.service_account, i.role_arn, i.provider, i.audience
UNION ALL
SELECT
    'issue', NULL, NULL, NULL, NULL, j.service_account, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, b.account
FROM export_output o
JOIN chain_job j ON j.job_uuid = o.job_uuid
JOIN s3_bucket b ON b.bucket = o.bucket
WHERE j.service_account <> '' AND b.account <> ''
GROUP BY j.service_account, b.account
UNION ALL
SELECT
    'rival', o.bucket, NULL,
    min(least(least(j.started_at, j.submitted_at, w.first_write_at) - INTERVAL 1 SECOND * n.skew_s, j.started_at - INTERVAL 5 MINUTE)),
    NULL, j.service_account, NULL, NULL, NULL, NULL, NULL, NULL, NULL, j.project, j.region, NULL, NULL, NULL
FROM export_output o
JOIN chain_job j ON j.job_uuid = o.job_uuid
JOIN export_write w ON w.export_id = o.export_id
CROSS JOIN as_of n
WHERE w.rivals > 0 AND j.ending = 'well' AND j.started_at IS NOT NULL AND w.first_write_at IS NOT NULL
GROUP BY o.bucket, j.service_account, j.project, j.region
UNION ALL
SELECT
    'call', NULL, j.zone_label, min(c.at), max(c.at), NULL, NULL, NULL, NULL,
    coalesce(nullif(c.principal_email, ''), c.principal_subject), NULL, NULL, j.kind, j.project, j.region, min(j.job_id), b.n > 0,
    NULL
FROM chain_job j
JOIN gcp_audit_entry c ON c.job_uuid = j.job_uuid
CROSS JOIN by_id b
WHERE j.ending = 'well' AND j.labels_known AND c.at IS NOT NULL AND c.static_key_name = '' AND c.status_code = 0
GROUP BY
    j.zone_label, coalesce(nullif(c.principal_email, ''), c.principal_subject), j.kind, j.project, j.region, b.n,
    CASE WHEN b.n > 0 THEN j.job_id END
UNION ALL
SELECT
    'name', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, principal_email, principal_subject, delegation, NULL, NULL, NULL, NULL,
    NULL, NULL
FROM gcp_audit_entry
GROUP BY principal_email, principal_subject, delegation
UNION ALL
SELECT
    'name', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, creator, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM chain_job
WHERE creator <> ''
GROUP BY creator
