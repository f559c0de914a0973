SELECT 'arn:aws:s3:::exports-' || n AS arn, 'exports-' || n AS bucket, '111111111111' AS account,
    'eu-west-1' AS region,
    TIMESTAMP '2026-01-01' - to_days(300) AS created_at, 'Enabled' AS versioning, 'AES256' AS encryption,
    '' AS logging_target, TRUE AS eventbridge,
    'Off' AS lock_mode, '[]' AS lifecycle, '[]' AS replication, '{"data-zone":"phi"}' AS tags FROM range(40) AS r(n)
