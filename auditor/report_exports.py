"""Exports and their chains: the table of all of them, and a card for each that is broken or unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from auditor.model import LINKS, State
from auditor.report_cards import Card, ExportRow, advice_of, card_of, export_row, times_of
from auditor.report_read import Judged, Past
from auditor.report_words import LINK_CLAIMS, LINK_WORDS, STATE_WORDS, counted

if TYPE_CHECKING:
    from auditor.ledger import FindingRow
    from auditor.rulepack import Pack

CARDS = 25
"""Cards at most."""
ROWS = 200
"""More exports than this are shown in groups."""
STRAYS = 10
"""Rows of unattributed objects and of sessions without a job."""
_RANK = {State.BROKEN: 0, State.UNKNOWN: 1, State.PENDING: 2, State.PROVEN: 3, State.NOT_REQUIRED: 4}


@dataclass(frozen=True, slots=True)
class LinkTotal:
    """One link over all exports."""

    name: str
    words: str
    claim: str
    counts: Mapping[str, int]
    total: int


@dataclass(frozen=True, slots=True)
class ExportGroup:
    """Exports that belong together: when they ended, or when there are many, what they are runs of."""

    title: str
    rows: tuple[ExportRow, ...]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Exports:
    """Part four, and the picture on the cover."""

    total: int
    counts: Mapping[str, int]
    ended: Mapping[str, int]
    """States of those that ended in the period."""
    broken_at: tuple[tuple[str, int], ...]
    """First broken link of broken chains, most often first."""
    links: tuple[LinkTotal, ...]
    groups: tuple[ExportGroup, ...]
    grouped: bool
    cards: tuple[Card, ...]
    not_whole: int
    """Broken and unknown exports; `cards` shows the first of them."""
    strays: tuple[Mapping[str, Any], ...]
    strays_total: int
    orphans: tuple[Mapping[str, Any], ...]
    orphans_total: int
    carried: int
    """Pending exports that are judged in the next period."""
    due: tuple[tuple[datetime, str, str], ...]
    """Due time, link in words and export of what is due next."""
    ending: tuple[tuple[datetime, str, str], ...]
    """End, recovery point and export of proving points that end soon."""


def exports(past: Past, pack: Pack) -> Exports:
    """Gather every export that is still watched; nothing when nothing was judged."""
    judged = past.last
    rows = sorted(judged.rows("export"), key=lambda row: _order(row, past)) if judged else []
    findings = _by_export(past.findings)
    bad = [row for row in rows if row["state"] in (State.BROKEN, State.UNKNOWN)]
    bad.sort(key=lambda row: _card_order(row, past, findings))
    anchors = {row["export_id"]: f"export-{at}" for at, row in enumerate(bad[:CARDS], start=1)}
    times = times_of(judged, bad[:CARDS]) if judged else {}
    advice = advice_of(pack)
    strays = _strays(judged, "unattributed_object")
    orphans = _strays(judged, "orphan_session")
    return Exports(
        total=len(rows),
        counts=_states(rows),
        ended=_states(row for row in rows if _in_period(row, past)),
        broken_at=tuple(
            Counter(LINK_WORDS.get(row["first_problem"], "?") for row in rows if row["state"] == State.BROKEN)
            .most_common()
        ),
        links=tuple(_total(name, rows) for name in LINKS),
        groups=_groups(rows, past, anchors) if len(rows) <= ROWS else _runs(rows),
        grouped=len(rows) > ROWS,
        cards=tuple(
            card_of(row, anchors[row["export_id"]], past, findings.get(row["export_id"], []), times, advice)
            for row in bad[:CARDS]
        ),
        not_whole=len(bad),
        strays=tuple(strays[:STRAYS]),
        strays_total=len(strays),
        orphans=tuple(orphans[:STRAYS]),
        orphans_total=len(orphans),
        carried=sum(row["state"] == State.PENDING for row in rows),
        due=_due(rows, past),
        ending=_ending(judged, rows, past),
    )  # fmt: skip


def _in_period(row: Mapping[str, Any], past: Past) -> bool:
    at = row["ended_at"] or row["finished_at"] or row["started_at"]
    return at is not None and past.from_at < at <= past.as_of


def _order(row: Mapping[str, Any], past: Past) -> tuple[Any, ...]:
    at = row["ended_at"] or row["finished_at"] or row["started_at"]
    return (
        not _in_period(row, past),
        _RANK.get(row["state"], 9),
        -(at.timestamp() if at else 0),
        row["export_id"],
    )


def _by_export(findings: Sequence[FindingRow]) -> dict[str, list[FindingRow]]:
    found: dict[str, list[FindingRow]] = {}
    for row in findings:
        if row.subject_table == "export":
            found.setdefault(row.subject_key, []).append(row)
    return found


def _card_order(
    row: Mapping[str, Any], past: Past, findings: Mapping[str, Sequence[FindingRow]]
) -> tuple[Any, ...]:
    """Put what is new first, then what is broken, then the newest."""
    opened = [each.opened_at for each in findings.get(row["export_id"], ())]
    fresh = bool(opened) and min(opened) > past.from_at
    return (not fresh, *_order(row, past)[1:])


def _states(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    found = Counter(row["state"] for row in rows)
    return {str(state): found.get(state, 0) for state in State}


def _total(name: str, rows: Sequence[Mapping[str, Any]]) -> LinkTotal:
    found = Counter(row[f"{name}_state"] for row in rows)
    counts = {str(state): found.get(state, 0) for state in State}
    return LinkTotal(name, LINK_WORDS[name], LINK_CLAIMS[name], counts, len(rows))


def _groups(
    rows: Sequence[Mapping[str, Any]], past: Past, anchors: Mapping[str, str]
) -> tuple[ExportGroup, ...]:
    parts: dict[str, list[Mapping[str, Any]]] = {
        "Ended in this period": [],
        "Ended before, not due yet: carried over": [],
        "Ended before, broken or unknown": [],
        "Ended before, proven and watched until their retention ends": [],
    }
    for row in rows:
        if _in_period(row, past):
            title = "Ended in this period"
        elif row["state"] == State.PENDING:
            title = "Ended before, not due yet: carried over"
        elif row["state"] in (State.BROKEN, State.UNKNOWN):
            title = "Ended before, broken or unknown"
        else:
            title = "Ended before, proven and watched until their retention ends"
        parts[title].append(row)
    return tuple(
        ExportGroup(
            title, tuple(export_row(row, anchors.get(row["export_id"], "")) for row in found), _states(found)
        )
        for title, found in parts.items()
        if found
    )


def _runs(rows: Sequence[Mapping[str, Any]]) -> tuple[ExportGroup, ...]:
    """Group runs of the same export, the worst first, at most `ROWS` groups."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["export_key"] or row["bucket"] or "?", []).append(row)
    groups = [ExportGroup(title, (), _states(each)) for title, each in found.items()]
    groups.sort(key=lambda group: (-group.counts["broken"], -group.counts["unknown"], group.title))
    return tuple(groups[:ROWS])


