-- How steadily audit entries of Dataproc came from each project since the scan before: of the whole record on the first scan.
SELECT
    p.project AS project,
    count(*) AS entries,
    max(p.at) AS last_at,
    coalesce(max(date_diff('second', p.before, p.at)), 0) AS longest_pause_s
FROM (
    SELECT e.project AS project, e.at AS at, lag(e.at) OVER (PARTITION BY e.project ORDER BY e.at) AS before
    FROM gcp_audit_entry AS e
    WHERE e.log = 'activity'
) AS p
CROSS JOIN as_of AS n
WHERE n.previous_at IS NULL OR p.at > n.previous_at
GROUP BY p.project
