-- How often each bucket was really backed up, copies apart: points are many, buckets few.
SELECT
    resource_arn AS bucket_arn,
    count(*) AS points,
    sum(CASE WHEN status IS NULL OR status = 'CREATING' THEN 0 ELSE 1 END) AS kept,
    max(CASE WHEN status IS NULL OR status = 'CREATING' THEN NULL ELSE created_at END) AS last_point_at
FROM backup_recovery_point
WHERE source_vault_arn IS NULL
GROUP BY resource_arn
