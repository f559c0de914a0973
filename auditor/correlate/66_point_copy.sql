-- How far is each original point on its way to the places its zone demands: another region, another account?
-- A copy counts when its point was seen COMPLETED in its own place, or was seen once and has ended on its date.
-- It belongs to a point by their copy job, else by source vault, bucket and creation time.
WITH wanted AS (
    SELECT
        p.arn, p.vault_arn, p.resource_arn, p.created_at, p.completed_at, p.region AS home_region, p.account AS home_account,
        coalesce(nullif(d.region, ''), p.region) AS region,
        coalesce(nullif(d.account, ''), p.account) AS account
    FROM point AS p
    JOIN zone_destination AS d ON d.zone = p.zone
    WHERE NOT p.is_copy AND NOT p.continuous AND p.status = 'COMPLETED'
),
arrived AS (
    SELECT c.source_point_arn AS arn, q.account, q.region, coalesce(q.completed_at, c.completed_at) AS arrived_at
    FROM backup_copy_job AS c
    JOIN backup_recovery_point AS q ON q.arn = c.dest_point_arn
    WHERE q.status = 'COMPLETED'
    UNION ALL
    SELECT c.source_point_arn, h.account, h.region, c.completed_at
    FROM backup_copy_job AS c
    JOIN history_point AS h ON h.arn = c.dest_point_arn
    CROSS JOIN as_of AS n
    WHERE c.state = 'COMPLETED' AND h.delete_at <= n.as_of
    UNION ALL
    SELECT w.arn, q.account, q.region, coalesce(q.completed_at, q.created_at)
    FROM wanted AS w
    JOIN backup_recovery_point AS q
        ON q.source_vault_arn = w.vault_arn AND q.resource_arn = w.resource_arn AND q.created_at = w.created_at
    WHERE q.status = 'COMPLETED'
),
first_arrival AS (
    SELECT arn, account, region, min(arrived_at) AS arrived_at FROM arrived GROUP BY arn, account, region
),
fate AS (
    SELECT
        w.arn,
        w.region <> w.home_region AS elsewhere,
        w.account <> w.home_account AS other_account,
        w.account || '/' || w.region AS place,
        a.arn IS NOT NULL AS arrived,
        date_diff('second', w.completed_at, a.arrived_at) AS lag_s
    FROM wanted AS w
    LEFT JOIN first_arrival AS a ON a.arn = w.arn AND a.account = w.account AND a.region = w.region
    WHERE w.region <> w.home_region OR w.account <> w.home_account
)
SELECT
    arn,
    CAST(sum(CASE WHEN elsewhere THEN 1 ELSE 0 END) AS BIGINT) AS region_copies_required,
    CAST(sum(CASE WHEN elsewhere AND NOT arrived THEN 1 ELSE 0 END) AS BIGINT) AS region_copies_missing,
    CAST(max(CASE WHEN elsewhere THEN lag_s END) AS BIGINT) AS region_copy_lag_s,
    CAST(sum(CASE WHEN other_account THEN 1 ELSE 0 END) AS BIGINT) AS account_copies_required,
    CAST(sum(CASE WHEN other_account AND NOT arrived THEN 1 ELSE 0 END) AS BIGINT) AS account_copies_missing,
    CAST(max(CASE WHEN other_account THEN lag_s END) AS BIGINT) AS account_copy_lag_s,
    min(CASE WHEN NOT arrived THEN place END) AS a_missing_place
FROM fate
GROUP BY arn
