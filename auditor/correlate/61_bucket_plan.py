"""Which rules of different plans capture a bucket alike: what the second of them costs protects nothing more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.plan_rules import holding
from auditor.correlate.zoning import Row
from auditor.plans.schedules import interval_s

TABLE = "bucket_plan"
READS = ("backup_plan", "backup_plan_rule", "protection")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a bucket."""
    names = {row["plan_id"]: row["name"] for row in tables["backup_plan"]}
    held = holding(tables["backup_plan_rule"], tables["protection"])
    for protection in tables["protection"]:
        bucket = protection["bucket_arn"]
        sure, every = held.of(bucket), [*held.of(bucket), *held.beside(bucket)]
        pairs = [
            f"{_named(one, names)} = {_named(other, names)}"
            for one, other in combinations(sure, 2)
            if _alike(one, other)
        ]
        # What may be alike, because nobody knows a schedule, the rules of a plan, or whether the plan takes the bucket.
        may = any(_alike(one, other) is not False for one, other in combinations(every, 2))
        yield {"bucket_arn": bucket, "plans_alike": sorted(pairs) or (None if may else [])}


def _alike(one: Row, other: Row) -> bool | None:
    """Tell whether two rules capture equally often: both continuously, or at one interval; None when it cannot be told."""
    if one.get("plan_id") == other.get("plan_id"):
        return False if one else None
    if not one or not other:
        return None
    if one["continuous"] or other["continuous"]:
        return bool(one["continuous"]) == bool(other["continuous"])
    every = interval_s(one["schedule"]), interval_s(other["schedule"])
    return None if None in every else every[0] == every[1]


def _named(rule: Row, names: Mapping[str, str | None]) -> str:
    return f"{names.get(rule['plan_id']) or rule['plan_id']}/{rule['rule_name']}"
