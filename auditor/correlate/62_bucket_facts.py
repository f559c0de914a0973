"""What rules judge of a bucket: its guards as they act, what records its use, and what protects it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.encrypting import Keys
from auditor.correlate.guarding import guarded_by_tls, opened
from auditor.correlate.replicating import health, replicated
from auditor.correlate.sight import Sight
from auditor.correlate.zoning import NONE_SEEN, Row, parsed, seconds

TABLE = "bucket_facts"
READS = (
    "s3_bucket",
    "s3_replica",
    "kms_key",
    "bucket_zone",
    "bucket_point",
    "bucket_plan",
    "air_gapped",
    "bucket_drift",
    "aws_account",
    "cloudtrail_trail",
    "protection",
    "backup_plan_rule",
    "config_zone",
    "config_place",
    "config_export",
    "export",
    "coverage",
    "as_of",
)

BLOCK = ("block_public_acls", "ignore_public_acls", "block_public_policy", "restrict_public_buckets")
_DAY = 86_400
_COPIED = (
    "versioning",
    "mfa_delete",
    "encryption",
    "ownership",
    "logging_target",
    "eventbridge",
    "lock_mode",
)


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a bucket."""
    (now,) = tables["as_of"]
    zones = {row["zone"]: row for row in tables["config_zone"]}
    own = {row["bucket_arn"]: row for row in tables["bucket_zone"]}
    points = {row["bucket_arn"]: row for row in tables["bucket_point"]}
    alike = {row["bucket_arn"]: parsed(row["plans_alike"]) for row in tables["bucket_plan"]}
    gapped = {row["bucket_arn"]: row for row in tables["air_gapped"]}
    drifts = {row["bucket_arn"]: row for row in tables["bucket_drift"]}
    accounts = {row["account"]: row for row in tables["aws_account"]}
    protections = {row["bucket_arn"]: row for row in tables["protection"]}
    trusted = frozenset(row["account"] for row in tables["config_place"] if row["cloud"] == "aws")
    keys = Keys(tables["kms_key"])
    replicas = {row["bucket"]: row for row in tables["s3_replica"]}
    regions = {row["arn"]: row["region"] for row in tables["s3_bucket"]}
    restores_seen = _read_back(tables["coverage"], "backup_restore_job")
    hidden = "; ".join(Sight(tables["coverage"]).gaps("dataproc_job", None))
    prefixes: dict[str, set[str]] = defaultdict(set)
    for row in tables["config_export"]:
        prefixes[row["bucket"]].add(row["prefix"].partition("{")[0].partition("*")[0])
    for row in tables["export"]:
        prefixes[row["bucket"]].add(row["prefix"])
    for bucket in tables["s3_bucket"]:
        arn = bucket["arn"]
        zone = own[arn]["zone"]
        written = sorted(prefixes[bucket["bucket"]])
        yield {
            "subject_key": arn,
            "zone": zone,
            "account": bucket["account"],
            "project": None,
            "owner": own[arn]["owner"],
            "region": bucket["region"],
            "name": bucket["bucket"],
            **{name: bucket[name] for name in _COPIED},
            "tags": parsed(bucket["tags"]),
            "tag_zone": own[arn]["tag_zone"],
            "zone_known": own[arn]["zone_known"],
            "export_bucket": True if written else None if hidden else False,
            "exports_says": f"which prefixes exports write was not seen: {hidden}" if hidden else "",
            **_keyed(bucket, keys),
            **replicated(bucket, written, regions, hidden),
            **health(bucket, replicas.get(bucket["bucket"]), now["as_of"]),
            **_public(bucket, accounts.get(bucket["account"], {})),
            "acls_disabled": None
            if bucket["ownership"] is None
            else bucket["ownership"] == "BucketOwnerEnforced",
            **opened(bucket["policy"], bucket["account"], trusted),
            **guarded_by_tls(bucket["policy"], arn, bucket["account"]),
            **_demanded(zones.get(zone, {}) if zone else {}, bucket["region"]),
            **_recorded(bucket, tables["cloudtrail_trail"], written, bool(hidden)),
            **_lifecycle(parsed(bucket["lifecycle"]), written, bool(hidden)),
            **_planned(protections.get(arn), tables["backup_plan_rule"]),
            "plans_alike": alike.get(arn),
            **_held(points[arn], now),
            **_air_gapped(gapped.get(arn), now),
            "restores_seen_s": seconds(now["as_of"], restores_seen) or 0,
            "before_sight": None,
            **_drifted(drifts.get(arn)),
        }


