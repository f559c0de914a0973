-- What was attributed to each export, in bursts: by event, by settled cell, by single object of an unsettled cell.
-- The longest prefix wins, then the latest start. `rivals` counts the exports with the same prefix that fit some of
-- the objects as well: these are given to one, and all of them are told of it.
WITH choice AS (
    SELECT
        f.bucket, f.dir, f.hr, f.export_id, f.plen,
        row_number() OVER (PARTITION BY f.bucket, f.dir, f.hr ORDER BY f.plen DESC, f.from_at DESC, f.export_id DESC) AS rank,
        max(f.plen) OVER (PARTITION BY f.bucket, f.dir, f.hr) AS longest,
        count(*) OVER (PARTITION BY f.bucket, f.dir, f.hr, f.plen) AS fits
    FROM cell_fit f
    LEFT JOIN unsettled u ON u.bucket = f.bucket AND u.dir = f.dir AND u.hr = f.hr
    WHERE u.bucket IS NULL
),
cells AS (
    SELECT
        h.export_id, h.rank, h.fits, c.objects, c.rewritten, c.bytes, c.unsupported, c.unversioned, c.lo, c.last, c.part_hi,
        c.superseded_at, c.taken_at, c.deleted_at
    FROM choice h
    JOIN cell c ON c.bucket = h.bucket AND c.dir = h.dir AND c.hr = h.hr
    WHERE h.plen = h.longest
),
single AS (
    SELECT
        v.bucket, v.key, v.version_id, f.export_id, f.plen, v.last_modified, v.exists_at, v.bytes, v.superseded_at,
        v.superseded_by_other, v.deleted_at, v.rewritten,
        v.storage_class, ends_with(v.key, '/_SUCCESS') OR v.key = '_SUCCESS' OR c.staging AS apart,
        row_number() OVER (
            PARTITION BY v.bucket, v.key, v.version_id ORDER BY f.plen DESC, f.from_at DESC, f.export_id DESC
        ) AS rank,
        max(f.plen) OVER (PARTITION BY v.bucket, v.key, v.version_id) AS longest,
        count(*) OVER (PARTITION BY v.bucket, v.key, v.version_id, f.plen) AS fits
    FROM alone v
    JOIN cell c ON c.bucket = v.bucket AND c.dir = v.dir AND c.hr = v.hr
    JOIN cell_fit f
      ON f.bucket = v.bucket AND f.dir = v.dir AND f.hr = v.hr
     AND v.last_modified BETWEEN f.from_at AND f.until_at
    WHERE v.straddles
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
    export_id, 'inferred',
    sum(CASE WHEN rank = 1 THEN objects ELSE 0 END),
    sum(CASE WHEN rank = 1 THEN rewritten ELSE 0 END),
    sum(CASE WHEN rank = 1 THEN bytes ELSE 0 END),
    sum(CASE WHEN rank = 1 THEN unsupported ELSE 0 END),
    sum(CASE WHEN rank = 1 THEN unversioned ELSE 0 END),
    min(CASE WHEN rank = 1 THEN lo END),
    max(CASE WHEN rank = 1 THEN last END),
    max(CASE WHEN rank = 1 THEN part_hi END),
    min(CASE WHEN rank = 1 THEN superseded_at END),
    min(CASE WHEN rank = 1 THEN taken_at END),
    min(CASE WHEN rank = 1 THEN deleted_at END),
    max(fits - 1)
FROM cells GROUP BY export_id
UNION ALL
SELECT
    export_id, 'inferred',
    sum(CASE WHEN rank = 1 AND NOT apart THEN 1 ELSE 0 END),
    sum(CASE WHEN rank = 1 AND NOT apart AND rewritten THEN 1 ELSE 0 END),
    sum(CASE WHEN rank = 1 AND NOT apart THEN bytes ELSE 0 END),
    sum(CASE WHEN rank = 1 AND storage_class IN ('GLACIER', 'DEEP_ARCHIVE') THEN 1 ELSE 0 END),
    sum(CASE WHEN rank = 1 AND version_id = 'null' THEN 1 ELSE 0 END),
    min(CASE WHEN rank = 1 THEN last_modified END),
    max(CASE WHEN rank = 1 THEN exists_at END),
    max(CASE WHEN rank = 1 AND NOT apart THEN exists_at END),
    min(CASE WHEN rank = 1 AND NOT apart THEN superseded_at END),
    min(CASE WHEN rank = 1 AND NOT apart AND superseded_by_other THEN superseded_at END),
    min(CASE WHEN rank = 1 AND NOT apart THEN deleted_at END),
    max(fits - 1)
FROM single
WHERE plen = longest
GROUP BY export_id