def _strays(judged: Judged | None, table: str) -> list[dict[str, Any]]:
    """Return what no job explains; a declared writer, or a session that has its job, is none."""
    if judged is None:
        return []
    return [row for row in judged.rows(table) if row["orphan"] is not False]


def _due(rows: Sequence[Mapping[str, Any]], past: Past) -> tuple[tuple[datetime, str, str], ...]:
    found: list[tuple[datetime, str, str]] = []
    for row in rows:
        due = [
            (row[f"{name}_due_at"], LINK_WORDS[name], row["export_id"])
            for name in LINKS
            if row[f"{name}_state"] == State.PENDING and row[f"{name}_due_at"] is not None
        ]
        found += sorted(each for each in due if each[0] > past.as_of)[:1]
    return tuple(sorted(found))


def _ending(
    judged: Judged | None, rows: Sequence[Mapping[str, Any]], past: Past
) -> tuple[tuple[datetime, str, str], ...]:
    """Return the proving recovery points that end within 30 days."""
    if judged is None or judged.snapshot is None:
        return ()
    proving = {row["proving_point"]: row["export_id"] for row in rows if row["proving_point"]}
    found = [
        (point["delete_at"], point["arn"], proving[point["arn"]])
        for point in judged.snapshot.rows("backup_recovery_point")
        if point["arn"] in proving
        and point["delete_at"] is not None
        and 0 <= (point["delete_at"] - past.as_of).total_seconds() <= 30 * 86400
    ]
    return tuple(sorted(found))


def verdict(found: Exports) -> str:
    """Say in one sentence what is proven, the chain first."""
    if not found.total:
        return "No export was found, so nothing is proven of any."
    counts = found.counts
    parts = [f"{counts['proven']:,} of {counted(found.total, 'export')} fully proven"]
    if counts["broken"]:
        most = " and ".join(f"{words} ({amount})" for words, amount in found.broken_at[:2])
        where = "broken at" if len(found.broken_at) < 3 else "broken, most often at"
        parts.append(f"{counts['broken']:,} {where} {most}")
    else:
        parts.append("none broken")
    parts.append(f"{counts['unknown']:,} unknown")
    parts.append(f"{counts['pending']:,} not due yet")
    if counts["not_required"]:
        parts.append(f"{counts['not_required']:,} not required")
    return "; ".join(parts) + "."


def state_word(state: str) -> str:
    """Return a state of a link as people say it."""
    return STATE_WORDS.get(State(state), state) if state in set(State) else state
