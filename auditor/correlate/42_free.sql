-- Keys of versions in buckets of exports that belong to no export: markers and what committers stage left out.
-- `objects` counts the versions of a key in one hour.
WITH loose AS (
    SELECT bucket, key, account, region, dir, lo, hi, objects, bytes, principal_arn, CAST(NULL AS VARCHAR) AS witness
    FROM portion
    WHERE key IS NOT NULL AND objects > 0
    UNION ALL
    SELECT
        v.bucket, v.key, v.account, v.region, v.dir, v.last_modified AS lo, v.last_modified AS hi, 1 AS objects, v.bytes,
        v.principal_arn, v.witness
    FROM followed v
    LEFT JOIN witnessed t ON t.bucket = v.bucket AND t.key = v.key AND t.version_id = v.version_id
    WHERE t.key IS NULL AND NOT v.is_delete_marker AND v.witness NOT IN ('ambiguous', 'no_issue')
)
SELECT bucket, key, account, region, dir, lo, hi, objects, bytes, principal_arn, witness
FROM loose
WHERE NOT (ends_with(key, '/_SUCCESS') OR key = '_SUCCESS'
        OR dir LIKE '%/\_temporary/%' ESCAPE '\' OR dir LIKE '\_temporary/%' ESCAPE '\'
        OR dir LIKE '%.spark-staging-%' OR dir LIKE '%/\_\_magic%' ESCAPE '\')
