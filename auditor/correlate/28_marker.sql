-- The markers of each export, and how their lists compare with the listing.
-- A marker belongs to the export its version is attributed to by event, else to the one whose prefix is longest
-- and whose window holds it. `missing` counts listed files of which no version is left.
WITH placed AS (
    SELECT
        m.bucket, m.key, m.version_id, m.form, m.cut, m.last_modified, m.bytes,
        o.export_id,
        row_number() OVER (
            PARTITION BY m.bucket, m.key, m.version_id
            ORDER BY CASE WHEN w.export_id = o.export_id THEN 0 ELSE 1 END, o.plen DESC, o.from_at DESC, o.export_id DESC
        ) AS rank
    FROM s3_manifest m
    JOIN export_output o ON o.bucket = m.bucket AND substr(m.key, 1, o.plen) = o.prefix
    LEFT JOIN witnessed w ON w.bucket = m.bucket AND w.key = m.key AND w.version_id = m.version_id
    WHERE w.export_id = o.export_id
       OR (w.export_id IS NULL AND m.last_modified BETWEEN o.from_at AND o.until_at)
),
alive AS (
    SELECT DISTINCT bucket, key FROM version WHERE NOT is_delete_marker
),
listed AS (
    SELECT f.bucket, f.marker, f.version_id, count(*) AS files,
        sum(CASE WHEN a.key IS NULL THEN 1 ELSE 0 END) AS missing,
        min(CASE WHEN a.key IS NULL THEN f.file END) AS missing_example
    FROM manifest_file f
    LEFT JOIN alive a ON a.bucket = f.bucket AND a.key = f.file
    GROUP BY f.bucket, f.marker, f.version_id
)
SELECT
    p.export_id, p.bucket, p.key, p.version_id, p.form, p.cut, p.last_modified,
    coalesce(l.files, 0) AS files, coalesce(l.missing, 0) AS missing, l.missing_example
FROM placed p
LEFT JOIN listed l ON l.bucket = p.bucket AND l.marker = p.key AND l.version_id = p.version_id
WHERE p.rank = 1
