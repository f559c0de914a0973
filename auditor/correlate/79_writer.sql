-- Who wrote into each directory under an export's prefix, and which keys, five at most?
-- Staging of committers is left out: a magic or temporary directory holds nothing that is exported.
WITH event AS (
    SELECT
        d.bucket, d.key, d.version_id, d.at AS written_at,
        regexp_replace(key, '[^/]*$', '') AS dir,
        coalesce(role_arn, principal_arn, '') AS writer,
        coalesce(principal_arn, '') AS principal,
        coalesce(principal_type, '') AS principal_type
    FROM s3_data_event AS d
    WHERE coalesce(error_code, '') = ''
        AND event_name IN ('PutObject', 'CopyObject', 'PostObject', 'CompleteMultipartUpload')
        AND key NOT LIKE '%/_temporary/%' AND key NOT LIKE '%/__magic%' AND key NOT LIKE '%/.spark-staging%'
        AND key NOT LIKE '%/_SUCCESS'
),
dirs AS (SELECT DISTINCT bucket, dir FROM event),
under AS (
    SELECT DISTINCT d.bucket, d.dir
    FROM dirs AS d
    JOIN (SELECT DISTINCT bucket, prefix FROM export) AS e
        ON e.bucket = d.bucket AND starts_with(d.dir, e.prefix)
),
placed AS (
    SELECT
        v.*,
        row_number() OVER (PARTITION BY v.bucket, v.dir, v.writer, v.principal, v.principal_type ORDER BY v.written_at, v.key, v.version_id) AS place,
        count(*) OVER (PARTITION BY v.bucket, v.dir, v.writer, v.principal, v.principal_type) AS writes
    FROM event AS v
    JOIN under AS u ON u.bucket = v.bucket AND u.dir = v.dir
)
SELECT bucket, dir, writer, principal, principal_type, key, version_id, written_at, writes
FROM placed
WHERE place <= 5
