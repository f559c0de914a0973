-- Exports of which nothing is in doubt, each with its whole row: one job that ended well, one session, one marker, one call,
-- and a recovery point in time. Or nothing but whose the objects are: another fits them as well, which no marker settles. What they share was judged in 37_plain_capture and 37_plain_known; here is what is theirs alone.
-- What is not known passes no condition: an export that misses one, or whose names JSON would write otherwise, is left to the judges.
WITH submit AS (
    SELECT
        g.entry_id, g.at AS called_at, g.job_uuid, coalesce(project, '') AS place, coalesce(nullif(operation_id, ''), entry_id) AS operation,
        regexp_extract(method, '[^.]*$') AS method, coalesce(nullif(principal_email, ''), principal_subject) AS principal,
        static_key_name = '' AND coalesce(delegation, '[]') = '[]' AND status_code = 0 AND coalesce(granted, TRUE)
            AND coalesce(workflow_jobs, '[]') = '[]' AS plain
    FROM gcp_audit_entry g
    WHERE g.at IS NOT NULL
      AND regexp_extract(method, '[^.]*$') IN (
        'SubmitJob', 'SubmitJobAsOperation', 'CreateBatch', 'CreateSession', 'InstantiateWorkflowTemplate',
        'InstantiateInlineWorkflowTemplate'
      )
),
sole AS (
    SELECT place, operation FROM submit GROUP BY place, operation HAVING count(*) = 1
),
told AS (
    SELECT job_uuid FROM submit WHERE job_uuid <> '' GROUP BY job_uuid HAVING count(*) = 1
),
call AS (
    SELECT s.job_uuid, s.entry_id, s.called_at, s.principal
    FROM submit s
    JOIN told t ON t.job_uuid = s.job_uuid
    JOIN sole o ON o.place = s.place AND o.operation = s.operation
    WHERE s.plain AND s.method IN ('SubmitJob', 'SubmitJobAsOperation', 'CreateBatch', 'CreateSession')
),
own AS (
    SELECT job_uuid FROM session_match WHERE job_uuid <> '' GROUP BY job_uuid HAVING count(*) = 1
),
wrote AS (
    SELECT
        c.session_key, min(w.first_at) AS first_at, max(w.last_at) AS last_at
    FROM credential c
    JOIN credential_write w
      ON w.bucket = c.bucket AND coalesce(w.access_key_id, '') = coalesce(c.access_key_id, '')
     AND coalesce(w.principal_arn, '') = coalesce(c.principal_arn, '')
    WHERE c.session_key <> ''
    GROUP BY c.session_key
),
sole_marker AS (
    SELECT export_id FROM marker GROUP BY export_id HAVING count(*) = 1
),
attested AS (
    SELECT
        m.export_id, m.form, m.last_modified, m.files, m.lost,
        m.bucket || '/' || m.key || '@' || m.version_id AS name
    FROM marker m
    JOIN sole_marker s ON s.export_id = m.export_id
    WHERE m.missing = 0 AND m.elsewhere = 0 AND NOT m.cut
),
form AS (
    SELECT export_id, max(form) AS form, count(*) - count(form) AS untold FROM marker GROUP BY export_id
),
losing AS (
    SELECT DISTINCT export_id FROM lost_version
),
scan AS (
    SELECT
        as_of, as_of - INTERVAL 1 SECOND * horizon_cloudtrail_s AS settled_at, INTERVAL 1 SECOND * skew_s AS skew
    FROM as_of
),
ended AS (
    SELECT
        o.export_id, o.export_key, o.job_uuid, o.bucket, o.prefix, o.found_by, o.declared,
        j.job_id, j.kind, j.project, j.region, j.service_account, j.state, j.started_at, j.finished_at, j.zone_label,
        coalesce(nullif(d.owner, ''), j.owner_label) AS owner,
        greatest(j.finished_at, w.last_write_at) AS ended_at, w.first_write_at, w.last_write_at, w.objects,
        coalesce(w.bytes, 0) AS bytes, coalesce(w.witnessed_objects = w.objects, FALSE) AS witnessed,
        w.taken_at, w.deleted_at, w.superseded_at, coalesce(w.rivals, 0) AS rivals,
        least(j.started_at, j.submitted_at, w.first_write_at) AS since, greatest(j.started_at, w.first_write_at) AS begun,
        CASE WHEN w.rivals > 0 THEN coalesce(f.form, 'none') ELSE a.form END AS form, a.files,
        CASE WHEN w.rivals > 0 THEN o.export_id ELSE a.name END AS marker, h.capture_due_at,
        j.creator, m.session_key, m.strength, m.because
    FROM export_output o
    JOIN chain_job j ON j.job_uuid = o.job_uuid
    JOIN export_write w ON w.export_id = o.export_id
    LEFT JOIN attested a ON a.export_id = o.export_id
    LEFT JOIN form f ON f.export_id = o.export_id
    JOIN own u ON u.job_uuid = o.job_uuid
    JOIN session_match m ON m.job_uuid = o.job_uuid
    LEFT JOIN losing l ON l.export_id = o.export_id
    LEFT JOIN history_export h ON h.export_id = o.export_id
    LEFT JOIN config_export d ON d.name = coalesce(o.export_name, '')
    WHERE l.export_id IS NULL AND NOT coalesce(h.final, FALSE)
      -- The greater of two times is the other one when one of them is not known. When it began and first wrote, and as whom
      -- it ran, is known of all that what was read (`issues`, `events`) is joined with.
      AND j.finished_at IS NOT NULL
      AND j.ending = 'well' AND j.labels_known AND j.subject <> '' AND o.found_by <> 'session'
      AND w.objects > 0 AND coalesce(w.unsupported, 0) = 0 AND coalesce(w.unversioned, 0) = 0
      -- No bucket is named that it may read from: of all that it names one is a bucket at most, where it writes.
      AND length(coalesce(j.arguments, '') || coalesce(j.properties, ''))
        - length(replace(replace(replace(coalesce(j.arguments, '') || coalesce(j.properties, ''), 's3://', '/'), 's3a://', '//'),
                         's3n://', '//'))
        <= CASE WHEN o.found_by = 'arguments' THEN 4 ELSE 0 END
      AND (
        (w.rivals > 0 AND coalesce(f.untold, 0) = 0)
        OR (a.form = 'empty' AND (w.last_part_at IS NULL OR w.last_part_at <= a.last_modified)
         AND coalesce(d.complete, '') <> 'manifest')
        OR (a.form = 'json' AND a.files = w.objects - coalesce(w.rewritten, 0) + a.lost)
      )
      -- A session that is given to a job fits no other (13_session_match).
      AND m.strength IN ('exact', 'strong')
)
SELECT
    e.export_id, e.export_key, e.job_uuid, e.job_id, e.kind, e.project, e.region, e.bucket, p.bucket_arn, p.account,
    p.bucket_region, e.prefix, e.found_by, e.declared, p.zone, p.job_zone, p.bucket_zone, e.owner, e.service_account,
    e.state AS state_of_job, e.started_at, e.finished_at, e.ended_at, e.first_write_at, e.last_write_at,
    CAST(e.objects AS BIGINT) AS objects, CAST(e.bytes AS BIGINT) AS bytes,
    CASE WHEN e.witnessed THEN 'exact' ELSE 'inferred' END AS attributed_by, e.form AS marker,
    CAST(e.rivals AS BIGINT) AS candidates, CASE WHEN e.rivals = 0 THEN TRUE END AS unambiguous, FALSE AS overwritten_before_capture,
    p.zone_stated, p.zone_falls, p.zone_says, CAST(NULL AS VARCHAR) AS superseded_by, p.point_arn AS proving_point,
    coalesce(e.capture_due_at, e.ended_at + INTERVAL 1 SECOND * p.within_s) AS capture_due_at,
    CASE WHEN c.state <> 'broken' AND e.rivals > 0 THEN 'unknown' ELSE c.state END AS state,
    CASE
        WHEN c.state = 'broken' OR e.rivals > 0 THEN 'none'
        WHEN p.strength = 'inferred' OR c.strength = 'inferred' OR e.form = 'empty' THEN 'inferred'
        ELSE 'strong' -- as the recovery point is at most
    END AS strength,
    CAST(NULL AS TIMESTAMP) AS due_at, CASE WHEN c.state = 'broken' THEN 'trigger' WHEN e.rivals > 0 THEN 'objects' ELSE '' END AS first_problem,
    c.state AS trigger_state, c.strength AS trigger_strength, CAST(NULL AS TIMESTAMP) AS trigger_due_at,
    c."before" || CASE
        WHEN c."after" IS NULL THEN '' ELSE substr(CAST(a.called_at AS VARCHAR), 1, 19) || 'Z' || c."after"
    END AS trigger_because,
    '[["gcp_audit_entry","' || a.entry_id || '"]' || CASE WHEN c.refs = '[]' THEN ']' ELSE ',' || substr(c.refs, 2) END AS trigger_refs,
    '' AS trigger_gaps, c.state = 'broken' AS trigger_broken,
    'proven' AS job_state, 'exact' AS job_strength, CAST(NULL AS TIMESTAMP) AS job_due_at,
    'the ' || e.kind || ' ended ' || e.state || ' on ' || substr(CAST(e.finished_at AS VARCHAR), 1, 19) || 'Z as '
        || e.service_account AS job_because,
    '[["dataproc_job","' || e.job_uuid || '"]]' AS job_refs, '' AS job_gaps, FALSE AS job_broken,
    'proven' AS session_state, e.strength AS session_strength, CAST(NULL AS TIMESTAMP) AS session_due_at,
    'one session of ' || e.service_account || ' on ' || i.role_arn || ', issued on '
        || substr(CAST(i.issued_at AS VARCHAR), 1, 19) || 'Z: ' || e.because AS session_because,
    '[["sts_session","' || e.session_key || '"]]' AS session_refs, '' AS session_gaps, FALSE AS session_broken,
    CASE WHEN e.rivals > 0 THEN 'unknown' ELSE 'proven' END AS objects_state,
    CASE
        WHEN e.rivals > 0 THEN 'none' WHEN e.form = 'empty' THEN 'inferred' WHEN e.witnessed THEN 'exact' ELSE 'strong'
    END AS objects_strength,
    CAST(NULL AS TIMESTAMP) AS objects_due_at,
    CASE
        WHEN e.rivals > 0 THEN 'another export fits the same objects equally well, and no data event separates them'
        WHEN e.form = 'empty' THEN CAST(e.objects AS VARCHAR) || ' objects, and an empty marker was written after them'
        ELSE 'all ' || CAST(e.files AS VARCHAR) || ' files of the manifest are there, '
            || CASE WHEN e.witnessed THEN 'and a data event tells of every version' ELSE 'by listing' END
    END AS objects_because,
    CASE WHEN e.rivals > 0 THEN '[["export","' ELSE '[["s3_manifest","' END || e.marker || '"]]' AS objects_refs,
    '' AS objects_gaps, CASE WHEN e.rivals = 0 THEN FALSE END AS objects_broken,
    'proven' AS recovery_point_state, 'strong' AS recovery_point_strength,
    coalesce(e.capture_due_at, e.ended_at + INTERVAL 1 SECOND * p.within_s) AS recovery_point_due_at,
    p.holding || substr(CAST(coalesce(e.capture_due_at, e.ended_at + INTERVAL 1 SECOND * p.within_s) AS VARCHAR), 1, 19)
        || 'Z; all ' || CAST(e.objects AS VARCHAR) || ' versions were current' AS recovery_point_because,
    p.refs AS recovery_point_refs, '' AS recovery_point_gaps, FALSE AS recovery_point_broken,
    p.copy_state, p.copy_strength, p.copy_due_at, p.copy_because, p.copy_refs, p.copy_gaps, FALSE AS copy_broken,
    p.retention_state, p.retention_strength, p.retention_due_at,
    p.kept_before || CASE
        WHEN p.kept_after IS NULL THEN ''
        ELSE substr(CAST(e.ended_at + INTERVAL 1 SECOND * (86400 * p.kept_d) AS VARCHAR), 1, 19) || 'Z' || p.kept_after
    END AS retention_because,
    p.retention_refs, p.retention_gaps, FALSE AS retention_broken
