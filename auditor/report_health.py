"""What could not be seen, and how the scanner itself fared: sources, scans, alerts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.model import GAP_REASONS, slots_in
from auditor.report_muted import MutedRow, muted
from auditor.report_read import Past
from auditor.report_words import counted, number, span, when
from auditor.schema import tables as schema_tables
from auditor.snapshot import Snapshot

if TYPE_CHECKING:
    from auditor.ledger import Sending

GAPS = 30
"""Gaps shown."""
_BACK = 12
"""Scans that are searched for when a scope was last seen."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One source in one account or project and region."""

    source: str
    account: str
    region: str
    listings: int
    gaps: int
    last_good: str
    calls: str
    rows: str
    mark: str
    words: str


@dataclass(frozen=True, slots=True)
class GapRow:
    """One thing that could not be seen."""

    source: str
    table: str
    scope: str
    reason: str
    detail: str
    window: str
    last_good: str
    verdicts: int
    """Unknown verdicts of the scan that name the table."""


@dataclass(frozen=True, slots=True)
class ScanLine:
    """One slot of the period."""

    slot: str
    at: str
    state: str
    mark: str
    words: str


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """What became of the alerts of one channel."""

    name: str
    alerts: int
    delivered: int
    waiting: int
    dead: int
    attempts: int
    slowest: str
    off: str


@dataclass(frozen=True, slots=True)
class Health:
    """Part seven."""

    sources: tuple[SourceRow, ...]
    sources_total: int
    """Sources that are known: module names."""
    sources_whole: int
    """Of these, without a gap."""
    gaps: tuple[GapRow, ...]
    gaps_total: int
    scans: tuple[ScanLine, ...]
    planned: int
    ran: int
    missed: int
    interrupted: int
    unaccounted: int
    """Slots the schedule asks for and the ledger does not know."""
    interval: str
    covered: str
    channels: tuple[ChannelRow, ...]
    dead: tuple[tuple[str, str, str, str], ...]
    """Channel, event, time and error of each dead letter."""
    muted: tuple[MutedRow, ...]
    as_of: tuple[tuple[str, str], ...]
    """Each source and when it was last seen."""
    said: str
    """Coverage in one line."""
    passed: str
    """Whether the last scan read everything anew, or what it carried over; empty when that is not known."""


def health(past: Past) -> Health:
    """Gather part seven."""
    coverage = list(_coverage(past))
    gaps = [row for row in coverage if not row["complete"]]
    sources = sorted({row["source"] for row in coverage if row["source"]})
    blind = {row["source"] for row in gaps}
    finished, missed, interrupted = (_slots(past, state) for state in ("finished", "missed", "interrupted"))
    interval = past.last.scan.interval_s if past.last else 0
    expected = int((past.as_of - past.from_at).total_seconds()) // interval if interval else 0
    planned = max(expected, finished + missed + interrupted)
    seen = {
        name: [r["observed_at"] for r in coverage if r["source"] == name and r["complete"]]
        for name in sources
    }
    return Health(
        sources=_sources(past, coverage),
        sources_total=len(sources),
        sources_whole=len(sources) - len(blind),
        gaps=_gaps(past, gaps),
        gaps_total=len({_scope(row) for row in gaps}),
        scans=tuple(_scan(row) for row in past.slots),
        planned=planned,
        ran=finished,
        missed=missed,
        interrupted=interrupted,
        unaccounted=planned - finished - missed - interrupted,
        interval=span(interval) if interval else "no schedule",
        covered=_covered(finished, planned),
        channels=_channels(past),
        dead=tuple(
            (each.alert.channel, each.alert.event, when(each.created_at), each.last_error)
            for each in past.outbox if each.state == "dead"
        )[:20],
        muted=muted(past),
        as_of=tuple((name, when(max(seen[name])) if seen[name] else "never") for name in sources),
        said=_said(past, sources, blind, gaps),
        passed=_passed(past),
    )  # fmt: skip


