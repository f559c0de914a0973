-- Copy jobs of the buckets that exports go to.
SELECT *
FROM backup_copy_job
WHERE resource_arn IS NULL
  OR resource_arn IN (SELECT 'arn:aws:s3:::' || bucket FROM export_output)
