-- Which recovery points were seen once and are gone before their date? NULL where their vault was not read whole.
-- One without a date, seen COMPLETED, was kept for ever: gone is early. One that ended its own way is no subject.
WITH gone AS (
    SELECT h.*
    FROM history_point AS h
    CROSS JOIN as_of AS n
    LEFT JOIN backup_recovery_point AS p ON p.arn = h.arn
    WHERE p.arn IS NULL
        AND (h.delete_at IS NULL OR h.delete_at > n.as_of)
        AND coalesce(h.deletes_after_copy, FALSE) = FALSE
        AND coalesce(h.status, '') NOT IN ('DELETING', 'EXPIRED', 'CREATING')
),
vaults_listed AS (
    SELECT DISTINCT g.arn
    FROM gone AS g
    JOIN coverage AS c
        ON c.table_name = 'backup_vault' AND c.complete AND c.account = g.account
        AND c.region IN (g.region, '*') AND c.resource = '*'
    LEFT JOIN backup_vault AS v ON v.arn = g.vault_arn
    WHERE v.arn IS NULL
),
read_whole AS (
    SELECT DISTINCT g.arn
    FROM gone AS g
    JOIN coverage AS c
        ON c.table_name = 'backup_recovery_point' AND c.complete AND c.account = g.account
        AND c.region IN (g.region, '*')
        AND (c.resource IN ('*', g.vault_arn) OR ends_with(g.vault_arn, ':' || c.resource))
),
hidden AS (
    SELECT DISTINCT g.arn
    FROM gone AS g
    JOIN coverage AS c
        ON c.table_name IN ('backup_recovery_point', 'backup_vault') AND NOT c.complete
        AND c.account IN (g.account, '*') AND c.region IN (g.region, '*')
        AND (c.resource IN ('*', g.vault_arn) OR c.resource NOT LIKE 'arn:%')
)
SELECT
    g.arn, g.vault_arn, g.account, g.region, g.resource_arn, g.status, g.delete_at, g.last_seen_at,
    CASE WHEN x.arn IS NOT NULL OR (r.arn IS NULL AND l.arn IS NULL) THEN NULL ELSE FALSE END AS present,
    CASE
        WHEN x.arn IS NOT NULL OR (r.arn IS NULL AND l.arn IS NULL) THEN NULL
        WHEN g.delete_at IS NULL AND coalesce(g.status, '') <> 'COMPLETED' THEN NULL
        ELSE TRUE
    END AS gone_early
FROM gone AS g
LEFT JOIN read_whole AS r ON r.arn = g.arn
LEFT JOIN vaults_listed AS l ON l.arn = g.arn
LEFT JOIN hidden AS x ON x.arn = g.arn
