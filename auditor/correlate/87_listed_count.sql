-- How many users and roles were listed in each account: what a second count is compared with.
SELECT 'iam_role' AS table_name, account, count(*) AS rows FROM iam_role GROUP BY account
UNION ALL
SELECT 'iam_user', account, count(*) FROM iam_user GROUP BY account
UNION ALL
-- An account without any has no row there: then none was listed, and the second count says whether that is so.
SELECT c.table_name, c.account, 0
FROM second_count AS c
WHERE NOT EXISTS (SELECT 1 FROM iam_role AS r WHERE r.account = c.account AND c.table_name = 'iam_role')
    AND NOT EXISTS (SELECT 1 FROM iam_user AS u WHERE u.account = c.account AND c.table_name = 'iam_user')
