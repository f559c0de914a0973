-- What was attributed to each export, in bursts: by event, by settled cell, by single object of an unsettled cell.
-- The longest prefix wins, then the latest start. `rivals` counts the objects that another export with the same
-- prefix fits as well: they are given to one, and both exports are told of it.
WITH choice AS (
    SELECT
        bucket, dir, hr, export_id, plen,
        row_number() OVER (PARTITION BY bucket, dir, hr ORDER BY plen DESC, from_at DESC, export_id DESC) AS rank,
        max(plen) OVER (PARTITION BY bucket, dir, hr) AS longest
    FROM cell_fit
),
cells AS (
    SELECT
        h.export_id, h.rank, c.objects, c.bytes, c.unsupported, c.unversioned, c.lo, c.hi, c.part_hi, c.superseded_at, c.taken_at, c.deleted_at,
        (SELECT count(*) FROM choice r WHERE r.bucket = h.bucket AND r.dir = h.dir AND r.hr = h.hr AND r.plen = h.longest) AS fits
    FROM choice h
    JOIN cell c ON c.bucket = h.bucket AND c.dir = h.dir AND c.hr = h.hr
    LEFT JOIN unsettled u ON u.bucket = h.bucket AND u.dir = h.dir AND u.hr = h.hr
    WHERE h.plen = h.longest AND u.bucket IS NULL
),
single AS (
    SELECT
        v.bucket, v.key, v.version_id, f.export_id, f.plen, v.last_modified, v.bytes, v.superseded_at,
        v.superseded_by_other, v.deleted_at,
        v.storage_class, v.is_marker, v.is_staging,
        row_number() OVER (
            PARTITION BY v.bucket, v.key, v.version_id ORDER BY f.plen DESC, f.from_at DESC, f.export_id DESC
        ) AS rank,
        max(f.plen) OVER (PARTITION BY v.bucket, v.key, v.version_id) AS longest
    FROM version v
    JOIN unsettled u
      ON u.bucket = v.bucket AND u.dir = v.dir AND u.hr = date_trunc('hour', v.last_modified)
    JOIN cell_fit f
      ON f.bucket = v.bucket AND f.dir = v.dir AND f.hr = u.hr
     AND v.last_modified BETWEEN f.from_at AND f.until_at
    WHERE NOT v.is_delete_marker AND (v.witness IS NULL OR v.witness IN ('ambiguous', 'no_issue'))
),
singles AS (
    SELECT *, count(*) OVER (PARTITION BY bucket, key, version_id) AS fits FROM single WHERE plen = longest
),
events AS (
    SELECT
        a.export_id, v.is_marker, v.is_staging, v.bytes, v.storage_class, v.version_id,
        v.last_modified, v.event_at, v.superseded_at, v.superseded_by_other, v.deleted_at
    FROM witnessed a
    JOIN version v ON v.bucket = a.bucket AND v.key = a.key AND v.version_id = a.version_id
)
SELECT
    export_id, 'exact' AS attributed_by,
    sum(CASE WHEN is_marker OR is_staging THEN 0 ELSE 1 END) AS objects,
    sum(CASE WHEN is_marker OR is_staging THEN 0 ELSE bytes END) AS bytes,
    sum(CASE WHEN storage_class IN ('GLACIER', 'DEEP_ARCHIVE') THEN 1 ELSE 0 END) AS unsupported,
    sum(CASE WHEN version_id = 'null' THEN 1 ELSE 0 END) AS unversioned,
    min(least(last_modified, event_at)) AS lo,
    max(greatest(last_modified, event_at)) AS hi,
    max(CASE WHEN is_marker OR is_staging THEN NULL ELSE last_modified END) AS part_hi,
    min(CASE WHEN is_marker OR is_staging THEN NULL ELSE superseded_at END) AS superseded_at,
    min(CASE WHEN is_marker OR is_staging OR NOT superseded_by_other THEN NULL ELSE superseded_at END) AS taken_at,
    min(CASE WHEN is_marker OR is_staging THEN NULL ELSE deleted_at END) AS deleted_at,
    0 AS rivals
FROM events GROUP BY export_id
UNION ALL
SELECT
    export_id, 'inferred',
    sum(CASE WHEN rank = 1 THEN objects ELSE 0 END),
    sum(CASE WHEN rank = 1 THEN bytes ELSE 0 END),
    sum(CASE WHEN rank = 1 THEN unsupported ELSE 0 END),
    sum(CASE WHEN rank = 1 THEN unversioned ELSE 0 END),
    min(CASE WHEN rank = 1 THEN lo END),
    max(CASE WHEN rank = 1 THEN hi END),
    max(CASE WHEN rank = 1 THEN part_hi END),
    min(CASE WHEN rank = 1 THEN superseded_at END),
    min(CASE WHEN rank = 1 THEN taken_at END),
    min(CASE WHEN rank = 1 THEN deleted_at END),
    max(CASE WHEN fits > 1 THEN fits - 1 ELSE 0 END)
FROM cells GROUP BY export_id
UNION ALL
SELECT
    export_id, 'inferred',
    sum(CASE WHEN rank = 1 AND NOT is_marker AND NOT is_staging THEN 1 ELSE 0 END),
    sum(CASE WHEN rank = 1 AND NOT is_marker AND NOT is_staging THEN bytes ELSE 0 END),
    sum(CASE WHEN rank = 1 AND storage_class IN ('GLACIER', 'DEEP_ARCHIVE') THEN 1 ELSE 0 END),
    sum(CASE WHEN rank = 1 AND version_id = 'null' THEN 1 ELSE 0 END),
    min(CASE WHEN rank = 1 THEN last_modified END),
    max(CASE WHEN rank = 1 THEN last_modified END),
    max(CASE WHEN rank = 1 AND NOT is_marker AND NOT is_staging THEN last_modified END),
    min(CASE WHEN rank = 1 AND NOT is_marker AND NOT is_staging THEN superseded_at END),
    min(CASE WHEN rank = 1 AND NOT is_marker AND NOT is_staging AND superseded_by_other THEN superseded_at END),
    min(CASE WHEN rank = 1 AND NOT is_marker AND NOT is_staging THEN deleted_at END),
    max(CASE WHEN fits > 1 THEN fits - 1 ELSE 0 END)
FROM singles GROUP BY export_id
