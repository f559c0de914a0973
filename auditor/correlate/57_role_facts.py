"""What rules judge of a role, the declared export roles apart; a declared role that was not found is a row too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.zoning import Row, parsed, ranks, strictest, strictest_declared

TABLE = "role_facts"
READS = ("iam_role", "config_federation", "bucket_zone", "config_zone")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a role."""
    rank = ranks(tables["config_zone"])
    buckets = {row["bucket"]: row for row in tables["bucket_zone"]}
    exporting: dict[str, list[Row]] = defaultdict(list)
    for role in tables["config_federation"]:
        exporting[role["role_arn"]].append(role)
    seen = {role["arn"]: role for role in tables["iam_role"]}
    for arn in sorted({*seen, *exporting}):
        found = seen.get(arn, {})
        served = [buckets[row["bucket"]] for row in exporting[arn] if row["bucket"] in buckets]
        yield {
            "subject_key": arn,
            "zone": strictest(served, rank) or strictest_declared(tables["config_zone"]),
            "account": found.get("account") or arn.split(":")[4],
            "project": None,
            "owner": (parsed(found.get("tags")) or {}).get("owner"),
            "region": "*",
            "name": arn.rpartition("/")[2],
            "export_role": bool(exporting[arn]),
            "found": bool(found),
            "max_session_s": found.get("max_session_s"),
            "last_used_at": found.get("last_used_at"),
        }
