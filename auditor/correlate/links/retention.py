"""Whether everything that must hold the export holds it long enough; judged again in every scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from auditor.correlate.guarding import guarded_from_deletion
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
    judged = [_point(evidence, case, capture, case.limits["retention_d"])]
    if copy.state not in (State.PROVEN, State.NOT_REQUIRED):
        judged.append(copy.named("a required copy"))
    else:
        judged += [_copy(evidence, case, place) for place in places]
    kept = case.limits["bucket_min_d"]
    if kept is None:
        judged.append(unknown(f"whether zone {case.zone} asks the bucket itself to keep data is not known"))
    elif kept >= 0:
        judged.append(_bucket(evidence, case, kept))
    required = [judgement for judgement in judged if judgement.state != State.NOT_REQUIRED]
    if not required:
        return not_required(f"zone {case.zone} asks for no retention")
    return worst(required)


@dataclass(frozen=True, slots=True)
class Kept:
    """Until when all that must hold exports of one point holds them, and what is said of it."""

    latest: datetime
    """Exports that ended later are not held long enough."""
    days: timedelta
    parts: tuple[str, str]
    """The reason, cut where it names the end of an export's time."""

    def because(self, ended: datetime) -> str:
        """Return the reason for one export."""
        return f"{self.parts[0]}{words(ended + self.days)}{self.parts[1]}"


def kept(case: Case, capture: Capture, places: Sequence[Destination], judged: Judgement) -> Kept | None:
    """Return what a proven link says of every export of its recovery point; None when it may say more of some."""
    limits, point = case.limits, capture.point
    assert limits is not None and case.ended_at is not None
    if limits["bucket_min_d"] >= 0 or point is None or len({place.name for place in places}) < len(places):
        return None
    usual: int = limits["retention_d"]
    holders = [] if point["deletes_after_copy"] else [(point, usual)]
    holders += [
        (place.point, usual if place.retention_d is None else place.retention_d)
        for place in places
        if place.point is not None
    ]
    held = [(holder, timedelta(days=days)) for holder, days in holders if days >= 0]
    ends = [end - days for holder, days in held if (end := _end_of(holder)) is not None]
    said = {words(case.ended_at + days): days for _, days in held}
    named = [(time, days) for time, days in said.items() if time in judged.because]
    if len(named) != 1 or judged.because.count(named[0][0]) != 1 or any(p["continuous"] for p, _ in held):
        return None
    before, _, after = judged.because.partition(named[0][0])
    return Kept(min(ends, default=_NEVER), named[0][1], (before, after))


_NEVER = datetime.max.replace(tzinfo=UTC)


def _end_of(point: Row) -> datetime | None:
    """Return when a periodic point ends by its lifecycle; None: never, or nothing says so."""
    end: datetime | None = point["delete_at"]
    if end is None and point["delete_after_d"] not in (None, -1) and point["created_at"] is not None:
        end = point["created_at"] + timedelta(days=point["delete_after_d"])
    return end


def _point(evidence: Evidence, case: Case, capture: Capture, days: int) -> Judgement:
    """Judge the proving point itself; one that goes by design once it is copied leaves the holding to its copies."""
    if days < 0:
        return not_required(f"zone {case.zone} asks for no retention of recovery points")
    held = capture.point or evidence.known_points.get(capture.gone or "")
    if held is not None and held["deletes_after_copy"]:
        if case.limits is not None and case.limits["copy_to"]:
            return not_required("the point goes by design once it is copied")
        said = f"the proving point goes once it is copied, and zone {case.zone} asks for no copy that would hold it"
        refs: Refs = (("backup_recovery_point" if capture.point else "history_point", held["arn"]),)
        return unknown(said, refs) if capture.point else broken(said, refs)
    if capture.point is None:
        return _gone(evidence, case, capture.gone or "", days, "the proving point")
    return _holder(evidence, case, capture.point, days, "the proving point")


def _gone(evidence: Evidence, case: Case, arn: str, days: int, who: str) -> Judgement:
    """Judge a holder that is no longer listed: it may have been held long enough, or to its own date."""
    assert case.ended_at is not None
    until = case.ended_at + timedelta(days=days)
    known = evidence.known_points.get(arn)
    refs: Refs = (("history_point", arn),)
    if known is None:
        return unknown(f"{who} is gone, and until when it was held is not known", refs)
    seen, end = known["last_seen_at"], known["delete_at"]
    if seen >= until:
        return proven(
            f"{who} was held until {words(seen)}, and had to be until {words(until)}", Strength.INFERRED, refs
        )
    if end is not None and end < until:
        return broken(f"{who} was kept until {words(end)}, and had to be until {words(until)}", refs)
    if evidence.now < until:
        return broken(
            f"{who} was last seen on {words(seen)} and is gone; it must be kept until {words(until)}", refs
        )
    if end is not None and end <= evidence.now and evidence.now - seen <= _LONGEST_SCAN_GAP:
        said = f"{who} was last seen on {words(seen)} and ended on its own date {words(end)}"
        return proven(f"{said}; it had to be kept until {words(until)}", Strength.INFERRED, refs)
    return unknown(
        f"{who} went after {words(seen)}; whether it was held until {words(until)} is not known", refs
    )


