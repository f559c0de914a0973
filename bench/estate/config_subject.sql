SELECT 'sa-' || n || '@data.iam.gserviceaccount.com' AS service_account, CAST(100000 + n AS VARCHAR) AS subject
    FROM range(200) AS r(n)
