SELECT CAST(n AS VARCHAR) AS user_id, CASE WHEN n < 47 THEN 'data-eng' ELSE 'guests' END AS group_name,
    TIMESTAMP '2026-01-01' - to_days(300) AS from_at, CAST(NULL AS TIMESTAMP) AS until_at FROM range(50) AS r(n)
