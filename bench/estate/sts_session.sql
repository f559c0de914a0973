SELECT 'ASIA' || upper(substr(md5('k' || n), 1, 16)) AS session_key,
    'ASIA' || upper(substr(md5('k' || n), 1, 16)) AS access_key_id, 's-' || n AS event_id, '111111111111' AS account,
    'eu-west-1' AS region, began + to_seconds(30) AS issued_at, began + to_hours(12) AS expires_at,
    43200 AS duration_s,
    'AssumeRoleWithWebIdentity' AS event_name, 'arn:aws:iam::111111111111:role/export-writer' AS role_arn,
    CASE WHEN hash(n + 11) % 50 = 0 THEN 'etl' ELSE job_uuid END AS session_name,
    'accounts.google.com' AS provider, subject,
    'auditor' AS audience, '' AS caller_arn, '' AS caller_access_key_id, '10.0.0.1' AS source_ip, '' AS user_agent,
    '' AS error_code FROM job
