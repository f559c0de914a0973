"""Whether the proving recovery point was copied to each destination the zone requires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from auditor.correlate.links.evidence import Case, Evidence, Row, words
from auditor.correlate.links.judgement import (
    Judgement,
    Refs,
    broken,
    not_required,
    pending,
    proven,
    unknown,
    worst,
)
from auditor.correlate.links.points import start_of
from auditor.correlate.links.recovery_point import Capture
from auditor.model import State, Strength


@dataclass(frozen=True, slots=True)
class Destination:
    """One required destination with its judgement and the point held there."""

    account: str
    region: str
    retention_d: int | None
    judgement: Judgement
    point: Row | None = None
    """The copy that is held there."""
    gone: str | None = None
    """ARN of a copy that was held there and is no longer listed."""

    @property
    def name(self) -> str:
        return f"{self.account}/{self.region}"


def judge(evidence: Evidence, case: Case, capture: Capture) -> tuple[Judgement, list[Destination]]:
    """Judge the copy link, and say how each required destination stands."""
    limits = case.limits
    if limits is not None and limits["copy_to"] == []:
        return not_required(f"zone {case.zone} asks for no copy"), []
    if capture.judgement.state != State.PROVEN:
        return capture.judgement.named("as the recovery point it would copy"), []
    if limits is None or limits["copy_to"] is None or limits["copy_lag_s"] is None:
        return unknown(f"which copies zone {case.zone or 'unknown'} requires is not known"), []
    places = [_destination(evidence, case, capture, wanted) for wanted in limits["copy_to"]]
    decided = worst([place.judgement for place in places])
    if decided.state == State.PROVEN and len(places) > 1:
        names = ", ".join(place.name for place in places)
        return proven(
            f"copied to {names}; {decided.because}", decided.strength, _refs(places), decided.due_at
        ), places
    return decided, places


def _refs(places: list[Destination]) -> Refs:
    return tuple(ref for place in places for ref in place.judgement.refs)


def _destination(evidence: Evidence, case: Case, capture: Capture, wanted: Mapping[str, Any]) -> Destination:
    source = case.bucket["account"] if case.bucket else ""
    place = (str(wanted.get("account") or source), str(wanted["region"]))
    found = _found(evidence, case, capture, place)
    return Destination(*place, wanted.get("retention_d"), found.judgement, found.point, found.gone)


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found of one destination."""

    judgement: Judgement
    point: Row | None = None
    gone: str | None = None


def _found(evidence: Evidence, case: Case, capture: Capture, place: tuple[str, str]) -> _Found:
    assert case.limits is not None and case.ended_at is not None and capture.arn is not None
    lag = case.limits["copy_lag_s"]
    if capture.completed_at is None and capture.point is not None:
        return _Found(unknown("when the proving point completed is not known"))
    due = None if lag < 0 or capture.completed_at is None else capture.completed_at + timedelta(seconds=lag)
    jobs = _jobs(evidence, case, capture, place)
    made = [
        job
        for job in jobs
        if (job["state"], job["completed_at"] is None) == ("COMPLETED", False)
        and (due is None or job["completed_at"] <= due)
    ]
    if capture.point is None and case.said("copy") != "proven":
        made = []  # the point is gone, and with it the time the copy was due
    held = [
        _Found(_held(evidence, case, capture, copy, Strength.EXACT, due), copy)
        for job in made
        if (copy := evidence.point.get(job["dest_point_arn"] or "")) is not None
        and place_of(copy["vault_arn"]) == place
    ]
    if held:
        return min(held, key=lambda item: _BEST.index(item.judgement.state))
    if made:
        unseen = [_unseen(evidence, case, job, place, due) for job in made]
        return min(unseen, key=lambda item: _BEST.index(item.judgement.state))
    aged = _by_creation(evidence, case, capture, place, due) if not jobs else []
    if len(aged) == 1:
        return _Found(_held(evidence, case, capture, aged[0], Strength.STRONG, due), aged[0])
    if capture.point is None:
        return _Found(unknown(f"its copies can no longer be told: {capture.judgement.because}"))
    return _Found(_absent(evidence, case, capture, jobs, place, due))


_BEST = (State.PROVEN, State.NOT_REQUIRED, State.PENDING, State.UNKNOWN, State.BROKEN)


def _jobs(evidence: Evidence, case: Case, capture: Capture, place: tuple[str, str]) -> list[Row]:
    """Return the copy jobs of the proving point to a place, in the order they completed.

    A copy of a continuous point is a snapshot: one that starts before the export's end does not hold it.
    """
    assert case.ended_at is not None and capture.arn is not None
    continuous = capture.point["continuous"] if capture.point else ":continuous:" in capture.arn
    jobs = evidence.once((_jobs_to, capture.arn, place), _jobs_to)
    if not continuous:
        return jobs
    held_from = case.ended_at + evidence.skew
    return [job for job in jobs if (job["created_at"] or case.ended_at) >= held_from]


def _jobs_to(evidence: Evidence, arn: str, place: tuple[str, str]) -> list[Row]:
    """Return the copy jobs of a point to a place, in the order they completed."""
    return sorted(
        (job for job in evidence.copy_jobs.get(arn, ()) if place_of(job["dest_vault_arn"]) == place),
        key=lambda job: (job["completed_at"] or evidence.now, job["copy_job_id"]),
    )


