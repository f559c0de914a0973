-- The first five objects of each group that stand for what is wrong there, of each kind.
SELECT bucket, place, kind, key
FROM (
    SELECT
        p.bucket, p.place, s.kind, s.key,
        row_number() OVER (PARTITION BY p.bucket, p.place, s.kind ORDER BY s.key) AS rank
    FROM object_sample s
    JOIN object_place p ON p.bucket = s.bucket AND p.dir = s.dir
) ranked
WHERE rank <= 5
