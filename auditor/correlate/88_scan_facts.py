"""What rules judge of this scan: when the one before was, what it could not read, and whether its counts agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Rows, Tables
from auditor.correlate.zoning import listed, seconds, strictest_declared
from auditor.model import slots_in

TABLE = "scan_facts"
READS = (
    "as_of",
    "coverage",
    "history_scan",
    "population_count",
    "second_count",
    "listed_count",
    "unlisted_point",
    "api_clock",
    "carried_difference",
    "config_exclusion",
    "config_zone",
)

ESTATE = {"not_enabled", "not_configured", "out_of_reach"}
"""Gaps that are of the estate or the configuration, not of this scan's reading."""

POINTS = ("backup_protected", "backup_recovery_point")


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
        "missed": sum(slots_in(row["slot"]) for row in since if row["state"] == "missed"),
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
        **_compared(tables),
        **_clocks(tables["api_clock"]),
        **_carried(tables["carried_difference"]),
        "exclusions_named": all(row["reason"] and row["approved_by"] for row in tables["config_exclusion"]),
    }


def _compared(tables: Tables) -> dict[str, Any]:
    """Compare what was listed with a second count of it, where both were read to their end."""
    listing = {(row["table_name"], row["account"]): row["rows"] for row in tables["listed_count"]}
    compared, differ = 0, []
    for row in tables["second_count"]:
        rows = listing.get((row["table_name"], row["account"]))
        if (
            rows is not None
            and row["counted"] is not None
            and listed(tables["coverage"], row["table_name"], row["account"])
        ):
            compared += 1
            if rows != row["counted"]:
                differ.append(
                    f"{row['table_name']} of {row['account']}: {rows} listed, {row['counted']} by {row['route']}"
                )
    for row in tables["unlisted_point"]:
        if all(listed(tables["coverage"], name, row["account"], row["region"]) for name in POINTS):
            compared += 1
            if row["unlisted"]:
                differ.append(
                    f"recovery points of {row['account']}/{row['region']}: none was listed of {row['unlisted']} resources "
                    f"that ListProtectedResources names, such as {row['example']}"
                )
    return {
        "counts_compared": compared,
        "counts_differ": sorted(differ),
        "counts_agree": not differ if compared else None,
    }


def _carried(rows: Rows) -> dict[str, Any]:
    """Say what settings were carried over though they had changed, since when, and whether that is settled."""
    wrong = [
        f"{row['table_name']} {row['resource']}: {row['field']} was read as {_short(row['carried'])} at "
        f"{row['observed_at']:%Y-%m-%dT%H:%MZ} and as {_short(row['read'])} at {row['found_at']:%Y-%m-%dT%H:%MZ}, "
        "and no event tells of a write in between"
        for row in rows
        if row["confirmed"]
    ]
    settled = all(row["confirmed"] for row in rows)  # else an event may still be on its way
    return {"carried_wrong": sorted(wrong), "carried_settled": True if settled else None}


def _short(value: str) -> str:
    return value if len(value) <= 60 else f"{value[:60]}…"


def _clocks(rows: Rows) -> dict[str, Any]:
    """Say how far the host's clock and those of the services were apart at least; two services must have told theirs."""
    told = sorted((row["cloud"], row["service"], row["skew_s"]) for row in rows if row["skew_s"] is not None)
    apart = [f"{cloud} {service}: {skew:+d} s" for cloud, service, skew in told if skew]
    return {
        "clocks_read": len(told),
        "clock_skew_s": max(abs(skew) for _, _, skew in told) if len(told) > 1 else None,
        "clocks_apart": apart,
    }
