-- What was attributed to each export, in bursts: by event, by settled cell, by piece of a cell that a window's edge cuts.
-- The longest prefix wins, then the latest start. `rivals` counts the exports with the same prefix that fit some of
-- the objects as well: these are given to one, and all of them are told of it.
-- Where one export alone fits, as nearly everywhere, nothing has to be ranked.
WITH part AS (
    SELECT
        c.bucket, c.dir, c.hr, c.hr AS since, FALSE AS on_edge, c.objects, c.rewritten, c.bytes, c.unsupported, c.lo, c.last,
        c.part_hi, c.staging
    FROM cell c
    LEFT JOIN (SELECT DISTINCT bucket, dir, hr FROM cell_fit WHERE NOT whole) u
      ON u.bucket = c.bucket AND u.dir = c.dir AND u.hr = c.hr
    WHERE u.bucket IS NULL
    UNION ALL
    SELECT
        p.bucket, p.dir, p.hr, p.since, p.on_edge, p.objects, p.rewritten, p.bytes, p.unsupported, p.lo, p.last,
        p.part_hi, c.staging
    FROM portion p
    JOIN cell c ON c.bucket = p.bucket AND c.dir = p.dir AND c.hr = p.hr
    WHERE p.key IS NULL
),
fit AS (
    SELECT p.*, f.export_id, f.plen, f.from_at
    FROM part p
    JOIN cell_fit f ON f.bucket = p.bucket AND f.dir = p.dir AND f.hr = p.hr
    WHERE f.whole OR f.from_at <= p.since AND (f.until_at > p.since OR p.on_edge AND f.until_at = p.since)
),
several AS (
    SELECT bucket, dir, hr, since, on_edge, max(plen) AS longest
    FROM fit
    GROUP BY bucket, dir, hr, since, on_edge
    HAVING count(*) > 1
),
choice AS (
    SELECT f.*, 1 AS rank, 0 AS rivals
    FROM fit f
    LEFT JOIN several s ON s.bucket = f.bucket AND s.dir = f.dir AND s.since = f.since AND s.on_edge = f.on_edge
    WHERE s.bucket IS NULL
    UNION ALL
    SELECT
        f.*,
        row_number() OVER (PARTITION BY f.bucket, f.dir, f.since, f.on_edge ORDER BY f.from_at DESC, f.export_id DESC) AS rank,
        count(*) OVER (PARTITION BY f.bucket, f.dir, f.since, f.on_edge) - 1 AS rivals
    FROM fit f
    JOIN several s
      ON s.bucket = f.bucket AND s.dir = f.dir AND s.since = f.since AND s.on_edge = f.on_edge AND s.longest = f.plen
),
events AS (
    SELECT
        a.export_id, v.rewritten, v.bytes, v.storage_class, v.version_id,
        v.last_modified, v.event_at, v.exists_at, v.superseded_at, v.superseded_by_other, v.deleted_at,
        ends_with(v.key, '/_SUCCESS') OR v.key = '_SUCCESS'
         OR v.dir LIKE '%/\_temporary/%' ESCAPE '\' OR v.dir LIKE '\_temporary/%' ESCAPE '\'
         OR v.dir LIKE '%.spark-staging-%' OR v.dir LIKE '%/\_\_magic%' ESCAPE '\' AS apart
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
    c.export_id, 'inferred',
    sum(CASE WHEN c.rank = 1 THEN c.objects ELSE 0 END),
    sum(CASE WHEN c.rank = 1 THEN c.rewritten ELSE 0 END),
    sum(CASE WHEN c.rank = 1 THEN c.bytes ELSE 0 END),
    sum(CASE WHEN c.rank = 1 THEN c.unsupported ELSE 0 END),
    sum(CASE WHEN c.rank = 1 THEN coalesce(n.versions, 0) ELSE 0 END),
    min(CASE WHEN c.rank = 1 THEN c.lo END),
    max(CASE WHEN c.rank = 1 THEN c.last END),
    max(CASE WHEN c.rank = 1 THEN c.part_hi END),
    min(CASE WHEN c.rank = 1 AND NOT c.staging THEN o.superseded_at END),
    min(CASE WHEN c.rank = 1 AND NOT c.staging THEN o.taken_at END),
    min(CASE WHEN c.rank = 1 AND NOT c.staging THEN o.deleted_at END),
    max(c.rivals)
FROM choice c
LEFT JOIN overwritten o ON o.bucket = c.bucket AND o.dir = c.dir AND o.since = c.since AND o.on_edge = c.on_edge
LEFT JOIN unversioned n ON n.bucket = c.bucket AND n.dir = c.dir AND n.since = c.since AND n.on_edge = c.on_edge
GROUP BY c.export_id
