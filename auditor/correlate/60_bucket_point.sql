-- What is held and tested of each bucket: its newest points, its backup jobs, its restores?
-- A point's time is when its capture began: what was written later is not in it. Copies and partial points prove
-- no capture; a continuous point counts by the newest clean job that fed it.
WITH originals AS (
    SELECT
        resource_arn AS bucket_arn,
        max(CASE WHEN NOT continuous AND status = 'COMPLETED'
            THEN least(coalesce(initiated_at, created_at), created_at) END) AS newest_point_at,
        sum(CASE WHEN NOT continuous AND status = 'COMPLETED' THEN 1 ELSE 0 END) AS periodic_points,
        max(CASE WHEN NOT continuous AND status = 'COMPLETED' AND plan_id IS NULL
            THEN least(coalesce(initiated_at, created_at), created_at) END) AS newest_unplanned_at,
        sum(CASE WHEN continuous AND status = 'AVAILABLE' THEN 1 ELSE 0 END) AS continuous_points
    FROM backup_recovery_point
    WHERE source_vault_arn IS NULL
    GROUP BY resource_arn
),
fed AS (
    SELECT j.resource_arn AS bucket_arn, max(j.created_at) AS continuous_job_at, count(*) AS continuous_jobs
    FROM backup_job AS j
    JOIN backup_recovery_point AS p ON p.arn = j.point_arn
    WHERE p.continuous AND p.status = 'AVAILABLE' AND j.state = 'COMPLETED' AND j.category = 'SUCCESS'
    GROUP BY j.resource_arn
),
lasting AS (
    SELECT resource_arn AS bucket_arn, max(date_diff('second', created_at, completed_at)) AS longest_job_s
    FROM backup_job
    WHERE state = 'COMPLETED'
    GROUP BY resource_arn
),
restored AS (
    SELECT
        coalesce(r.resource_arn, p.resource_arn) AS bucket_arn,
        max(r.completed_at) AS newest_restore_at,
        count(*) AS restores
    FROM backup_restore_job AS r
    LEFT JOIN backup_recovery_point AS p ON p.arn = r.point_arn
    WHERE r.state = 'COMPLETED' AND r.completed_at IS NOT NULL
        AND coalesce(r.validation, 'none') NOT IN ('FAILED', 'TIMED_OUT')
    GROUP BY coalesce(r.resource_arn, p.resource_arn)
)
SELECT
    b.arn AS bucket_arn,
    o.newest_point_at,
    CAST(coalesce(o.periodic_points, 0) AS BIGINT) AS periodic_points,
    o.newest_unplanned_at,
    CAST(coalesce(o.continuous_points, 0) AS BIGINT) AS continuous_points,
    f.continuous_job_at,
    CAST(coalesce(f.continuous_jobs, 0) AS BIGINT) AS continuous_jobs,
    CAST(coalesce(l.longest_job_s, 0) AS BIGINT) AS longest_job_s,
    r.newest_restore_at,
    CAST(coalesce(r.restores, 0) AS BIGINT) AS restores
FROM s3_bucket AS b
LEFT JOIN originals AS o ON o.bucket_arn = b.arn
LEFT JOIN fed AS f ON f.bucket_arn = b.arn
LEFT JOIN lasting AS l ON l.bucket_arn = b.arn
LEFT JOIN restored AS r ON r.bucket_arn = b.arn