def _by_creation(
    evidence: Evidence, case: Case, capture: Capture, place: tuple[str, str], due: datetime | None
) -> list[Row]:
    """Return copies whose job has aged out, matched by source vault, resource and creation time, complete in time."""
    point = capture.point
    if point is None or point["continuous"] or point["created_at"] is None:
        return []
    return [
        copy
        for copy in evidence.copies.get(case.bucket_arn, ())
        if place_of(copy["vault_arn"]) == place
        and copy["source_vault_arn"] == point["vault_arn"]
        and copy["created_at"] == point["created_at"]
        and copy["completed_at"] is not None
        and (due is None or copy["completed_at"] <= due)
    ]


def _held(
    evidence: Evidence, case: Case, capture: Capture, copy: Row, strength: Strength, due: datetime | None
) -> Judgement:
    """Judge a copy that is seen at its destination."""
    refs: Refs = (("backup_recovery_point", copy["arn"]),)
    assert case.limits is not None and case.ended_at is not None
    where = "/".join(place_of(copy["vault_arn"]))
    if copy["encrypted"] is False:
        return broken(f"the copy in {where} is not encrypted", refs, due)
    allowed = case.limits["regions"]
    if allowed is not None and allowed and copy["region"] not in allowed:
        return broken(f"the copy is in {copy['region']}, which zone {case.zone} does not allow", refs, due)
    if copy["status"] != "COMPLETED":
        return unknown(f"the copy in {where} is {copy['status'] or 'in no known state'}", refs, due_at=due)
    if copy["encrypted"] is None:
        return unknown(f"whether the copy in {where} is encrypted is not known", refs, due_at=due)
    if allowed is None:
        return unknown(f"in which regions zone {case.zone} may be held is not stated", refs, due_at=due)
    start = start_of(copy)
    continuous = capture.point is not None and capture.point["continuous"]
    if continuous and (start is None or start < case.ended_at + evidence.skew):
        return unknown(
            f"the copy in {where} is a snapshot that started on {words(start)}, before the export's end", refs
        )
    told = words(copy["completed_at"]) if copy["completed_at"] else f"by {words(due)}"
    return proven(f"the copy in {where} was complete on {told} and is held there", strength, refs, due)


def _unseen(evidence: Evidence, case: Case, job: Row, place: tuple[str, str], due: datetime | None) -> _Found:
    """Judge a completed copy job whose point is not seen at its destination."""
    refs: Refs = (("backup_copy_job", job["copy_job_id"]),)
    where = "/".join(place)
    done = f"a copy job to {where} completed on {words(job['completed_at'])}"
    gaps = evidence.sight.gaps("backup_recovery_point", place[0], region=place[1])
    if gaps:
        return _Found(unknown(f"{done}, and the destination could not be read", refs, gaps, due))
    arn = job["dest_point_arn"]
    if not arn:
        return _Found(unknown(f"{done}, and does not say which point it made", refs, due_at=due))
    known = evidence.known_points.get(arn)
    if known is None:
        if due is not None and evidence.now <= due:
            return _Found(pending(f"{done}, and its point is not listed yet", due, refs))
        return _Found(broken(f"{done}, and no such point is there", refs, due))
    seen = f"the copy in {where} was last seen on {words(known['last_seen_at'])}"
    if known["delete_at"] is None or known["delete_at"] > evidence.now:
        until = f", before its date {words(known['delete_at'])}" if known["delete_at"] else ""
        return _Found(broken(f"{seen} and is gone{until}", refs, due), gone=arn)
    ended = f"{seen}, and ended on its own date {words(known['delete_at'])}"
    if case.said("copy") == "proven" and case.history is not None:
        strength = Strength(case.history["links"]["copy"][1])
        return _Found(proven(ended, strength, (("history_point", arn),), due), gone=arn)
    return _Found(unknown(ended, refs, due_at=due), gone=arn)


def _absent(
    evidence: Evidence,
    case: Case,
    capture: Capture,
    jobs: list[Row],
    place: tuple[str, str],
    due: datetime | None,
) -> Judgement:
    """Judge a destination that no completed copy in time reaches."""
    assert case.bucket is not None
    where = "/".join(place)
    refs: Refs = tuple(("backup_copy_job", job["copy_job_id"]) for job in jobs[:5])
    if due is None:
        return unknown(f"no copy to {where} is complete, and until when it must be is not stated", refs)
    job_gaps = evidence.sight.gaps(
        "backup_copy_job",
        case.bucket["account"],
        region=case.bucket["region"],
        from_at=capture.completed_at,
        until_at=min(due, evidence.now),
    )
    gaps = evidence.sight.gaps("backup_recovery_point", place[0], region=place[1])
    if job_gaps or (gaps and not jobs):
        return unknown(f"copies to {where} could not all be seen", refs, [*job_gaps, *gaps], due)
    if evidence.now <= due:
        return pending(f"no copy to {where} is complete yet; it is due {words(due)}", due, refs)
    if jobs:
        job = jobs[-1]
        told = f"{job['state']} on {words(job['completed_at'])}" + (
            f": {job['message']}" if job["message"] else ""
        )
        return broken(f"the copy to {where} was due {words(due)}; its job is {told}", refs, due)
    return broken(f"no copy to {where} was made; it was due {words(due)}", refs, due)


@lru_cache(maxsize=1024)
def place_of(vault_arn: str | None) -> tuple[str, str]:
    """Return account and region of a vault's ARN (arn:aws:backup:REGION:ACCOUNT:backup-vault:NAME)."""
    parts = (vault_arn or "").split(":")
    return (parts[4], parts[3]) if len(parts) > 4 else ("", "")
