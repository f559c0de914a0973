SELECT unnest(['dataproc_job', 'dataproc_cluster', 'gcp_audit_entry', 'directory_user',
    'directory_membership', 's3_bucket', 's3_object_version', 's3_manifest', 's3_data_event', 'sts_session',
    'aws_change',
    'backup_vault', 'backup_recovery_point', 'backup_job', 'backup_copy_job']) AS table_name, 'bench' AS source,
    '*' AS account,
    '*' AS region, '*' AS resource, CAST(NULL AS TIMESTAMP) AS from_at, CAST(NULL AS TIMESTAMP) AS until_at,
    TRUE AS complete,
    '' AS reason, '' AS detail, TIMESTAMP '2026-01-01' + to_days(62) AS observed_at
