-- Does the ledger's own check hold? One row, also before anything was recorded.
SELECT
    'ledger' AS subject_key,
    z.zone AS zone,
    CAST(NULL AS VARCHAR) AS account,
    CAST(NULL AS VARCHAR) AS project,
    CAST(NULL AS VARCHAR) AS owner,
    CAST(NULL AS VARCHAR) AS region,
    h.head AS head,
    CAST(coalesce(h.entries, 0) AS BIGINT) AS entries,
    h.intact AS intact,
    coalesce(h.because, '') AS differs
FROM as_of AS n
LEFT JOIN history_ledger AS h ON TRUE
LEFT JOIN (SELECT zone FROM config_zone ORDER BY rank, zone LIMIT 1) AS z ON TRUE