FROM ended e
CROSS JOIN scan n
JOIN call a ON a.job_uuid = e.job_uuid
JOIN sts_session i ON i.session_key = e.session_key
JOIN plain_capture p
  ON p.bucket = e.bucket AND p.zone_label IS NOT DISTINCT FROM e.zone_label
 AND e.ended_at + n.skew > p.after_at AND e.ended_at + n.skew <= p.until_at
JOIN plain_known c
  ON c.what = 'call' AND c.principal = a.principal AND c.kind = e.kind AND c.project = e.project AND c.region = e.region
 AND c.zone = p.zone AND a.called_at > c.from_at AND a.called_at < c.until_at
JOIN plain_known s
  ON s.what = 'issues' AND s.service_account = e.service_account AND s.account = p.account
 AND s.from_at <= e.started_at - INTERVAL 5 MINUTE AND least(e.ended_at + n.skew, n.as_of) <= s.until_at
JOIN plain_known v
  ON v.what = 'events' AND v.bucket = e.bucket
 AND v.from_at <= e.first_write_at - n.skew AND least(p.started_at + n.skew, n.as_of) <= v.until_at
JOIN plain_known d
  ON d.what = 'declared' AND d.service_account = e.service_account AND d.role_arn = i.role_arn AND d.provider = i.provider
 AND d.audience = i.audience
