SELECT job_uuid, 'job' AS kind, 'job-' || n AS job_id, 'jobs/' || n AS name, 'data' AS project,
    'europe-west1' AS region, 'DONE' AS state, '' AS state_detail, TRUE AS done, began AS submitted_at,
    began AS started_at,
    ended AS finished_at, 'batch' AS cluster_name, CAST(NULL AS VARCHAR) AS cluster_uuid, sa AS service_account,
    '' AS creator,
    'spark' AS type, '' AS main, '["--output","s3a://' || bucket || '/' || prefix || '"]' AS arguments,
    '{}' AS properties,
    '{"data-zone":"phi"}' AS labels, '' AS driver_output_uri FROM job
