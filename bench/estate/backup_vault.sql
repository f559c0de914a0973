SELECT 'arn:aws:backup:' || region || ':111111111111:backup-vault:daily' AS arn, 'daily' AS name,
    '111111111111' AS account, region, 'BACKUP_VAULT' AS type, TIMESTAMP '2026-01-01' - to_days(300) AS created_at,
    TRUE AS locked,
    TIMESTAMP '2026-01-01' - to_days(200) AS lock_date, 1 AS min_retention_d, 4000 AS max_retention_d, '' AS policy
    FROM (VALUES ('eu-west-1'), ('eu-central-1')) AS r(region)