def _keyed(bucket: Row, keys: Keys) -> dict[str, Any]:
    """Return whether the default key is a customer's: where none is named it is S3's or the account's own."""
    named = bucket["kms_key_arn"]
    if named is None:
        return {"customer_key": None, "key_says": "its default encryption was not read"}
    key = keys.of(named, bucket["account"], bucket["region"])
    if key is None:
        return {"customer_key": False, "key_says": "", "key_arn": ""}
    says = "" if key.customers is not None else f"whose key {named} is was not read"
    return {"customer_key": key.customers, "key_says": says, "key_arn": key.arn}


def _public(bucket: Row, account: Row) -> dict[str, Any]:
    """Return the flags as they act: S3 applies the stricter of bucket and account."""
    acting: dict[str, bool | None] = {}
    for flag in BLOCK:
        one, other = bucket[flag], account.get(flag)
        acting[flag] = True if one or other else None if one is None or other is None else False
    off = [flag for flag, on in acting.items() if on is False]
    return {
        "public_access_off": off if off or None not in acting.values() else None,
        "public_access_blocked": False if off else None if None in acting.values() else True,
    }


def _demanded(zone: Row, region: str | None) -> dict[str, Any]:
    capture, keep, floor = zone.get("capture_s"), zone.get("retention_d"), zone.get("bucket_min_d")
    regions = parsed(zone.get("regions"))
    return {
        "backup_demanded": None if capture is None else capture >= 0,
        "capture_s": capture,
        "required_keep_s": None if keep is None else keep * _DAY if keep >= 0 else -1,
        "bucket_min_s": None if floor is None else floor * _DAY if floor >= 0 else -1,
        "zone_regions": regions,
        "region_allowed": None if regions is None or region is None else region in regions,
    }


def _recorded(bucket: Row, trails: Collection[Row], written: Sequence[str], hidden: bool) -> dict[str, Any]:
    """Return what records writes to the bucket: data events of a trail that is on, or access logs."""
    seen: set[bool | None] = set()
    for trail in trails:
        if trail["region"] != bucket["region"] and trail["multi_region"] is False:
            continue
        arns = parsed(trail["write_data_arns"])
        told = {_covers(arn, bucket["bucket"], written, hidden) for arn in arns or ()}
        covers = None if arns is None or told == {None} or told == {None, False} else True in told
        facts = (covers, trail["logging"], trail["multi_region"] or trail["region"] == bucket["region"])
        seen.add(False if False in facts else None if None in facts else True)
    events = True if True in seen else None if None in seen else False
    target = bucket["logging_target"]
    logs = None if target is None else target not in ("", NONE_SEEN)
    words = {True: "CloudTrail data events", None: "what could be seen of its trails", False: "nothing"}
    return {
        "data_events": events,
        "access_logs": logs,
        "recorded_by": "access logs alone, which are best effort" if logs and not events else words[events],
    }


def _covers(selector: str, bucket: str, written: Sequence[str], hidden: bool) -> bool | None:
    """Tell whether a data event selector takes in the bucket, or all that exports write in it.

    Where exports are hidden, one of them may write beside a prefix that takes in all the others.
    """
    if selector in ("*", "arn:aws:s3", "arn:aws:s3:::"):
        return True
    name, _, prefix = selector.removeprefix("arn:aws:s3:::").partition("/")
    if name != bucket:
        return False
    prefix = prefix.removesuffix("*")
    if not prefix:
        return True
    if not all(path.startswith(prefix) for path in written):
        return False
    return None if hidden else bool(written)


def _lifecycle(rules: list[Row] | None, written: Sequence[str], hidden: bool) -> dict[str, Any]:
    """Return the soonest that a rule expires what exports write; a rule elsewhere in the bucket is no matter.

    Unless exports are hidden: one of them may write where that rule reaches, and what it would change is not known.
    """
    soonest = _soonest(rules or [], written)
    widest = _soonest(rules or [], ()) if hidden else soonest
    facts: dict[str, Any] = {}
    for which, at, most in zip(("current", "noncurrent"), soonest, widest, strict=True):
        known = rules is not None and at == most
        facts[f"expires_{which}"] = at is not None if known else None
        facts[f"expire_{which}_s"] = at if known else None
    return facts


