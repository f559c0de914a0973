SELECT 'aws' AS cloud, '111111111111' AS account, unnest(['eu-west-1', 'eu-central-1']) AS region
