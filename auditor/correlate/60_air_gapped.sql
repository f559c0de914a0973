-- What does a logically air-gapped vault hold of each bucket, wherever that vault is?
-- A point's age counts from the start of its capture, as that of the original it was copied from.
SELECT
    p.resource_arn AS bucket_arn,
    count(*) AS points,
    max(least(coalesce(p.initiated_at, p.created_at), p.created_at)) AS newest_at
FROM backup_recovery_point AS p
LEFT JOIN backup_vault AS v ON v.arn = p.vault_arn
WHERE p.status IN ('COMPLETED', 'AVAILABLE')
    AND coalesce(p.vault_type, v.type) = 'LOGICALLY_AIR_GAPPED_BACKUP_VAULT'
GROUP BY p.resource_arn
