-- The exports of jobs none of whose sessions is seen to write: what they declare. 15_export_output.py judges the other
-- jobs, those among them with a prefix so long that an export's id would be cut.
SELECT
    o.bucket || '/' || o.prefix || '#' || o.job_uuid AS export_id,
    o.job_uuid,
    o.bucket,
    o.prefix,
    CAST(length(o.prefix) AS BIGINT) AS plen,
    o.found_by,
    o.declared,
    o.export_name,
    o.export_key,
    j.started_at - n.skew_s * INTERVAL 1 SECOND AS from_at,
    coalesce(j.finished_at, n.as_of) + INTERVAL 10 MINUTE AS until_at
FROM output o
JOIN chain_job j ON j.job_uuid = o.job_uuid
CROSS JOIN as_of n
WHERE o.declared
  AND NOT EXISTS (SELECT 1 FROM credential c WHERE c.kind = 'job' AND c.job_uuid = o.job_uuid)
  AND NOT EXISTS (SELECT 1 FROM output p WHERE p.job_uuid = o.job_uuid AND length(p.prefix) > 4000)