LEFT JOIN wrote w ON w.session_key = e.session_key
LEFT JOIN plain_known k
  ON k.what = 'clear' AND e.rivals > 0 AND k.bucket = e.bucket AND k.service_account = e.service_account
 AND k.project = e.project AND k.region = e.region
WHERE e.ended_at <= n.settled_at AND e.ended_at <= p.ended_until
  AND p.completed_at <= coalesce(e.capture_due_at, e.ended_at + INTERVAL 1 SECOND * p.within_s)
  AND coalesce(e.taken_at > p.started_at, TRUE) AND coalesce(e.deleted_at > p.started_at, TRUE)
  AND coalesce(e.superseded_at > p.started_at, TRUE)
  AND e.started_at - INTERVAL 5 MINUTE <= least(e.ended_at + n.skew, n.as_of)
  AND e.first_write_at - n.skew <= least(p.started_at + n.skew, n.as_of)
  AND (e.creator IS NULL OR e.creator = '' OR e.creator = a.principal)
  AND coalesce(c.job_id = e.job_id, c.job_id IS NULL)
  AND i.issued_at IS NOT NULL
  AND (w.session_key IS NULL OR (w.last_at <= i.expires_at + n.skew AND w.first_at >= i.issued_at - n.skew))
  -- That another fits is all there is to say where nothing hides what would tell them apart (links/hiding.py). It was asked
  -- from the first of them on (36_plain_asked): `from_at` is later than none of them.
  AND (e.rivals = 0 OR (
    k.from_at <= least(e.since - n.skew, e.started_at - INTERVAL 5 MINUTE)
    AND greatest(e.begun - n.skew, e.started_at - INTERVAL 5 MINUTE) + INTERVAL 2 SECOND <= least(e.ended_at + n.skew, n.as_of)
  ))
  -- What JSON would escape, what is too long to be kept as it is, and what is not known (of it no length is) is written by
  -- the judges.
  AND regexp_extract(a.entry_id || e.job_uuid || e.session_key || e.marker, '^[ !#-Z^-~]*$')
    = a.entry_id || e.job_uuid || e.session_key || e.marker
  AND length(a.entry_id || e.job_uuid || e.session_key || e.marker) <= 3000
  AND length(e.service_account || i.role_arn || e.because || e.state || e.kind) <= 3000
