SELECT 'arn:aws:backup:' || region || ':111111111111:recovery-point:' || n || '-' || d AS arn,
    'arn:aws:backup:' || region || ':111111111111:backup-vault:daily' AS vault_arn, '111111111111' AS account, region,
    'arn:aws:s3:::exports-' || n AS resource_arn, 'COMPLETED' AS status, FALSE AS continuous,
    begun AS initiated_at, begun AS created_at,
    begun + to_minutes(50) AS completed_at, 1000000 AS bytes, 3650 AS delete_after_d,
    begun + to_days(3650) AS delete_at,
    FALSE AS deletes_after_copy, TRUE AS encrypted,
    CASE WHEN region = 'eu-west-1' THEN NULL ELSE 'arn:aws:backup:eu-west-1:111111111111:backup-vault:daily' END AS source_vault_arn,
    'BACKUP_VAULT' AS vault_type, '{}' AS tags
    FROM (SELECT *, TIMESTAMP '2026-01-01' + to_days(CAST(d AS INTEGER)) + to_hours(5) + to_minutes(CAST(n AS INTEGER)) AS begun
        FROM range(40) AS r(n), range(62) AS s(d), (VALUES ('eu-west-1'), ('eu-central-1')) AS t(region))
    WHERE hash(n, d) % 40 > 0 OR region = 'eu-west-1'
