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
    SELECT 'aws_account' AS table_name, account AS key, 'block_public_acls' AS field, CAST(block_public_acls AS VARCHAR) AS value, account, '*' AS region FROM aws_account
    UNION ALL
    SELECT 'aws_account' AS table_name, account AS key, 'ignore_public_acls' AS field, CAST(ignore_public_acls AS VARCHAR) AS value, account, '*' AS region FROM aws_account
    UNION ALL
    SELECT 'aws_account' AS table_name, account AS key, 'block_public_policy' AS field, CAST(block_public_policy AS VARCHAR) AS value, account, '*' AS region FROM aws_account
    UNION ALL
    SELECT 'aws_account' AS table_name, account AS key, 'restrict_public_buckets' AS field, CAST(restrict_public_buckets AS VARCHAR) AS value, account, '*' AS region FROM aws_account
    UNION ALL
    SELECT 's3_bucket' AS table_name, arn AS key, 'versioning' AS field, versioning AS value, account, region AS region FROM s3_bucket
    UNION ALL
    SELECT 's3_bucket' AS table_name, arn AS key, 'mfa_delete' AS field, mfa_delete AS value, account, region AS region FROM s3_bucket
    UNION ALL
    SELECT 's3_bucket' AS table_name, arn AS key, 'encryption' AS field, encryption AS value, account, region AS region FROM s3_bucket
    UNION ALL
    SELECT 's3_bucket' AS table_name, arn AS key, 'kms_key_arn' AS field, kms_key_arn AS value, account, region AS region FROM s3_bucket
    UNION ALL
    SELECT 's3_bucket' AS table_name, arn AS key, 'block_public_acls' AS field, CAST(block_public_acls AS VARCHAR) AS value, account, region AS region FROM s3_bucket
    UNION ALL
    SELECT 's3_bucket' AS table_name, arn AS key, 'ignore_public_acls' AS field, CAST(ignore_public_acls AS VARCHAR) AS value, account, region AS region FROM s3_bucket
    UNION ALL
    SELECT 's3_bucket' AS table_name, arn AS key, 'block_public_policy' AS field, CAST(block_public_policy AS VARCHAR) AS value, account, region AS region FROM s3_bucket
    UNION ALL
    SELECT 's3_bucket' AS table_name, arn AS key, 'restrict_public_buckets' AS field, CAST(restrict_public_buckets AS VARCHAR) AS value, account, region AS region FROM s3_bucket
    UNION ALL
    SELECT 's3_bucket' AS table_name, arn AS key, 'ownership' AS field, ownership AS value, account, region AS region FROM s3_bucket
    UNION ALL
    SELECT 's3_bucket' AS table_name, arn AS key, 'policy' AS field, policy AS value, account, region AS region FROM s3_bucket
    UNION ALL
    SELECT 's3_bucket' AS table_name, arn AS key, 'logging_target' AS field, logging_target AS value, account, region AS region FROM s3_bucket
    UNION ALL
    SELECT 's3_bucket' AS table_name, arn AS key, 'eventbridge' AS field, CAST(eventbridge AS VARCHAR) AS value, account, region AS region FROM s3_bucket
    UNION ALL
    SELECT 's3_bucket' AS table_name, arn AS key, 'lifecycle' AS field, lifecycle AS value, account, region AS region FROM s3_bucket
    UNION ALL
    SELECT 's3_bucket' AS table_name, arn AS key, 'replication' AS field, replication AS value, account, region AS region FROM s3_bucket
    UNION ALL
    SELECT 'iam_role' AS table_name, arn AS key, 'max_session_s' AS field, CAST(max_session_s AS VARCHAR) AS value, account, '*' AS region FROM iam_role
    UNION ALL
    SELECT 'iam_role' AS table_name, arn AS key, 'trust_policy' AS field, trust_policy AS value, account, '*' AS region FROM iam_role
    UNION ALL
    SELECT 'iam_role' AS table_name, arn AS key, 'inline_policies' AS field, inline_policies AS value, account, '*' AS region FROM iam_role
    UNION ALL
    SELECT 'iam_role' AS table_name, arn AS key, 'attached_policies' AS field, attached_policies AS value, account, '*' AS region FROM iam_role
    UNION ALL
    SELECT 'iam_role' AS table_name, arn AS key, 'boundary_arn' AS field, boundary_arn AS value, account, '*' AS region FROM iam_role
    UNION ALL
    SELECT 'iam_policy' AS table_name, arn AS key, 'version' AS field, version AS value, account, '*' AS region FROM iam_policy
    UNION ALL
    SELECT 'iam_policy' AS table_name, arn AS key, 'document' AS field, document AS value, account, '*' AS region FROM iam_policy
    UNION ALL
    SELECT 'iam_provider' AS table_name, arn AS key, 'client_ids' AS field, client_ids AS value, account, '*' AS region FROM iam_provider
    UNION ALL
    SELECT 'iam_provider' AS table_name, arn AS key, 'thumbprints' AS field, thumbprints AS value, account, '*' AS region FROM iam_provider
    UNION ALL
    SELECT 'cloudtrail_trail' AS table_name, arn AS key, 'logging' AS field, CAST(logging AS VARCHAR) AS value, account, region AS region FROM cloudtrail_trail
    UNION ALL
    SELECT 'cloudtrail_trail' AS table_name, arn AS key, 'multi_region' AS field, CAST(multi_region AS VARCHAR) AS value, account, region AS region FROM cloudtrail_trail
    UNION ALL
    SELECT 'cloudtrail_trail' AS table_name, arn AS key, 'global_events' AS field, CAST(global_events AS VARCHAR) AS value, account, region AS region FROM cloudtrail_trail
    UNION ALL
    SELECT 'cloudtrail_trail' AS table_name, arn AS key, 'validated' AS field, CAST(validated AS VARCHAR) AS value, account, region AS region FROM cloudtrail_trail
    UNION ALL
    SELECT 'cloudtrail_trail' AS table_name, arn AS key, 'management_events' AS field, management_events AS value, account, region AS region FROM cloudtrail_trail
    UNION ALL
    SELECT 'cloudtrail_trail' AS table_name, arn AS key, 'write_data_arns' AS field, write_data_arns AS value, account, region AS region FROM cloudtrail_trail
    UNION ALL
    SELECT 'cloudtrail_trail' AS table_name, arn AS key, 'bucket' AS field, bucket AS value, account, region AS region FROM cloudtrail_trail
    UNION ALL
    SELECT 'backup_plan' AS table_name, arn AS key, 'version' AS field, version AS value, account, region AS region FROM backup_plan
    UNION ALL
    SELECT 'backup_plan_rule' AS table_name, plan_id || '/' || rule_name AS key, 'schedule' AS field, schedule AS value, account, region AS region FROM backup_plan_rule
    UNION ALL
    SELECT 'backup_plan_rule' AS table_name, plan_id || '/' || rule_name AS key, 'delete_after_d' AS field, CAST(delete_after_d AS VARCHAR) AS value, account, region AS region FROM backup_plan_rule
    UNION ALL
    SELECT 'backup_plan_rule' AS table_name, plan_id || '/' || rule_name AS key, 'continuous' AS field, CAST(continuous AS VARCHAR) AS value, account, region AS region FROM backup_plan_rule
    UNION ALL
    SELECT 'backup_plan_rule' AS table_name, plan_id || '/' || rule_name AS key, 'copies' AS field, copies AS value, account, region AS region FROM backup_plan_rule
    UNION ALL
    SELECT 'backup_plan_rule' AS table_name, plan_id || '/' || rule_name AS key, 'timezone' AS field, timezone AS value, account, region AS region FROM backup_plan_rule
    UNION ALL
    SELECT 'backup_plan_rule' AS table_name, plan_id || '/' || rule_name AS key, 'vault_name' AS field, vault_name AS value, account, region AS region FROM backup_plan_rule
    UNION ALL
    SELECT 'backup_selection' AS table_name, plan_id || '/' || selection_id AS key, 'resources' AS field, resources AS value, account, region AS region FROM backup_selection
    UNION ALL
    SELECT 'backup_selection' AS table_name, plan_id || '/' || selection_id AS key, 'not_resources' AS field, not_resources AS value, account, region AS region FROM backup_selection
    UNION ALL
    SELECT 'backup_selection' AS table_name, plan_id || '/' || selection_id AS key, 'list_of_tags' AS field, list_of_tags AS value, account, region AS region FROM backup_selection
    UNION ALL
    SELECT 'backup_selection' AS table_name, plan_id || '/' || selection_id AS key, 'conditions' AS field, conditions AS value, account, region AS region FROM backup_selection
    UNION ALL
    SELECT 'backup_vault' AS table_name, arn AS key, 'kms_key_arn' AS field, kms_key_arn AS value, account, region AS region FROM backup_vault
    UNION ALL
    SELECT 'backup_vault' AS table_name, arn AS key, 'locked' AS field, CAST(locked AS VARCHAR) AS value, account, region AS region FROM backup_vault
    UNION ALL
    SELECT 'backup_vault' AS table_name, arn AS key, 'min_retention_d' AS field, CAST(min_retention_d AS VARCHAR) AS value, account, region AS region FROM backup_vault
    UNION ALL
    SELECT 'backup_vault' AS table_name, arn AS key, 'max_retention_d' AS field, CAST(max_retention_d AS VARCHAR) AS value, account, region AS region FROM backup_vault
    UNION ALL
    SELECT 'backup_vault' AS table_name, arn AS key, 'policy' AS field, policy AS value, account, region AS region FROM backup_vault
    UNION ALL
    SELECT 'backup_vault' AS table_name, arn AS key, 'notify_topic' AS field, notify_topic AS value, account, region AS region FROM backup_vault
    UNION ALL
    SELECT 'backup_region' AS table_name, account || '/' || region AS key, 's3_opt_in' AS field, CAST(s3_opt_in AS VARCHAR) AS value, account, region AS region FROM backup_region
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
