"""Every export with its seven links: the chain, judged by links.md."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.links import (
    calls,
    copy,
    job,
    objects,
    recovery_point,
    retention,
    session,
    trigger,
    zones,
)
from auditor.correlate.links.evidence import Case, Evidence, cases
from auditor.correlate.links.hiding import explained
from auditor.correlate.links.judgement import Judgement, Refs, not_required, unknown, weakest
from auditor.correlate.links.reading import COLUMNS, READS
from auditor.correlate.links.recovery_point import Capture
from auditor.model import LINKS, State, Strength

TABLE = "export"
__all__ = ["COLUMNS", "READS", "TABLE", "derive"]

_WORST_FIRST = (State.BROKEN, State.UNKNOWN, State.PENDING)


@dataclass(frozen=True, slots=True)
class _First:
    """One export after the first pass: what other exports need to know of it."""

    case: Case
    captures: list[Capture]
    """What proves its recovery point, the best first; the one capture that does not, when none does."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """The links of one export, with the capture that copy and retention were judged on."""

    links: dict[str, Judgement]
    capture: Capture


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row an export."""
    evidence = Evidence(tables)
    triggers = calls.Triggers(evidence)
    # An id begins with the bucket and a slash, so those of a bucket stand together; runs of one export share it.
    for _, of_bucket in groupby(cases(evidence), lambda case: case.output["bucket"]):
        first = [
            _First(case, recovery_point.judge(evidence, case, objects.listing_gaps(evidence, case)))
            for case in of_bucket
        ]
        runs = _Runs(first)
        for item in first:
            yield _export(evidence, triggers, item, runs)


def _export(evidence: Evidence, triggers: calls.Triggers, item: _First, runs: _Runs) -> dict[str, Any]:
    case = item.case
    repeated = _repeated(evidence, item, runs)
    replaced = None if repeated else _replaced(item, runs)
    judged = _judged(evidence, item if repeated or replaced else _perhaps_replaced(item, runs), replaced)
    if repeated:
        held = not_required(f"superseded by {repeated}")
        judged = _Judged(dict.fromkeys(LINKS[1:], held), judged.capture)
    links = {"trigger": trigger.judge(evidence, case, triggers)} | judged.links
    links = {
        name: explained(evidence, case, name, links[name])
        if links[name].state is State.UNKNOWN
        else links[name]
        for name in LINKS
    }
    return _row(evidence, case, judged.capture, links, repeated or replaced)


def _judged(evidence: Evidence, item: _First, replaced: str | None) -> _Judged:
    """Judge every link but the trigger."""
    case = item.case
    began = [capture.started_at for capture in item.captures if capture.started_at is not None]
    link = item.captures[0].judgement
    hidden = link.gaps if link.state == State.UNKNOWN else ()
    window = objects.Window(min(began, default=None), not hidden, hidden)
    links = {
        "job": job.judge(evidence, case),
        "session": session.judge(evidence, case),
        "objects": objects.judge(evidence, case, window),
    }
    if case.history and case.history["final"]:
        return _remembered(case, links)
    if replaced:
        held = {name: not_required(f"superseded by {replaced}") for name in LINKS[4:]}
        return _Judged(links | held, item.captures[0])
    best = _best(_on(evidence, case, capture) for capture in item.captures)
    return _Judged(links | best.links, best.capture)


def _best(options: Iterator[_Judged]) -> _Judged:
    """Return the first of the best; after one on which all is well none can be better."""
    ranked: list[tuple[list[int], _Judged]] = []
    for option in options:
        rank = sorted((_RANK[link.state] for link in option.links.values()), reverse=True)
        if not rank[0]:
            return option
        ranked.append((rank, option))
    return min(ranked, key=lambda each: each[0])[1]


_RANK = {State.PROVEN: 0, State.NOT_REQUIRED: 0, State.PENDING: 1, State.UNKNOWN: 2, State.BROKEN: 3}


def _on(evidence: Evidence, case: Case, capture: Capture) -> _Judged:
    """Judge copy and retention on one capture."""
    links = {"recovery_point": capture.judgement}
    if capture.judgement.state == State.NOT_REQUIRED:
        return _Judged(links | dict.fromkeys(("copy", "retention"), capture.judgement), capture)
    links["copy"], places = copy.judge(evidence, case, capture)
    links["retention"] = retention.judge(evidence, case, capture, links["copy"], places)
    return _Judged(links, capture)


