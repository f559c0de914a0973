-- Which copy jobs failed, and did another of the same point to the same vault succeed?
WITH later AS (
    SELECT f.copy_job_id, min(s.completed_at) AS recovered_at, count(*) AS successes
    FROM backup_copy_job AS f
    JOIN backup_copy_job AS s
        ON s.source_point_arn = f.source_point_arn AND s.dest_vault_arn = f.dest_vault_arn
        AND s.state = 'COMPLETED' AND s.created_at > f.created_at
    WHERE f.state IN ('FAILED', 'PARTIAL')
    GROUP BY f.copy_job_id
)
SELECT
    j.copy_job_id AS subject_key,
    z.zone AS zone,
    j.account AS account,
    CAST(NULL AS VARCHAR) AS project,
    z.owner AS owner,
    j.region AS region,
    j.resource_arn AS bucket_arn,
    j.source_point_arn AS source_point_arn,
    j.dest_vault_arn AS dest_vault_arn,
    j.state AS state,
    j.message AS message,
    j.created_at AS created_at,
    CASE WHEN j.state IS NOT NULL THEN j.state IN ('FAILED', 'PARTIAL') END AS failed,
    CAST(date_diff('second', j.created_at, n.as_of) AS BIGINT) AS age_s,
    CAST(coalesce(l.successes, 0) AS BIGINT) AS later_successes,
    CAST(date_diff('second', j.created_at, l.recovered_at) AS BIGINT) AS recovery_lag_s,
    c.copy_lag_s AS zone_copy_lag_s
FROM backup_copy_job AS j
CROSS JOIN as_of AS n
LEFT JOIN bucket_zone AS z ON z.bucket_arn = j.resource_arn
LEFT JOIN config_zone AS c ON c.zone = z.zone
LEFT JOIN later AS l ON l.copy_job_id = j.copy_job_id
