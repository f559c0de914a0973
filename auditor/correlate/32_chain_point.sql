-- Recovery points that an export can be held by: of its bucket, or where a copy job of its bucket says it copied to.
-- The other points of an estate are judged as points, and an estate may hold a hundred thousand of them.
SELECT
  arn,
  vault_arn,
  account,
  region,
  resource_arn,
  status,
  continuous,
  initiated_at,
  created_at,
  completed_at,
  bytes,
  delete_after_d,
  delete_at,
  deletes_after_copy,
  encrypted,
  source_vault_arn
FROM backup_recovery_point
WHERE resource_arn IS NULL
  OR resource_arn IN (SELECT 'arn:aws:s3:::' || bucket FROM export_output)
  OR arn IN (SELECT dest_point_arn FROM chain_copy_job)
