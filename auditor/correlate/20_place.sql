-- Every directory that holds versions, by a number: what follows is joined, grouped and held by it, a tenth of the text.
-- What committers stage (`staging`) is no object of an export.
SELECT
    bucket, dir, row_number() OVER (ORDER BY bucket, dir) AS place,
    dir LIKE '%/\_temporary/%' ESCAPE '\' OR dir LIKE '\_temporary/%' ESCAPE '\'
     OR dir LIKE '%.spark-staging-%' OR dir LIKE '%/\_\_magic%' ESCAPE '\' AS staging
FROM (SELECT DISTINCT bucket, dir FROM s3_object_version) dirs
