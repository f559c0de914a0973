-- What is known of the objects of each directory, by storage class: the only step of these that reads every version.
-- `objects` and what is counted beside it are current versions; `versions` and `oldest_at` take in the noncurrent ones.
SELECT
    bucket, dir, coalesce(storage_class, '') AS storage_class,
    count(*) AS versions,
    sum(CASE WHEN is_latest THEN 1 ELSE 0 END) AS objects,
    sum(CASE WHEN is_latest AND NOT checksummed THEN 1 ELSE 0 END) AS unchecked,
    sum(CASE WHEN is_latest AND checksummed IS NULL THEN 1 ELSE 0 END) AS unchecked_unseen,
    sum(CASE WHEN is_latest AND NOT own_key THEN 1 ELSE 0 END) AS other_key,
    sum(CASE WHEN is_latest AND own_key IS NULL THEN 1 ELSE 0 END) AS key_unseen,
    sum(CASE WHEN is_latest AND sse_c THEN 1 ELSE 0 END) AS sse_c,
    sum(CASE WHEN is_latest AND sse_c IS NULL THEN 1 ELSE 0 END) AS sse_c_unseen,
    sum(CASE WHEN is_latest AND witness = 'declared' THEN 1 ELSE 0 END) AS by_declared,
    sum(CASE WHEN is_latest AND witness IS NULL THEN 1 ELSE 0 END) AS by_nobody_seen,
    min(last_modified) AS oldest_at,
    min_by(key, last_modified) AS oldest_key
FROM version
WHERE NOT is_delete_marker
GROUP BY bucket, dir, coalesce(storage_class, '')
