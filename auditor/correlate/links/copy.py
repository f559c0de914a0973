"""Whether the proving recovery point was copied to each destination the zone requires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from auditor.correlate.links.continuous import clean_jobs
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
from auditor.correlate.links.recovery_point import Capture, start_of
from auditor.model import State, Strength


@dataclass(frozen=True, slots=True)
class Destination:
    """One required destination with its judgement and the point held there."""

    account: str
    region: str
    retention_d: int | None
    judgement: Judgement
    point: Row | None = None

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
    account = str(wanted.get("account") or source)
    region, kept = str(wanted["region"]), wanted.get("retention_d")
    if capture.point is None:
        gone = unknown(f"its copies can no longer be told: {capture.judgement.because}")
        return Destination(account, region, kept, _remembered(case, gone))
    finding, point = _found(evidence, case, capture.point, account, region)
    return Destination(account, region, kept, finding, point)


def _remembered(case: Case, otherwise: Judgement) -> Judgement:
    """Return the copy link an earlier scan proved, when the point itself has gone since."""
    before = ((case.history or {}).get("links") or {}).get("copy")
    if before and before[0] == "proven":
        return proven("proved in an earlier scan, before the point went", Strength(before[1]), ())
    return otherwise


def _found(
    evidence: Evidence, case: Case, point: Row, account: str, region: str
) -> tuple[Judgement, Row | None]:
    assert case.limits is not None and case.ended_at is not None
    completed = captured_at(evidence, case, point)
    if completed is None:
        return unknown("when the proving point completed is not known"), None
    due = completed + timedelta(seconds=case.limits["copy_lag_s"])
    where = f"{account}/{region}"
    jobs = sorted(
        (
            job
            for job in evidence.copy_jobs.get(point["arn"], ())
            if place_of(job["dest_vault_arn"]) == (account, region)
            and not (point["continuous"] and _starts_before(job, case.ended_at + evidence.skew))
        ),
        key=lambda job: (job["completed_at"] or evidence.now, job["copy_job_id"]),
    )
    held = evidence.copies.get(case.bucket_arn, [])
    there = {copy["arn"]: copy for copy in held if place_of(copy["vault_arn"]) == (account, region)}
    gaps = evidence.sight.gaps("backup_recovery_point", account, region=region)
    for job in jobs:
        if job["state"] != "COMPLETED" or job["completed_at"] is None or job["completed_at"] > due:
            continue
        copy = there.get(job["dest_point_arn"])
        if copy is not None:
            return _held(evidence, case, point, copy, Strength.EXACT, due, where), copy
        return _unseen_copy(evidence, job, gaps, where, due), None
    aged = _by_creation(point, list(there.values())) if not jobs else []
    if len(aged) == 1:
        return _held(evidence, case, point, aged[0], Strength.STRONG, due, where), aged[0]
    return _absent(evidence, case, point, jobs, gaps, due, where), None


def _by_creation(point: Row, there: list[Row]) -> list[Row]:
    """Return copies whose job has aged out, matched by source vault, resource and creation time."""
    return [
        copy
        for copy in there
        if copy["source_vault_arn"] == point["vault_arn"]
        and not point["continuous"]
        and copy["created_at"] is not None
        and copy["created_at"] == point["created_at"]
    ]


def _held(
    evidence: Evidence, case: Case, point: Row, copy: Row, strength: Strength, due: datetime, where: str
) -> Judgement:
    """Judge a copy that is seen at its destination."""
    refs: Refs = (("backup_recovery_point", copy["arn"]),)
    assert case.limits is not None and case.ended_at is not None
    start = start_of(copy)
    if copy["encrypted"] is False:
        return broken(f"the copy in {where} is not encrypted", refs, due)
    allowed = case.limits["regions"]
    if allowed is not None and allowed and copy["region"] not in allowed:
        return broken(f"the copy is in {copy['region']}, which zone {case.zone} does not allow", refs, due)
    if copy["status"] != "COMPLETED" or copy["encrypted"] is None or allowed is None:
        return unknown(f"the copy in {where} is {copy['status']}, and its state does not prove it", refs)
    if point["continuous"] and (start is None or start < case.ended_at + evidence.skew):
        return unknown(
            f"the copy in {where} is a snapshot that started on {words(start)}, before the export's end", refs
        )
    return proven(f"the copy in {where} was complete by {words(due)} and is held there", strength, refs, due)


def _unseen_copy(evidence: Evidence, job: Row, gaps: list[str], where: str, due: datetime) -> Judgement:
    refs: Refs = (("backup_copy_job", job["copy_job_id"]),)
    if gaps:
        return unknown(
            f"a copy job to {where} completed, and the destination could not be read", refs, gaps, due
        )
    arn = job["dest_point_arn"]
    known = evidence.known_points.get(arn) if arn else None
    if known and known["delete_at"] is not None and known["delete_at"] <= evidence.now:
        return unknown(f"the copy in {where} has ended its own retention", refs, due_at=due)
    if known:
        return broken(f"the copy in {where} was seen and is gone before its date", refs, due)
    if evidence.now <= due:
        return pending(f"a copy job to {where} completed, and its point is not listed yet", due, refs)
    return broken(f"a copy job to {where} completed, and no such point is there", refs, due)


def _absent(
    evidence: Evidence, case: Case, point: Row, jobs: list[Row], gaps: list[str], due: datetime, where: str
) -> Judgement:
    """Judge a destination that no completed copy in time reaches."""
    assert case.bucket is not None
    job_gaps = evidence.sight.gaps(
        "backup_copy_job",
        case.bucket["account"],
        region=case.bucket["region"],
        from_at=captured_at(evidence, case, point),
        until_at=min(due, evidence.now),
    )
    refs: Refs = tuple(("backup_copy_job", job["copy_job_id"]) for job in jobs[:5])
    if job_gaps or (gaps and not jobs):
        return unknown(f"copies to {where} could not all be seen", refs, [*job_gaps, *gaps], due)
    if evidence.now <= due:
        return pending(f"no copy to {where} is complete yet", due, refs)
    if jobs:
        job = jobs[-1]
        told = f"{job['state']} on {words(job['completed_at'])}" + (
            f": {job['message']}" if job["message"] else ""
        )
        return broken(f"the copy to {where} was due {words(due)}; its job is {told}", refs, due)
    return broken(f"no copy to {where} was made; it was due {words(due)}", refs, due)


def captured_at(evidence: Evidence, case: Case, point: Row) -> datetime | None:
    """Return when the capture was complete: of a continuous point, its first clean job after the export's end."""
    if not point["continuous"]:
        return point["completed_at"] or start_of(point)
    assert case.ended_at is not None
    clean = clean_jobs(evidence, point, case.ended_at)
    return min((job["completed_at"] for job in clean if job["completed_at"]), default=None)


def _starts_before(job: Row, at: datetime) -> bool:
    """A copy of a continuous point is a snapshot: one that starts before the export's end does not hold it."""
    return job["created_at"] is None or job["created_at"] < at


def place_of(vault_arn: str | None) -> tuple[str, str]:
    """Return account and region of a vault's ARN (arn:aws:backup:REGION:ACCOUNT:backup-vault:NAME)."""
    parts = (vault_arn or "").split(":")
    return (parts[4], parts[3]) if len(parts) > 4 else ("", "")
