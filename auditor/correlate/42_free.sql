-- Versions in buckets of exports that belong to no export: markers and what committers stage left out.
WITH fitting AS (
    SELECT DISTINCT a.bucket, a.dir, a.last_modified
    FROM alone a
    JOIN cell_fit f
      ON f.bucket = a.bucket AND f.dir = a.dir AND f.hr = a.hr
     AND a.last_modified BETWEEN f.from_at AND f.until_at
    WHERE a.straddles
),
loose AS (
    SELECT a.bucket, a.key, a.account, a.region, a.dir, a.last_modified, a.bytes, a.principal_arn, a.witness
    FROM alone a
    WHERE NOT a.straddles
    UNION ALL
    SELECT a.bucket, a.key, a.account, a.region, a.dir, a.last_modified, a.bytes, a.principal_arn, a.witness
    FROM alone a
    LEFT JOIN fitting t ON t.bucket = a.bucket AND t.dir = a.dir AND t.last_modified = a.last_modified
    WHERE a.straddles AND t.dir IS NULL
    UNION ALL
    SELECT v.bucket, v.key, v.account, v.region, v.dir, v.last_modified, v.bytes, v.principal_arn, v.witness
    FROM followed v
    LEFT JOIN witnessed t ON t.bucket = v.bucket AND t.key = v.key AND t.version_id = v.version_id
    WHERE t.key IS NULL AND NOT v.is_delete_marker AND v.witness NOT IN ('ambiguous', 'no_issue')
)
SELECT bucket, key, account, region, dir, last_modified, bytes, principal_arn, witness
FROM loose
WHERE NOT (ends_with(key, '/_SUCCESS') OR key = '_SUCCESS'
        OR dir LIKE '%/\_temporary/%' ESCAPE '\' OR dir LIKE '\_temporary/%' ESCAPE '\'
        OR dir LIKE '%.spark-staging-%' OR dir LIKE '%/\_\_magic%' ESCAPE '\')
