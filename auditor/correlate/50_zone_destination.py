"""Where each zone wants its recovery points copied to: `config_zone.copy_to`, one row a destination."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.zoning import parsed

TABLE = "zone_destination"
READS = ("config_zone",)

_DAY = 86_400


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a destination that a zone demands."""
    for zone in tables["config_zone"]:
        for place in parsed(zone["copy_to"]) or ():
            days = place.get("retention_d", zone["retention_d"])
            yield {
                "zone": zone["zone"],
                "account": place.get("account"),
                "region": place.get("region"),
                "keep_s": None if days is None else -1 if days < 0 else days * _DAY,
            }
