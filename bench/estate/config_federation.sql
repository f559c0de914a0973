SELECT 'arn:aws:iam::111111111111:role/export-writer' AS role_arn, 'accounts.google.com' AS provider,
    '["auditor"]' AS audiences, '' AS subject_of, '' AS bucket, '' AS prefix
