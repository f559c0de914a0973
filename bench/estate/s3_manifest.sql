SELECT bucket, prefix || '_SUCCESS' AS key, md5('m' || n) AS version_id, '111111111111' AS account,
    'eu-west-1' AS region, prefix AS dir, ended AS last_modified, 0 AS bytes, 'empty' AS form, '[]' AS filenames,
    FALSE AS cut
    FROM job WHERE h < 995
