SELECT 'e-' || n AS entry_id, 'data' AS project, 'europe-west1' AS region, began AS at, began AS received_at,
    'activity' AS log, 'dataproc.googleapis.com' AS service,
    'google.cloud.dataproc.v1.JobController.SubmitJob' AS method,
    'person-' || n % 50 || '@example.com' AS principal_email,
    '' AS principal_subject, '' AS static_key_name, '[]' AS delegation, '10.0.0.1' AS caller_ip, '' AS user_agent,
    'projects/data/regions/europe-west1/jobs/job-' || n AS resource_name, TRUE AS granted, 0 AS status_code,
    CAST(NULL AS VARCHAR) AS operation_id, FALSE AS operation_first, FALSE AS operation_last,
    'job-' || n AS job_id, job_uuid,
    'batch' AS cluster_name FROM job
