"""Which rules of different plans capture a bucket alike: what the second of them costs protects nothing more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.plan_rules import holding
from auditor.correlate.schedules import interval_s
from auditor.correlate.zoning import Row

TABLE = "bucket_plan"
READS = ("backup_plan", "backup_plan_rule", "protection")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a bucket."""
    names = {row["plan_id"]: row["name"] for row in tables["backup_plan"]}
    held = holding(tables["backup_plan_rule"], tables["protection"])
    for protection in tables["protection"]:
        pairs, open_ = [], protection["covered"] == "undecided"
        for one, other in combinations(held.of(protection["bucket_arn"]), 2):
            if one["plan_id"] == other["plan_id"]:
                continue
            alike = _alike(one, other)
            open_ = open_ or alike is None
            if alike:
                pairs.append(f"{_named(one, names)} = {_named(other, names)}")
        yield {
            "bucket_arn": protection["bucket_arn"],
            "plans_alike": None if open_ and not pairs else sorted(pairs),
        }


def _alike(one: Row, other: Row) -> bool | None:
    """Tell whether two rules capture equally often: both continuously, or at one interval; None when it cannot be told."""
    if one["continuous"] or other["continuous"]:
        return bool(one["continuous"]) == bool(other["continuous"])
    every = interval_s(one["schedule"]), interval_s(other["schedule"])
    return None if None in every else every[0] == every[1]


def _named(rule: Row, names: Mapping[str, str | None]) -> str:
    return f"{names.get(rule['plan_id']) or rule['plan_id']}/{rule['rule_name']}"
