-- The markers of each export, the last version of each, and how their lists compare with the listing.
-- A marker belongs to the export its version is attributed to by event, else to the one whose prefix is longest
-- and whose window holds it. A listed file is there when a version of it is this export's, lost when one was and is
-- gone, elsewhere when all that is left of it is others', and missing when nothing is.
WITH lengths AS (
    SELECT DISTINCT bucket, plen FROM export_output
),
placed AS (
    SELECT
        m.bucket, m.key, m.version_id, m.form, m.cut, m.last_modified,
        o.export_id, o.from_at, o.until_at,
        row_number() OVER (
            PARTITION BY m.bucket, m.key, m.version_id
            ORDER BY CASE WHEN w.export_id = o.export_id THEN 0 ELSE 1 END, o.plen DESC, o.from_at DESC, o.export_id DESC
        ) AS rank
    FROM s3_manifest m
    JOIN lengths l ON l.bucket = m.bucket AND l.plen <= length(m.key)
    JOIN export_output o ON o.bucket = m.bucket AND o.plen = l.plen AND o.prefix = substr(m.key, 1, l.plen)
    LEFT JOIN witnessed w ON w.bucket = m.bucket AND w.key = m.key AND w.version_id = m.version_id
    WHERE w.export_id = o.export_id
       OR (w.export_id IS NULL AND m.last_modified BETWEEN o.from_at AND o.until_at)
),
own AS (
    SELECT *, row_number() OVER (PARTITION BY export_id, bucket, key ORDER BY last_modified DESC, version_id) AS nth
    FROM placed
    WHERE rank = 1
),
version AS (
    SELECT v.bucket, v.key, v.version_id, v.last_modified
    FROM (SELECT DISTINCT bucket, file FROM manifest_file) f
    JOIN s3_object_version v ON v.bucket = f.bucket AND v.key = f.file AND NOT v.is_delete_marker
),
held AS (
    SELECT
        p.export_id, f.marker, f.file,
        max(CASE
            WHEN v.key IS NULL THEN 0
            WHEN w.export_id = p.export_id THEN 2
            WHEN (d.witness IS NULL OR d.witness IN ('ambiguous', 'no_issue'))
             AND v.last_modified BETWEEN p.from_at AND p.until_at THEN 2
            ELSE 1
        END) AS found
    FROM own p
    JOIN manifest_file f ON f.bucket = p.bucket AND f.marker = p.key AND f.version_id = p.version_id
    LEFT JOIN version v ON v.bucket = f.bucket AND v.key = f.file
    LEFT JOIN followed d ON d.bucket = v.bucket AND d.key = v.key AND d.version_id = v.version_id
    LEFT JOIN witnessed w ON w.bucket = v.bucket AND w.key = v.key AND w.version_id = v.version_id
    WHERE p.nth = 1
    GROUP BY p.export_id, f.marker, f.file
),
judged AS (
    SELECT h.export_id, h.marker, h.file,
        CASE WHEN h.found = 2 THEN 'there' WHEN l.key IS NOT NULL THEN 'lost' WHEN h.found = 1 THEN 'elsewhere' ELSE 'missing' END AS fate
    FROM held h
    LEFT JOIN (SELECT DISTINCT export_id, key FROM lost_version) l ON l.export_id = h.export_id AND l.key = h.file
),
listed AS (
    SELECT export_id, marker,
        count(*) AS files,
        sum(CASE WHEN fate = 'lost' THEN 1 ELSE 0 END) AS lost,
        sum(CASE WHEN fate = 'elsewhere' THEN 1 ELSE 0 END) AS elsewhere,
        sum(CASE WHEN fate = 'missing' THEN 1 ELSE 0 END) AS missing,
        min(CASE WHEN fate = 'elsewhere' THEN file END) AS elsewhere_example,
        min(CASE WHEN fate = 'missing' THEN file END) AS missing_example
    FROM judged
    GROUP BY export_id, marker
)
SELECT
    p.export_id, p.bucket, p.key, p.version_id, p.form, p.cut, p.last_modified,
    coalesce(l.files, 0) AS files, coalesce(l.lost, 0) AS lost, coalesce(l.elsewhere, 0) AS elsewhere,
    coalesce(l.missing, 0) AS missing, l.elsewhere_example, l.missing_example
FROM own p
LEFT JOIN listed l ON l.export_id = p.export_id AND l.marker = p.key
WHERE p.nth = 1
