-- Cells whose versions are looked at one by one: `straddles` tells that the edge of a fitting window cuts the cell;
-- the others fit no export at all, and who wrote them is asked.
SELECT c.bucket, c.dir, c.hr, f.bucket IS NOT NULL AS straddles
FROM cell c
LEFT JOIN (SELECT bucket, dir, hr, min(CASE WHEN whole THEN 1 ELSE 0 END) AS settled FROM cell_fit GROUP BY bucket, dir, hr) f
  ON f.bucket = c.bucket AND f.dir = c.dir AND f.hr = c.hr
WHERE f.bucket IS NULL OR f.settled = 0
