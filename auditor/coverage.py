"""What was seen, when, and what was not: how the coverage of scans adds up.

Two laws: a newer look at a time replaces what an older one said of it, a gap included; an older
look never hides a newer gap.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from auditor.canonical import reader
from auditor.model import Gap, Seen
from auditor.schema import Table
from auditor.schema import tables as schema_tables
from auditor.snapshot_bulk import by_place

if TYPE_CHECKING:
    from auditor.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Observed:
    """Coverage or a gap, with the source it came from and the scan that observed it."""

    source: str
    what: Seen | Gap
    at: datetime

    def row(self) -> dict[str, Any]:
        """Return the row of the table `coverage`."""
        what = self.what
        return {
            "table_name": what.table,
            "source": self.source,
            "account": what.account,
            "region": what.region,
            "resource": what.resource,
            "from_at": what.from_at,
            "until_at": what.until_at,
            "complete": isinstance(what, Seen),
            "reason": what.reason if isinstance(what, Gap) else "",
            "detail": what.detail if isinstance(what, Gap) else "",
            "observed_at": self.at,
        }


def rows_of(snapshot: Snapshot) -> Iterator[Observed]:
    """Yield what an earlier snapshot covers of tables of events; of the rest only today counts."""
    tables = schema_tables()
    for row in snapshot.rows("coverage"):
        table = tables.get(row["table_name"])
        if table is None or not table.feed or row["from_at"] is None or row["until_at"] is None:
            continue
        scope = (row["table_name"], row["account"], row["region"], row["resource"])
        time = {"from_at": row["from_at"], "until_at": row["until_at"]}
        seen = Seen(*scope, **time)
        gap = Gap(*scope, reason=row["reason"], detail=row["detail"], **time)
        what = seen if row["complete"] else gap
        yield Observed(row["source"], what, row["observed_at"])


ENGINE = "engine"
"""Source of a gap that the engine left: every engine takes the table for empty, so that any of them judges alike."""


def unread(snapshot: Snapshot, tables: Iterable[str], why: str) -> Snapshot:
    """Return the snapshot in place of itself, with a gap for each table that was collected and could not be judged.

    The rows stay in it. A gap without a time is of this scan alone: the next one reads the tables anew.
    """
    gaps = (
        Observed(ENGINE, Gap(table, "*", reason="unread", detail=why), snapshot.as_of) for table in tables
    )
    left = snapshot.joined({"coverage": [*snapshot.rows("coverage"), *(gap.row() for gap in gaps)]})
    if left.dir != snapshot.dir:
        shutil.rmtree(snapshot.dir)
    return left


def merged(every: Iterable[Observed]) -> list[Observed]:
    """Add up coverage: one interval where times touch, and older gaps only where still unseen."""
    places: dict[tuple[str, ...], list[Observed]] = defaultdict(list)
    for each in every:
        what = each.what
        places[each.source, what.table, what.account, what.region, what.resource].append(each)
    out: list[Observed] = []
    for _place, found in sorted(places.items()):
        out += _merged(found)
    return out


def _merged(found: list[Observed]) -> list[Observed]:
    if len(found) == 1 and (found[0].what.from_at is None or found[0].what.until_at is not None):
        return found  # as it is almost everywhere: nothing can touch it
    undated = {each for each in found if each.what.from_at is None}
    seen = [each for each in found if isinstance(each.what, Seen) and each not in undated]
    gaps = [each for each in found if isinstance(each.what, Gap) and each not in undated]
    out = list(undated)
    for gap in gaps:
        # What AWS has forgotten, an older scan may have seen; any other gap of today stands.
        forgotten = isinstance(gap.what, Gap) and gap.what.reason == "out_of_reach"
        over = [_span(each) for each in seen if forgotten or each.at > gap.at]
        out += (
            replace(gap, what=replace(gap.what, from_at=start, until_at=end))
            for start, end in _without(_span(gap), over)
        )
    for start, end in _joined([_span(each) for each in seen]):
        inside = [each for each in seen if start <= _span(each)[0] <= end]
        newest = max(inside, key=lambda each: each.at)
        out.append(replace(newest, what=replace(newest.what, from_at=start, until_at=end)))
    return sorted(set(out), key=_order)


_Span = tuple[datetime, datetime]


def _span(each: Observed) -> _Span:
    start, end = each.what.from_at, each.what.until_at
    if start is None or end is None:
        raise ValueError(f"coverage of {each.what.table} has one end only")
    return start, end


def _joined(spans: Iterable[_Span]) -> list[_Span]:
    """Unite half-open spans that overlap or touch."""
    out: list[_Span] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def _without(span: _Span, over: Iterable[_Span]) -> list[_Span]:
    """Return what is left of a span; an empty one stays, for it still says why."""
    start, end = span
    if start >= end:
        return [span]
    out: list[_Span] = []
    for first, last in _joined(over):
        if last <= start or first >= end:
            continue
        if first > start:
            out.append((start, first))
        start = max(start, last)
    if start < end:
        out.append((start, end))
    return out


def covers(whole: Iterable[Seen | Gap], gaps: Iterable[Seen | Gap], start: datetime, end: datetime) -> bool:
    """Say whether dated readings cover a time to its end and no gap touches it."""
    spans = [(each.from_at, each.until_at) for each in whole if each.from_at and each.until_at]
    if any(
        (gap.from_at is None or gap.from_at <= end) and (gap.until_at is None or gap.until_at >= start)
        for gap in gaps
    ):
        return False
    return any(first <= start and end <= last for first, last in _joined(spans))


def _order(each: Observed) -> tuple[Any, ...]:
    row = each.row()
    return tuple("" if row[key] is None else str(row[key]) for key in sorted(row))


Counts = Mapping[tuple[str, str, str], int]
Rows = Callable[[str], Iterable[Mapping[str, Any]]]


def suspicious(
    before: Snapshot, counts: Counts, coverage: Iterable[Observed], rows: Rows, now: datetime
) -> list[Observed]:
    """Return a gap for every place whose population fell though its listings say they are whole.

    Fell: to nothing, or by more than half and by more than ten. Rows whose end was due, and as
    many as the change feed shows deleted, are not missed.
    """
    sources: dict[tuple[str, str, str], str] = {}
    gaps: set[tuple[str, str, str]] = set()
    for each in coverage:
        place = (each.what.table, each.what.account, each.what.region)
        if isinstance(each.what, Gap):
            gaps.add(place)
        else:
            sources.setdefault(place, each.source)
    deleted = _Deletions(rows, before.as_of)
    listed = {table for table, _, _ in sources}
    out: list[Observed] = []
    for table in schema_tables().values():
        if table.kind != "source" or table.feed or table.name not in listed:
            continue
        for place, had in sorted(_population(before, table, now).items()):
            have = counts.get(place, 0)
            fell = have == 0 or (have * 2 < had and had - have > 10)
            name = sources.get(place) or sources.get((place[0], place[1], "*"))
            if not fell or name is None or place in gaps or deleted.of(place) >= had - have:
                continue
            percent = (had - have) * 100 // had
            detail = f"{had} rows in the scan before, {have} now ({percent} % fewer)"
            out.append(Observed(name, Gap(*place, reason="suspect", detail=detail), now))
    return out


def _population(before: Snapshot, table: Table, now: datetime) -> dict[tuple[str, str, str], int]:
    counted: dict[tuple[str, str, str], int] = defaultdict(int)
    path = before.tables(table.name)
    if path is not None and before.bulk(table.name):
        with reader() as connection:
            found = by_place(connection, table, path)
        return {(table.name, *place): rows for place, rows in found.items()}
    for row in before.rows(table.name, (*table.key, "account", "project", "region", "delete_at")):
        if (end := row.get("delete_at")) is not None and end <= now:
            continue
        account = str(row.get("account") or row.get("project") or "*")
        counted[table.name, account, str(row.get("region") or "*")] += 1
    return dict(counted)


class _Deletions:
    """How many deletions the change feed shows, by account, region and service."""

    def __init__(self, rows: Rows, since: datetime) -> None:
        self._rows = rows
        self._since = since
        self._events: list[tuple[str, str, str]] | None = None

    def of(self, place: tuple[str, str, str]) -> int:
        """Count the deletions that could explain fewer rows of a place."""
        if self._events is None:
            self._events = [
                (str(row["service"]), str(row["account"]), str(row["region"]))
                for row in self._rows("aws_change")
                if row["at"] >= self._since
                and not row["error_code"]
                and str(row["event_name"]).startswith(_ENDS)
            ]
        table, account, region = place
        service = table.partition("_")[0]
        return sum(
            1 for event in self._events if event[:2] == (service, account) and region in {event[2], "*"}
        )


_ENDS = ("Delete", "Remove", "BatchDelete")
