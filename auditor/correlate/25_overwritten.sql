-- When the earliest of what was written in each cell was overwritten, taken by another writer, or deleted.
-- A cell that is in pieces (24_cut) is told by piece, any other by its hour.
-- Keys are numbered before their versions are put in order: a number is sorted in a third of the time that a key takes.
-- Of a version and a delete marker of the same second, the marker is the later: what might be gone is not called held.
-- Markers (`_SUCCESS`) are left out: what becomes of them is told apart (30_marker).
WITH written_key AS (
    SELECT DISTINCT bucket, key FROM written
),
gone_key AS (
    SELECT DISTINCT v.bucket, v.dir, v.key
    FROM s3_object_version v
    LEFT JOIN written_key w ON w.bucket = v.bucket AND w.key = v.key
    WHERE (v.is_delete_marker OR NOT coalesce(v.is_latest, FALSE))
      AND NOT (ends_with(v.key, '/_SUCCESS') OR v.key = '_SUCCESS') AND w.key IS NULL
),
place AS (
    SELECT bucket, dir, row_number() OVER (ORDER BY bucket, dir) AS place
    FROM (SELECT DISTINCT bucket, dir FROM gone_key) dirs
),
numbered AS (
    SELECT k.bucket, k.key, p.place, row_number() OVER (ORDER BY k.bucket, k.key) AS number
    FROM gone_key k
    JOIN place p ON p.bucket = k.bucket AND p.dir = k.dir
),
ordered AS (
    SELECT
        n.place, v.last_modified, v.is_delete_marker, coalesce(v.is_latest, FALSE) AS is_latest,
        lead(v.last_modified) OVER later AS next_at,
        lead(v.is_delete_marker) OVER later AS next_is_marker
    FROM s3_object_version v
    JOIN numbered n ON n.bucket = v.bucket AND n.key = v.key
    WINDOW later AS (PARTITION BY n.number ORDER BY coalesce(v.is_latest, FALSE), v.last_modified, v.is_delete_marker)
),
piece AS (
    SELECT p.place, c.hr, c.since, c.before
    FROM cut c
    JOIN place p ON p.bucket = c.bucket AND p.dir = c.dir
    WHERE c.edge_fits OR c.rest_fits
),
untold AS (
    SELECT
        o.place, date_trunc('hour', o.last_modified) AS hr,
        coalesce(c.since, date_trunc('hour', o.last_modified)) AS since,
        coalesce(o.last_modified = c.since, FALSE) AS on_edge,
        min(o.next_at) AS superseded_at,
        min(CASE WHEN o.next_is_marker THEN o.next_at END) AS deleted_at
    FROM ordered o
    LEFT JOIN piece c
      ON c.place = o.place AND c.hr = date_trunc('hour', o.last_modified)
     AND c.since <= o.last_modified AND c.before > o.last_modified
    WHERE NOT o.is_latest AND NOT o.is_delete_marker
    GROUP BY
        o.place, date_trunc('hour', o.last_modified), coalesce(c.since, date_trunc('hour', o.last_modified)),
        coalesce(o.last_modified = c.since, FALSE)
),
every AS (
    SELECT
        p.bucket, p.dir, t.hr, t.since, t.on_edge, t.superseded_at, CAST(NULL AS TIMESTAMP) AS taken_at, t.deleted_at
    FROM untold t
    JOIN place p ON p.place = t.place
    UNION ALL
    SELECT
        v.bucket, v.dir, date_trunc('hour', v.last_modified) AS hr,
        coalesce(c.since, date_trunc('hour', v.last_modified)) AS since,
        coalesce(v.last_modified = c.since, FALSE) AS on_edge,
        v.superseded_at, CASE WHEN v.superseded_by_other THEN v.superseded_at END AS taken_at, v.deleted_at
    FROM followed v
    LEFT JOIN cut c
      ON c.bucket = v.bucket AND c.dir = v.dir AND c.hr = date_trunc('hour', v.last_modified)
     AND c.since <= v.last_modified AND c.before > v.last_modified AND (c.edge_fits OR c.rest_fits)
    WHERE NOT v.is_delete_marker AND (v.witness IS NULL OR v.witness IN ('ambiguous', 'no_issue'))
      AND v.superseded_at IS NOT NULL AND NOT (ends_with(v.key, '/_SUCCESS') OR v.key = '_SUCCESS')
)
SELECT
    bucket, dir, hr, since, on_edge,
    min(superseded_at) AS superseded_at, min(taken_at) AS taken_at, min(deleted_at) AS deleted_at
FROM every
GROUP BY bucket, dir, hr, since, on_edge
