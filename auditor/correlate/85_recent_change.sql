-- Which management events since the scan before may tell who made a change? None are looked for when nothing changed.
SELECT a.*
FROM aws_change AS a
CROSS JOIN as_of AS n
CROSS JOIN (SELECT count(*) AS changes FROM watched_change) AS w
WHERE a.at > n.previous_at AND w.changes > 0
