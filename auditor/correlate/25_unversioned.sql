-- How many versions without an id of their own lie in each cell: as one by its hour, or by each time where the edge of a window cuts it.
WITH written_key AS (
    SELECT DISTINCT bucket, key FROM written
),
version AS (
    SELECT v.bucket, v.dir, v.last_modified
    FROM s3_object_version v
    LEFT JOIN written_key w ON w.bucket = v.bucket AND w.key = v.key
    WHERE v.version_id = 'null' AND NOT v.is_delete_marker AND w.key IS NULL
    UNION ALL
    SELECT bucket, dir, last_modified
    FROM followed
    WHERE version_id = 'null' AND NOT is_delete_marker AND (witness IS NULL OR witness IN ('ambiguous', 'no_issue'))
)
SELECT
    v.bucket, v.dir, date_trunc('hour', v.last_modified) AS hr,
    CASE WHEN u.hr IS NULL THEN date_trunc('hour', v.last_modified) ELSE v.last_modified END AS moment,
    count(*) AS versions
FROM version v
LEFT JOIN unsettled u ON u.bucket = v.bucket AND u.dir = v.dir AND u.hr = date_trunc('hour', v.last_modified) AND u.straddles
GROUP BY
    v.bucket, v.dir, date_trunc('hour', v.last_modified),
    CASE WHEN u.hr IS NULL THEN date_trunc('hour', v.last_modified) ELSE v.last_modified END
