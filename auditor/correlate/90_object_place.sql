-- Which group each directory belongs to: the longest export's prefix above it, else the folder of the declared prefix it
-- lies under, else its first folder, or the first one down that holds no export. `declared`: some export's prefix of the
-- configuration takes it in.
WITH dirs AS (
    SELECT DISTINCT bucket, dir FROM object_dir
),
prefixes AS (
    SELECT DISTINCT bucket, prefix FROM export_output
),
lengths AS (
    SELECT DISTINCT bucket, length(prefix) AS plen FROM prefixes
),
cut AS (
    SELECT d.bucket, d.dir, l.plen, substr(d.dir, 1, l.plen) AS prefix
    FROM dirs d
    JOIN lengths l ON l.bucket = d.bucket AND l.plen <= length(d.dir)
),
under AS (
    SELECT c.bucket, c.dir, max(c.plen) AS plen
    FROM cut c
    JOIN prefixes p ON p.bucket = c.bucket AND p.prefix = c.prefix
    GROUP BY c.bucket, c.dir
),
fixed_lengths AS (
    SELECT DISTINCT bucket, flen FROM declared_prefix
),
fixed_cut AS (
    SELECT d.bucket, d.dir, substr(d.dir, 1, l.flen) AS fixed
    FROM dirs d
    JOIN fixed_lengths l ON l.bucket = d.bucket AND l.flen <= length(d.dir)
),
declared AS (
    SELECT c.bucket, c.dir, max(length(p.folder)) AS flen
    FROM fixed_cut c
    JOIN declared_prefix p ON p.bucket = c.bucket AND p.fixed = c.fixed
    WHERE p.pattern IS NULL
        OR (
            length(c.dir) - length(replace(c.dir, '/', '')) >= p.folders
            AND (array_to_string(list_slice(string_split(c.dir, '/'), 1, p.folders), '/') || '/') LIKE p.pattern ESCAPE '\'
        )
    GROUP BY c.bucket, c.dir
),
known AS (
    SELECT bucket, prefix FROM prefixes
    UNION
    SELECT bucket, folder FROM declared_prefix
),
firsts AS (
    SELECT DISTINCT bucket, regexp_extract(prefix, '^[^/]*/') AS folder FROM known
),
seconds AS (
    SELECT DISTINCT bucket, regexp_extract(prefix, '^[^/]*/[^/]*/') AS folder FROM known
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
        WHEN u.dir IS NOT NULL THEN substr(s.dir, 1, u.plen)
        WHEN c.dir IS NOT NULL THEN substr(s.dir, 1, c.flen)
        WHEN f.folder IS NULL THEN s.first_folder
        WHEN s.second_folder <> '' AND g.folder IS NULL THEN s.second_folder
        ELSE s.dir
    END AS place,
    u.dir IS NOT NULL AS under_export,
    c.dir IS NOT NULL AS declared
FROM stepped s
LEFT JOIN under u ON u.bucket = s.bucket AND u.dir = s.dir
LEFT JOIN declared c ON c.bucket = s.bucket AND c.dir = s.dir
LEFT JOIN firsts f ON f.bucket = s.bucket AND f.folder = s.first_folder
LEFT JOIN seconds g ON g.bucket = s.bucket AND g.folder = s.second_folder
