-- What do rules judge of the objects of one run of a declared export, or of one folder beside them?
WITH oldest AS (
    SELECT bucket, place, min(oldest_at) AS oldest_at FROM group_class GROUP BY bucket, place
),
counted AS (
    SELECT
        c.bucket, c.place,
        CAST(sum(c.versions) AS BIGINT) AS versions,
        CAST(sum(c.objects) AS BIGINT) AS objects,
        CAST(sum(c.unchecked) AS BIGINT) AS unchecked,
        sum(c.unchecked_unseen) AS unchecked_unseen,
        CAST(sum(c.other_key) AS BIGINT) AS other_key,
        CAST(sum(c.key_unseen) AS BIGINT) AS key_unseen,
        CAST(sum(c.sse_c) AS BIGINT) AS sse_c,
        CAST(sum(c.sse_c_unseen) AS BIGINT) AS sse_c_unseen,
        CAST(sum(c.outside) AS BIGINT) AS outside,
        CAST(sum(c.outside_unseen) AS BIGINT) AS outside_unseen,
        max(o.oldest_at) AS oldest_at,
        min(CASE WHEN c.oldest_at = o.oldest_at THEN c.oldest_key END) AS oldest_key
    FROM group_class c
    JOIN oldest o ON o.bucket = c.bucket AND o.place = c.place
    GROUP BY c.bucket, c.place
),
classes AS (
    SELECT
        bucket, place,
        CAST(to_json(list(storage_class ORDER BY storage_class)) AS VARCHAR) AS listed,
        string_agg(storage_class || ' ' || objects, ', ' ORDER BY storage_class) AS said
    FROM group_class
    WHERE objects > 0
    GROUP BY bucket, place
),
samples AS (
    SELECT bucket, place, kind, CAST(to_json(list(key ORDER BY key)) AS VARCHAR) AS keys
    FROM group_sample
    GROUP BY bucket, place, kind
),
sampled AS (
    SELECT
        bucket, place,
        max(CASE WHEN kind = 'unchecked' THEN keys END) AS unchecked,
        max(CASE WHEN kind = 'other_key' THEN keys END) AS other_key,
        max(CASE WHEN kind = 'skipped' THEN keys END) AS skipped,
        max(CASE WHEN kind = 'outside' THEN keys END) AS outside
    FROM samples
    GROUP BY bucket, place
),
exports AS (
    SELECT count(*) AS declared FROM config_export
)
SELECT
    c.bucket || '/' || c.place AS subject_key,
    b.zone AS zone,
    b.account AS account,
    CAST(NULL AS VARCHAR) AS project,
    b.owner AS owner,
    b.region AS region,
    c.bucket AS bucket,
    'arn:aws:s3:::' || c.bucket AS listed_in,
    c.place AS prefix,
    c.objects AS objects,
    c.versions AS versions,
    c.unchecked AS unchecked,
    CASE WHEN c.unchecked_unseen = 0 THEN TRUE END AS checksums_known,
    coalesce(s.unchecked, '[]') AS unchecked_keys,
    c.other_key AS other_key,
    CASE WHEN c.key_unseen = 0 THEN TRUE END AS keys_known,
    CASE
        WHEN c.key_unseen = 0 THEN ''
        WHEN h.encryption IS NULL THEN 'the bucket''s encryption was not read'
        WHEN h.encryption LIKE 'aws:kms%' AND h.kms_key IS NULL THEN 'the bucket''s key is named by an alias that nobody told the key of'
        ELSE 'of ' || c.key_unseen || ' of ' || c.objects || ' objects no data event of the write was seen that says by what they are encrypted'
    END AS keys_says,
    coalesce(s.other_key, '[]') AS other_keys,
    h.encryption AS bucket_encryption,
    h.kms_key AS bucket_key,
    coalesce(k.listed, '[]') AS classes,
    coalesce(k.said, '') AS classes_say,
    c.sse_c AS sse_c,
    CASE WHEN c.sse_c_unseen = 0 THEN TRUE END AS sse_c_known,
    CASE
        WHEN c.sse_c_unseen > 0
            THEN 'of ' || c.sse_c_unseen || ' of ' || c.objects || ' objects no data event of the write was seen that says whether the writer sent a key along'
        ELSE ''
    END AS sse_c_says,
    coalesce(s.skipped, '[]') AS skipped_keys,
    CASE
        WHEN e.declared = 0 THEN NULL
        WHEN h.other_writers THEN c.outside - c.outside_unseen
        WHEN c.outside_unseen > 0 AND h.other_writers IS NULL THEN NULL
        ELSE c.outside
    END AS outside,
    CASE
        WHEN e.declared = 0 THEN NULL
        WHEN c.outside_unseen = 0 OR NOT h.other_writers THEN TRUE
    END AS outside_known,
    CASE
        WHEN e.declared = 0 THEN 'the configuration declares no export'
        WHEN c.outside_unseen > 0 AND coalesce(h.other_writers, TRUE)
            THEN 'a declared writer may have written ' || c.outside_unseen || ' of them, and no data event says who did'
        ELSE ''
    END AS outside_says,
    coalesce(s.outside, '[]') AS outside_keys,
    c.oldest_at AS oldest_at,
    c.oldest_key AS oldest_key,
    date_diff('second', c.oldest_at, n.as_of) AS oldest_age_s,
    CASE WHEN NOT h.holds_possible THEN FALSE END AS on_hold,
    CASE
        WHEN h.holds_possible IS NULL THEN 'whether the bucket has object lock was not read'
        WHEN h.holds_possible THEN 'the bucket has object lock, and a hold or a retention of its own stands at each object alone'
        ELSE ''
    END AS on_hold_says
FROM counted c
CROSS JOIN as_of n
CROSS JOIN exports e
LEFT JOIN object_home h ON h.bucket = c.bucket
LEFT JOIN bucket_facts b ON b.name = c.bucket
LEFT JOIN classes k ON k.bucket = c.bucket AND k.place = c.place
LEFT JOIN sampled s ON s.bucket = c.bucket AND s.place = c.place
