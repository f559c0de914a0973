-- Which copies are there, and are they where their zone may be?
SELECT
    p.arn AS subject_key,
    p.zone AS zone,
    p.account AS account,
    CAST(NULL AS VARCHAR) AS project,
    p.owner AS owner,
    p.region AS region,
    p.resource_arn AS bucket_arn,
    p.vault_arn AS vault_arn,
    p.source_vault_arn AS source_vault_arn,
    p.status AS status,
    p.created_at AS created_at,
    z.regions AS zone_regions,
    p.encrypted AS encrypted,
    p.kms_key_arn AS kms_key_arn,
    p.key_type AS key_type,
    nullif(split_part(p.kms_key_arn, ':', 5), '') AS key_account,
    nullif(split_part(p.kms_key_arn, ':', 4), '') AS key_region
FROM point AS p
LEFT JOIN config_zone AS z ON z.zone = p.zone
WHERE p.is_copy
