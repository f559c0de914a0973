-- What do rules judge of a vault: its key, its lock, its policy, and the strictest zone of what it holds or will hold?
-- A zone is told only if nothing stricter can be hidden: no point in it whose zone is not known, unless it is the
-- strictest of all.
WITH held AS (
    SELECT vault_arn, resource_arn, zone FROM point
    UNION ALL
    SELECT
        'arn:aws:backup:' || f.region || ':' || f.account || ':backup-vault:' || r.vault_name, f.subject_key, f.zone
    FROM plan_rule_facts AS f
    JOIN backup_plan_rule AS r ON r.plan_id || '/' || r.rule_name = f.subject_key
    WHERE f.buckets_served > 0
),
filled AS (
    SELECT vault_arn, count(*) AS fills
    FROM (
        SELECT vault_arn FROM point WHERE NOT is_copy
        UNION ALL
        SELECT 'arn:aws:backup:' || f.region || ':' || f.account || ':backup-vault:' || r.vault_name
        FROM plan_rule_facts AS f
        JOIN backup_plan_rule AS r ON r.plan_id || '/' || r.rule_name = f.subject_key
        WHERE f.buckets_served > 0
    ) AS every_filling
    GROUP BY vault_arn
),
serves AS (
    SELECT
        h.vault_arn,
        min(z.rank) AS strictest,
        count(*) AS served,
        sum(CASE WHEN h.zone IS NULL THEN 1 ELSE 0 END) AS unzoned
    FROM held AS h
    LEFT JOIN config_zone AS z ON z.zone = h.zone
    GROUP BY h.vault_arn
),
floor_rank AS (SELECT min(rank) AS rank FROM config_zone)
SELECT
    v.arn AS subject_key,
    CASE WHEN s.unzoned = 0 OR s.strictest = f.rank THEN z.zone END AS zone,
    v.account AS account,
    CAST(NULL AS VARCHAR) AS project,
    CAST(NULL AS VARCHAR) AS owner,
    v.region AS region,
    v.name AS name,
    v.type AS vault_type,
    v.type = 'LOGICALLY_AIR_GAPPED_BACKUP_VAULT' AS air_gapped,
    v.kms_key_arn AS kms_key_arn,
    CASE
        WHEN v.kms_key_arn IN ('', 'none') OR v.kms_key_arn LIKE '%:alias/aws/%' THEN FALSE
        ELSE k.manager = 'CUSTOMER'
    END AS customer_key,
    v.locked OR v.type = 'LOGICALLY_AIR_GAPPED_BACKUP_VAULT' AS locked,
    v.lock_date AS lock_date,
    CASE
        WHEN v.type = 'LOGICALLY_AIR_GAPPED_BACKUP_VAULT' THEN TRUE
        WHEN NOT v.locked THEN FALSE
        WHEN v.locked THEN v.lock_date IS NOT NULL AND v.lock_date <= n.as_of
    END AS immutable,
    v.min_retention_d AS min_retention_d,
    v.max_retention_d AS max_retention_d,
    CAST(coalesce(s.served, 0) AS BIGINT) AS serves,
    CAST(coalesce(b.fills, 0) AS BIGINT) AS fills,
    v.notify_topic AS notify_topic,
    v.notify_events AS notify_events,
    g.policy_public AS policy_public,
    g.policy_says AS policy_says,
    g.policy_accounts AS policy_accounts,
    g.policy_accounts_known AS policy_accounts_known,
    g.policy_unknown AS policy_unknown,
    g.deletion_denied AS deletion_denied,
    g.deletion_exempt AS deletion_exempt,
    g.deletion_says AS deletion_says,
    d.vault_arn IS NOT NULL AS known_before,
    d.compared_with AS compared_with,
    d.lock_weakened AS lock_weakened,
    d.lock_compared AS lock_compared,
    d.policy_no_looser AS policy_no_looser,
    d.policy_change_says AS policy_change_says
FROM backup_vault AS v
CROSS JOIN as_of AS n
CROSS JOIN floor_rank AS f
LEFT JOIN vault_policy AS g ON g.vault_arn = v.arn
LEFT JOIN vault_drift AS d ON d.vault_arn = v.arn
LEFT JOIN kms_key AS k ON k.arn = v.kms_key_arn
LEFT JOIN serves AS s ON s.vault_arn = v.arn
LEFT JOIN filled AS b ON b.vault_arn = v.arn
LEFT JOIN (SELECT rank, min(zone) AS zone FROM config_zone GROUP BY rank) AS z ON z.rank = s.strictest
