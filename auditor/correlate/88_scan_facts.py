"""What rules judge of this scan: when the one before was, what it could not read, and whether its counts agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.zoning import seconds, strictest_declared

TABLE = "scan_facts"
READS = ("as_of", "coverage", "history_scan", "population_count", "config_exclusion", "config_zone")

ESTATE = {"not_enabled", "not_configured", "out_of_reach"}
"""Gaps that are of the estate or the configuration, not of this scan's reading."""


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield the one row of this scan."""
    (now,) = tables["as_of"]
    gaps = [row for row in tables["coverage"] if not row["complete"] and row["reason"] not in ESTATE]
    counts = tables["population_count"]
    differing = [
        f"{row['source_table']}: {row['collected']} collected, {row['judged']} judged"
        for row in counts
        if not row["collected"] == row["judged"] == row["told_apart"]
    ]
    earlier = sorted(
        (row for row in tables["history_scan"] if row["at"] is not None), key=lambda row: row["at"]
    )
    finished = [row for row in earlier if row["state"] == "finished"]
    since = [row for row in earlier if not finished or row["at"] > finished[-1]["at"]]
    yield {
        "subject_key": now["slot"] or now["as_of"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        "zone": strictest_declared(tables["config_zone"]),
        "account": None,
        "project": None,
        "owner": None,
        "region": None,
        "earlier_scans": len(finished),
        "since_previous_s": seconds(now["as_of"], finished[-1]["at"]) if finished else None,
        "interval_s": earlier[-1]["interval_s"] if earlier else None,
        "missed": sum(row["state"] == "missed" for row in since),
        "interrupted": sum(row["state"] == "interrupted" for row in since),
        "read_whole": None if not tables["coverage"] else not gaps,
        "gaps_found": len(gaps),
        "gap_sources": sorted({row["source"] or row["table_name"] for row in gaps}),
        "gap_reasons": sorted({row["reason"] for row in gaps if row["reason"]}),
        "rows_collected": sum(row["collected"] for row in counts),
        "rows_judged": sum(row["judged"] for row in counts),
        "differing": differing,
        "exclusions": [
            f"{row['kind']} {row['match']}: {row['reason']}" for row in tables["config_exclusion"]
        ],
        "exclusions_named": all(row["reason"] and row["approved_by"] for row in tables["config_exclusion"]),
    }
