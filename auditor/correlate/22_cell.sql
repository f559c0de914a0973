-- Versions that no event attributes, grouped by bucket, directory and hour: cells are joined with prefixes, objects
-- are not (engine.md, section 1). A stranger's or a declared writer's version belongs to no job.
-- `lo` and `hi` are what windows are compared with; `last` is when the newest of them existed, which ends an export.
SELECT
    bucket, dir, date_trunc('hour', last_modified) AS hr,
    min(last_modified) AS lo,
    max(last_modified) AS hi,
    max(exists_at) AS last,
    max(CASE WHEN is_marker OR is_staging THEN NULL ELSE exists_at END) AS part_hi,
    sum(CASE WHEN is_marker OR is_staging THEN 0 ELSE 1 END) AS objects,
    sum(CASE WHEN is_marker OR is_staging OR NOT rewritten THEN 0 ELSE 1 END) AS rewritten,
    sum(CASE WHEN is_marker OR is_staging THEN 0 ELSE bytes END) AS bytes,
    sum(CASE WHEN storage_class IN ('GLACIER', 'DEEP_ARCHIVE') THEN 1 ELSE 0 END) AS unsupported,
    sum(CASE WHEN version_id = 'null' THEN 1 ELSE 0 END) AS unversioned,
    min(CASE WHEN is_marker OR is_staging THEN NULL ELSE superseded_at END) AS superseded_at,
    min(CASE WHEN is_marker OR is_staging OR NOT superseded_by_other THEN NULL ELSE superseded_at END) AS taken_at,
    min(CASE WHEN is_marker OR is_staging THEN NULL ELSE deleted_at END) AS deleted_at
FROM version
WHERE NOT is_delete_marker AND (witness IS NULL OR witness IN ('ambiguous', 'no_issue'))
GROUP BY bucket, dir, date_trunc('hour', last_modified)
