-- Which credentials wrote where, by directory and hour: what sessions are matched with jobs by.
-- Events that failed wrote nothing. A service without an access key is named by its principal alone. An event that
-- does not say where or when is a gap of its source.
SELECT
    coalesce(access_key_id, '') AS access_key_id,
    coalesce(principal_arn, '') AS principal_arn,
    max(principal_type) AS principal_type,
    max(role_arn) AS role_arn,
    max(session_name) AS session_name,
    max(account) AS account,
    bucket,
    regexp_replace(key, '[^/]*$', '') AS dir,
    date_trunc('hour', s3_data_event.at) AS hr,
    count(*) AS writes,
    min(s3_data_event.at) AS first_at,
    max(s3_data_event.at) AS last_at,
    min(key) AS first_key,
    max(key) AS last_key
FROM s3_data_event
WHERE coalesce(error_code, '') = ''
  AND event_name IN ('PutObject', 'PostObject', 'CopyObject', 'CompleteMultipartUpload')
  AND bucket IS NOT NULL AND key IS NOT NULL AND s3_data_event.at IS NOT NULL
GROUP BY coalesce(access_key_id, ''), coalesce(principal_arn, ''), bucket, regexp_replace(key, '[^/]*$', ''), date_trunc('hour', s3_data_event.at)
