-- What was attributed to each export, in bursts: by event, by settled cell, by each time of a cell that a window's edge
-- cuts. The longest prefix wins, then the latest start. `rivals` counts the exports with the same prefix that fit some
-- of the objects as well: these are given to one, and all of them are told of it.
-- Versions of one directory and time have the same candidates; where there is one alone, nothing has to be ranked.
WITH part AS (
    SELECT
        c.bucket, c.dir, c.hr, c.hr AS moment, c.objects, c.rewritten, c.bytes, c.unsupported, c.lo, c.last, c.part_hi, c.staging,
        FALSE AS cut
    FROM cell c
    LEFT JOIN unsettled u ON u.bucket = c.bucket AND u.dir = c.dir AND u.hr = c.hr
    WHERE u.bucket IS NULL
    UNION ALL
    SELECT
        v.bucket, v.dir, v.hr, v.last_modified AS moment,
        count(CASE WHEN NOT v.apart THEN 1 END) AS objects,
        count(CASE WHEN v.rewritten AND NOT v.apart THEN 1 END) AS rewritten,
        sum(CASE WHEN v.apart THEN 0 ELSE v.bytes END) AS bytes,
        count(CASE WHEN v.storage_class IN ('GLACIER', 'DEEP_ARCHIVE') THEN 1 END) AS unsupported,
        v.last_modified AS lo,
        max(v.exists_at) AS last,
        max(CASE WHEN NOT v.apart THEN v.exists_at END) AS part_hi,
        v.staging,
        TRUE AS cut
    FROM (
        SELECT a.*, c.staging, c.staging OR ends_with(a.key, '/_SUCCESS') OR a.key = '_SUCCESS' AS apart
        FROM alone a
        JOIN cell c ON c.bucket = a.bucket AND c.dir = a.dir AND c.hr = a.hr
        WHERE a.straddles
    ) v
    GROUP BY v.bucket, v.dir, v.hr, v.last_modified, v.staging
),
fit AS (
    SELECT p.*, f.export_id, f.plen, f.from_at
    FROM part p
    JOIN cell_fit f ON f.bucket = p.bucket AND f.dir = p.dir AND f.hr = p.hr
    WHERE NOT p.cut OR p.moment BETWEEN f.from_at AND f.until_at
),
several AS (
    SELECT bucket, dir, moment, max(plen) AS longest FROM fit GROUP BY bucket, dir, moment HAVING count(*) > 1
),
choice AS (
    SELECT f.*, 1 AS rank, 0 AS rivals
    FROM fit f
    LEFT JOIN several s ON s.bucket = f.bucket AND s.dir = f.dir AND s.moment = f.moment
    WHERE s.bucket IS NULL
    UNION ALL
    SELECT
        f.*,
        row_number() OVER (PARTITION BY f.bucket, f.dir, f.moment ORDER BY f.from_at DESC, f.export_id DESC) AS rank,
        count(*) OVER (PARTITION BY f.bucket, f.dir, f.moment) - 1 AS rivals
    FROM fit f
    JOIN several s ON s.bucket = f.bucket AND s.dir = f.dir AND s.moment = f.moment AND s.longest = f.plen
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
LEFT JOIN overwritten o ON o.bucket = c.bucket AND o.dir = c.dir AND o.hr = c.hr AND o.moment = c.moment
LEFT JOIN unversioned n ON n.bucket = c.bucket AND n.dir = c.dir AND n.hr = c.hr AND n.moment = c.moment
GROUP BY c.export_id
