-- What lies in each directory of what belongs to no export, and what kinds of writers wrote it: versions told by key
-- (25_portion), markers and what committers stage left out.
WITH free AS (
    SELECT
        place, max(account) AS account, max(region) AS region,
        CAST(sum(objects) AS BIGINT) AS objects,
        CAST(sum(bytes) AS BIGINT) AS bytes,
        min(lo) AS first_at,
        max(hi) AS last_at,
        CAST(sum(CASE WHEN witness = 'foreign' THEN objects ELSE 0 END) AS BIGINT) AS by_foreign,
        CAST(sum(CASE WHEN witness = 'job' THEN objects ELSE 0 END) AS BIGINT) AS by_job,
        CAST(sum(CASE WHEN witness = 'declared' THEN objects ELSE 0 END) AS BIGINT) AS by_declared
    FROM portion
    WHERE key IS NOT NULL
    GROUP BY place
),
under AS (
    SELECT DISTINCT place FROM above
)
SELECT
    p.bucket, p.dir, f.account, f.region, f.objects, f.bytes, f.first_at, f.last_at,
    u.place IS NOT NULL AS under_export, f.by_foreign, f.by_job, f.by_declared
FROM free f
JOIN place p ON p.place = f.place
LEFT JOIN under u ON u.place = f.place
