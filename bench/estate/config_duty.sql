SELECT 'data-eng' AS group_name, '' AS directory, 'data' AS project, '*' AS region, '*' AS job_id, '*' AS zone,
    '*' AS starts
