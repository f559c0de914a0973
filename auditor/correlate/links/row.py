"""The row of one export: what its links say, and whose it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate.links import objects, recovery_point, zones
from auditor.correlate.links.evidence import Case, Evidence
from auditor.correlate.links.judgement import Judgement, weakest
from auditor.correlate.links.recovery_point import Capture
from auditor.model import LINKS, State, Strength

_WORST_FIRST = (State.BROKEN, State.UNKNOWN, State.PENDING)


def row_of(
    evidence: Evidence,
    case: Case,
    capture: Capture,
    links: Mapping[str, Judgement],
    superseded_by: str | None,
) -> dict[str, Any]:
    """Return the row of an export: a run that stands in for it is `superseded_by`."""
    marker = max((row["form"] for row in case.markers), default="none")
    output, run, writes, bucket = case.output, case.job, case.writes or {}, case.bucket or {}
    states = [judgement.state for judgement in links.values()]
    state = next((each for each in _WORST_FIRST if each in states), State.PROVEN)
    problem = LINKS[states.index(state)] if state != State.PROVEN else ""
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
        "owner": evidence.owner(case.output, case.job),
        "marker": marker,
        "ended_at": case.ended_at,
        "first_write_at": case.first_write_at,
        "last_write_at": case.last_write_at,
        "objects": case.objects,
        "bytes": int(writes.get("bytes") or 0),
        "attributed_by": _attributed(case),
        "candidates": int(writes.get("rivals") or 0),
        # Versions that were not listed may have rivals too.
        "unambiguous": None if writes.get("rivals") or objects.listing_gaps(evidence, case) else True,
        "overwritten_before_capture": _overwritten(links["recovery_point"], capture),
        **zones.fall(evidence, case, capture),
        "superseded_by": superseded_by,
        "proving_point": capture.arn,
        "capture_due_at": capture.due_at or recovery_point.due_of(case),
        "state": str(state),
        "strength": str(weakest(sure)) if state == State.PROVEN else str(Strength.NONE),
        "due_at": min(dues, default=None) if state == State.PENDING else None,
        "first_problem": problem,
    }
    for name, judgement in links.items():
        row.update(_columns(name, judgement))
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


_PARTS = {
    name: tuple(
        f"{name}_{part}" for part in ("state", "strength", "due_at", "because", "refs", "gaps", "broken")
    )
    for name in LINKS
}
"""The columns of each link."""
_BROKEN = {State.BROKEN: True, State.PROVEN: False, State.NOT_REQUIRED: False}


def _columns(name: str, judgement: Judgement) -> Iterator[tuple[str, Any]]:
    return zip(
        _PARTS[name],
        (
            str(judgement.state),
            str(judgement.strength),
            judgement.due_at,
            judgement.because,
            judgement.refs,
            "; ".join(judgement.gaps) if judgement.gaps else "",
            _BROKEN.get(judgement.state),
        ),
        strict=True,
    )