def _coverage(past: Past) -> Sequence[Mapping[str, Any]]:
    if past.last is None or past.last.snapshot is None:
        return []
    return list(past.last.snapshot.rows("coverage"))


def _slots(past: Past, state: str) -> int:
    return sum(slots_in(row.slot) for row in past.slots if row.state == state)


def _covered(ran: int, planned: int) -> str:
    return f"{ran} of {counted(planned, 'planned scan')} ran" if planned else "no scan was planned"


def _said(past: Past, sources: Sequence[str], blind: set[str], gaps: Sequence[Mapping[str, Any]]) -> str:
    if past.last is None:
        return "Nothing was seen: no scan has finished yet."
    if past.last.snapshot is None:
        return "What the last scan saw is not here any more; only its digests are in the ledger."
    seen = f"{len(sources) - len(blind)} of {counted(len(sources), 'source')} read without a gap"
    if not gaps:
        return f"{seen}: everything in scope was seen."
    scopes = Counter((row["source"], row["table_name"], row["account"], row["region"]) for row in gaps)
    named = "; ".join(
        f"{table} in {account}/{region}" for (_, table, account, region), _ in scopes.most_common(3)
    )
    more = f" and {len(scopes) - 3} more" if len(scopes) > 3 else ""
    return f"{seen}. Could not read all of: {named}{more}."


def _passed(past: Past) -> str:
    told = past.last.snapshot.manifest.get("pass") if past.last and past.last.snapshot else None
    if told is None:
        return ""
    if told["full"]:
        return "It was a full pass: every setting was read anew."
    if not told["scopes"]:
        return "It was an increment, and carried no setting over."
    return (
        f"It was an increment: the settings of {counted(told['scopes'], 'resource')} were carried over, the oldest read at "
        f"{when(datetime.fromisoformat(told['oldest']))}, for no management event since is a write to them."
    )


def _sources(past: Past, coverage: Sequence[Mapping[str, Any]]) -> tuple[SourceRow, ...]:
    asked: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    manifest = past.last.snapshot.manifest if past.last and past.last.snapshot else {}
    for each in manifest.get("queries", ()):
        asked.setdefault((each["source"], each["account"], each["region"] or "*"), []).append(each)
    found: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {key: [] for key in asked}
    for row in coverage:
        found.setdefault((row["source"] or "?", row["account"], row["region"]), []).append(row)
    lines: list[SourceRow] = []
    for key, rows in sorted(found.items()):
        whole = [row for row in rows if row["complete"]]
        gaps = len({_scope(row) for row in rows if not row["complete"]})
        queries = asked.get(key, [])
        counts = [each["rows"] for each in queries if each["rows"] is not None]
        mark, words = (
            ("proven", "seen")
            if not gaps
            else ("unknown", "partly seen")
            if whole
            else ("broken", "not seen")
        )
        if not rows:
            mark, words = "not_required", "asked"
        lines.append(
            SourceRow(
                *key,
                listings=len(whole),
                gaps=gaps,
                last_good=when(max((row["observed_at"] for row in whole), default=None)),
                calls=number(sum(each["pages"] for each in queries)) if queries else "–",
                rows=number(sum(counts)) if counts else "–",
                mark=mark,
                words=words,
            )
        )
    return tuple(lines)


def _scope(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        str(row[name] or "") for name in ("table_name", "account", "region", "resource", "reason", "detail")
    )


def _gaps(past: Past, gaps: Sequence[Mapping[str, Any]]) -> tuple[GapRow, ...]:
    naming = _naming(past, {row["table_name"] for row in gaps})
    found: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in gaps:
        found.setdefault(_scope(row), []).append(row)
    feeds = {name for name, table in schema_tables().items() if table.feed}
    good = _LastGood(past)
    lines: list[tuple[tuple[Any, ...], GapRow]] = []
    for (table, account, region, resource, reason, detail), rows in found.items():
        event = table in feeds
        line = GapRow(
            source=rows[0]["source"] or "?",
            table=table,
            scope="/".join((account, region)) + ("" if resource in ("", "*") else f" {resource}"),
            reason=GAP_REASONS.get(reason, reason),
            detail=detail,
            window=_window(rows) if event else "",
            last_good="" if event else good.of(table, account, region, resource),
            verdicts=naming.get(table, 0),
        )
        lines.append(((-line.verdicts, table, account, region, resource, detail), line))
    return tuple(line for _, line in sorted(lines)[:GAPS])


