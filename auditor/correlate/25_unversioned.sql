-- How many versions without an id of their own lie in each cell, or in each piece of it (24_cut).
WITH written_key AS (
    SELECT DISTINCT bucket, key FROM written
),
version AS (
    SELECT p.place, v.last_modified
    FROM (
        SELECT bucket, dir, key, last_modified FROM s3_object_version WHERE version_id = 'null' AND NOT is_delete_marker
    ) v
    JOIN place p ON p.bucket = v.bucket AND p.dir = v.dir
    LEFT JOIN written_key w ON w.bucket = v.bucket AND w.key = v.key
    WHERE w.key IS NULL
    UNION ALL
    SELECT place, last_modified
    FROM followed
    WHERE version_id = 'null' AND NOT is_delete_marker AND (witness IS NULL OR witness IN ('ambiguous', 'no_issue'))
),
placed AS (
    SELECT
        v.place, coalesce(c.since, date_trunc('hour', v.last_modified)) AS since,
        coalesce(v.last_modified = c.since, FALSE) AS on_edge
    FROM version v
    LEFT JOIN cut c
      ON c.place = v.place AND c.hr = date_trunc('hour', v.last_modified)
     AND c.since <= v.last_modified AND c.before > v.last_modified
)
SELECT place, since, on_edge, count(*) AS versions
FROM placed
GROUP BY place, since, on_edge
