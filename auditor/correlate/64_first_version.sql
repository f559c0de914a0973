-- Since when does each bucket hold objects? All that is asked of versions where points are judged.
SELECT bucket, min(last_modified) AS first_at
FROM s3_object_version
WHERE NOT is_delete_marker
GROUP BY bucket