_LONGEST_SCAN_GAP = timedelta(days=7)
"""What a longer stretch without a scan did to a holder is not known (links.md)."""


def _copy(evidence: Evidence, case: Case, place: Destination) -> Judgement:
    days = place.retention_d
    if days is None and case.limits is not None:
        days = case.limits["retention_d"]
    if days is None or (place.point is None and place.gone is None):
        return unknown(f"how long the copy in {place.name} is kept is not known")
    if days < 0:
        return not_required(f"zone {case.zone} asks for no retention of the copy in {place.name}")
    if place.point is None:
        return _gone(evidence, case, place.gone or "", days, f"the copy in {place.name}")
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
        end = _end_of(point)
        if end is None and point["delete_after_d"] is None:
            return unknown(f"{who} states neither an end date nor a lifecycle", refs)
        if end is not None and end < until:
            return broken(f"{who} is kept until {words(end)}, and must be until {words(until)}", refs)
        if point["status"] == "DELETING" and evidence.now < until:
            return unknown(f"{who} is being deleted, and must be kept until {words(until)}", refs)
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
    denied = guarded_from_deletion(vault.get("policy"), vault["arn"], vault["account"])
    if denied.get("deletion_denied") and not denied.get("deletion_exempt"):
        return Strength.STRONG, "its vault's policy denies deletion to everyone"
    return Strength.INFERRED, "only its lifecycle says so, for its vault is not locked"


def _bucket(evidence: Evidence, case: Case, days: int) -> Judgement:
    """Judge the bucket itself as a holder: what is gone from it, and its lifecycle rules."""
    bucket = case.bucket
    assert case.ended_at is not None
    until = case.ended_at + timedelta(days=days)
    if bucket is None or bucket["lifecycle"] is None:
        return unknown("the bucket's lifecycle rules could not be seen")
    refs: Refs = (("s3_bucket", bucket["arn"]),)
    if evidence.now < until:
        lost = case.lost
        if lost:
            key = min(row["key"] for row in lost)
            return broken(f"{key} is gone from the bucket, which must keep it until {words(until)}", refs)
        if case.nothing_written:
            return unknown(
                f"the objects are gone from the bucket, which must keep them until {words(until)}", refs
            )
    fates = _fates(case, [rule for rule in bucket["lifecycle"] if _touches(case, rule)], bucket["versioning"])
    sure = [kept for kept, certain in fates if certain and kept is not None]
    if sure and min(sure) < days:
        return broken(
            f"a lifecycle rule of the bucket expires objects after {min(sure)} days; {days} are required",
            refs,
        )
    if any(not certain and (kept is None or kept < days) for kept, certain in fates):
        return unknown("whether a lifecycle rule of the bucket takes in the objects cannot be told", refs)
    return proven(
        f"no lifecycle rule of the bucket expires objects before {days} days", Strength.INFERRED, refs
    )


Fate = tuple[int | None, bool]
"""After how many days a version ends (None: nobody can read it), and whether that is certain."""


def _touches(case: Case, rule: Row) -> bool:
    """Tell whether a rule is enabled and its prefix meets the export's."""
    where = rule.get("Filter") or {}
    scope = rule.get("Prefix") or where.get("Prefix") or (where.get("And") or {}).get("Prefix") or ""
    prefix: str = case.output["prefix"]
    return rule.get("Status") == "Enabled" and (prefix.startswith(scope) or scope.startswith(prefix))


def _fates(case: Case, rules: Sequence[Row], versioning: str | None) -> list[Fate]:
    """Return when rules, one or two together, end versions of the export.

    In a versioned bucket `Expiration` only makes a version noncurrent: what ends it is `NoncurrentVersionExpiration`,
    of any rule, counted from then (S3 user guide, "Expiring objects"). Filters by tag or size may leave the objects
    out, and a count of newer versions to keep puts the end off: neither is certain.
    """
    currents: list[Fate] = []
    olds: list[Fate] = []
    for rule in rules:
        where = rule.get("Filter") or {}
        certain = not ({*where, *(where.get("And") or {})} - {"Prefix", "And"})
        expiration, later = rule.get("Expiration") or {}, rule.get("NoncurrentVersionExpiration") or {}
        if expiration.get("Days") is not None:
            currents.append((int(expiration["Days"]), certain))
        if expiration.get("Date") is not None:
            date = _date(expiration["Date"])
            assert case.ended_at is not None
            days = None if date is None else max((date - case.ended_at).days, 0)
            currents.append((days, certain and date is not None))
        if later.get("NoncurrentDays") is not None:
            olds.append((int(later["NoncurrentDays"]), certain and not later.get("NewerNoncurrentVersions")))
    if versioning != "Enabled":
        return currents
    if case.writes and case.writes["superseded_at"]:
        return olds
    return [
        (None if one is None or other is None else one + other, sure and also)
        for one, sure in currents
        for other, also in olds
    ]


def _date(value: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
