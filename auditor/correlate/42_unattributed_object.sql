-- Objects in buckets of exports that belong to no export, by directory, with who wrote them where an event tells.
-- `orphan`: TRUE when a stranger wrote, FALSE when only declared writers did, NULL when the writers were not seen.
WITH examples AS (
    SELECT bucket, dir, CAST(to_json(list(key ORDER BY rank)) AS VARCHAR) AS samples
    FROM free_example
    GROUP BY bucket, dir
),
writers AS (
    SELECT bucket, dir, string_agg(principal_arn, ', ' ORDER BY principal_arn) AS writers
    FROM free_writer
    GROUP BY bucket, dir
)
SELECT
    d.bucket, d.dir, d.account, d.region, d.objects, d.bytes, d.first_at, d.last_at, d.under_export, w.writers,
    CASE WHEN d.by_foreign + d.by_job > 0 THEN TRUE WHEN d.by_declared = d.objects THEN FALSE END AS orphan,
    e.samples,
    CASE
        WHEN d.by_foreign > 0 THEN 'written by a principal that is neither a job''s session nor declared'
        WHEN d.by_job > 0 THEN 'written by a job''s session outside its exports'
        WHEN d.by_declared = d.objects THEN 'written by a declared writer'
        ELSE 'no data event tells who wrote them'
    END AS because
FROM free_dir d
LEFT JOIN examples e ON e.bucket = d.bucket AND e.dir = d.dir
LEFT JOIN writers w ON w.bucket = d.bucket AND w.dir = d.dir
