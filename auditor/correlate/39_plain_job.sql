-- Jobs of whose exports none is left to judge, each with its session where nothing else is by it.
WITH remaining AS (
    SELECT DISTINCT o.job_uuid
    FROM export_output o
    LEFT JOIN plain_export p ON p.export_id = o.export_id
    WHERE p.export_id IS NULL
),
stray AS (
    SELECT DISTINCT session_key FROM stray_write
),
sole AS (
    SELECT session_key FROM session_match GROUP BY session_key HAVING count(*) = 1
),
plain AS (
    SELECT DISTINCT job_uuid FROM plain_export
)
SELECT p.job_uuid, CASE WHEN s.session_key IS NULL THEN o.session_key END AS session_key
FROM plain p
JOIN session_match m ON m.job_uuid = p.job_uuid
LEFT JOIN sole o ON o.session_key = m.session_key
LEFT JOIN remaining r ON r.job_uuid = p.job_uuid
LEFT JOIN stray s ON s.session_key = m.session_key
WHERE r.job_uuid IS NULL
