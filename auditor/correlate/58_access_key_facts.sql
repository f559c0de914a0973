-- Which long-term access keys are there, of whom, and how old are they?
SELECT
    k.access_key_id AS subject_key,
    z.zone AS zone,
    k.account AS account,
    CAST(NULL AS VARCHAR) AS project,
    json_extract_string(u.tags, '$.owner') AS owner,
    '*' AS region,
    k.user_arn AS user_arn,
    k.status AS status,
    k.created_at AS created_at,
    k.last_used_at AS last_used_at,
    CAST(date_diff('second', k.created_at, n.as_of) AS BIGINT) AS age_s
FROM iam_access_key AS k
CROSS JOIN as_of AS n
LEFT JOIN iam_user AS u ON u.arn = k.user_arn
LEFT JOIN (SELECT zone FROM config_zone ORDER BY rank, zone LIMIT 1) AS z ON TRUE