def _remembered(case: Case, links: dict[str, Judgement]) -> _Judged:
    """Return what the last scan said of an export whose retention ended well: its holders may be gone since."""
    assert case.history is not None
    said = "its retention ended well in an earlier scan, and it is judged no more"
    refs: Refs = (("history_export", case.export_id),)
    for name in LINKS[3:]:
        before = (case.history["links"] or {}).get(name)
        if before is not None:
            links[name] = Judgement(State(before[0]), said, Strength(before[1]), refs=refs)
    missing = {name: unknown(said, refs) for name in LINKS[4:] if name not in links}
    due = case.history["capture_due_at"]
    capture = Capture({**links, **missing}["recovery_point"], gone=case.history["proving_point"], due_at=due)
    return _Judged(links | missing, capture)


class _Runs:
    """Runs of the same export, by when they succeeded and by when they began on the same prefix.

    An export may have run ten thousand times: only those of a time are looked at.
    """

    def __init__(self, every: Sequence[_First]) -> None:
        ended: dict[tuple[str, str], list[tuple[datetime, str]]] = defaultdict(list)
        began: dict[tuple[str, str, str, str | None], list[tuple[datetime, str, _First]]] = defaultdict(list)
        for item in every:
            case = item.case
            bucket, key, prefix = (case.output[name] for name in ("bucket", "export_key", "prefix"))
            if case.job["ending"] == "well" and case.job["finished_at"] is not None:
                ended[bucket, key].append((case.job["finished_at"], case.export_id))
            if (at := _starts(case)) is not None:
                began[bucket, key, prefix, case.zone].append((at, case.export_id, item))
        self._ended = {name: sorted(runs) for name, runs in ended.items()}
        self._began = {name: sorted(runs, key=lambda run: run[:2]) for name, runs in began.items()}

    def succeeded(self, case: Case, from_at: datetime, until: datetime) -> str | None:
        """Return the first run of an export that succeeded between two times, the borders among them."""
        runs = self._ended.get((case.output["bucket"], case.output["export_key"]), [])
        place = bisect_left(runs, (from_at, ""))
        return runs[place][1] if place < len(runs) and runs[place][0] <= until else None

    def after(self, case: Case, until: datetime) -> list[_First]:
        """Return the runs on the same prefix and zone that began after one began, and not after `until`."""
        output, start = case.output, _starts(case)
        runs = self._began.get((output["bucket"], output["export_key"], output["prefix"], case.zone), [])
        first = bisect_right(runs, start, key=lambda run: run[0])
        last = bisect_right(runs, until, key=lambda run: run[0])
        return [run[2] for run in runs[first:last]]


def _repeated(evidence: Evidence, item: _First, runs: _Runs) -> str | None:
    """Return the run of the same export that succeeded in time after this one failed."""
    case = item.case
    until = job.retry_until(evidence, case)
    if case.job["ending"] != "failed" or until is None:
        return None
    return runs.succeeded(case, case.job["finished_at"], until)


def _replaced(item: _First, runs: _Runs) -> str | None:
    """Return the proven later run that overwrote this one, where the zone lets it stand in."""
    later = [
        other
        for other in _overwriting(item, runs)
        if any(
            one.judgement.state == State.PROVEN and _in_time(one, item.captures[0]) for one in other.captures
        )
    ]
    return (
        min(later, key=lambda other: (other.case.job["started_at"], other.case.export_id)).case.export_id
        if later
        else None
    )


def _perhaps_replaced(item: _First, runs: _Runs) -> _First:
    """Leave open what was overwritten by a run of which it is not known whether it was captured: it might stand in."""
    held = item.captures[0]
    for other in sorted(_overwriting(item, runs), key=lambda each: each.case.export_id):
        link = other.captures[0].judgement
        if link.state == State.UNKNOWN:
            why = f"{held.judgement.because}, and whether {other.case.export_id}, which overwrote it, was captured is not known"
            judgement = unknown(why, held.judgement.refs, link.gaps, held.judgement.due_at)
            return replace(item, captures=[replace(held, judgement=judgement)])
    return item


def _overwriting(item: _First, runs: _Runs) -> list[_First]:
    """Return the later runs to the same prefix that the zone lets stand in for one that was overwritten before its capture.

    A run that began after the overwritten one was due cannot have been captured by then.
    """
    case, capture = item.case, item.captures[0]
    if (
        not capture.overwritten
        or case.limits is None
        or not case.limits["supersede"]
        or capture.due_at is None
    ):
        return []
    return runs.after(case, capture.due_at)


def _in_time(later: Capture, overwritten: Capture) -> bool:
    """Tell whether a capture was complete by the time at which the overwritten run was due."""
    done, due = later.completed_at, overwritten.due_at
    return done is not None and due is not None and done <= due


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
        "owner": owner,
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
            judgement.state.value,
            judgement.strength.value,
            judgement.due_at,
            judgement.because,
            judgement.refs,
            "; ".join(judgement.gaps) if judgement.gaps else "",
            _BROKEN.get(judgement.state),
        ),
        strict=True,
    )
