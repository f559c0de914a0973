-- What earlier scans remember of such recovery points, whether they are still there or not.
SELECT *
FROM history_point
WHERE resource_arn IS NULL
  OR resource_arn IN (SELECT 'arn:aws:s3:::' || bucket FROM export_output)
  OR arn IN (SELECT dest_point_arn FROM chain_copy_job)
  OR arn IN (SELECT proving_point FROM history_export)
