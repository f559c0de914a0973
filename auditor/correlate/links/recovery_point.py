"""Whether a recovery point holds every version of the export, made in time and after the last write."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from auditor.correlate.links.continuous import judge_continuous
from auditor.correlate.links.evidence import Case, Evidence, Row, words, writes_hidden
from auditor.correlate.links.hiding import hiding
from auditor.correlate.links.judgement import (
    Judgement,
    Refs,
    broken,
    not_required,
    pending,
    proven,
    unknown,
)
from auditor.correlate.links.objects import versioning_off
from auditor.correlate.links.session import strangers
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

    @property
    def started_at(self) -> datetime | None:
        """When the proving capture started: the end of the window of the export's objects."""
        return start_of(self.point) if self.point else None


def start_of(point: Row) -> datetime | None:
    """Return when a point started: the earlier of InitiationDate and CreationDate."""
    times = [at for at in (point["initiated_at"], point["created_at"]) if at is not None]
    return min(times) if times else None


def due_of(case: Case) -> datetime | None:
    """Return until when the export must be captured: fixed when it was first seen, whatever changed since."""
    if case.history and case.history["capture_due_at"] is not None:
        return case.history["capture_due_at"]  # type: ignore[no-any-return]
    if case.limits is None or case.limits["capture_s"] is None or case.ended_at is None:
        return None
    return case.ended_at + timedelta(seconds=case.limits["capture_s"])


def judge(evidence: Evidence, case: Case, listing_gaps: list[str]) -> Capture:
    """Judge the recovery_point link of one export."""
    if case.ended_at is None:
        return Capture(pending("the export has not ended", None))
    if case.nothing_written:
        unseen = listing_gaps or writes_hidden(evidence, case, evidence.now)
        if unseen:
            return Capture(unknown("whether anything was written could not be seen", gaps=unseen))
        return Capture(not_required("nothing was written"))
    if case.limits is not None and case.limits["capture_s"] == -1:
        return Capture(not_required(f"zone {case.zone} asks for no capture"))
    if case.bucket is None:
        return Capture(
            unknown(f"{case.bucket_arn} was not seen, so its backups cannot be told", gaps=listing_gaps)
        )
    due = due_of(case)
    found = [_verdict(evidence, case, point, due) for point in _points(evidence, case)]
    proving = sorted(
        (item for item in found if item.kind == "proves"),
        key=lambda item: (item.point["completed_at"] or evidence.now, item.point["arn"]),
    )
    if proving:
        best = proving[0]
        return Capture(proven(best.because, best.strength, best.refs, due), best.point, due_at=due)
    gaps = evidence.sight.gaps("backup_recovery_point", case.bucket["account"], region=case.bucket["region"])
    if gaps:
        return Capture(
            unknown("recovery points of the bucket could not all be seen", gaps=gaps, due_at=due), due_at=due
        )
    before = _proven_before(evidence, case, due)
    if before is not None:
        return before
    if due is None:
        why = "the export has no zone" if case.limits is None else f"zone {case.zone} states no capture limit"
        return Capture(unknown(f"{why}, so until when it must be captured is not known"))
    if evidence.now <= due:
        weak = next((item for item in found if item.kind == "weak"), None)
        hidden = hiding(evidence, case, "recovery_point") if weak else []
        if weak and hidden:  # it may hold the export, and what would tell was not read: waiting will not
            return Capture(unknown(weak.because, weak.refs, hidden, due), due_at=due)
        making = next((item for item in found if item.kind == "creating"), None)
        because = making.because if making else "no recovery point holds it yet"
        lost = any(item.kind == "not_current" for item in found)
        waiting = pending(because, due, making.refs if making else ())
        return Capture(waiting, due_at=due, overwritten=lost)
    return _past_due(found, due)


def _points(evidence: Evidence, case: Case) -> list[Row]:
    """Return the bucket's points in the order they started."""
    points = evidence.points.get(case.bucket_arn, ())
    return sorted(points, key=lambda point: (start_of(point) or evidence.now, point["arn"]))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one recovery point says of one export."""

    kind: str
    """proves, creating, weak, torn, not_current, early, late or off."""
    because: str
    point: Row
    strength: Strength = Strength.STRONG

    @property
    def refs(self) -> Refs:
        return (("backup_recovery_point", self.point["arn"]),)


def _past_due(found: list[Verdict], due: datetime) -> Capture:
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
    if point["continuous"]:
        kind, because = judge_continuous(evidence, case, point, due)
        return Verdict(kind, because, point)
    kind, because = _periodic(evidence, case, point, due)
    return Verdict(kind, because, point)


def _periodic(evidence: Evidence, case: Case, point: Row, due: datetime | None) -> tuple[str, str]:
    """Say what a periodic point is to the export, in the order of the table of links.md."""
    name = _short(point)
    start, completed, end = start_of(point), point["completed_at"], case.ended_at
    assert end is not None
    if start is None or point["status"] is None:
        return "weak", f"{name} does not say when it started or how it stands"
    last = case.last_write_at or end
    if start < end + evidence.skew:
        if point["status"] == "CREATING" or completed is None or completed >= last:
            if due is not None and completed is not None and completed > due:
                return "late", f"{name} started before the export ended and completed after it was due"
            return (
                "torn",
                f"{name} started on {words(start)}, while the export was being written until {words(end)}",
            )
        return "early", f"{name} completed on {words(completed)}, before the last write on {words(last)}"
    if due is not None and (start > due or (completed is not None and completed > due)):
        which = "started" if start > due else "completed"
        at = start if start > due else completed
        return "late", f"{name} {which} on {words(at)}, after it was due on {words(due)}"
    if point["status"] == "CREATING":
        return "creating", f"{name} is being made since {words(start)}"
    return _in_time(evidence, case, point, due, start)


def _in_time(
    evidence: Evidence, case: Case, point: Row, due: datetime | None, start: datetime
) -> tuple[str, str]:
    """Judge a point that started after the export's end and in time."""
    name = _short(point)
    lost = _lost_before(evidence, case, point, start)
    if lost is not None:
        return lost
    superseded = case.writes["superseded_at"] if case.writes else None
    if superseded is not None and start >= superseded:
        told = case.writes and (
            case.writes["deleted_at"] == superseded or case.writes["taken_at"] == superseded
        )
        if case.ended_at is not None and superseded <= case.ended_at and not told:
            return "weak", "an object was overwritten while the export was still being written"
        return (
            "not_current",
            f"an object was overwritten or deleted on {words(superseded)}, before {name} started",
        )
    flaw = flaw_of(evidence, case, point, start)
    if flaw:
        return "weak", f"{name}: {flaw}"
    if due is None:
        return "weak", f"{name} holds it, and whether in time is not known: the export has no zone or limit"
    return (
        "proves",
        (
            f"{name} started on {words(start)}, after the export's end, completed on "
            f"{words(point['completed_at'])} and was due {words(due)}; all {case.objects} versions were current"
        ),
    )


