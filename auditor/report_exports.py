"""Exports and their chains: the table of all of them, and a card for each that is broken or unknown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from auditor.model import LINKS, State
from auditor.report_read import Judged, Past
from auditor.report_words import LINK_CLAIMS, LINK_WORDS, STATE_WORDS, after, counted, day, size, when

if TYPE_CHECKING:
    from auditor.ledger import FindingRow
    from auditor.rulepack import Pack

CARDS = 25
"""Cards at most."""
ROWS = 200
"""More exports than this are shown in groups."""
STRAYS = 10
"""Rows of unattributed objects and of sessions without a job."""
_TIMES = {
    "gcp_audit_entry": ("entry_id", "at"),
    "sts_session": ("session_key", "issued_at"),
    "backup_recovery_point": ("arn", "completed_at"),
    "backup_copy_job": ("copy_job_id", "completed_at"),
}
"""Key and time of the tables that tell when a link came about."""
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
class ExportRow:
    """One line of the table of exports."""

    id: str
    name: str
    job: str
    where: str
    zone: str
    ended: str
    state: str
    strength: str
    links: tuple[str, ...]
    """States in the order of the links."""
    card: str
    """Anchor of its card; empty when it has none."""


@dataclass(frozen=True, slots=True)
class ExportGroup:
    """Exports that belong together: when they ended, or when there are many, what they are runs of."""

    title: str
    rows: tuple[ExportRow, ...]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LinkRow:
    """One link of a card."""

    name: str
    words: str
    state: str
    strength: str
    at: str
    gap: str
    """Time since the link before."""
    due: str
    because: str
    evidence: tuple[str, ...]
    more: int
    """Pieces of evidence that are not shown."""
    gaps: str
    remedies: tuple[tuple[str, str], ...]
    """Rule code and what it advises."""


@dataclass(frozen=True, slots=True)
class Card:
    """One export whose chain is not whole."""

    anchor: str
    row: ExportRow
    owner: str
    account: str
    project: str
    objects: str
    since: str
    fresh: bool
    """Found in this period."""
    problem: str
    """First link that is broken or unknown, in words."""
    links: tuple[LinkRow, ...]


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
    times = _times(judged, bad[:CARDS]) if judged else {}
    advice = _advice(pack)
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
            _card(row, anchors[row["export_id"]], past, findings.get(row["export_id"], []), times, advice)
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
    return (not _in_period(row, past), _RANK.get(row["state"], 9), -(at.timestamp() if at else 0), row["export_id"])


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


def _row(row: Mapping[str, Any], card: str = "") -> ExportRow:
    return ExportRow(
        id=row["export_id"],
        name=row["export_key"] or row["job_id"] or row["job_uuid"] or "",
        job=row["job_id"] or row["job_uuid"] or "",
        where=f"{row['bucket']}/{row['prefix'] or ''}",
        zone=row["zone"] or "no zone",
        ended=day(row["ended_at"] or row["finished_at"]),
        state=row["state"],
        strength=row["strength"] if row["state"] == State.PROVEN else "",
        links=tuple(row[f"{name}_state"] for name in LINKS),
        card=card,
    )


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
        ExportGroup(title, tuple(_row(row, anchors.get(row["export_id"], "")) for row in found), _states(found))
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


def _times(judged: Judged, rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], datetime]:
    """Return when the rows behind these exports' links came about."""
    if judged.snapshot is None:
        return {}
    wanted: dict[str, set[str]] = {}
    for row in rows:
        for name in LINKS:
            for table, key in row[f"{name}_refs"] or ():
                if table in _TIMES:
                    wanted.setdefault(table, set()).add(key)
    found: dict[tuple[str, str], datetime] = {}
    for table, keys in sorted(wanted.items()):
        named, time = _TIMES[table]
        for each in judged.snapshot.rows(table):
            if each[named] in keys and each[time] is not None:
                found[table, each[named]] = each[time]
    return found


