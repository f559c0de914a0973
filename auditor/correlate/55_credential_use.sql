-- When was each credential last seen to write or delete an object?
SELECT access_key_id, max(e.at) AS last_at, count(*) AS writes
FROM s3_data_event AS e
WHERE access_key_id IS NOT NULL AND coalesce(error_code, '') = ''
GROUP BY access_key_id
