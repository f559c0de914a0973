-- Which backup jobs failed, and how soon did a clean one of the same bucket follow?
-- COMPLETED with another category than SUCCESS repairs nothing; without a category nobody can tell.
WITH failed AS (
    SELECT * FROM backup_job WHERE state IN ('FAILED', 'ABORTED', 'EXPIRED')
),
later AS (
    SELECT
        f.job_id,
        min(CASE WHEN s.category = 'SUCCESS' THEN s.completed_at END) AS recovered_at,
        sum(CASE WHEN s.category = 'SUCCESS' THEN 1 ELSE 0 END) AS clean,
        sum(CASE WHEN s.category IS NULL THEN 1 ELSE 0 END) AS untold
    FROM failed AS f
    JOIN backup_job AS s
        ON s.resource_arn = f.resource_arn AND s.state = 'COMPLETED' AND s.created_at > f.created_at
    GROUP BY f.job_id
)
SELECT
    j.job_id AS subject_key,
    z.zone AS zone,
    j.account AS account,
    CAST(NULL AS VARCHAR) AS project,
    z.owner AS owner,
    j.region AS region,
    j.resource_arn AS bucket_arn,
    j.vault_arn AS vault_arn,
    j.state AS state,
    j.message AS message,
    j.category AS category,
    j.created_at AS created_at,
    j.completed_at AS completed_at,
    CASE WHEN j.state IS NOT NULL THEN j.state IN ('FAILED', 'ABORTED', 'EXPIRED') END AS failed,
    CAST(date_diff('second', j.created_at, n.as_of) AS BIGINT) AS age_s,
    CAST(CASE WHEN l.clean > 0 OR coalesce(l.untold, 0) = 0 THEN coalesce(l.clean, 0) END AS BIGINT) AS later_successes,
    CAST(date_diff('second', j.created_at, l.recovered_at) AS BIGINT) AS recovery_lag_s,
    c.capture_s AS capture_s
FROM backup_job AS j
CROSS JOIN as_of AS n
LEFT JOIN bucket_zone AS z ON z.bucket_arn = j.resource_arn
LEFT JOIN config_zone AS c ON c.zone = z.zone
LEFT JOIN later AS l ON l.job_id = j.job_id