def _advice(pack: Pack) -> dict[str, list[str]]:
    """Return which rules on exports speak of which link: those whose checks read one of its columns."""
    found: dict[str, list[str]] = {name: [] for name in LINKS}
    for rule in pack.rules:
        if rule.entity == "export":
            for name in LINKS:
                if re.search(rf"\b{name}_(broken|state)\b", rule.canonical):
                    found[name].append(rule.id)
    return found


def _card(
    row: Mapping[str, Any],
    anchor: str,
    past: Past,
    findings: Sequence[FindingRow],
    times: Mapping[tuple[str, str], datetime],
    advice: Mapping[str, Sequence[str]],
) -> Card:
    links: list[LinkRow] = []
    before: datetime | None = None
    for name in LINKS:
        at = _time(name, row, times)
        links.append(_link(name, row, at, before, findings, advice))
        before = at or before
    opened = min((each.opened_at for each in findings), default=None)
    return Card(
        anchor=anchor,
        row=_row(row, anchor),
        owner=row["owner"] or "nobody is named",
        account=row["account"] or "not known",
        project=row["project"] or "not known",
        objects=f"{counted(row['objects'] or 0, 'object')}, {size(row['bytes'] or 0)}",
        since=day(opened) if opened else "not known",
        fresh=opened is not None and opened > past.from_at,
        problem=LINK_WORDS.get(row["first_problem"], "Chain"),
        links=tuple(links),
    )


def _link(
    name: str,
    row: Mapping[str, Any],
    at: datetime | None,
    before: datetime | None,
    findings: Sequence[FindingRow],
    advice: Mapping[str, Sequence[str]],
) -> LinkRow:
    state = row[f"{name}_state"]
    refs = [f"{table}: {key}" for table, key in row[f"{name}_refs"] or ()]
    wrong = state in (State.BROKEN, State.UNKNOWN)
    remedies = {(f.code, f.remedy) for f in findings if wrong and f.rule in advice[name] and f.remedy}
    shown = refs[:3] if wrong else refs[:1]
    return LinkRow(
        name=name,
        words=LINK_WORDS[name],
        state=state,
        strength=row[f"{name}_strength"] if state == State.PROVEN else "",
        at=when(at) if at else "",
        gap=after(before, at),
        due=when(row[f"{name}_due_at"]) if wrong or state == State.PENDING else "",
        because=row[f"{name}_because"] or "",
        evidence=tuple(shown),
        more=len(refs) - len(shown),
        gaps=(row[f"{name}_gaps"] or "") if wrong else "",
        remedies=tuple(sorted(remedies)),
    )


def _time(name: str, row: Mapping[str, Any], times: Mapping[tuple[str, str], datetime]) -> datetime | None:
    """Return when a link came about: what its evidence says, and nothing for a link that is not proven."""
    found = [times[table, key] for table, key in row[f"{name}_refs"] or () if (table, key) in times]
    state: str = row[f"{name}_state"]
    proven = state == State.PROVEN
    started: datetime | None = row["started_at"]
    wrote: datetime | None = row["last_write_at"]
    match name:
        case "trigger":
            return min(found, default=started if proven else None)
        case "job":
            return started
        case "session":
            return min(found, default=None)
        case "objects":
            return wrote
        case "recovery_point" | "copy":
            return min(found, default=None) if proven else None
    return None


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
        most = ", ".join(f"{words} ({amount})" for words, amount in found.broken_at[:2])
        parts.append(f"{counts['broken']:,} broken, most often at: {most}" if len(found.broken_at) > 1
                     else f"{counts['broken']:,} broken at: {most}")  # fmt: skip
    parts.append(f"{counts['unknown']:,} unknown")
    parts.append(f"{counts['pending']:,} not due yet")
    if counts["not_required"]:
        parts.append(f"{counts['not_required']:,} not required")
    return "; ".join(parts) + "."


def state_word(state: str) -> str:
    """Return a state of a link as people say it."""
    return STATE_WORDS.get(State(state), state) if state in set(State) else state