def _lost_before(evidence: Evidence, case: Case, point: Row, start: datetime) -> tuple[str, str] | None:
    """Say that a version of the export was deleted for good before the point started, or may have been."""
    history = case.history
    proved = history is not None and history["proving_point"] == point["arn"]
    rows = sorted(evidence.lost.get(case.export_id, ()), key=lambda row: (row["key"], row["version_id"]))
    for row in rows:
        if row["deleted_at"] is not None and row["deleted_at"] <= start:
            return (
                "not_current",
                f"{row['key']} was deleted on {words(row['deleted_at'])}, before {_short(point)} started",
            )
    unsure = [row for row in rows if row["deleted_at"] is None]
    hidden = [] if proved else _unattributed(evidence, case, start) or writes_hidden(evidence, case, start)
    if hidden:
        return (
            "weak",
            f"whether a version was deleted before {_short(point)} started could not be seen: {hidden[0]}",
        )
    if unsure and not proved:
        return (
            "weak",
            f"{unsure[0]['key']} is gone, and whether since before {_short(point)} started cannot be told",
        )
    return None


def _unattributed(evidence: Evidence, case: Case, start: datetime) -> list[str]:
    """Return versions under the prefix that are gone and that a job may have written whose session is not known."""
    return [
        f"{row['key']} is gone, and {row['because']}"
        for row in strangers(evidence, case, start)
        if row["gone"] and row["kind"] in ("ambiguous", "no_issue")
    ]


def flaw_of(evidence: Evidence, case: Case, point: Row, start: datetime) -> str:
    """Say why a point that is in time cannot be trusted to hold the export; empty when it can."""
    if point["status"] != "COMPLETED":
        return f"its status is {point['status']}"
    if point["completed_at"] is None:
        return "when it completed is not known"
    if not point["bytes"]:
        return f"it holds {'an unknown number of' if point['bytes'] is None else 0} bytes, and {case.objects} objects are there"
    jobs = evidence.backup_jobs.get(point["arn"], [])
    if not jobs:
        return "the job that made it was never collected"
    poor = [job for job in jobs if job["state"] != "COMPLETED" or job["category"] != "SUCCESS"]
    if poor:
        told = poor[0]["message"] or "no message"
        return f"its job ended {poor[0]['state']} with {poor[0]['category'] or 'no category'}: {told}"
    if case.writes and case.writes["unsupported"]:
        return f"{case.writes['unsupported']} objects are of a storage class AWS Backup skips"
    if case.bucket is None or case.bucket["versioning"] is None:
        return "whether versioning was on is not known"
    if case.writes and case.writes["unversioned"]:
        return f"{case.writes['unversioned']} objects were written while versioning was off"
    return versioning_off(evidence, case, case.first_write_at, start) or ""


def _proven_before(evidence: Evidence, case: Case, due: datetime | None) -> Capture | None:
    """Return the capture that an earlier scan proved by a point which has since expired or gone."""
    history = case.history
    links = (history or {}).get("links") or {}
    if (
        history is None
        or not history["proving_point"]
        or (links.get("recovery_point") or [""])[0] != "proven"
    ):
        return None
    arn = history["proving_point"]
    known = evidence.known_points.get(arn)
    if known is None:
        return None
    strength = Strength(links["recovery_point"][1])
    refs: Refs = (("history_point", arn),)
    point = evidence.point.get(arn)
    if point is None:
        because = f"{arn} proved it in the scan of {words(known['last_seen_at'])}, and is no longer listed"
        return Capture(proven(because, strength, refs, due), gone=arn, due_at=due)
    if point["status"] in ("EXPIRED", "DELETING"):
        because = f"{arn} proved it before its status became {point['status']}"
        return Capture(proven(because, strength, refs, due), point, due_at=due)
    return None


def _short(point: Row) -> str:
    return "recovery point " + str(point["arn"]).rpartition(":")[2]
