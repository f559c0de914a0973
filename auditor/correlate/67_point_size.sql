-- How large were the points of the same bucket before each one, up to fourteen of them? The lower of two medians counts.
WITH original AS (
    SELECT
        arn, resource_arn, bytes,
        row_number() OVER (PARTITION BY resource_arn ORDER BY capture_at, arn) AS place
    FROM point
    WHERE NOT is_copy AND NOT continuous AND status = 'COMPLETED' AND bytes IS NOT NULL
),
before AS (
    SELECT
        p.arn, q.bytes,
        row_number() OVER (PARTITION BY p.arn ORDER BY q.bytes, q.arn) AS size_place,
        count(*) OVER (PARTITION BY p.arn) AS points
    FROM original AS p
    JOIN original AS q ON q.resource_arn = p.resource_arn AND q.place < p.place AND q.place >= p.place - 14
)
SELECT
    arn,
    max(points) AS earlier_points,
    max(CASE WHEN size_place = (points + 1) // 2 THEN bytes END) AS median_bytes
FROM before
GROUP BY arn
