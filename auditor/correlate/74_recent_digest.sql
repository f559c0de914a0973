-- The digests of the last fifteen days: what is older was judged by earlier scans, and only the chain's end grows.
SELECT d.*
FROM cloudtrail_digest AS d
CROSS JOIN as_of AS n
WHERE d.end_at > n.as_of - INTERVAL '15' DAY
