-- The oldest version of each directory and storage class; of several as old, the one whose key is least.
SELECT d.bucket, d.dir, d.storage_class, min(v.key) AS oldest_key
FROM object_dir d
JOIN s3_object_version v
  ON v.bucket = d.bucket AND v.dir = d.dir AND coalesce(v.storage_class, '') = d.storage_class
 AND v.last_modified = d.oldest_at
WHERE NOT v.is_delete_marker
GROUP BY d.bucket, d.dir, d.storage_class
