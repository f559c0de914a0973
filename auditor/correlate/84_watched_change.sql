-- Which watched settings may have changed since the scan before, and which rows came or went? Texts that differ are only candidates:
-- 89_change_facts.py asks what they mean.
WITH holder AS (
    SELECT DISTINCT m.user_id, m.group_name
    FROM directory_membership AS m
    JOIN config_duty AS d ON d.group_name = m.group_name
    CROSS JOIN as_of AS n
    WHERE m.until_at IS NULL OR m.until_at > n.as_of
),
person AS (
    SELECT DISTINCT u.id, u.status, u.email
    FROM directory_user AS u
    JOIN holder AS h ON h.user_id = u.id OR h.user_id = u.email
),
present AS (
    SELECT 'aws_account' AS table_name, t.account AS key, f.field, CASE f.field
        WHEN 'block_public_acls' THEN CAST(t.block_public_acls AS VARCHAR)
        WHEN 'ignore_public_acls' THEN CAST(t.ignore_public_acls AS VARCHAR)
        WHEN 'block_public_policy' THEN CAST(t.block_public_policy AS VARCHAR)
        WHEN 'restrict_public_buckets' THEN CAST(t.restrict_public_buckets AS VARCHAR)
        END AS value, t.account, '*' AS region
    FROM aws_account AS t
    CROSS JOIN (VALUES ('block_public_acls'), ('ignore_public_acls'), ('block_public_policy'), ('restrict_public_buckets')) AS f (field)
    UNION ALL
    SELECT 's3_bucket' AS table_name, t.arn AS key, f.field, CASE f.field
        WHEN 'versioning' THEN t.versioning
        WHEN 'mfa_delete' THEN t.mfa_delete
        WHEN 'encryption' THEN t.encryption
        WHEN 'kms_key_arn' THEN t.kms_key_arn
        WHEN 'block_public_acls' THEN CAST(t.block_public_acls AS VARCHAR)
        WHEN 'ignore_public_acls' THEN CAST(t.ignore_public_acls AS VARCHAR)
        WHEN 'block_public_policy' THEN CAST(t.block_public_policy AS VARCHAR)
        WHEN 'restrict_public_buckets' THEN CAST(t.restrict_public_buckets AS VARCHAR)
        WHEN 'ownership' THEN t.ownership
        WHEN 'policy' THEN t.policy
        WHEN 'logging_target' THEN t.logging_target
        WHEN 'eventbridge' THEN CAST(t.eventbridge AS VARCHAR)
        WHEN 'lifecycle' THEN t.lifecycle
        WHEN 'replication' THEN t.replication
        END AS value, t.account, t.region AS region
    FROM s3_bucket AS t
    CROSS JOIN (VALUES ('versioning'), ('mfa_delete'), ('encryption'), ('kms_key_arn'), ('block_public_acls'), ('ignore_public_acls'), ('block_public_policy'), ('restrict_public_buckets'), ('ownership'), ('policy'), ('logging_target'), ('eventbridge'), ('lifecycle'), ('replication')) AS f (field)
    UNION ALL
    SELECT 'iam_role' AS table_name, t.arn AS key, f.field, CASE f.field
        WHEN 'max_session_s' THEN CAST(t.max_session_s AS VARCHAR)
        WHEN 'trust_policy' THEN t.trust_policy
        WHEN 'inline_policies' THEN t.inline_policies
        WHEN 'attached_policies' THEN t.attached_policies
        WHEN 'boundary_arn' THEN t.boundary_arn
        END AS value, t.account, '*' AS region
    FROM iam_role AS t
    CROSS JOIN (VALUES ('max_session_s'), ('trust_policy'), ('inline_policies'), ('attached_policies'), ('boundary_arn')) AS f (field)
    UNION ALL
    SELECT 'iam_policy' AS table_name, t.arn AS key, f.field, CASE f.field
        WHEN 'version' THEN t.version
        WHEN 'document' THEN t.document
        END AS value, t.account, '*' AS region
    FROM iam_policy AS t
    CROSS JOIN (VALUES ('version'), ('document')) AS f (field)
    UNION ALL
    SELECT 'iam_provider' AS table_name, t.arn AS key, f.field, CASE f.field
        WHEN 'client_ids' THEN t.client_ids
        WHEN 'thumbprints' THEN t.thumbprints
        END AS value, t.account, '*' AS region
    FROM iam_provider AS t
    CROSS JOIN (VALUES ('client_ids'), ('thumbprints')) AS f (field)
    UNION ALL
    SELECT 'cloudtrail_trail' AS table_name, t.arn AS key, f.field, CASE f.field
        WHEN 'logging' THEN CAST(t.logging AS VARCHAR)
        WHEN 'multi_region' THEN CAST(t.multi_region AS VARCHAR)
        WHEN 'global_events' THEN CAST(t.global_events AS VARCHAR)
        WHEN 'validated' THEN CAST(t.validated AS VARCHAR)
        WHEN 'management_events' THEN t.management_events
        WHEN 'write_data_arns' THEN t.write_data_arns
        WHEN 'bucket' THEN t.bucket
        END AS value, t.account, t.region AS region
    FROM cloudtrail_trail AS t
    CROSS JOIN (VALUES ('logging'), ('multi_region'), ('global_events'), ('validated'), ('management_events'), ('write_data_arns'), ('bucket')) AS f (field)
    UNION ALL
    SELECT 'backup_plan' AS table_name, t.arn AS key, f.field, CASE f.field
        WHEN 'version' THEN t.version
        WHEN 'name' THEN t.name
        END AS value, t.account, t.region AS region
    FROM backup_plan AS t
    CROSS JOIN (VALUES ('version'), ('name')) AS f (field)
    UNION ALL
    SELECT 'backup_plan_rule' AS table_name, t.plan_id || '/' || t.rule_name AS key, f.field, CASE f.field
        WHEN 'schedule' THEN t.schedule
        WHEN 'delete_after_d' THEN CAST(t.delete_after_d AS VARCHAR)
        WHEN 'continuous' THEN CAST(t.continuous AS VARCHAR)
        WHEN 'copies' THEN t.copies
        WHEN 'timezone' THEN t.timezone
        WHEN 'vault_name' THEN t.vault_name
        END AS value, t.account, t.region AS region
    FROM backup_plan_rule AS t
    CROSS JOIN (VALUES ('schedule'), ('delete_after_d'), ('continuous'), ('copies'), ('timezone'), ('vault_name')) AS f (field)
    UNION ALL
    SELECT 'backup_selection' AS table_name, t.plan_id || '/' || t.selection_id AS key, f.field, CASE f.field
        WHEN 'resources' THEN t.resources
        WHEN 'not_resources' THEN t.not_resources
        WHEN 'list_of_tags' THEN t.list_of_tags
        WHEN 'conditions' THEN t.conditions
        END AS value, t.account, t.region AS region
    FROM backup_selection AS t
    CROSS JOIN (VALUES ('resources'), ('not_resources'), ('list_of_tags'), ('conditions')) AS f (field)
    UNION ALL
    SELECT 'backup_vault' AS table_name, t.arn AS key, f.field, CASE f.field
        WHEN 'kms_key_arn' THEN t.kms_key_arn
        WHEN 'locked' THEN CAST(t.locked AS VARCHAR)
        WHEN 'lock_date' THEN CASE
            WHEN t.lock_date IS NOT NULL THEN replace(CAST(t.lock_date AS VARCHAR), ' ', 'T') || '+00:00'
            WHEN t.locked IS NOT NULL THEN 'none' END
        WHEN 'min_retention_d' THEN CAST(t.min_retention_d AS VARCHAR)
        WHEN 'max_retention_d' THEN CAST(t.max_retention_d AS VARCHAR)
        WHEN 'policy' THEN t.policy
        WHEN 'notify_topic' THEN t.notify_topic
        END AS value, t.account, t.region AS region
    FROM backup_vault AS t
    CROSS JOIN (VALUES ('kms_key_arn'), ('locked'), ('lock_date'), ('min_retention_d'), ('max_retention_d'), ('policy'), ('notify_topic')) AS f (field)
    UNION ALL
    SELECT 'backup_region' AS table_name, t.account || '/' || t.region AS key, 's3_opt_in' AS field, CAST(t.s3_opt_in AS VARCHAR) AS value, t.account, t.region AS region
    FROM backup_region AS t
    UNION ALL
    SELECT 'gcp_project' AS table_name, t.name AS key, f.field, CASE f.field
        WHEN 'state' THEN t.state
        WHEN 'ancestors' THEN t.ancestors
        END AS value, t.project AS account, '*' AS region
    FROM gcp_project AS t
    CROSS JOIN (VALUES ('state'), ('ancestors')) AS f (field)
    UNION ALL
    SELECT 'gcp_iam_binding' AS table_name, t.resource || '/' || t.role || '/' || t.member || '/' || t.condition AS key, f.field, CASE f.field
        WHEN 'role' THEN t.role
        WHEN 'member' THEN t.member
        WHEN 'condition' THEN t.condition
        END AS value, t.project AS account, '*' AS region
    FROM gcp_iam_binding AS t
    CROSS JOIN (VALUES ('role'), ('member'), ('condition')) AS f (field)
    WHERE t.kind <> 'cluster'
    UNION ALL
    SELECT 'gcp_audit_config' AS table_name, t.resource || '/' || t.service || '/' || t.log_type AS key, 'exempted' AS field, t.exempted AS value, t.project AS account, '*' AS region
    FROM gcp_audit_config AS t
    UNION ALL
    SELECT 'gcp_role' AS table_name, t.name AS key, f.field, CASE f.field
        WHEN 'permissions' THEN t.permissions
        WHEN 'deleted' THEN CAST(t.deleted AS VARCHAR)
        WHEN 'judged' THEN CAST(t.judged AS VARCHAR)
        END AS value, t.project AS account, '*' AS region
    FROM gcp_role AS t
    CROSS JOIN (VALUES ('permissions'), ('deleted'), ('judged')) AS f (field)
    UNION ALL
    SELECT 'gcp_service_account' AS table_name, t.email AS key, f.field, CASE f.field
        WHEN 'unique_id' THEN t.unique_id
        WHEN 'disabled' THEN CAST(t.disabled AS VARCHAR)
        END AS value, t.project AS account, '*' AS region
    FROM gcp_service_account AS t
    CROSS JOIN (VALUES ('unique_id'), ('disabled')) AS f (field)
    UNION ALL
    SELECT 'gcp_service_account_key' AS table_name, t.name AS key, f.field, CASE f.field
        WHEN 'key_type' THEN t.key_type
        WHEN 'disabled' THEN CAST(t.disabled AS VARCHAR)
        END AS value, t.project AS account, '*' AS region
    FROM gcp_service_account_key AS t
    CROSS JOIN (VALUES ('key_type'), ('disabled')) AS f (field)
    UNION ALL
    SELECT 'gcp_log_bucket' AS table_name, t.name AS key, f.field, CASE f.field
        WHEN 'retention_d' THEN CAST(t.retention_d AS VARCHAR)
        WHEN 'locked' THEN CAST(t.locked AS VARCHAR)
        WHEN 'state' THEN t.state
        END AS value, t.project AS account, '*' AS region
    FROM gcp_log_bucket AS t
    CROSS JOIN (VALUES ('retention_d'), ('locked'), ('state')) AS f (field)
    UNION ALL
    SELECT 'gcp_log_sink' AS table_name, t.name AS key, f.field, CASE f.field
        WHEN 'destination' THEN t.destination
        WHEN 'filter' THEN t.filter
        WHEN 'disabled' THEN CAST(t.disabled AS VARCHAR)
        WHEN 'own_exclusions' THEN CAST(t.own_exclusions AS VARCHAR)
        WHEN 'exclusions' THEN t.exclusions
        END AS value, t.project AS account, '*' AS region
    FROM gcp_log_sink AS t
    CROSS JOIN (VALUES ('destination'), ('filter'), ('disabled'), ('own_exclusions'), ('exclusions')) AS f (field)
    UNION ALL
    SELECT 'dataproc_cluster' AS table_name, t.cluster_uuid AS key, 'user_service_accounts' AS field, t.user_service_accounts AS value, t.project AS account, t.region AS region
    FROM dataproc_cluster AS t
    WHERE t.origin = 'api' AND t.deleted_at IS NULL
    UNION ALL
    SELECT 'config_duty', group_name || '/' || directory || '/' || project || '/' || region || '/' || job_id || '/' || zone || '/' || starts,
        'starts', starts, '*', '*' FROM config_duty
    UNION ALL
    SELECT 'directory_membership', user_id || '/' || group_name, 'group_name', group_name, '*', '*' FROM holder
    UNION ALL
    SELECT 'directory_user', id, 'status', status, '*', '*' FROM person
    UNION ALL
    SELECT 'directory_user', id, 'email', email, '*', '*' FROM person
),
here AS (SELECT DISTINCT table_name, key FROM present),
known AS (SELECT DISTINCT table_name, key FROM history_watch),
changed AS (
    SELECT 'changed' AS kind, p.table_name, p.key, p.field, h.value AS before, p.value AS after, p.account, p.region
    FROM present AS p
    JOIN history_watch AS h ON h.table_name = p.table_name AND h.key = p.key AND h.field = p.field
    WHERE p.value IS NOT NULL AND h.value IS NOT NULL AND p.value <> h.value
),
appeared AS (
    SELECT 'appeared' AS kind, p.table_name, p.key, min(p.field) AS field, CAST(NULL AS VARCHAR) AS before,
        CAST(NULL AS VARCHAR) AS after, min(p.account) AS account, min(p.region) AS region
    FROM present AS p
    LEFT JOIN known AS k ON k.table_name = p.table_name AND k.key = p.key
    WHERE k.key IS NULL
    GROUP BY p.table_name, p.key
),
vanished AS (
    SELECT 'vanished' AS kind, h.table_name, h.key, min(h.field) AS field, CAST(NULL AS VARCHAR) AS before,
        CAST(NULL AS VARCHAR) AS after, min(h.account) AS account, min(h.region) AS region
    FROM history_watch AS h
    LEFT JOIN here AS e ON e.table_name = h.table_name AND e.key = h.key
    WHERE e.key IS NULL
    GROUP BY h.table_name, h.key
),
every_one AS (
    SELECT * FROM changed
    UNION ALL
    SELECT * FROM appeared
    UNION ALL
    SELECT * FROM vanished
)
SELECT e.kind, e.table_name, e.key, e.field, e.before, e.after, e.account, e.region
FROM every_one AS e
CROSS JOIN as_of AS n
WHERE n.previous_at IS NOT NULL
