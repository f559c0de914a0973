-- What lies in each directory of what belongs to no export, and what kinds of writers wrote it.
WITH under AS (
    SELECT DISTINCT bucket, dir FROM above
)
SELECT
    f.bucket, f.dir,
    max(f.account) AS account,
    max(f.region) AS region,
    CAST(sum(f.objects) AS BIGINT) AS objects,
    CAST(sum(f.bytes) AS BIGINT) AS bytes,
    min(f.lo) AS first_at,
    max(f.hi) AS last_at,
    max(CASE WHEN u.dir IS NULL THEN FALSE ELSE TRUE END) AS under_export,
    CAST(sum(CASE WHEN f.witness = 'foreign' THEN f.objects ELSE 0 END) AS BIGINT) AS by_foreign,
    CAST(sum(CASE WHEN f.witness = 'job' THEN f.objects ELSE 0 END) AS BIGINT) AS by_job,
    CAST(sum(CASE WHEN f.witness = 'declared' THEN f.objects ELSE 0 END) AS BIGINT) AS by_declared
FROM free f
LEFT JOIN under u ON u.bucket = f.bucket AND u.dir = f.dir
GROUP BY f.bucket, f.dir
