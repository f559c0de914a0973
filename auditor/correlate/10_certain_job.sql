-- Jobs that were seen and of whose account nothing is in doubt: they name it themselves, or their cluster, which maps
-- nobody to another, or nobody does. Their sentences are those of 10_chain_job.py, which judges the others: what only
-- Python puts in lower case, decodes as Python does, or would cut is left to it. JSON is copied: it is stored canonical.
WITH plain AS (
    SELECT zone_label, export_label
    FROM as_of
    WHERE regexp_extract(zone_label, '^[a-z0-9_-]+$') <> '' AND regexp_extract(export_label, '^[a-z0-9_-]+$') <> ''
      AND NOT EXISTS (
        SELECT 1 FROM config_subject WHERE regexp_extract(service_account, '^[a-z0-9@._:-]+$') <> service_account
      )
),
known AS (
    SELECT
        j.*, c.origin, c.cluster_uuid AS seen_cluster, c.service_account AS cluster_account,
        coalesce(nullif(j.service_account, ''), nullif(c.service_account, '')) AS account
    FROM dataproc_job j
    LEFT JOIN dataproc_cluster c
      ON c.cluster_uuid = j.cluster_uuid AND c.cluster_uuid <> '' AND coalesce(j.service_account, '') = ''
    WHERE j.kind IN ('job', 'batch', 'session')
      AND coalesce(c.user_service_accounts, '{}') = '{}'
      AND (j.arguments IS NULL OR starts_with(j.arguments, '['))
      AND (j.properties IS NULL OR starts_with(j.properties, '{'))
      AND (j.labels IS NULL OR (starts_with(j.labels, '{') AND replace(j.labels, '\', '') = j.labels))
)
SELECT
    k.job_uuid, k.kind, k.job_id, k.project, k.region, k.state, k.state_detail,
    k.submitted_at, coalesce(k.started_at, k.submitted_at) AS started_at, k.finished_at,
    k.cluster_name, k.cluster_uuid, k.creator, k.arguments, k.properties,
    CASE
        WHEN k.state = 'DELETED' THEN 'deleted'
        WHEN k.done IS NULL THEN 'unknown'
        WHEN NOT k.done THEN CASE WHEN k.state IS NULL THEN 'unknown' ELSE 'running' END
        WHEN k.kind = 'job' AND k.state = 'DONE' THEN 'well'
        WHEN k.kind = 'batch' AND k.state = 'SUCCEEDED' THEN 'well'
        WHEN k.kind = 'session' AND k.state = 'TERMINATED' THEN 'well'
        WHEN k.state IN ('ERROR', 'CANCELLED', 'FAILED') THEN 'failed'
        ELSE 'unknown'
    END AS ending,
    k.account AS service_account,
    CASE
        WHEN k.service_account <> '' THEN 'the ' || k.kind || ' itself names it'
        WHEN coalesce(k.cluster_uuid, '') = '' THEN 'the ' || k.kind || ' names neither a service account nor a cluster'
        WHEN k.seen_cluster IS NULL THEN 'cluster ' || k.cluster_name || ' (' || k.cluster_uuid || ') was not seen'
        ELSE CASE WHEN k.origin = 'audit' THEN 'the CreateCluster entry of ' ELSE 'the record of ' END
            || CASE WHEN k.account IS NULL THEN 'cluster ' || k.cluster_name || ' names no service account'
                ELSE 'its cluster ' || k.cluster_name || ' names it' END
    END AS service_account_because,
    s.subject,
    json_extract_string(k.labels, '$."' || p.zone_label || '"') AS zone_label,
    json_extract_string(k.labels, '$."' || p.export_label || '"') AS export_label,
    json_extract_string(k.labels, '$.owner') AS owner_label,
    k.labels IS NOT NULL AS labels_known
FROM known k
CROSS JOIN plain p
LEFT JOIN config_subject s ON s.service_account = k.account
WHERE (k.account IS NULL OR regexp_extract(k.account, '^[a-z0-9@._:-]+$') = k.account)
  AND (k.service_account <> '' OR coalesce(k.cluster_uuid, '') = '' OR length(k.cluster_name || k.cluster_uuid) <= 1000)
