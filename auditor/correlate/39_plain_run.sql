-- Exports of which nothing is in doubt that may stand in for one that is left to judge: another run of it that succeeded, for
-- one that failed, or on the same prefix.
WITH remaining AS (
    SELECT o.export_key, o.prefix, max(CASE WHEN j.ending = 'failed' THEN 1 ELSE 0 END) AS failed
    FROM export_output o
    JOIN chain_job j ON j.job_uuid = o.job_uuid
    LEFT JOIN plain_export p ON p.export_id = o.export_id
    WHERE p.export_id IS NULL
    GROUP BY o.export_key, o.prefix
),
failing AS (
    SELECT DISTINCT export_key, failed FROM remaining WHERE failed = 1
)
SELECT
    p.bucket, p.export_id, p.export_key, p.prefix, p.zone, p.first_write_at, p.started_at, p.finished_at, c.completed_at
FROM plain_export p
JOIN chain_point c ON c.arn = p.proving_point
LEFT JOIN remaining r ON r.export_key IS NOT DISTINCT FROM p.export_key AND r.prefix IS NOT DISTINCT FROM p.prefix
LEFT JOIN failing f ON f.export_key IS NOT DISTINCT FROM p.export_key
WHERE r.failed IS NOT NULL OR f.failed IS NOT NULL
