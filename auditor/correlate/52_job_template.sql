-- Which workflow template made each job: by the audit entry that lists it. The version is known only if the template, as it
-- stands now, was last changed before that entry.
SELECT
    j.job_uuid AS job_uuid,
    min(w.template) AS template,
    count(DISTINCT w.template) AS templates,
    max(CASE WHEN t.updated_at <= w.at THEN t.version END) AS version
FROM (
    SELECT e.project AS project, e.resource_name AS template, e.at AS at, unnest(from_json(e.workflow_jobs, '["VARCHAR"]')) AS job_id
    FROM gcp_audit_entry AS e
    WHERE e.method LIKE '%.InstantiateWorkflowTemplate' AND e.workflow_jobs IS NOT NULL AND e.resource_name IS NOT NULL
        AND coalesce(e.status_code, 0) = 0
) AS w
INNER JOIN dataproc_job AS j ON j.job_id = w.job_id AND j.project = w.project AND j.submitted_at >= w.at - INTERVAL '120' SECOND
LEFT JOIN dataproc_workflow_template AS t ON t.name = w.template
GROUP BY j.job_uuid
