"""Whether a recovery point holds every version of the export, made in time and after the last write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from auditor.correlate.links.continuous import clean_jobs, judge_continuous
from auditor.correlate.links.evidence import Case, Evidence, Row, words, writes_hidden
from auditor.correlate.links.hiding import hiding
from auditor.correlate.links.job import unended
from auditor.correlate.links.judgement import (
    Judgement,
    Refs,
    broken,
    not_required,
    pending,
    proven,
    unknown,
)
from auditor.correlate.links.periodic import Verdict, judge_periodic
from auditor.correlate.links.points import start_of
from auditor.model import Strength


@dataclass(frozen=True, slots=True)
class Capture:
    """The recovery_point link, and the point that proves it."""

    judgement: Judgement
    point: Row | None = None
    gone: str | None = None
    """ARN of a point that proved the link in an earlier scan and is no longer listed."""
    due_at: datetime | None = None
    overwritten: bool = False
    """The link is broken because a version was overwritten or deleted before any capture."""
    started_at: datetime | None = None
    """When the proving capture started: the end of the window of the export's objects."""
    completed_at: datetime | None = None
    """When the proving capture was complete: of a continuous point, its first clean job after the export's end."""

    @property
    def arn(self) -> str | None:
        """The point that proves the link, still listed or not."""
        return self.point["arn"] if self.point else self.gone


def due_of(case: Case) -> datetime | None:
    """Return until when the export must be captured: fixed when it was first known, whatever changed since."""
    if case.history and case.history["capture_due_at"] is not None:
        return case.history["capture_due_at"]  # type: ignore[no-any-return]
    if case.limits is None or case.ended_at is None:
        return None
    within = case.limits["capture_s"]
    return None if within is None or within < 0 else case.ended_at + timedelta(seconds=within)


def judge(evidence: Evidence, case: Case, listing_gaps: list[str]) -> list[Capture]:
    """Judge the recovery_point link of one export; several captures when several points prove it, best first.

    Points that prove it stand in the order they completed, continuous ones last.
    """
    if case.job["ending"] == "running":
        return [Capture(unended(evidence, case, "the export has not ended"))]
    if case.ended_at is None or case.job["started_at"] is None:
        when = "ended" if case.ended_at is None else "started"
        return [
            Capture(unknown(f"when the {case.job['kind']} {when} is not known, so its writes cannot be told"))
        ]
    due = due_of(case)
    if case.nothing_written:
        empty = _nothing(evidence, case, listing_gaps)
        if empty is not None:
            return [Capture(empty, due_at=due if empty.due_at else None)]
    if due is None and case.limits is not None and case.limits["capture_s"] == -1:
        return [Capture(not_required(f"zone {case.zone} asks for no capture"))]
    if case.bucket is None:
        why = f"{case.bucket_arn} was not seen, so its backups cannot be told"
        return [Capture(unknown(why, gaps=listing_gaps))]
    if listing_gaps:
        why = f"the objects of {case.output['bucket']} could not all be listed, so what a point must hold is not known"
        return [Capture(unknown(why, gaps=listing_gaps, due_at=due), due_at=due)]
    found = [_verdict(evidence, case, point, due) for point in _points(evidence, case, due)]
    proving = sorted(
        (_proof(evidence, case, item, due) for item in found if item.kind == "proves"),
        key=lambda capture: (_is_continuous(capture), capture.completed_at or evidence.now, capture.arn),
    )
    return proving or [_unproven(evidence, case, found, due)]


def _is_continuous(capture: Capture) -> bool:
    return capture.point is not None and bool(capture.point["continuous"])


def _nothing(evidence: Evidence, case: Case, listing_gaps: list[str]) -> Judgement | None:
    """Judge an export of which no object is there; None when some were, and points must be asked for them."""
    unseen = listing_gaps or writes_hidden(evidence, case, evidence.now)
    if unseen:
        return unknown("whether anything was written could not be seen", gaps=unseen)
    if case.writes and case.writes["rivals"]:
        return unknown(
            "another export fits the same objects equally well, so whether it wrote any cannot be told"
        )
    if case.lost:
        return None
    before = case.said("recovery_point")
    if before == "broken":
        due = due_of(case)
        return broken(
            "an earlier scan found it in no recovery point in time, and its objects are gone since", (), due
        )
    if before == "proven" or (before == "pending" and case.history and case.history["capture_due_at"]):
        return None
    if before == "unknown":
        return unknown(
            "an earlier scan could not tell whether a point holds it, and no object of it is there now"
        )
    return not_required("nothing was written")


