SELECT TIMESTAMP '2026-01-01' + to_days(62) AS as_of, 'bench' AS slot, CAST(NULL AS TIMESTAMP) AS previous_at,
    120 AS skew_s,
    3600 AS horizon_cloudtrail_s, 3600 AS horizon_logging_s, 0 AS horizon_listing_s, 3600 AS grace_s,
    'data-zone' AS zone_tag, 'data-zone' AS zone_label, 'export' AS export_label
