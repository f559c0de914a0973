"""What a rule of a backup plan does beside the others: where and how long it copies, and what else holds its buckets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from auditor.correlate.zoning import Row, parsed
from auditor.plans.windows import met, naive, openings

_DAY = 86_400


def part(arn: str, at: int) -> str:
    """Return one part of an ARN; empty when it has none there."""
    parts = arn.split(":")
    return parts[at] if len(parts) > at else ""


# Copies.


def copied(rule: Row, wanted: Sequence[Row] | None, keep_d: int | None) -> dict[str, Any]:
    """Return where a rule copies to and which of these keep less than the rule itself, or than the zone wants.

    `wanted`: destinations that its zone demands, None when it states nothing of copies; `keep_d`: days the zone wants a
    point kept.
    """
    copies = parsed(rule["copies"])
    if copies is None:
        return dict.fromkeys(
            ("copy_actions", "copy_regions", "copies_to_region", "copy_accounts", "copies_to_account",
             "copies_below_rule", "copies_below_zone")
        )  # fmt: skip
    regions = {part(copy["vault_arn"], 3): copy["vault_arn"] for copy in copies}
    accounts = {part(copy["vault_arn"], 4): copy["vault_arn"] for copy in copies}
    regions.pop(rule["region"], None)
    accounts.pop(rule["account"], None)
    return {
        "copy_actions": len(copies),
        "copy_regions": sorted(regions),
        "copies_to_region": regions,
        "copy_accounts": sorted(accounts),
        "copies_to_account": accounts,
        "copies_below_rule": _below(copies, lambda _: _of_rule(rule)),
        "copies_below_zone": _below(copies, lambda copy: _of_zone(rule, copy, wanted, keep_d)),
    }


def _of_rule(rule: Row) -> int | None:
    # Points that go by design once copied ask nothing of their copies: the zone does.
    return 0 if rule["deletes_after_copy"] else rule["delete_after_d"]


def _of_zone(rule: Row, copy: Row, wanted: Sequence[Row] | None, keep_d: int | None) -> int | None:
    there = (part(copy["vault_arn"], 4), part(copy["vault_arn"], 3))
    for place in wanted or ():
        if (place["account"] or rule["account"], place["region"] or rule["region"]) == there:
            return None if place["keep_s"] is None else 0 if place["keep_s"] < 0 else place["keep_s"] // _DAY
    return None if keep_d is None else max(keep_d, 0)


def _below(copies: Iterable[Row], floor_of: Any) -> list[str] | None:
    """Return the copies that keep less than a floor in days (-1: for ever); None when only what is not known might."""
    found, open_ = [], False
    for copy in copies:
        floor, kept = floor_of(copy), copy.get("delete_after_d")
        if kept is None or floor is None:
            open_ = open_ or (not (kept is not None and kept < 0) and floor != 0)
        elif kept >= 0 and (floor < 0 or kept < floor):
            found.append(f"{copy['vault_arn']}: {kept} d")
    return None if open_ and not found else sorted(found)


# What else holds the same buckets.


@dataclass(frozen=True, slots=True)
class Holding:
    """The rules of every plan by the buckets that they take, or may take: what a selection means is not always known."""

    rules: Mapping[str, Sequence[Row]]
    """Plan id -> its rules."""
    sure: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Bucket -> plans that take it."""
    may: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Bucket -> plans that may take it besides."""

    def of(self, bucket: str) -> list[Row]:
        """Return the rules that take a bucket."""
        return [rule for plan in sorted(self.sure.get(bucket, ())) for rule in self.rules.get(plan, ())]

    def beside(self, bucket: str) -> list[Row]:
        """Return the rules that may take it besides; an empty row stands for a plan whose rules were not read."""
        return [rule for plan in sorted(self.may.get(bucket, ())) for rule in self.rules.get(plan) or ({},)]


def holding(rules: Iterable[Row], protections: Iterable[Row]) -> Holding:
    """Return who holds what, by what is known of the selections."""
    by_plan: dict[str, list[Row]] = defaultdict(list)
    for rule in rules:
        by_plan[rule["plan_id"]].append(rule)
    sure: dict[str, frozenset[str]] = {}
    may: dict[str, frozenset[str]] = {}
    for row in protections:
        judged = [(plan.get("verdict"), plan["plan_id"]) for plan in parsed(row["plans"]) or ()]
        taken = frozenset(plan for verdict, plan in judged if verdict == "covered")
        sure[row["bucket_arn"]] = taken
        may[row["bucket_arn"]] = frozenset(plan for verdict, plan in judged if verdict == "undecided") - taken
    return Holding(by_plan, sure, may)


def continuity(rule: Row, buckets: Iterable[str], held: Holding, *, more: bool) -> dict[str, Any]:
    """Return how continuous backup of the rule's buckets is spread over rules, plans and vaults.

    `more`: the rule may serve other buckets besides. What then could still be found is NULL, not none.
    """
    without, alone = 0, 0
    open_without = open_alone = open_plans = open_vaults = more
    plans: set[str] = set()
    vaults: set[str] = set()
    for bucket in buckets:
        every, beside = held.of(bucket), held.beside(bucket)
        continuous = [one for one in every if one["continuous"]]
        periodic = [one for one in every if one["continuous"] is False]
        may_run = any(one.get("continuous") is not False for one in beside)
        may_keep = any(one.get("continuous") is not True or parsed(one.get("copies")) != [] for one in beside)
        if not continuous:
            without, open_without = without + (not may_run), open_without or may_run
        elif not periodic and not any(parsed(one["copies"]) for one in continuous):
            alone, open_alone = alone + (not may_keep), open_alone or may_keep
        if rule["continuous"]:
            plans |= {one["plan_id"] for one in continuous} - {rule["plan_id"]}
            vaults |= {one["vault_name"] for one in periodic} - {rule["vault_name"], None}
            open_plans = open_plans or may_run
            open_vaults = open_vaults or any(
                one.get("continuous") is not True and one.get("vault_name") != rule["vault_name"]
                for one in beside
            )
    return {
        "buckets_without_continuous": without or (None if open_without else 0),
        "buckets_continuous_alone": alone or (None if open_alone else 0),
        "continuous_plans": sorted(plans) or (None if rule["continuous"] and open_plans else []),
        "periodic_vaults_elsewhere": sorted(vaults) or (None if rule["continuous"] and open_vaults else []),
    }


# When it starts.


def window(rule: Row, plan: Row | None, exports: Sequence[Row], may: Sequence[Row]) -> dict[str, Any]:
    """Return how many runs of the jobs that write the rule's buckets its start windows met, and what was not captured.

    A window opens with each scheduled run and stays open for the start window: the backup may begin at any time in it.
    `may`: exports to buckets that it may serve besides; with any of them neither count is known.
    """
    runs = [
        (naive(row["started_at"]), naive(row["ended_at"]))
        for row in exports
        if row["started_at"] is not None and row["ended_at"] is not None
    ]
    states = [row["recovery_point_state"] for row in exports]
    broken = states.count("broken")
    beside = {row["recovery_point_state"] for row in may}
    missed: int | None = broken or (
        None if {"unknown", None} & {*states, *beside} or "broken" in beside else 0
    )
    count: int | None = 0
    if runs:
        length = rule["start_window_m"]
        span = timedelta(minutes=length or 0)
        opened = openings(
            rule["schedule"],
            rule["timezone"],
            min(started for started, _ in runs) - span,
            max(ended for _, ended in runs),
            known=_known(rule, plan),
        )
        count = None if opened is None or length is None else met(opened, span, runs)
    return {
        "runs_seen": None if may else len(runs),
        "runs_in_window": None if may else count,
        "exports_not_captured": missed,
    }


def _known(rule: Row, plan: Row | None) -> datetime | None:
    runs = (parsed(plan["next_runs"]) if plan else None) or ()
    found = sorted(str(run["at"]) for run in runs if run.get("rule_id") == rule["rule_id"])
    return naive(datetime.fromisoformat(found[0])) if found else None
