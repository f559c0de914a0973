-- Versions whose writer is a job's session, which alone has a job's uuid (14_credential), with the export of that job whose prefix is longest.
SELECT bucket, key, version_id, export_id
FROM (
    SELECT
        v.bucket, v.key, v.version_id, o.export_id,
        row_number() OVER (
            PARTITION BY v.bucket, v.key, v.version_id ORDER BY o.plen DESC, o.export_id
        ) AS rank
    FROM followed v
    JOIN export_output o
      ON o.job_uuid = v.job_uuid AND o.bucket = v.bucket AND substr(v.key, 1, o.plen) = o.prefix
    WHERE NOT v.is_delete_marker
) ranked
WHERE rank = 1
