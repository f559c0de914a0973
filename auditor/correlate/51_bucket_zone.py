"""The zone and the owner of each bucket: its own tag decides, else the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.zoning import parsed, ranks

TABLE = "bucket_zone"
READS = ("s3_bucket", "config_bucket", "config_zone", "as_of")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a bucket."""
    (now,) = tables["as_of"]
    declared = ranks(tables["config_zone"])
    configured = {row["bucket"]: row for row in tables["config_bucket"]}
    for bucket in tables["s3_bucket"]:
        tags = parsed(bucket["tags"])
        config = configured.get(bucket["bucket"], {})
        tag = None if tags is None else tags.get(now["zone_tag"]) or ""
        zone = None if tag is None else tag or config.get("zone") or None
        yield {
            "bucket_arn": bucket["arn"],
            "bucket": bucket["bucket"],
            "account": bucket["account"],
            "region": bucket["region"],
            "tag_zone": tag,
            "zone": zone,
            "zone_known": None if tag is None else zone in declared,
            "rank": declared.get(zone) if zone else None,
            "owner": config.get("owner") or (tags or {}).get("owner") or None,
        }
