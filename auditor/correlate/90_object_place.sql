-- Which group each directory belongs to: the run's folder of the declared prefix it lies under (`claims/date=1/` of
-- `claims/date={date}/`), else its first folder, or the first one down that leads to no declared prefix. What jobs were
-- seen says nothing here: a group is the same in a scan that sees none. `declared`: a prefix takes it in.
WITH dirs AS (
    SELECT DISTINCT bucket, dir FROM object_dir
),
lengths AS (
    SELECT DISTINCT bucket, flen FROM declared_prefix
),
cut AS (
    SELECT
        d.bucket, d.dir, substr(d.dir, 1, l.flen) AS fixed,
        length(d.dir) - length(replace(d.dir, '/', '')) AS folders
    FROM dirs d
    JOIN lengths l ON l.bucket = d.bucket AND l.flen <= length(d.dir)
),
runs AS (
    SELECT
        c.bucket, c.dir, p.pattern,
        CASE
            WHEN p.folders = 0 THEN ''
            ELSE array_to_string(list_slice(string_split(c.dir, '/'), 1, p.folders), '/') || '/'
        END AS run
    FROM cut c
    JOIN declared_prefix p ON p.bucket = c.bucket AND p.fixed = c.fixed
    WHERE c.folders >= p.folders
),
declared AS (
    SELECT bucket, dir, max(length(run)) AS rlen
    FROM runs
    WHERE pattern IS NULL OR run LIKE pattern ESCAPE '\'
    GROUP BY bucket, dir
),
firsts AS (
    SELECT DISTINCT bucket, regexp_extract(folder, '^[^/]*/') AS folder FROM declared_prefix
),
seconds AS (
    SELECT DISTINCT bucket, regexp_extract(folder, '^[^/]*/[^/]*/') AS folder FROM declared_prefix
),
stepped AS (
    SELECT
        bucket, dir,
        regexp_extract(dir, '^[^/]*/') AS first_folder,
        regexp_extract(dir, '^[^/]*/[^/]*/') AS second_folder
    FROM dirs
)
SELECT
    s.bucket, s.dir,
    CASE
        WHEN c.dir IS NOT NULL THEN substr(s.dir, 1, c.rlen)
        WHEN f.folder IS NULL THEN s.first_folder
        WHEN s.second_folder <> '' AND g.folder IS NULL THEN s.second_folder
        ELSE s.dir
    END AS place,
    c.dir IS NOT NULL AS declared
FROM stepped s
LEFT JOIN declared c ON c.bucket = s.bucket AND c.dir = s.dir
LEFT JOIN firsts f ON f.bucket = s.bucket AND f.folder = s.first_folder
LEFT JOIN seconds g ON g.bucket = s.bucket AND g.folder = s.second_folder
