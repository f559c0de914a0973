"""Every export with its seven links: the chain, judged by links.md."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.links import copy, job, objects, recovery_point, retention, session, trigger
from auditor.correlate.links.evidence import READS, Case, Evidence, cases
from auditor.correlate.links.hiding import explained
from auditor.correlate.links.judgement import Judgement, not_required, weakest
from auditor.correlate.links.recovery_point import Capture
from auditor.model import LINKS, State, Strength

TABLE = "export"
__all__ = ["READS", "TABLE", "derive"]

_WORST_FIRST = (State.BROKEN, State.UNKNOWN, State.PENDING)


@dataclass(frozen=True, slots=True)
class _First:
    """One export after the first pass: what other exports need to know of it."""

    case: Case
    capture: Capture


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row an export."""
    evidence = Evidence(tables)
    triggers = trigger.Triggers(evidence)
    first = [
        _First(case, recovery_point.judge(evidence, case, objects.listing_gaps(evidence, case)))
        for case in cases(evidence)
    ]
    runs: dict[tuple[str, str], list[_First]] = defaultdict(list)
    for item in first:
        runs[item.case.output["bucket"], item.case.output["export_key"]].append(item)
    for item in first:
        case = item.case
        others = runs[case.output["bucket"], case.output["export_key"]]
        links = {"trigger": trigger.judge(evidence, case, triggers)}
        repeated = _repeated(evidence, item, others)
        replaced = _replaced(item, others)
        if repeated:
            links |= {name: not_required(f"superseded by {repeated}") for name in LINKS[1:]}
        else:
            links |= _judged(evidence, item, replaced)
        links = {name: explained(evidence, case, name, judged) for name, judged in links.items()}
        yield _row(evidence, case, item.capture, links, repeated or replaced)


def _judged(evidence: Evidence, item: _First, replaced: str | None) -> dict[str, Judgement]:
    case, capture = item.case, item.capture
    judged = {
        "job": job.judge(evidence, case),
        "session": session.judge(evidence, case),
        "objects": objects.judge(evidence, case, capture.started_at),
    }
    if replaced:
        held = {name: not_required(f"superseded by {replaced}") for name in LINKS[4:]}
        return judged | held
    judged["recovery_point"] = capture.judgement
    if capture.judgement.state == State.NOT_REQUIRED:
        return judged | dict.fromkeys(("copy", "retention"), capture.judgement)
    judged["copy"], places = copy.judge(evidence, case, capture)
    judged["retention"] = retention.judge(evidence, case, capture, judged["copy"], places)
    return judged


def _repeated(evidence: Evidence, item: _First, others: Sequence[_First]) -> str | None:
    """Return the run of the same export that succeeded in time after this one failed."""
    case = item.case
    until = job.retry_until(evidence, case)
    if case.job["ending"] != "failed" or until is None:
        return None
    later = [
        other.case
        for other in others
        if other.case.job["ending"] == "well"
        and other.case.job["finished_at"] is not None
        and case.job["finished_at"] <= other.case.job["finished_at"] <= until
    ]
    return (
        min(later, key=lambda other: (other.job["finished_at"], other.export_id)).export_id if later else None
    )


def _replaced(item: _First, others: Sequence[_First]) -> str | None:
    """Return the proven later run that overwrote this one, where the zone lets it stand in."""
    case, capture = item.case, item.capture
    if (
        not capture.overwritten
        or case.limits is None
        or not case.limits["supersede"]
        or capture.due_at is None
    ):
        return None
    later = [
        other
        for other in others
        if other.case.zone == case.zone
        and other.case.output["prefix"] == case.output["prefix"]
        and other.capture.judgement.state == State.PROVEN
        and other.capture.point is not None
        and other.capture.point["completed_at"] is not None
        and other.capture.point["completed_at"] <= capture.due_at
        and _starts(other.case) > _starts(case)
    ]
    return (
        min(later, key=lambda other: (other.case.job["started_at"], other.case.export_id)).case.export_id
        if later
        else None
    )


def _starts(case: Case) -> Any:
    return case.first_write_at or case.job["started_at"] or case.ended_at


def _row(
    evidence: Evidence,
    case: Case,
    capture: Capture,
    links: Mapping[str, Judgement],
    superseded_by: str | None,
) -> dict[str, Any]:
    declared = evidence.exports.get(case.output["export_name"] or "")
    owner = (declared["owner"] if declared else None) or case.job["owner_label"]
    forms = sorted({row["form"] for row in evidence.markers.get(case.export_id, ())})
    marker = forms[-1] if forms else "none"
    output, run, writes, bucket = case.output, case.job, case.writes or {}, case.bucket or {}
    state = next((s for s in _WORST_FIRST if any(j.state == s for j in links.values())), State.PROVEN)
    problem = (
        next((name for name in LINKS if links[name].state == state), "") if state != State.PROVEN else ""
    )
    dues = [j.due_at for j in links.values() if j.state == State.PENDING and j.due_at is not None]
    sure = [j.strength for j in links.values() if j.state == State.PROVEN]
    row: dict[str, Any] = {
        **{
            name: output[name]
            for name in ("export_id", "export_key", "job_uuid", "bucket", "prefix", "found_by", "declared")
        },
        **{
            name: run[name]
            for name in (
                "job_id",
                "kind",
                "project",
                "region",
                "service_account",
                "started_at",
                "finished_at",
            )
        },
        "state_of_job": run["state"],
        "bucket_arn": case.bucket_arn,
        "account": bucket.get("account"),
        "bucket_region": bucket.get("region"),
        "zone": case.zone,
        "job_zone": case.job_zone,
        "bucket_zone": case.bucket_zone,
        "owner": owner,
        "marker": marker,
        "ended_at": case.ended_at,
        "first_write_at": case.first_write_at,
        "last_write_at": case.last_write_at,
        "objects": case.objects,
        "bytes": int(writes.get("bytes") or 0),
        "attributed_by": _attributed(case),
        "candidates": int(writes.get("rivals") or 0),
        "unambiguous": None if writes.get("rivals") else True,
        "overwritten_before_capture": _overwritten(links["recovery_point"], capture),
        "superseded_by": superseded_by,
        "proving_point": capture.point["arn"] if capture.point else capture.gone,
        "capture_due_at": capture.due_at or recovery_point.due_of(case),
        "state": str(state),
        "strength": str(weakest(sure)) if state == State.PROVEN else str(Strength.NONE),
        "due_at": min(dues, default=None) if state == State.PENDING else None,
        "first_problem": problem,
    }
    for name, judgement in links.items():
        row |= _columns(name, judgement)
    return row


def _attributed(case: Case) -> str | None:
    if not case.writes or not case.objects:
        return None
    return "exact" if case.writes["witnessed_objects"] == case.objects else "inferred"


def _overwritten(judgement: Judgement, capture: Capture) -> bool | None:
    """Tell whether a version was gone before a capture; open while the link itself is."""
    if judgement.state in (State.PROVEN, State.NOT_REQUIRED):
        return False
    return True if capture.overwritten else False if judgement.state == State.BROKEN else None


def _columns(name: str, judgement: Judgement) -> dict[str, Any]:
    state = judgement.state
    broken = {State.BROKEN: True, State.PROVEN: False, State.NOT_REQUIRED: False}.get(state)
    return {
        f"{name}_state": str(state),
        f"{name}_strength": str(judgement.strength),
        f"{name}_due_at": judgement.due_at,
        f"{name}_because": judgement.because,
        f"{name}_refs": [list(ref) for ref in judgement.refs],
        f"{name}_gaps": "; ".join(judgement.gaps),
        f"{name}_broken": broken,
    }
