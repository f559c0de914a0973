"""What one periodic recovery point says of one export, in the order of the table of links.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from auditor.correlate.links.evidence import Case, Evidence, Row, unseen_since, words, writes_hidden
from auditor.correlate.links.judgement import Refs
from auditor.correlate.links.points import start_of
from auditor.correlate.links.session import strangers
from auditor.correlate.links.settings import versioning_off
from auditor.model import Strength


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one recovery point says of one export."""

    kind: str
    """proves, creating, weak, torn, not_current, early, late or off."""
    why: str | Callable[[], str]
    """The reason, or what puts it into words: of most points of a bucket nobody asks."""
    point: Row
    strength: Strength = Strength.STRONG

    @property
    def because(self) -> str:
        """The reason in a sentence."""
        return self.why if isinstance(self.why, str) else self.why()

    @property
    def refs(self) -> Refs:
        return (("backup_recovery_point", self.point["arn"]),)


def short(point: Row) -> str:
    """Return a point's name as sentences have it."""
    return "recovery point " + str(point["arn"]).rpartition(":")[2]


def judge_periodic(
    evidence: Evidence, case: Case, point: Row, due: datetime | None
) -> tuple[str, str | Callable[[], str]]:
    """Return the kind of verdict, and why."""
    start, completed, end = start_of(point), point["completed_at"], case.ended_at
    assert end is not None
    if start is None or point["status"] is None:
        return "weak", f"{short(point)} does not say when it started or how it stands"
    last = case.last_write_at or end
    making = point["status"] == "CREATING"
    if start < end + evidence.skew:
        if completed is not None and completed < last and not making:
            return (
                "early",
                lambda: (
                    f"{short(point)} completed on {words(completed)}, before the last write on {words(last)}"
                ),
            )
        if due is not None and completed is not None and completed > due:
            return (
                "late",
                lambda: (
                    f"{short(point)} started before the export ended and completed on {words(completed)}, "
                    "after it was due"
                ),
            )
        return (
            "torn",
            lambda: (
                f"{short(point)} started on {words(start)}, while the export was being written until {words(end)}"
            ),
        )
    if due is not None and start > due:
        return "late", lambda: f"{short(point)} started on {words(start)}, after it was due on {words(due)}"
    if due is not None and completed is not None and completed > due:
        return (
            "late",
            lambda: f"{short(point)} completed on {words(completed)}, after it was due on {words(due)}",
        )
    name = short(point)
    if making and due is not None and evidence.now > due:
        return "late", f"{name} is being made since {words(start)} and was due on {words(due)}"
    if making:
        return "creating", f"{name} is being made since {words(start)}"
    return _in_time(evidence, case, point, due, start)


def _in_time(
    evidence: Evidence, case: Case, point: Row, due: datetime | None, start: datetime
) -> tuple[str, str]:
    """Judge a point that started after the export's end and in time."""
    name = short(point)
    found = _not_current(evidence, case, point, start)
    if found is not None:
        return found
    weak = flaw_of(evidence, case, point, start)
    if weak:
        return "weak", f"{name}: {weak}"
    if due is None:
        return "weak", f"{name} holds it, and whether in time is not known: the export has no zone or limit"
    return "proves", holds(point, start, due, case.objects)


def holds(point: Row, start: datetime, due: datetime, objects: int) -> str:
    """Say that a point holds an export: that it started after its end and was complete in time."""
    held = f"all {objects} versions were current" if objects else "an earlier scan saw its objects"
    return f"{holding(point, start)}{words(due)}; {held}"


def holding(point: Row, start: datetime) -> str:
    """Return what is said of a point that holds exports, up to the time at which it was due."""
    done = words(point["completed_at"])
    return (
        f"{short(point)} started on {words(start)}, after the export's end, completed on {done} and was due "
    )


