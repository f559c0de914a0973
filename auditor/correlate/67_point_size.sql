-- How large were the points of the same bucket before each one, up to fourteen of them? The lower of two medians counts:
-- a size that was, never one between two.
WITH original AS (
    SELECT arn, resource_arn, capture_at, bytes
    FROM point
    WHERE NOT is_copy AND NOT continuous AND status = 'COMPLETED' AND bytes IS NOT NULL
)
SELECT
    arn,
    count(*) OVER before AS earlier_points,
    quantile_disc(bytes, 0.5) OVER before AS median_bytes
FROM original
WINDOW before AS (PARTITION BY resource_arn ORDER BY capture_at, arn ROWS BETWEEN 14 PRECEDING AND 1 PRECEDING)
