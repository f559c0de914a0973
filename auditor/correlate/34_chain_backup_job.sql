-- Backup jobs that made such recovery points.
SELECT *
FROM backup_job
WHERE point_arn IN (SELECT arn FROM chain_point)
