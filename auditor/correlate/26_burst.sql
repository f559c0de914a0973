-- What was attributed to each export, in bursts: by event, by settled cell, by piece of a cell that a window's edge cuts.
-- The longest prefix wins, then the latest start. `rivals` counts the exports with the same prefix that fit some of
-- the objects as well: these are given to one, and all of them are told of it.
-- Where one export alone fits, as nearly everywhere, nothing has to be ranked.
WITH part AS (
    SELECT
        c.place, c.hr, c.hr AS since, FALSE AS on_edge, c.objects, c.rewritten, c.bytes, c.unsupported, c.lo, c.last, c.part_hi
    FROM cell c
    LEFT JOIN (SELECT DISTINCT place, hr FROM cell_fit WHERE NOT whole) u ON u.place = c.place AND u.hr = c.hr
    WHERE u.place IS NULL
    UNION ALL
    SELECT
        place, hr, since, on_edge, objects, rewritten, bytes, unsupported, lo, last, part_hi
    FROM portion
    WHERE key IS NULL
),
fit AS (
    SELECT p.*, f.export, f.plen, f.from_at
    FROM part p
    JOIN cell_fit f ON f.place = p.place AND f.hr = p.hr
    WHERE f.whole OR f.from_at <= p.since AND (f.until_at > p.since OR p.on_edge AND f.until_at = p.since)
),
several AS (
    SELECT place, since, on_edge, max(plen) AS longest
    FROM fit
    GROUP BY place, since, on_edge
    HAVING count(*) > 1
),
choice AS (
    SELECT f.*, 1 AS rank, 0 AS rivals
    FROM fit f
    LEFT JOIN several s ON s.place = f.place AND s.since = f.since AND s.on_edge = f.on_edge
    WHERE s.place IS NULL
    UNION ALL
    SELECT
        f.*,
        row_number() OVER (PARTITION BY f.place, f.since, f.on_edge ORDER BY f.from_at DESC, f.export DESC) AS rank,
        count(*) OVER (PARTITION BY f.place, f.since, f.on_edge) - 1 AS rivals
    FROM fit f
    JOIN several s ON s.place = f.place AND s.since = f.since AND s.on_edge = f.on_edge AND s.longest = f.plen
),
inferred AS (
    SELECT
        c.export,
        sum(CASE WHEN c.rank = 1 THEN c.objects ELSE 0 END) AS objects,
        sum(CASE WHEN c.rank = 1 THEN c.rewritten ELSE 0 END) AS rewritten,
        sum(CASE WHEN c.rank = 1 THEN c.bytes ELSE 0 END) AS bytes,
        sum(CASE WHEN c.rank = 1 THEN c.unsupported ELSE 0 END) AS unsupported,
        sum(CASE WHEN c.rank = 1 THEN coalesce(n.versions, 0) ELSE 0 END) AS unversioned,
        min(CASE WHEN c.rank = 1 THEN c.lo END) AS lo,
        max(CASE WHEN c.rank = 1 THEN c.last END) AS hi,
        max(CASE WHEN c.rank = 1 THEN c.part_hi END) AS part_hi,
        min(CASE WHEN c.rank = 1 THEN o.superseded_at END) AS superseded_at,
        min(CASE WHEN c.rank = 1 THEN o.taken_at END) AS taken_at,
        min(CASE WHEN c.rank = 1 THEN o.deleted_at END) AS deleted_at,
        max(c.rivals) AS rivals
    FROM choice c
    LEFT JOIN overwritten o ON o.place = c.place AND o.since = c.since AND o.on_edge = c.on_edge
    LEFT JOIN unversioned n ON n.place = c.place AND n.since = c.since AND n.on_edge = c.on_edge
    GROUP BY c.export
),
numbered AS (
    SELECT export_id, row_number() OVER (ORDER BY export_id) AS export FROM export_output
),
events AS (
    SELECT
        a.export_id, v.rewritten, v.bytes, v.storage_class, v.version_id,
        v.last_modified, v.event_at, v.exists_at, v.superseded_at, v.superseded_by_other, v.deleted_at,
        v.staging OR ends_with(v.key, '/_SUCCESS') OR v.key = '_SUCCESS' AS apart
    FROM witnessed a
    JOIN followed v ON v.bucket = a.bucket AND v.key = a.key AND v.version_id = a.version_id
)
SELECT
    export_id, 'exact' AS attributed_by,
    sum(CASE WHEN apart THEN 0 ELSE 1 END) AS objects,
    sum(CASE WHEN apart OR NOT rewritten THEN 0 ELSE 1 END) AS rewritten,
    sum(CASE WHEN apart THEN 0 ELSE bytes END) AS bytes,
    sum(CASE WHEN storage_class IN ('GLACIER', 'DEEP_ARCHIVE') THEN 1 ELSE 0 END) AS unsupported,
    sum(CASE WHEN version_id = 'null' THEN 1 ELSE 0 END) AS unversioned,
    min(least(last_modified, event_at)) AS lo,
    max(exists_at) AS hi,
    max(CASE WHEN apart THEN NULL ELSE exists_at END) AS part_hi,
    min(CASE WHEN apart THEN NULL ELSE superseded_at END) AS superseded_at,
    min(CASE WHEN apart OR NOT superseded_by_other THEN NULL ELSE superseded_at END) AS taken_at,
    min(CASE WHEN apart THEN NULL ELSE deleted_at END) AS deleted_at,
    0 AS rivals
FROM events GROUP BY export_id
UNION ALL
SELECT
    n.export_id, 'inferred', i.objects, i.rewritten, i.bytes, i.unsupported, i.unversioned, i.lo, i.hi, i.part_hi,
    i.superseded_at, i.taken_at, i.deleted_at, i.rivals
FROM inferred i
JOIN numbered n ON n.export = i.export
