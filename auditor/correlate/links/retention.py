"""Whether everything that must hold the export holds it long enough; judged again in every scan."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from auditor.correlate.links.copy import Destination
from auditor.correlate.links.evidence import Case, Evidence, Row, words
from auditor.correlate.links.judgement import (
    Judgement,
    Refs,
    broken,
    not_required,
    proven,
    unknown,
    worst,
)
from auditor.correlate.links.recovery_point import Capture
from auditor.model import State, Strength

_AIR_GAPPED = "LOGICALLY_AIR_GAPPED_BACKUP_VAULT"


def judge(
    evidence: Evidence, case: Case, capture: Capture, copy: Judgement, places: list[Destination]
) -> Judgement:
    """Judge the retention link over every required holder."""
    if capture.judgement.state != State.PROVEN:
        return capture.judgement.named("as the recovery point that holds it")
    if case.limits is None or case.limits["retention_d"] is None or case.ended_at is None:
        return unknown(f"how long zone {case.zone or 'unknown'} keeps data is not known")
    if case.history and case.history["final"]:
        return proven("kept to the end of its retention, with no scan gap over 7 days", Strength.INFERRED, ())
    judged = [_point(evidence, case, capture, case.limits["retention_d"])]
    if copy.state not in (State.PROVEN, State.NOT_REQUIRED):
        judged.append(copy.named("a required copy"))
    else:
        judged += [_copy(evidence, case, place) for place in places]
    kept = case.limits["bucket_min_d"]
    if kept is None:
        judged.append(unknown(f"whether zone {case.zone} asks the bucket itself to keep data is not known"))
    elif kept >= 0:
        judged.append(_bucket(case, kept))
    required = [judgement for judgement in judged if judgement.state != State.NOT_REQUIRED]
    if not required:
        return not_required(f"zone {case.zone} asks for no retention")
    return worst(required)


def _point(evidence: Evidence, case: Case, capture: Capture, days: int) -> Judgement:
    if days < 0:
        return not_required(f"zone {case.zone} asks for no retention of recovery points")
    if capture.point is None:
        known = evidence.known_points.get(capture.gone or "")
        if known and known["deletes_after_copy"]:
            return not_required("the point goes by design once it is copied")
        assert case.ended_at is not None
        end = case.ended_at + timedelta(days=days)
        if known and known["last_seen_at"] >= end:
            return proven(f"the point was held until {words(known['last_seen_at'])}", Strength.INFERRED, ())
        return broken(
            f"the proving point is gone, and must be kept until {words(end)}",
            (("history_point", capture.gone or ""),),
        )
    return _holder(evidence, case, capture.point, days, "the proving point")


def _copy(evidence: Evidence, case: Case, place: Destination) -> Judgement:
    days = place.retention_d
    if days is None and case.limits is not None:
        days = case.limits["retention_d"]
    if place.point is None or days is None:
        return unknown(f"how long the copy in {place.name} is kept is not known")
    return _holder(evidence, case, place.point, days, f"the copy in {place.name}")


def _holder(evidence: Evidence, case: Case, point: Row, days: int, who: str) -> Judgement:
    """Judge one recovery point as a holder: its end date, and what guards it."""
    refs: Refs = (("backup_recovery_point", point["arn"]), ("backup_vault", point["vault_arn"]))
    assert case.ended_at is not None
    until = case.ended_at + timedelta(days=days)
    if point["continuous"]:
        flaw = _continuous(point, days, who, refs)
        if flaw is not None:
            return flaw
    else:
        end: datetime | None = point["delete_at"]
        if end is None and point["delete_after_d"] not in (None, -1) and point["created_at"] is not None:
            end = point["created_at"] + timedelta(days=point["delete_after_d"])
        if end is None and point["delete_after_d"] is None:
            return unknown(f"{who} states neither an end date nor a lifecycle", refs)
        if end is not None and end < until:
            return broken(f"{who} is kept until {words(end)}, and must be until {words(until)}", refs)
    vault = evidence.vaults.get(point["vault_arn"])
    if vault is None or (vault["locked"] is None and vault["type"] != _AIR_GAPPED):
        account, region = point["account"], point["region"]
        gaps = evidence.sight.gaps("backup_vault", account, region=region, resource=point["vault_arn"])
        return unknown(f"whether the vault of {who} is locked could not be seen", refs, gaps)
    strength, guard = _guard(evidence, vault)
    return proven(f"{who} is kept until {words(until)} or longer; {guard}", strength, refs)


def _continuous(point: Row, days: int, who: str, refs: Refs) -> Judgement | None:
    if point["status"] != "AVAILABLE":
        return unknown(f"{who} is continuous and {point['status']}", refs)
    if point["delete_after_d"] is None:
        return unknown(f"{who} is continuous and states no lifecycle", refs)
    if point["delete_after_d"] != -1 and point["delete_after_d"] < days:
        return broken(
            f"{who} is continuous and keeps {point['delete_after_d']} days; {days} are required", refs
        )
    return None


def _guard(evidence: Evidence, vault: Row) -> tuple[Strength, str]:
    if vault["type"] == _AIR_GAPPED:
        return Strength.EXACT, "its vault is air-gapped"
    if vault["locked"] and vault["lock_date"] is not None and vault["lock_date"] <= evidence.now:
        return Strength.EXACT, f"its vault is locked in compliance mode since {words(vault['lock_date'])}"
    if vault["locked"]:
        return Strength.STRONG, "its vault is locked in governance mode"
    return Strength.INFERRED, "only its lifecycle says so, for its vault is not locked"


def _bucket(case: Case, days: int) -> Judgement:
    """Judge the bucket itself as a holder, by its lifecycle rules."""
    bucket = case.bucket
    if bucket is None or bucket["lifecycle"] is None:
        return unknown("the bucket's lifecycle rules could not be seen")
    refs: Refs = (("s3_bucket", bucket["arn"]),)
    overwritten = bool(case.writes and case.writes["superseded_at"])
    shortest = _shortest_expiry(bucket["lifecycle"], case.output["prefix"], overwritten=overwritten)
    if shortest is not None and shortest < days:
        return broken(
            f"a lifecycle rule of the bucket expires objects after {shortest} days; {days} are required", refs
        )
    return proven(
        f"no lifecycle rule of the bucket expires objects before {days} days", Strength.INFERRED, refs
    )


def _shortest_expiry(rules: Sequence[Row], prefix: str, *, overwritten: bool) -> int | None:
    """Return the fewest days any enabled rule that touches the prefix leaves a version; None when none ends it.

    In a versioned bucket `Expiration` only makes a version noncurrent: what ends it is
    `NoncurrentVersionExpiration`, counted from then (S3 user guide, "Expiring objects").
    """
    found = []
    for rule in rules:
        if rule.get("Status") != "Enabled":
            continue
        where = rule.get("Filter") or {}
        scope = rule.get("Prefix") or where.get("Prefix") or (where.get("And") or {}).get("Prefix") or ""
        if not (prefix.startswith(scope) or scope.startswith(prefix)):
            continue
        current = (rule.get("Expiration") or {}).get("Days")
        old = (rule.get("NoncurrentVersionExpiration") or {}).get("NoncurrentDays")
        if old is None:
            continue
        if overwritten:
            found.append(int(old))
        elif current is not None:
            found.append(int(current) + int(old))
    return min(found, default=None)