def _points(evidence: Evidence, case: Case, due: datetime | None) -> list[Row]:
    """Return the bucket's own points of the export's time, in the order they started.

    A point of another account or region is a copy, whether it says so or not.
    """
    held = evidence.points.get(case.bucket_arn)
    if held is None or case.bucket is None or case.ended_at is None:
        return []
    account, region = case.bucket["account"], case.bucket["region"]
    points = [
        point
        for point in held.between(case.last_write_at or case.ended_at, due or case.ended_at)
        if point["account"] == account and region in (None, point["region"])
    ]
    if len(points) > 1:
        points.sort(key=lambda point: (start_of(point) or evidence.now, point["arn"]))
    return points


def _proof(evidence: Evidence, case: Case, item: Verdict, due: datetime | None) -> Capture:
    assert case.ended_at is not None
    judged = proven(item.because, item.strength, item.refs, due)
    point = item.point
    if not point["continuous"]:
        return Capture(judged, point, None, due, False, start_of(point), point["completed_at"])
    clean = [job["completed_at"] for job in clean_jobs(evidence, point, case.ended_at) if job["completed_at"]]
    return Capture(judged, point, None, due, False, case.ended_at + evidence.skew, min(clean, default=None))


def _unproven(evidence: Evidence, case: Case, found: list[Verdict], due: datetime | None) -> Capture:
    """Judge an export that no point listed now proves."""
    assert case.bucket is not None
    gaps = evidence.sight.gaps("backup_recovery_point", case.bucket["account"], region=case.bucket["region"])
    if gaps:
        why = "recovery points of the bucket could not all be seen"
        return Capture(unknown(why, gaps=gaps, due_at=due), due_at=due)
    before = _proven_before(evidence, case, due)
    if before is not None:
        return before
    if due is None:
        why = "the export has no zone" if case.limits is None else f"zone {case.zone} states no capture limit"
        return Capture(unknown(f"{why}, so until when it must be captured is not known"))
    if evidence.now <= due:
        return _waiting(evidence, case, found, due)
    return _past_due(found, due)


def _waiting(evidence: Evidence, case: Case, found: list[Verdict], due: datetime) -> Capture:
    weak = next((item for item in found if item.kind == "weak"), None)
    hidden = hiding(evidence, case, "recovery_point") if weak else []
    if weak and hidden:  # it may hold the export, and what would tell was not read: waiting will not
        return Capture(unknown(weak.because, weak.refs, hidden, due), due_at=due)
    making = next((item for item in found if item.kind == "creating"), None)
    because = making.because if making else "no recovery point holds it yet"
    lost = any(item.kind == "not_current" for item in found)
    waiting = pending(f"{because}; it is due {words(due)}", due, making.refs if making else ())
    return Capture(waiting, due_at=due, overwritten=lost)


def _past_due(found: Sequence[Verdict], due: datetime) -> Capture:
    """Judge an export that is past due and that no point proves."""
    for kind in ("weak", "creating", "torn"):
        some = [item for item in found if item.kind == kind]
        if some:
            refs = tuple(ref for item in some[:3] for ref in item.refs)
            return Capture(unknown(some[0].because, refs, due_at=due), due_at=due)
    for kind in ("not_current", "off", "late", "early"):
        some = [item for item in found if item.kind == kind]
        if some:
            # The one that came nearest: the first that was late, the last that was early.
            nearest = some[-1] if kind == "early" else some[0]
            return Capture(
                broken(nearest.because, nearest.refs, due), due_at=due, overwritten=kind == "not_current"
            )
    return Capture(
        broken(f"no recovery point of the bucket holds it; it was due {words(due)}", due_at=due), due_at=due
    )


def _verdict(evidence: Evidence, case: Case, point: Row, due: datetime | None) -> Verdict:
    judged = judge_continuous if point["continuous"] else judge_periodic
    return Verdict(*judged(evidence, case, point, due), point)


def _proven_before(evidence: Evidence, case: Case, due: datetime | None) -> Capture | None:
    """Return the capture that an earlier scan proved by a point which has since expired, stopped or gone."""
    history = case.history
    if history is None or not history["proving_point"] or case.said("recovery_point") != "proven":
        return None
    arn = history["proving_point"]
    known = evidence.known_points.get(arn)
    if known is None:
        return None
    strength = Strength(history["links"]["recovery_point"][1])
    refs: Refs = (("history_point", arn),)
    first = known["first_seen_at"]
    point = evidence.point.get(arn)
    if point is None:
        because = f"{arn} proved it in the scan of {words(known['last_seen_at'])}, and is no longer listed"
        return Capture(proven(because, strength, refs, due), None, arn, due, False, first)
    if point["status"] in ("EXPIRED", "DELETING", "STOPPED"):
        because = f"{arn} proved it in an earlier scan, before its status became {point['status']}"
        started = first if point["continuous"] else start_of(point)
        return Capture(
            proven(because, strength, refs, due), point, None, due, False, started, point["completed_at"]
        )
    return None
