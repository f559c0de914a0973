-- What do rules judge of a recovery point, whether it is there or gone?
SELECT
    p.arn AS subject_key,
    p.zone AS zone,
    p.account AS account,
    CAST(NULL AS VARCHAR) AS project,
    p.owner AS owner,
    p.region AS region,
    TRUE AS present,
    FALSE AS gone_early,
    CAST(NULL AS TIMESTAMP) AS last_seen_at,
    p.resource_arn AS bucket_arn,
    p.vault_arn AS vault_arn,
    p.status AS status,
    p.continuous AS continuous,
    p.is_copy AS is_copy,
    coalesce(p.deletes_after_copy, FALSE) AS deletes_after_copy,
    p.created_at AS created_at,
    p.completed_at AS completed_at,
    CAST(date_diff('second', p.completed_at, n.as_of) AS BIGINT) AS completed_age_s,
    p.bytes AS stored_bytes,
    p.bucket_held_objects AS bucket_held_objects,
    p.encrypted AS encrypted,
    p.kms_key_arn AS kms_key_arn,
    p.delete_at AS delete_at,
    p.delete_at IS NULL AND p.delete_after_d < 0 AS keeps_for_ever,
    CAST(CASE WHEN p.delete_at IS NOT NULL THEN date_diff('second', p.created_at, p.delete_at)
        WHEN p.delete_after_d >= 0 THEN p.delete_after_d * 86400 END AS BIGINT) AS keep_s,
    CAST(CASE
        WHEN p.is_copy AND d.zone IS NOT NULL THEN d.keep_s
        WHEN z.retention_d < 0 THEN -1
        ELSE z.retention_d * 86400
    END AS BIGINT) AS required_keep_s,
    p.zone_told AS zone_told,
    p.job_state AS job_state,
    p.job_category AS job_category,
    p.job_message AS job_message,
    CAST(CASE WHEN z.copy_to IS NOT NULL THEN coalesce(c.region_copies_required, 0) END AS BIGINT) AS region_copies_required,
    CAST(CASE WHEN z.copy_to IS NOT NULL THEN coalesce(c.region_copies_missing, 0) END AS BIGINT) AS region_copies_missing,
    c.region_copy_lag_s AS region_copy_lag_s,
    CAST(CASE WHEN z.copy_to IS NOT NULL THEN coalesce(c.account_copies_required, 0) END AS BIGINT) AS account_copies_required,
    CAST(CASE WHEN z.copy_to IS NOT NULL THEN coalesce(c.account_copies_missing, 0) END AS BIGINT) AS account_copies_missing,
    c.account_copy_lag_s AS account_copy_lag_s,
    coalesce(c.a_missing_place, '') AS missing_place,
    z.copy_lag_s AS zone_copy_lag_s,
    CAST(coalesce(t.torn_exports, 0) AS BIGINT) AS torn_exports,
    CAST(CASE WHEN t.torn_unrepaired > 0 OR coalesce(t.torn_undecided, 0) = 0 THEN coalesce(t.torn_unrepaired, 0) END AS BIGINT)
        AS torn_unrepaired,
    CAST(coalesce(t.torn_pending, 0) AS BIGINT) AS torn_pending,
    coalesce(t.a_torn_export, '') AS torn_export,
    p.tags AS tags,
    g.tags_differing AS tags_differing,
    CAST(coalesce(s.earlier_points, 0) AS BIGINT) AS earlier_points,
    s.median_bytes AS median_bytes
FROM point AS p
CROSS JOIN as_of AS n
LEFT JOIN config_zone AS z ON z.zone = p.zone
LEFT JOIN zone_destination AS d ON d.zone = p.zone AND d.account = p.account AND d.region = p.region
LEFT JOIN point_copy AS c ON c.arn = p.arn
LEFT JOIN point_torn AS t ON t.arn = p.arn
LEFT JOIN point_size AS s ON s.arn = p.arn
LEFT JOIN point_tags AS g ON g.arn = p.arn
UNION ALL
SELECT
    g.arn, z.zone, g.account, NULL, z.owner, g.region, g.present, g.gone_early, g.last_seen_at, g.resource_arn, g.vault_arn,
    g.status, NULL, NULL, FALSE, NULL, NULL, NULL, NULL, NULL, NULL, NULL, g.delete_at, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, '', NULL, CASE WHEN NOT g.present THEN 0 END, NULL, 0, '',
    NULL, NULL, NULL, NULL
FROM gone_point AS g
LEFT JOIN bucket_zone AS z ON z.bucket_arn = g.resource_arn
