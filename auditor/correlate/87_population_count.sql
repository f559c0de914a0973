-- Are there as many subjects judged as rows were collected?
-- The facts that are made of more than one table count only what the table behind them holds.
SELECT 'dataproc_job' AS source_table, (SELECT count(*) FROM dataproc_job) AS collected,
    (SELECT count(*) FROM job_facts) AS judged, (SELECT count(DISTINCT subject_key) FROM job_facts) AS told_apart
UNION ALL
SELECT 's3_bucket', (SELECT count(*) FROM s3_bucket),
    (SELECT count(*) FROM bucket_facts), (SELECT count(DISTINCT subject_key) FROM bucket_facts)
UNION ALL
SELECT 'iam_role', (SELECT count(*) FROM iam_role),
    (SELECT count(*) FROM role_facts WHERE found), (SELECT count(DISTINCT subject_key) FROM role_facts WHERE found)
UNION ALL
SELECT 'iam_access_key', (SELECT count(*) FROM iam_access_key),
    (SELECT count(*) FROM access_key_facts), (SELECT count(DISTINCT subject_key) FROM access_key_facts)
UNION ALL
SELECT 'backup_plan_rule', (SELECT count(*) FROM backup_plan_rule),
    (SELECT count(*) FROM plan_rule_facts), (SELECT count(DISTINCT subject_key) FROM plan_rule_facts)
UNION ALL
SELECT 'backup_selection', (SELECT count(*) FROM backup_selection),
    (SELECT count(*) FROM selection_facts), (SELECT count(DISTINCT subject_key) FROM selection_facts)
UNION ALL
SELECT 'backup_recovery_point', (SELECT count(*) FROM backup_recovery_point),
    (SELECT count(*) FROM recovery_point_facts WHERE present),
    (SELECT count(DISTINCT subject_key) FROM recovery_point_facts WHERE present)
UNION ALL
SELECT 'backup_vault', (SELECT count(*) FROM backup_vault),
    (SELECT count(*) FROM vault_facts), (SELECT count(DISTINCT subject_key) FROM vault_facts)
UNION ALL
SELECT 'backup_job', (SELECT count(*) FROM backup_job),
    (SELECT count(*) FROM backup_job_facts), (SELECT count(DISTINCT subject_key) FROM backup_job_facts)
UNION ALL
SELECT 'backup_copy_job', (SELECT count(*) FROM backup_copy_job),
    (SELECT count(*) FROM copy_job_facts), (SELECT count(DISTINCT subject_key) FROM copy_job_facts)
UNION ALL
SELECT 'backup_restore_job', (SELECT count(*) FROM backup_restore_job),
    (SELECT count(*) FROM restore_job_facts), (SELECT count(DISTINCT subject_key) FROM restore_job_facts)
