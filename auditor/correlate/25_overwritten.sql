-- When the earliest of what was written in each cell was overwritten, taken by another writer, or deleted.
-- A cell that is in pieces (24_cut) is told by piece, any other by its hour: `since`.
-- Keys are numbered before their versions are put in order: a number is sorted in a third of the time that a key takes.
-- Of a version and a delete marker of the same second, the marker is the later: what might be gone is not called held.
-- What is staged is nobody's, and markers (`_SUCCESS`) are left out: what becomes of them is told apart (30_marker).
WITH written_key AS (
    SELECT DISTINCT bucket, key FROM written
),
gone_key AS (
    SELECT p.place, v.bucket, v.key
    FROM s3_object_version v
    JOIN place p ON p.bucket = v.bucket AND p.dir = v.dir
    LEFT JOIN written_key w ON w.bucket = v.bucket AND w.key = v.key
    WHERE v.is_latest IS DISTINCT FROM TRUE AND NOT v.is_delete_marker AND NOT p.staging AND w.key IS NULL
      AND NOT (ends_with(v.key, '/_SUCCESS') OR v.key = '_SUCCESS')
    GROUP BY p.place, v.bucket, v.key
),
numbered AS (
    SELECT place, bucket, key, row_number() OVER (ORDER BY place, key) AS number FROM gone_key
),
gone_place AS (
    SELECT p.bucket, p.dir, p.place
    FROM (SELECT DISTINCT place FROM gone_key) g
    JOIN place p ON p.place = g.place
),
ordered AS (
    SELECT
        n.place, v.last_modified, v.is_delete_marker, coalesce(v.is_latest, FALSE) AS is_latest,
        lead(v.last_modified) OVER later AS next_at,
        lead(v.is_delete_marker) OVER later AS next_is_marker
    FROM s3_object_version v
    JOIN gone_place p ON p.bucket = v.bucket AND p.dir = v.dir
    JOIN numbered n ON n.place = p.place AND n.bucket = v.bucket AND n.key = v.key
    WINDOW later AS (PARTITION BY n.number ORDER BY coalesce(v.is_latest, FALSE), v.last_modified, v.is_delete_marker)
),
piece AS (
    SELECT place, hr, since, before FROM cut WHERE edge_fits OR rest_fits
),
every AS (
    SELECT
        o.place, coalesce(c.since, date_trunc('hour', o.last_modified)) AS since,
        coalesce(o.last_modified = c.since, FALSE) AS on_edge,
        o.next_at AS superseded_at, CAST(NULL AS TIMESTAMP) AS taken_at, CASE WHEN o.next_is_marker THEN o.next_at END AS deleted_at
    FROM ordered o
    LEFT JOIN piece c
      ON c.place = o.place AND c.hr = date_trunc('hour', o.last_modified)
     AND c.since <= o.last_modified AND c.before > o.last_modified
    WHERE NOT o.is_latest AND NOT o.is_delete_marker
    UNION ALL
    SELECT
        v.place, coalesce(c.since, date_trunc('hour', v.last_modified)) AS since,
        coalesce(v.last_modified = c.since, FALSE) AS on_edge,
        v.superseded_at, CASE WHEN v.superseded_by_other THEN v.superseded_at END AS taken_at, v.deleted_at
    FROM followed v
    LEFT JOIN piece c
      ON c.place = v.place AND c.hr = date_trunc('hour', v.last_modified)
     AND c.since <= v.last_modified AND c.before > v.last_modified
    WHERE NOT v.is_delete_marker AND (v.witness IS NULL OR v.witness IN ('ambiguous', 'no_issue'))
      AND v.superseded_at IS NOT NULL AND NOT v.staging AND NOT (ends_with(v.key, '/_SUCCESS') OR v.key = '_SUCCESS')
)
SELECT
    place, since, on_edge,
    min(superseded_at) AS superseded_at, min(taken_at) AS taken_at, min(deleted_at) AS deleted_at
FROM every
GROUP BY place, since, on_edge