def _naming(past: Past, tables: set[str]) -> dict[str, int]:
    """Count the unknown verdicts that say a table was not seen."""
    from auditor.engines.duckdb import Engine

    if past.last is None or past.last.judgement is None:
        return {}
    with Engine() as engine:
        engine.attach("outcome", past.last.judgement.dir / "outcome.parquet")
        sql = (
            "SELECT count(*) AS n FROM outcome WHERE verdict = 'unknown' AND (contains(coalesce(gaps, ''), ?) "
            "OR contains(coalesce(because, ''), ?))"
        )
        return {table: engine.rows(sql, (table, table))[0]["n"] for table in sorted(tables)}


def _window(rows: Sequence[Mapping[str, Any]]) -> str:
    start = min((row["from_at"] for row in rows if row["from_at"]), default=None)
    end = max((row["until_at"] for row in rows if row["until_at"]), default=None)
    if start is None or end is None:
        return ""
    parts = f", in {len(rows)} parts" if len(rows) > 1 else ""
    return f"{when(start)} to {when(end)}{parts}"


class _LastGood:
    """When a scope was last read to its end, by the scans before; asked only for what is a gap now."""

    def __init__(self, past: Past) -> None:
        last = past.last.scan if past.last else None
        self._scans = [scan for scan, _ in past.tallies if last and scan.at < last.at][-_BACK:]
        seen = past.last.snapshot if past.last else None
        self._state = seen.dir.parent if seen else Path()
        self._read: list[list[Mapping[str, Any]]] | None = None

    def of(self, table: str, account: str, region: str, resource: str) -> str:
        """Return the time in words."""
        found: list[datetime] = [
            row["observed_at"]
            for rows in self._rows()
            for row in rows
            if row["complete"] and row["table_name"] == table and row["account"] in (account, "*")
            and row["region"] in (region, "*") and row["resource"] in (resource, "*")
        ]  # fmt: skip
        return f"last seen {when(max(found))}" if found else f"not seen in the last {len(self._scans)} scans"

    def _rows(self) -> list[list[Mapping[str, Any]]]:
        if self._read is None:
            self._read = []
            for scan in self._scans:
                place = self._state / scan.snapshot_id
                self._read.append(list(Snapshot.open(place).rows("coverage")) if place.exists() else [])
        return self._read


_SCANS = {
    "finished": ("proven", "finished"),
    "missed": ("broken", "missed"),
    "interrupted": ("broken", "interrupted"),
}


def _scan(row: Any) -> ScanLine:
    mark, words = _SCANS.get(row.state, ("unknown", row.state))
    if row.state == "finished" and not row.complete:
        mark, words = "unknown", "finished, with gaps"
    return ScanLine(row.slot, when(row.at), row.state, mark, words)


def _channels(past: Past) -> tuple[ChannelRow, ...]:
    by: dict[str, list[Sending]] = {name: [] for name in past.channels_off}
    for each in past.outbox:
        by.setdefault(each.alert.channel, []).append(each)
    found: list[ChannelRow] = []
    for name, sendings in sorted(by.items()):
        arrived = [each.delivered_at - each.created_at for each in sendings if each.delivered_at is not None]
        states = Counter(each.state for each in sendings)
        found.append(
            ChannelRow(
                name=name,
                alerts=len(sendings),
                delivered=states["delivered"],
                waiting=states["pending"] + states["sending"],
                dead=states["dead"],
                attempts=sum(each.attempts for each in sendings),
                slowest=span(max(arrived, default=timedelta(0))) if arrived else "–",
                off=past.channels_off.get(name, ""),
            )
        )
    return tuple(found)
