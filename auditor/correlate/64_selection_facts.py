"""What rules judge of a backup selection: which buckets it takes, and of which zones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.zoning import Row, parsed, ranks, strictest

TABLE = "selection_facts"
READS = ("backup_plan", "backup_selection", "protection", "bucket_zone", "config_zone")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a selection."""
    names = {row["plan_id"]: row["name"] for row in tables["backup_plan"]}
    own = {row["bucket_arn"]: row for row in tables["bucket_zone"]}
    taken: dict[tuple[str, str], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for protection in tables["protection"]:
        for plan in parsed(protection["plans"]) or ():
            bucket = own.get(protection["bucket_arn"])
            if bucket is not None:
                taken[plan["plan_id"], plan["selection"]][plan.get("verdict") or "undecided"].append(bucket)
    for selection in tables["backup_selection"]:
        found: dict[str, list[Row]] = defaultdict(list)
        for name in {selection["selection_id"], selection["name"]}:
            for verdict, buckets in taken[selection["plan_id"], name].items():
                found[verdict] += buckets
        matched, open_ = found["covered"], found["undecided"]
        by_tag, s3 = _by_tag(selection), _may_take_buckets(selection)
        zones = sorted({row["zone"] for row in matched if row["zone"]})
        yield {
            "subject_key": f"{selection['plan_id']}/{selection['selection_id']}",
            "zone": strictest(matched, ranks(tables["config_zone"])),
            "account": selection["account"],
            "project": None,
            "owner": next((row["owner"] for row in matched if row["owner"]), None),
            "region": selection["region"],
            "plan": names.get(selection["plan_id"]) or selection["plan_id"],
            "name": selection["name"],
            "by_tag": None if by_tag is None or s3 is None else by_tag and s3,
            "buckets_matched": None if open_ and not matched else len(matched),
            "zones_matched": None if open_ and len(zones) < 2 else zones,
        }


def _by_tag(selection: Row) -> bool | None:
    tags, conditions = parsed(selection["list_of_tags"]), parsed(selection["conditions"])
    if tags is None or conditions is None:
        return True if tags or conditions else None
    return bool(tags) or any(conditions.values())


def _may_take_buckets(selection: Row) -> bool | None:
    """Tell whether the selection is open to buckets: one that names only other kinds of resource is not."""
    patterns = parsed(selection["resources"])
    if patterns is None:
        return None
    return not patterns or any(
        p == "*" or p.startswith(("arn:aws:s3", "arn:*", "arn:aws:*")) for p in patterns
    )
