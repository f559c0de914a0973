"""What rules judge of a rule of a backup plan: how often it runs, how long it keeps, where it copies, whom it serves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.plan_rules import continuity, copied, holding, part, window
from auditor.correlate.zoning import Row, hidden_tables, parsed, ranks, strictest
from auditor.plans.schedules import interval_s

TABLE = "plan_rule_facts"
READS = (
    "backup_plan",
    "backup_plan_rule",
    "protection",
    "bucket_zone",
    "config_zone",
    "zone_destination",
    "export",
    "coverage",
)

_DAY = 86_400


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a plan rule."""
    zones = {row["zone"]: row for row in tables["config_zone"]}
    plans = {row["plan_id"]: row for row in tables["backup_plan"]}
    served, open_to = _served(tables)
    hidden = hidden_tables(tables["coverage"], "s3_bucket")
    unread = hidden_tables(tables["coverage"], "backup_selection")
    held = holding(tables["backup_plan_rule"], tables["protection"])
    exports: dict[str, list[Row]] = defaultdict(list)
    for export in tables["export"]:
        exports[export["bucket_arn"]].append(export)
    siblings: dict[str, list[Row]] = defaultdict(list)
    for rule in tables["backup_plan_rule"]:
        siblings[rule["plan_id"]].append(rule)
    rank = ranks(tables["config_zone"])
    wanted: dict[str, list[Row]] = defaultdict(list)
    for place in tables["zone_destination"]:
        wanted[place["zone"]].append(place)
    for rule in tables["backup_plan_rule"]:
        mine = served[rule["plan_id"]]
        unseen = _there(rule, hidden)
        zone = _zone(mine, open_to[rule["plan_id"]], rank, hidden=unseen or _there(rule, unread))
        buckets = sorted(row["bucket_arn"] for row in mine)
        others = sorted({row["bucket_arn"] for row in open_to[rule["plan_id"]]} - set(buckets))
        limits = zones.get(zone, {}) if zone else {}
        keep, capture = limits.get("retention_d"), limits.get("capture_s")
        delete = rule["delete_after_d"]
        copy_to = wanted[zone] if zone and limits.get("copy_to") is not None else None
        yield {
            "subject_key": f"{rule['plan_id']}/{rule['rule_name']}",
            "zone": zone,
            "account": rule["account"],
            "project": None,
            "owner": next((row["owner"] for row in mine if row["owner"]), None),
            "region": rule["region"],
            "plan": (plans.get(rule["plan_id"]) or {}).get("name") or rule["plan_id"],
            "rule_name": rule["rule_name"],
            "schedule": rule["schedule"],
            "continuous": rule["continuous"],
            "interval_s": interval_s(rule["schedule"]),
            "plan_interval_s": _fewest(siblings[rule["plan_id"]]),
            "plan_continuous": _any(row["continuous"] for row in siblings[rule["plan_id"]]),
            "keeps_for_ever": None if delete is None else delete < 0,
            "keep_s": None if delete is None or delete < 0 else delete * _DAY,
            "deletes_after_copy": bool(rule["deletes_after_copy"]),
            "buckets_served": None if not mine and (open_to[rule["plan_id"]] or unseen) else len(mine),
            "capture_s": capture,
            "required_keep_s": None if keep is None else keep * _DAY if keep >= 0 else -1,
            "zone_told": _told(zone, mine, others, hidden=unseen or _there(rule, unread)),
            **_copies(rule, copy_to),
            **copied(rule, copy_to, keep),
            **continuity(rule, buckets, held, more=bool(others)),
            **window(
                rule,
                plans.get(rule["plan_id"]),
                [export for arn in buckets for export in exports[arn]],
                [export for arn in others for export in exports[arn]],
            ),
        }


def _there(rule: Row, places: set[tuple[str, str]]) -> bool:
    return any(
        account in (rule["account"], "*") and region in (rule["region"], "*") for account, region in places
    )


def _zone(mine: Sequence[Row], may: Sequence[Row], rank: Mapping[str, int], *, hidden: bool) -> str | None:
    """Return the strictest zone a plan serves; None when a bucket that it may serve besides could be of a stricter one."""
    sure = strictest(mine, rank, hidden=hidden)
    return sure if not may or strictest([*mine, *may], rank, hidden=hidden) == sure else None


def _told(zone: str | None, mine: Sequence[Row], others: Sequence[str], *, hidden: bool) -> bool | None:
    """Return TRUE when the zone is known, or that none of the buckets has one; else None."""
    return (
        True
        if zone or not (others or hidden or any(row["zone_known"] is not False for row in mine))
        else None
    )


def _served(tables: Tables) -> tuple[dict[str, list[Row]], dict[str, list[Row]]]:
    """Return the buckets each plan serves, and those it may serve besides."""
    own = {row["bucket_arn"]: row for row in tables["bucket_zone"]}
    served: dict[str, dict[str, Row]] = defaultdict(dict)
    may: dict[str, list[Row]] = defaultdict(list)
    for protection in tables["protection"]:
        for plan in parsed(protection["plans"]) or ():
            if plan.get("verdict") == "covered" and protection["bucket_arn"] in own:
                served[plan["plan_id"]][protection["bucket_arn"]] = own[protection["bucket_arn"]]
            elif plan.get("verdict") == "undecided" and protection["bucket_arn"] in own:
                may[plan["plan_id"]].append(own[protection["bucket_arn"]])
    rows = {plan: list(buckets.values()) for plan, buckets in served.items()}
    return defaultdict(list, rows), may


def _fewest(rules: Sequence[Row]) -> int | None:
    """Return the plan's shortest interval; a rule whose schedule cannot be told may only be shorter."""
    return min((i for i in (interval_s(rule["schedule"]) for rule in rules) if i is not None), default=None)


def _any(values: Any) -> bool | None:
    every = set(values)
    return True if True in every else None if None in every else False


def _copies(rule: Row, wanted: Sequence[Row] | None) -> dict[str, Any]:
    copies = parsed(rule["copies"])
    names = (
        "required_copy_regions", "missing_copy_regions", "required_copy_accounts", "missing_copy_accounts"
    )  # fmt: skip
    if wanted is None:
        return dict.fromkeys(names)
    home = (rule["account"], rule["region"])
    regions = sorted({row["region"] for row in wanted if row["region"] not in (None, "", home[1])})
    accounts = sorted({row["account"] for row in wanted if row["account"] not in (None, "", home[0])})
    if copies is None:
        return dict(zip(names, (regions, None, accounts, None), strict=True))
    reached = {part(copy["vault_arn"], 3) for copy in copies}, {part(copy["vault_arn"], 4) for copy in copies}
    missing = (
        [region for region in regions if region not in reached[0]],
        [account for account in accounts if account not in reached[1]],
    )
    return dict(zip(names, (regions, missing[0], accounts, missing[1]), strict=True))
