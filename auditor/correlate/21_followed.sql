-- Every version of the keys that a data event tells of, with what became of each and who wrote it.
-- Versions of other keys are not here: nobody was seen writing them, so they are told in cells (22_cell), and when they
-- were overwritten by the hour (25_overwritten).
-- `witness` is the kind of the writer's credential (14_credential); NULL when no event tells.
-- `exists_at`: a multipart object's last_modified is the START of its upload; it exists when the upload completes.
-- `rewritten`: the same job wrote the key again, over a delete marker or not: that is neither an overwrite nor a loss.
-- `superseded_at` tells of the next write by anybody else, and of delete markers.
-- A version whose event holds no version id is matched by key when the event is within two seconds of it, and only if
-- all such events are of one credential. Where several events fit, neither `own_key` nor `sse_c` is known.
WITH written_key AS (
    SELECT DISTINCT bucket, key FROM written
),
near_one AS (
    SELECT v.bucket, v.key, v.version_id, v.account, v.region, v.dir, v.last_modified, v.bytes, v.storage_class, v.checksums,
        coalesce(v.is_latest, FALSE) AS is_latest, v.is_delete_marker
    FROM s3_object_version v
    JOIN written_key k ON k.bucket = v.bucket AND k.key = v.key
),
exact AS (
    SELECT v.bucket, v.key, v.version_id, max(w.event_id) AS event_id, count(DISTINCT w.event_id) AS events
    FROM near_one v
    JOIN written w ON w.bucket = v.bucket AND w.key = v.key AND w.version_id = v.version_id
    GROUP BY v.bucket, v.key, v.version_id
),
near AS (
    SELECT v.bucket, v.key, v.version_id, max(w.event_id) AS event_id, count(DISTINCT w.event_id) AS events
    FROM near_one v
    JOIN written w ON w.bucket = v.bucket AND w.key = v.key AND w.version_id IS NULL
     AND w.at BETWEEN v.last_modified - INTERVAL 2 SECOND AND v.last_modified + INTERVAL 2 SECOND
    WHERE NOT v.is_delete_marker
    GROUP BY v.bucket, v.key, v.version_id
    HAVING count(DISTINCT w.access_key_id || ' ' || w.principal_arn) = 1
),
told AS (
    SELECT
        n.bucket, n.key, n.version_id, coalesce(e.event_id, n.event_id) AS event_id, coalesce(e.events, n.events) AS events
    FROM near n
    LEFT JOIN exact e ON e.bucket = n.bucket AND e.key = n.key AND e.version_id = n.version_id
    UNION
    SELECT bucket, key, version_id, event_id, events FROM exact
),
signed AS (
    SELECT
        t.bucket, t.key, t.version_id, w.event_id, w.at AS event_at, w.access_key_id, w.principal_arn, w.kind, w.job_uuid,
        CASE WHEN t.events = 1 THEN w.own_key END AS own_key,
        CASE WHEN t.events = 1 THEN w.sse_c END AS sse_c
    FROM told t
    JOIN written w ON w.event_id = t.event_id
),
named AS (
    SELECT
        v.*, s.own_key, s.sse_c, s.event_id, s.event_at, s.access_key_id, s.principal_arn, s.kind, s.job_uuid,
        greatest(v.last_modified, coalesce(s.event_at, v.last_modified)) AS exists_at
    FROM near_one v
    LEFT JOIN signed s ON s.bucket = v.bucket AND s.key = v.key AND s.version_id = v.version_id
),
ordered AS (
    SELECT
        n.*,
        lead(n.exists_at) OVER later AS next_at,
        lead(n.kind) OVER later AS next_kind,
        lead(n.is_delete_marker) OVER later AS next_is_marker,
        count(CASE WHEN NOT n.is_delete_marker THEN 1 END) OVER later AS nth
    FROM named n
    WINDOW later AS (PARTITION BY n.bucket, n.key ORDER BY n.is_latest, n.last_modified, n.is_delete_marker, n.version_id)
),
again AS (
    SELECT o.bucket, o.key, o.nth, o.job_uuid FROM ordered o WHERE NOT o.is_delete_marker AND o.job_uuid IS NOT NULL
),
judged AS (
    SELECT o.*, coalesce(NOT o.is_delete_marker AND a.job_uuid = o.job_uuid, FALSE) AS rewritten
    FROM ordered o
    LEFT JOIN again a ON a.bucket = o.bucket AND a.key = o.key AND a.nth = o.nth + 1
)
SELECT
    j.bucket, j.key, j.version_id, j.account, j.region, j.dir, p.place, p.staging,
    j.last_modified, j.exists_at, j.bytes, j.storage_class, j.is_latest, j.is_delete_marker, j.rewritten,
    CASE WHEN NOT j.rewritten THEN j.next_at END AS superseded_at,
    NOT j.rewritten AND coalesce(j.next_kind IN ('foreign', 'job'), FALSE) AS superseded_by_other,
    CASE WHEN j.next_is_marker AND NOT j.rewritten THEN j.next_at END AS deleted_at,
    j.checksums <> 'none' AS checksummed, j.own_key, j.sse_c,
    j.event_id, j.event_at, j.access_key_id, j.principal_arn, j.kind AS witness, j.job_uuid
FROM judged j
JOIN place p ON p.bucket = j.bucket AND p.dir = j.dir
