SELECT CAST(n AS VARCHAR) AS id, 'person-' || n || '@example.com' AS email, 'active' AS status,
    CAST(NULL AS TIMESTAMP) AS disabled_at, '' AS subject, '' AS owner, 'csv' AS directory,
    CAST(NULL AS TIMESTAMP) AS disabled_by,
    TIMESTAMP '2026-01-01' - to_days(400) AS active_from FROM range(50) AS r(n)
