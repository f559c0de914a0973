"""A card for each export whose chain is not whole: its seven links with times, evidence and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from auditor.model import LINKS, State
from auditor.report_read import Judged, Past
from auditor.report_words import LINK_WORDS, after, counted, day, size, when

if TYPE_CHECKING:
    from auditor.ledger import FindingRow
    from auditor.rulepack import Pack

_TIMES = {
    "gcp_audit_entry": ("entry_id", "at"),
    "sts_session": ("session_key", "issued_at"),
    "backup_recovery_point": ("arn", "completed_at"),
    "backup_copy_job": ("copy_job_id", "completed_at"),
}
"""Key and time of the tables that tell when a link came about."""


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


def export_row(row: Mapping[str, Any], card: str = "") -> ExportRow:
    """Return an export as a line of the table."""
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


def times_of(judged: Judged, rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], datetime]:
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


def advice_of(pack: Pack) -> dict[str, list[str]]:
    """Return which rules on exports speak of which link: those whose checks read one of its columns."""
    found: dict[str, list[str]] = {name: [] for name in LINKS}
    for rule in pack.rules:
        if rule.entity == "export":
            for name in LINKS:
                if re.search(rf"\b{name}_(broken|state)\b", rule.canonical):
                    found[name].append(rule.id)
    return found


def card_of(
    row: Mapping[str, Any],
    anchor: str,
    past: Past,
    findings: Sequence[FindingRow],
    times: Mapping[tuple[str, str], datetime],
    advice: Mapping[str, Sequence[str]],
) -> Card:
    """Return the card of one export whose chain is not whole."""
    links: list[LinkRow] = []
    before: datetime | None = None
    for name in LINKS:
        at = _time(name, row, times)
        links.append(_link(name, row, at, before, findings, advice))
        before = at or before
    opened = min((each.opened_at for each in findings), default=None)
    return Card(
        anchor=anchor,
        row=export_row(row, anchor),
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
    due = row[f"{name}_due_at"]
    told = {f.rule: (f.code, f.remedy) for f in findings if wrong and f.rule in advice[name] and f.remedy}
    # A rule that speaks of this link alone knows better what to do than one that speaks of every link.
    breadth = {rule: sum(rule in rules for rules in advice.values()) for rule in told}
    remedies = {said for rule, said in told.items() if breadth[rule] == min(breadth.values())}
    shown = refs[:3] if wrong else refs[:1]
    return LinkRow(
        name=name,
        words=LINK_WORDS[name],
        state=state,
        strength=row[f"{name}_strength"] if state == State.PROVEN else "",
        at=when(at) if at else "",
        gap=after(before, at),
        due=when(due) if due and (wrong or state == State.PENDING) else "",
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
