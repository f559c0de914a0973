-- What is known of the objects of each group, by storage class: few rows of many directories.
WITH placed AS (
    SELECT p.place, p.declared, d.*, o.oldest_key
    FROM object_dir d
    JOIN object_place p ON p.bucket = d.bucket AND p.dir = d.dir
    LEFT JOIN object_oldest o ON o.bucket = d.bucket AND o.dir = d.dir AND o.storage_class = d.storage_class
),
counted AS (
    SELECT
        bucket, place, storage_class,
        sum(versions) AS versions,
        sum(objects) AS objects,
        sum(unchecked) AS unchecked,
        sum(unchecked_unseen) AS unchecked_unseen,
        sum(other_key) AS other_key,
        sum(key_unseen) AS key_unseen,
        sum(sse_c) AS sse_c,
        sum(sse_c_unseen) AS sse_c_unseen,
        sum(CASE WHEN declared THEN 0 ELSE objects - by_declared END) AS outside,
        sum(CASE WHEN declared THEN 0 ELSE by_nobody_seen END) AS outside_unseen,
        min(oldest_at) AS oldest_at
    FROM placed
    GROUP BY bucket, place, storage_class
)
SELECT
    c.bucket, c.place, c.storage_class,
    CAST(max(c.versions) AS BIGINT) AS versions,
    CAST(max(c.objects) AS BIGINT) AS objects,
    CAST(max(c.unchecked) AS BIGINT) AS unchecked,
    CAST(max(c.unchecked_unseen) AS BIGINT) AS unchecked_unseen,
    CAST(max(c.other_key) AS BIGINT) AS other_key,
    CAST(max(c.key_unseen) AS BIGINT) AS key_unseen,
    CAST(max(c.sse_c) AS BIGINT) AS sse_c,
    CAST(max(c.sse_c_unseen) AS BIGINT) AS sse_c_unseen,
    CAST(max(c.outside) AS BIGINT) AS outside,
    CAST(max(c.outside_unseen) AS BIGINT) AS outside_unseen,
    max(c.oldest_at) AS oldest_at,
    min(p.oldest_key) AS oldest_key
FROM counted c
JOIN placed p ON p.bucket = c.bucket AND p.place = c.place AND p.storage_class = c.storage_class
WHERE p.oldest_at = c.oldest_at OR c.oldest_at IS NULL
GROUP BY c.bucket, c.place, c.storage_class
