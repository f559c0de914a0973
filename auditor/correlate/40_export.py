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
)
from auditor.correlate.links.evidence import Case, Evidence, Parts, Row, case_of, grouped, parts
from auditor.correlate.links.hiding import explained
from auditor.correlate.links.judgement import Judgement, Refs, not_required, unknown
from auditor.correlate.links.reading import COLUMNS, LEFT_OUT, READS
from auditor.correlate.links.recovery_point import Capture
from auditor.correlate.links.row import row_of
from auditor.model import LINKS, State, Strength

TABLE = "export"
ADDS = ("plain_export",)
"""Those that leave no doubt, as SQL says them (39_plain_export.sql)."""
LAST = ADDS
"""Nobody reads that table after this step."""
__all__ = ["ADDS", "COLUMNS", "LAST", "LEFT_OUT", "READS", "TABLE", "derive"]


@dataclass(frozen=True, slots=True)
class _First:
    """One export after the first pass."""

    case: Case
    captures: list[Capture]
    """What proves its recovery point, the best first; the one capture that does not, when none does."""


@dataclass(frozen=True, slots=True)
class _Run:
    """What other exports need to know of one."""

    export_id: str
    export_key: str
    prefix: str
    zone: str | None
    starts: datetime | None
    started_at: datetime | None
    succeeded_at: datetime | None
    """When its job ended well; None when it did not."""
    complete: Sequence[datetime | None]
    """When the captures that prove it were complete."""
    doubt: Judgement | None = None
    """The recovery_point link where it is unknown."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """The links of one export, with the capture that copy and retention were judged on."""

    links: dict[str, Judgement]
    capture: Capture


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row an export, each of them judged: of those that leave no doubt SQL has said what that comes to."""
    evidence = Evidence(tables)
    triggers = calls.Triggers(evidence)
    plain = grouped(tables["plain_run"], lambda row: row["bucket"])
    # An id begins with the bucket and a slash, so those of a bucket stand together; runs of one export share it.
    for bucket, of_bucket in groupby(parts(evidence), lambda each: each[0]["bucket"]):
        items = [_first(evidence, each) for each in of_bucket]
        runs = _Runs([*map(_run, items), *map(_plain_run, plain.get(bucket, ()))])
        for item in items:
            yield _export(evidence, triggers, item, runs)


def _first(evidence: Evidence, each: Parts) -> _First:
    case = case_of(evidence, *each)
    return _First(case, recovery_point.judge(evidence, case, objects.listing_gaps(evidence, case)))


def _run(item: _First) -> _Run:
    case, link = item.case, item.captures[0].judgement
    return _Run(
        case.export_id,
        case.output["export_key"],
        case.output["prefix"],
        case.zone,
        _starts(case),
        case.job["started_at"],
        case.job["finished_at"] if case.job["ending"] == "well" else None,
        [one.completed_at for one in item.captures if one.judgement.state == State.PROVEN],
        link if link.state == State.UNKNOWN else None,
    )


def _plain_run(row: Row) -> _Run:
    return _Run(
        row["export_id"],
        row["export_key"],
        row["prefix"],
        row["zone"],
        row["first_write_at"],
        row["started_at"],
        row["finished_at"],
        (row["completed_at"],),
    )


def _export(evidence: Evidence, triggers: calls.Triggers, item: _First, runs: _Runs) -> dict[str, Any]:
    case = item.case
    repeated = _repeated(evidence, item, runs)
    replaced = None if repeated else _replaced(item, runs)
    judged = _judged(evidence, item if repeated or replaced else _perhaps_replaced(item, runs), replaced)
    if repeated:
        held = not_required(f"superseded by {repeated}")
        judged = _Judged(dict.fromkeys(LINKS[1:], held), judged.capture)
    links = {"trigger": trigger.judge(evidence, trigger.Run(case.job, case.zone), triggers)} | judged.links
    links = {
        name: explained(evidence, case, name, links[name])
        if links[name].state is State.UNKNOWN
        else links[name]
        for name in LINKS
    }
    return row_of(evidence, case, judged.capture, links, repeated or replaced)


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
    """Runs of the exports of one bucket, by when they succeeded and by when they began on the same prefix.

    An export may have run ten thousand times: only those of a time are looked at.
    """

    def __init__(self, every: Sequence[_Run]) -> None:
        ended: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
        began: dict[tuple[str, str, str | None], list[tuple[datetime, str, _Run]]] = defaultdict(list)
        for run in every:
            name, key = run.export_id, run.export_key
            if run.succeeded_at is not None:
                ended[key].append((run.succeeded_at, name))
            if run.starts is not None:
                began[key, run.prefix, run.zone].append((run.starts, name, run))
        self._ended = {name: sorted(runs) for name, runs in ended.items()}
        self._began = {name: sorted(runs, key=lambda run: run[:2]) for name, runs in began.items()}

    def succeeded(self, case: Case, from_at: datetime, until: datetime) -> str | None:
        """Return the first run of an export that succeeded between two times, the borders among them."""
        runs = self._ended.get(case.output["export_key"], [])
        place = bisect_left(runs, (from_at, ""))
        return runs[place][1] if place < len(runs) and runs[place][0] <= until else None

    def after(self, case: Case, until: datetime) -> list[_Run]:
        """Return the runs on the same prefix and zone that began after one began, and not after `until`."""
        output, start = case.output, _starts(case)
        runs = self._began.get((output["export_key"], output["prefix"], case.zone), [])
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
    due = item.captures[0].due_at
    later = [
        other
        for other in _overwriting(item, runs)
        if any(done is not None and due is not None and done <= due for done in other.complete)
    ]
    return min(later, key=lambda other: (other.started_at, other.export_id)).export_id if later else None


def _perhaps_replaced(item: _First, runs: _Runs) -> _First:
    """Leave open what was overwritten by a run of which it is not known whether it was captured: it might stand in."""
    held = item.captures[0]
    for other in sorted(_overwriting(item, runs), key=lambda each: each.export_id):
        if (link := other.doubt) is not None:
            why = f"{held.judgement.because}, and whether {other.export_id}, which overwrote it, was captured is not known"
            judgement = unknown(why, held.judgement.refs, link.gaps, held.judgement.due_at)
            return replace(item, captures=[replace(held, judgement=judgement)])
    return item


def _overwriting(item: _First, runs: _Runs) -> list[_Run]:
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


def _starts(case: Case) -> Any:
    return case.first_write_at or case.job["started_at"] or case.ended_at
