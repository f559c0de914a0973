-- Which recovery points are there, of which zone, made by which job, and when did their capture begin?
-- A continuous point is fed by many jobs: the newest that ended speaks for it. A copy is made by its copy job.
WITH made AS (
    SELECT point_arn, state, category, message
    FROM (
        SELECT
            point_arn, state, category, message,
            row_number() OVER (PARTITION BY point_arn ORDER BY completed_at DESC NULLS LAST, created_at DESC, job_id) AS place
        FROM (
            SELECT point_arn, state, category, message, completed_at, created_at, job_id FROM backup_job
            UNION ALL
            SELECT dest_point_arn, state, category, message, completed_at, created_at, copy_job_id FROM backup_copy_job
        ) AS every_job
        WHERE point_arn IS NOT NULL AND state IN ('COMPLETED', 'PARTIAL', 'FAILED', 'ABORTED', 'EXPIRED')
    ) AS ranked
    WHERE place = 1
)
SELECT
    p.*,
    p.source_vault_arn IS NOT NULL AS is_copy,
    least(coalesce(p.initiated_at, p.created_at), p.created_at) AS capture_at,
    coalesce(nullif(json_extract_string(p.tags, '$."' || n.zone_tag || '"'), ''), z.zone) AS zone,
    z.owner AS owner,
    CASE WHEN nullif(json_extract_string(p.tags, '$."' || n.zone_tag || '"'), '') IS NOT NULL OR z.bucket_arn IS NULL
        OR z.zone_known IS NOT NULL THEN TRUE END AS zone_told,
    m.state AS job_state,
    m.category AS job_category,
    m.message AS job_message,
    f.first_at <= least(coalesce(p.initiated_at, p.created_at), p.created_at) AS bucket_held_objects
FROM backup_recovery_point AS p
CROSS JOIN as_of AS n
LEFT JOIN bucket_zone AS z ON z.bucket_arn = p.resource_arn
LEFT JOIN made AS m ON m.point_arn = p.arn
LEFT JOIN first_version AS f ON f.bucket = z.bucket
