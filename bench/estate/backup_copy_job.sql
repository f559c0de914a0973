SELECT 'c-' || n || '-' || d AS copy_job_id, '111111111111' AS account, 'eu-west-1' AS region,
    'arn:aws:backup:eu-west-1:111111111111:backup-vault:daily' AS source_vault_arn,
    'arn:aws:backup:eu-west-1:111111111111:recovery-point:' || n || '-' || d AS source_point_arn,
    'arn:aws:backup:eu-central-1:111111111111:backup-vault:daily' AS dest_vault_arn,
    'arn:aws:backup:eu-central-1:111111111111:recovery-point:' || n || '-' || d AS dest_point_arn,
    'arn:aws:s3:::exports-' || n AS resource_arn,
    'COMPLETED' AS state, '' AS message, 'SUCCESS' AS category, begun + to_minutes(51) AS created_at,
    begun + to_minutes(90) AS completed_at,
    1000000 AS bytes
    FROM (SELECT *, TIMESTAMP '2026-01-01' + to_days(CAST(d AS INTEGER)) + to_hours(5) + to_minutes(CAST(n AS INTEGER)) AS begun
        FROM range(40) AS r(n), range(62) AS s(d)) WHERE hash(n, d) % 40 > 0
