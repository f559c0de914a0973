SELECT 'phi' AS zone, 0 AS rank, 172800 AS capture_s, 2190 AS retention_d, 86400 AS copy_lag_s,
    '[{"account":"111111111111","region":"eu-central-1","retention_d":2190}]' AS copy_to, -1 AS bucket_min_d,
    '["eu-west-1","eu-central-1"]' AS regions,
    TRUE AS supersede
