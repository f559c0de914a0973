-- Which tags of its bucket does a point lack, or carry with another value? Only of points whose tags were read.
WITH both_read AS (
    SELECT
        p.arn,
        CAST(CAST(p.tags AS JSON) AS MAP(VARCHAR, VARCHAR)) AS own,
        CAST(CAST(b.tags AS JSON) AS MAP(VARCHAR, VARCHAR)) AS of_bucket
    FROM point AS p
    JOIN s3_bucket AS b ON b.arn = p.resource_arn
    WHERE p.tags IS NOT NULL AND b.tags IS NOT NULL
),
keyed AS (
    SELECT arn, own, of_bucket, unnest(map_keys(of_bucket)) AS k FROM both_read
),
differing AS (
    SELECT arn, list(k ORDER BY k) AS keys FROM keyed WHERE own[k] IS NULL OR own[k] <> of_bucket[k] GROUP BY arn
)
SELECT b.arn, CASE WHEN d.arn IS NULL THEN '[]' ELSE CAST(to_json(d.keys) AS VARCHAR) END AS tags_differing
FROM both_read AS b
LEFT JOIN differing AS d ON d.arn = b.arn
