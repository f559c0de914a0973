-- Of how many resources that AWS Backup calls protected was no recovery point listed, by place.
SELECT
    p.account AS account,
    p.region AS region,
    count(*) AS resources,
    count(*) FILTER (WHERE q.resource_arn IS NULL) AS unlisted,
    min(CASE WHEN q.resource_arn IS NULL THEN p.resource_arn END) AS example
FROM backup_protected AS p
LEFT JOIN (SELECT DISTINCT resource_arn, account, region FROM backup_recovery_point) AS q
    ON q.resource_arn = p.resource_arn AND q.account = p.account AND q.region = p.region
GROUP BY p.account, p.region
