-- Who wrote into each directory of what belongs to no export, where an event tells.
SELECT p.bucket, p.dir, f.principal_arn
FROM (SELECT DISTINCT place, principal_arn FROM portion WHERE key IS NOT NULL AND principal_arn IS NOT NULL) f
JOIN place p ON p.place = f.place
