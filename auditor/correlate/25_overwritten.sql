-- When the earliest of what was written in each cell was overwritten, taken by another writer, or deleted.
-- `moment`: a cell is told as one, by its hour; one that the edge of a window cuts, by each of its times (24_unsettled).
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
cut AS (
    SELECT p.place, u.hr FROM unsettled u JOIN place p ON p.bucket = u.bucket AND p.dir = u.dir WHERE u.straddles
),
untold AS (
    SELECT
        o.place, date_trunc('hour', o.last_modified) AS hr,
        CASE WHEN c.hr IS NULL THEN date_trunc('hour', o.last_modified) ELSE o.last_modified END AS moment,
        min(o.next_at) AS superseded_at,
        min(CASE WHEN o.next_is_marker THEN o.next_at END) AS deleted_at
    FROM ordered o
    LEFT JOIN cut c ON c.place = o.place AND c.hr = date_trunc('hour', o.last_modified)
    WHERE NOT o.is_latest AND NOT o.is_delete_marker
    GROUP BY
        o.place, date_trunc('hour', o.last_modified),
        CASE WHEN c.hr IS NULL THEN date_trunc('hour', o.last_modified) ELSE o.last_modified END
),
every AS (
    SELECT p.bucket, p.dir, t.hr, t.moment, t.superseded_at, CAST(NULL AS TIMESTAMP) AS taken_at, t.deleted_at
    FROM untold t
    JOIN place p ON p.place = t.place
    UNION ALL
    SELECT
        v.bucket, v.dir, date_trunc('hour', v.last_modified) AS hr,
        CASE WHEN u.hr IS NULL THEN date_trunc('hour', v.last_modified) ELSE v.last_modified END AS moment,
        v.superseded_at, CASE WHEN v.superseded_by_other THEN v.superseded_at END AS taken_at, v.deleted_at
    FROM followed v
    LEFT JOIN unsettled u ON u.bucket = v.bucket AND u.dir = v.dir AND u.hr = date_trunc('hour', v.last_modified) AND u.straddles
    WHERE NOT v.is_delete_marker AND (v.witness IS NULL OR v.witness IN ('ambiguous', 'no_issue'))
      AND v.superseded_at IS NOT NULL AND NOT (ends_with(v.key, '/_SUCCESS') OR v.key = '_SUCCESS')
)
SELECT
    bucket, dir, hr, moment,
    min(superseded_at) AS superseded_at, min(taken_at) AS taken_at, min(deleted_at) AS deleted_at
FROM every
GROUP BY bucket, dir, hr, moment
