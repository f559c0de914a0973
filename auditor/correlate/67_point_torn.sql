-- Which captures ran while a job wrote what they captured, and did a clean one follow by the export's deadline?
-- Clean: started at or after the export's end plus skew, completed by its deadline. An export whose own link is
-- proven, or needs no point, is not hurt by a torn one.
WITH original AS (
    SELECT * FROM point WHERE NOT is_copy AND NOT continuous AND status = 'COMPLETED'
),
met AS (
    SELECT
        p.arn, e.export_id, e.capture_due_at, e.recovery_point_state, e.ended_at, e.bucket_arn
    FROM original AS p
    CROSS JOIN as_of AS n
    JOIN export AS e ON e.bucket_arn = p.resource_arn
    WHERE e.first_write_at < p.completed_at
        AND date_diff('second', p.capture_at, e.ended_at) > -n.skew_s
),
clean AS (
    SELECT DISTINCT m.export_id
    FROM met AS m
    CROSS JOIN as_of AS n
    JOIN original AS q ON q.resource_arn = m.bucket_arn
    WHERE date_diff('second', m.ended_at, q.capture_at) >= n.skew_s AND q.completed_at <= m.capture_due_at
),
judged AS (
    SELECT
        m.*,
        c.export_id IS NOT NULL OR m.recovery_point_state IN ('proven', 'not_required') AS repaired,
        m.capture_due_at >= n.as_of AS open_still
    FROM met AS m
    CROSS JOIN as_of AS n
    LEFT JOIN clean AS c ON c.export_id = m.export_id
)
SELECT
    arn,
    count(*) AS torn_exports,
    CAST(sum(CASE WHEN NOT repaired AND NOT open_still THEN 1 ELSE 0 END) AS BIGINT) AS torn_unrepaired,
    CAST(sum(CASE WHEN NOT repaired AND open_still THEN 1 ELSE 0 END) AS BIGINT) AS torn_pending,
    CAST(sum(CASE WHEN NOT repaired AND open_still IS NULL THEN 1 ELSE 0 END) AS BIGINT) AS torn_undecided,
    min(CASE WHEN NOT repaired THEN export_id END) AS a_torn_export
FROM judged
GROUP BY arn
