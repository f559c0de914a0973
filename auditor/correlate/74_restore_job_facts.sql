-- Who restored what, by a restore-testing plan or not, and into whose account?
-- A restore job runs in the account that holds the restored bucket.
SELECT
    r.restore_job_id AS subject_key,
    z.zone AS zone,
    r.account AS account,
    CAST(NULL AS VARCHAR) AS project,
    z.owner AS owner,
    r.region AS region,
    coalesce(r.resource_arn, p.resource_arn) AS bucket_arn,
    r.point_arn AS point_arn,
    r.state AS state,
    coalesce(r.role_arn, '') AS role_arn,
    r.created_at AS created_at,
    r.created_arn AS created_arn,
    CASE WHEN r.testing_plan_arn IS NOT NULL THEN r.testing_plan_arn <> '' END AS by_testing_plan,
    z.account = r.account AS home_account,
    coalesce(nullif(regexp_extract(r.testing_plan_arn, '[^:]*$'), ''), '') AS testing_plan,
    CASE WHEN r.state IS NOT NULL THEN r.state NOT IN ('PENDING', 'RUNNING') END AS ended,
    CAST(CASE
        WHEN r.state IN ('PENDING', 'RUNNING') THEN date_diff('second', r.created_at, n.as_of)
        ELSE date_diff('second', r.created_at, r.completed_at)
    END AS BIGINT) AS lasted_s,
    CAST(date_diff('second', r.completed_at, n.as_of) AS BIGINT) AS since_end_s,
    r.validation AS validation,
    coalesce(r.validation_message, '') AS validation_says
FROM backup_restore_job AS r
CROSS JOIN as_of AS n
LEFT JOIN backup_recovery_point AS p ON p.arn = r.point_arn
LEFT JOIN bucket_zone AS z ON z.bucket_arn = coalesce(r.resource_arn, p.resource_arn)
