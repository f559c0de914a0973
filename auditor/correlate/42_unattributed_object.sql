-- Objects in buckets of exports that belong to no export, by directory, with who wrote them where an event tells.
-- `orphan`: TRUE when a stranger wrote, FALSE when only declared writers did, NULL when the writers were not seen.
WITH fitting AS (
    SELECT DISTINCT a.bucket, a.key, a.version_id
    FROM alone a
    JOIN cell_fit f
      ON f.bucket = a.bucket AND f.dir = a.dir AND f.hr = a.hr
     AND a.last_modified BETWEEN f.from_at AND f.until_at
    WHERE a.straddles
),
free AS (
    SELECT a.bucket, a.key, a.version_id, a.account, a.region, a.dir, a.last_modified, a.bytes, a.principal_arn, a.witness
    FROM alone a
    LEFT JOIN fitting t ON t.bucket = a.bucket AND t.key = a.key AND t.version_id = a.version_id
    WHERE t.key IS NULL
    UNION ALL
    SELECT v.bucket, v.key, v.version_id, v.account, v.region, v.dir, v.last_modified, v.bytes, v.principal_arn, v.witness
    FROM followed v
    LEFT JOIN witnessed t ON t.bucket = v.bucket AND t.key = v.key AND t.version_id = v.version_id
    WHERE t.key IS NULL AND NOT v.is_delete_marker AND v.witness NOT IN ('ambiguous', 'no_issue')
),
counted AS (
    SELECT * FROM free
    WHERE NOT (ends_with(key, '/_SUCCESS') OR key = '_SUCCESS'
        OR dir LIKE '%/\_temporary/%' ESCAPE '\' OR dir LIKE '\_temporary/%' ESCAPE '\'
        OR dir LIKE '%.spark-staging-%' OR dir LIKE '%/\_\_magic%' ESCAPE '\')
),
prefixes AS (
    SELECT DISTINCT bucket, prefix, plen FROM export_output
),
lengths AS (
    SELECT DISTINCT bucket, plen FROM prefixes
),
under AS (
    SELECT DISTINCT d.bucket, d.dir
    FROM (SELECT DISTINCT bucket, dir FROM counted) d
    JOIN lengths l ON l.bucket = d.bucket AND l.plen <= length(d.dir)
    JOIN prefixes p ON p.bucket = d.bucket AND p.plen = l.plen AND p.prefix = substr(d.dir, 1, l.plen)
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY bucket, dir ORDER BY key, version_id) AS rank FROM counted
)
SELECT
    r.bucket, r.dir,
    max(r.account) AS account,
    max(r.region) AS region,
    CAST(count(*) AS BIGINT) AS objects,
    CAST(sum(r.bytes) AS BIGINT) AS bytes,
    min(r.last_modified) AS first_at,
    max(r.last_modified) AS last_at,
    max(CASE WHEN u.dir IS NULL THEN FALSE ELSE TRUE END) AS under_export,
    string_agg(DISTINCT r.principal_arn, ', ' ORDER BY r.principal_arn) AS writers,
    CASE
        WHEN sum(CASE WHEN r.witness IN ('foreign', 'job') THEN 1 ELSE 0 END) > 0 THEN TRUE
        WHEN sum(CASE WHEN r.witness = 'declared' THEN 1 ELSE 0 END) = count(*) THEN FALSE
    END AS orphan,
    CAST(to_json(list(r.key ORDER BY r.key, r.version_id) FILTER (WHERE r.rank <= 5)) AS VARCHAR) AS samples,
    CASE
        WHEN sum(CASE WHEN r.witness = 'foreign' THEN 1 ELSE 0 END) > 0 THEN 'written by a principal that is neither a job''s session nor declared'
        WHEN sum(CASE WHEN r.witness = 'job' THEN 1 ELSE 0 END) > 0 THEN 'written by a job''s session outside its exports'
        WHEN sum(CASE WHEN r.witness = 'declared' THEN 1 ELSE 0 END) = count(*) THEN 'written by a declared writer'
        ELSE 'no data event tells who wrote them'
    END AS because
FROM ranked r
LEFT JOIN under u ON u.bucket = r.bucket AND u.dir = r.dir
GROUP BY r.bucket, r.dir