def _not_current(evidence: Evidence, case: Case, point: Row, start: datetime) -> tuple[str, str] | None:
    """Say that a version was, or may have been, overwritten or deleted before the point started."""
    assert case.ended_at is not None
    lost = _lost_before(evidence, case, point, start)
    writes = case.writes or {}
    told = [at for at in (writes.get("taken_at"), writes.get("deleted_at")) if at is not None]
    superseded = writes.get("superseded_at")
    if superseded is not None and superseded > case.ended_at:
        told.append(superseded)
    if told and min(told) <= start:
        return (
            "not_current",
            f"an object was overwritten or deleted on {words(min(told))}, before {short(point)} started",
        )
    if lost is not None:
        return lost
    unseen = unseen_since(evidence, case)
    if unseen is not None and start > unseen and not _proved_by(case, point):
        return (
            "weak",
            (
                f"its objects were last seen in an inventory, on {words(unseen)}: whether all of them were still "
                f"there when {short(point)} started cannot be told"
            ),
        )
    if superseded is not None and superseded <= start:
        return (
            "weak",
            f"an object was overwritten on {words(superseded)}, while the export was still being written",
        )
    if case.nothing_written and not _proved_by(case, point) and not case.lost:
        return (
            "weak",
            f"its objects are gone, and whether they were there when {short(point)} started cannot be told",
        )
    return None


def _proved_by(case: Case, point: Row) -> bool:
    """Tell whether this point proved the link in an earlier scan, when all was still there."""
    return (
        case.said("recovery_point") == "proven" and (case.history or {}).get("proving_point") == point["arn"]
    )


def _lost_before(evidence: Evidence, case: Case, point: Row, start: datetime) -> tuple[str, str] | None:
    """Say that a version of the export was deleted for good before the point started, or may have been."""
    proved = _proved_by(case, point)
    rows = sorted(case.lost, key=lambda row: (row["key"], row["version_id"])) if case.lost else []
    for row in rows:
        if row["deleted_at"] is not None and row["deleted_at"] <= start:
            deleted = f"{row['key']} was deleted on {words(row['deleted_at'])}"
            return "not_current", f"{deleted}, before {short(point)} started"
    if proved:
        return None
    hidden = _unattributed(evidence, case, start) or writes_hidden(evidence, case, start)
    if hidden:
        why = f"whether a version was deleted before {short(point)} started could not be seen"
        return "weak", f"{why}: {hidden[0]}"
    unsure = [row for row in rows if row["deleted_at"] is None]
    if unsure:
        why = f"{unsure[0]['key']} is gone, and whether since before {short(point)} started cannot be told"
        return "weak", why
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
    own = flaw(evidence, point["arn"])
    if own == _EMPTY:
        number = "an unknown number of" if point["bytes"] is None else 0
        return f"it holds {number} bytes, and {case.objects} objects are there"
    if own:
        return own
    if case.writes and case.writes["unsupported"]:
        return f"{case.writes['unsupported']} objects are of a storage class AWS Backup skips"
    if case.bucket is None or case.bucket["versioning"] is None:
        return "whether versioning was on is not known"
    if case.writes and case.writes["unversioned"]:
        return f"{case.writes['unversioned']} objects were written while versioning was off"
    return versioning_off(evidence, case, case.first_write_at or case.ended_at, start) or ""


_EMPTY = "it holds no bytes"


def flaw(evidence: Evidence, arn: str) -> str:
    """Say why a point cannot be trusted to hold any export; empty when it can."""
    return evidence.once((_flaw, arn), _flaw)


def _flaw(evidence: Evidence, arn: str) -> str:
    point = evidence.point[arn]
    if point["status"] != "COMPLETED":
        return f"its status is {point['status']}"
    if point["completed_at"] is None:
        return "when it completed is not known"
    if not point["bytes"]:
        return _EMPTY
    jobs = evidence.backup_jobs.get(arn, [])
    if not jobs:
        return "the job that made it was never collected"
    poor = [job for job in jobs if job["state"] != "COMPLETED" or job["category"] != "SUCCESS"]
    if poor:
        told = poor[0]["message"] or "no message"
        return f"its job ended {poor[0]['state']} with {poor[0]['category'] or 'no category'}: {told}"
    return ""
