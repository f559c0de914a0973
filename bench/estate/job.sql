-- The jobs that all else is made of.
WITH numbered AS (
    SELECT n, n % 40 AS b, hash(n) % 1000 AS h, (n // 40) // 25 AS pipe,
        TIMESTAMP '2026-01-01' + to_seconds(CAST(n AS BIGINT) * 5184000 // $jobs) AS began
    FROM range($jobs) AS r(n)
)
SELECT *,
    uuid_of AS job_uuid, 'sa-' || (n % 200) || '@data.iam.gserviceaccount.com' AS sa,
    CAST(100000 + n % 200 AS VARCHAR) AS subject, 'exports-' || b AS bucket,
    CASE
        WHEN h >= 995 THEN ''
        WHEN h < 600 THEN 'own/pipe-' || pipe || '/run=' || n || '/'
        WHEN h < 850 THEN 'shared/pipe-' || pipe || '/dt=latest/'
        ELSE 'parent/pipe-' || pipe || '/'
    END AS prefix,
    CASE
        WHEN h >= 995 THEN 'root-' || n || '/'
        WHEN h < 600 THEN 'own/pipe-' || pipe || '/run=' || n || '/'
        WHEN h < 850 THEN 'shared/pipe-' || pipe || '/dt=latest/'
        ELSE 'parent/pipe-' || pipe || '/run=' || n || '/fix/'
    END AS dir,
    began + CASE WHEN hash(n + 7) % 100 < 6 THEN to_hours(30) ELSE to_minutes(20 + CAST(hash(n + 3) % 40 AS BIGINT)) END AS ended
FROM (SELECT *, 'u-' || md5(CAST(n AS VARCHAR)) AS uuid_of FROM numbered)
