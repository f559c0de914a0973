-- Each export's writes in one row. Every aggregate names the end it needs: the oldest write opens the window, the
-- newest ends the export, the earliest overwrite is what a capture must come before.
SELECT
    export_id,
    sum(objects) AS objects,
    sum(rewritten) AS rewritten,
    sum(bytes) AS bytes,
    sum(CASE WHEN attributed_by = 'exact' THEN objects ELSE 0 END) AS witnessed_objects,
    sum(unsupported) AS unsupported,
    sum(unversioned) AS unversioned,
    min(lo) AS first_write_at,
    max(hi) AS last_write_at,
    max(part_hi) AS last_part_at,
    min(superseded_at) AS superseded_at,
    min(taken_at) AS taken_at,
    min(deleted_at) AS deleted_at,
    max(rivals) AS rivals
FROM burst
GROUP BY export_id
