-- Cells that straddle the edge of a fitting window: only these go back to single objects.
SELECT DISTINCT bucket, dir, hr FROM cell_fit WHERE NOT whole