def _soonest(rules: Collection[Row], written: Sequence[str]) -> tuple[int | None, int | None]:
    """Return after how many seconds current and noncurrent versions under the prefixes go; without prefixes, any."""
    current, noncurrent = [], []
    for rule in rules:
        if rule.get("Status") != "Enabled" or not _meets(_prefix(rule), written):
            continue
        expiration = rule.get("Expiration") or {}
        if "Days" in expiration:
            current.append(int(expiration["Days"]) * _DAY)
        elif "Date" in expiration:
            current.append(0)  # on that date whatever is there goes, even what was written the day before
        if "NoncurrentDays" in (old := rule.get("NoncurrentVersionExpiration") or {}):
            noncurrent.append(int(old["NoncurrentDays"]) * _DAY)
    return min(current, default=None), min(noncurrent, default=None)


def _prefix(rule: Row) -> str:
    where = rule.get("Filter") or {}
    inner = where.get("And") or where
    return rule.get("Prefix") or inner.get("Prefix") or ""


def _meets(prefix: str, written: Sequence[str]) -> bool:
    return not written or any(path.startswith(prefix) or prefix.startswith(path) for path in written)


def _planned(protection: Row | None, rules: Collection[Row]) -> dict[str, Any]:
    covered = protection["covered"] if protection else None
    plans = parsed(protection["plans"]) or [] if protection else []
    serving = {plan["plan_id"] for plan in plans if plan.get("verdict") == "covered"}
    serving_rules = [rule for rule in rules if rule["plan_id"] in serving]
    continuous = {rule["continuous"] for rule in serving_rules}
    windows = [rule["start_window_m"] for rule in serving_rules if rule["start_window_m"] is not None]
    return {
        "in_plan": {"covered": True, "not_covered": False}.get(covered or ""),
        "plan_because": protection["because"] if protection else None,
        "continuous_planned": True if True in continuous else None if None in continuous else False,
        "start_window_s": max(windows, default=0) * 60,
    }


def _held(point: Row, now: Row) -> dict[str, Any]:
    return {
        "newest_point_at": point["newest_point_at"],
        "periodic_points": point["periodic_points"],
        "newest_point_age_s": seconds(now["as_of"], point["newest_point_at"]),
        "unplanned_point_age_s": seconds(now["as_of"], point["newest_unplanned_at"]),
        "continuous_points": point["continuous_points"],
        "continuous_jobs": point["continuous_jobs"],
        "continuous_job_age_s": seconds(now["as_of"], point["continuous_job_at"]),
        "longest_job_s": point["longest_job_s"],
        "restores": point["restores"],
        "newest_restore_at": point["newest_restore_at"],
        "newest_restore_age_s": seconds(now["as_of"], point["newest_restore_at"]),
    }


def _air_gapped(held: Row | None, now: Row) -> dict[str, Any]:
    return {
        "air_gapped_points": held["points"] if held else 0,
        "air_gapped_age_s": seconds(now["as_of"], held["newest_at"]) if held else None,
    }


def _read_back(coverage: Collection[Row], table: str) -> datetime | None:
    """Return since when a table of events was read in every place it was asked for."""
    earliest: dict[tuple[str, str], datetime] = {}
    for row in coverage:
        if row["table_name"] == table and row["complete"] and row["from_at"] is not None:
            place = (row["account"], row["region"])
            earliest[place] = min(earliest.get(place, row["from_at"]), row["from_at"])
    return max(earliest.values(), default=None)


def _drifted(drift: Row | None) -> dict[str, Any]:
    if drift is None:
        return {"known_before": False, "weakened": None, "guards_compared": None, "policy_no_looser": None}
    weakened, open_ = parsed(drift["weakened"]), parsed(drift["not_compared"])
    return {
        "known_before": True,
        "compared_with": drift["compared_with"],
        "weakened": weakened,
        "guards_compared": None if open_ else True,
        "policy_no_looser": drift["policy_no_looser"],
        "policy_change_says": drift["policy_change_says"],
    }
