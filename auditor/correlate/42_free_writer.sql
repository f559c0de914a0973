-- Who wrote into each directory of what belongs to no export, where an event tells.
SELECT DISTINCT bucket, dir, principal_arn FROM free WHERE principal_arn IS NOT NULL
