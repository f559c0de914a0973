"""A long absence: what was missed stands in one row and one entry of the chain, not in one for each minute of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from auditor.ledger import slots
from auditor.ledger.values import safe, stamp

MOST = 100
"""So many missed slots have a row each; of more, all that follow each other unanswered share one."""
COUNTED = (
    "CASE WHEN state = 'missed' AND said LIKE '% slots missed from %' THEN CAST(said AS INTEGER) ELSE 1 END"
)
"""SQL on `slot`: how many slots a row stands for."""


@dataclass(frozen=True, slots=True)
class Absence:
    """Slots that follow each other, and none of which anybody answered."""

    first: datetime
    last: datetime
    slots: int

    @property
    def name(self) -> str:
        """The slots' name; `model.slots_in` reads their number."""
        return f"{_iso(self.first)}/{_iso(self.last)} ({self.slots} slots)"

    @property
    def said(self) -> str:
        return f"{self.slots} slots missed from {_iso(self.first)} to {_iso(self.last)}"


def told_apart(
    dues: Sequence[datetime], newest: datetime, scans: Sequence[datetime]
) -> tuple[list[Absence], list[datetime]]:
    """Return what nobody answered, in runs, and the times in whose slot one of `scans` looked; all of them in order."""
    runs: list[list[datetime]] = [[]]
    answered, at = [], 0
    for due, later in pairwise((*dues, newest)):
        while at < len(scans) and scans[at] < due:
            at += 1
        if at < len(scans) and scans[at] < later:
            answered.append(due)
            runs.append([])
        else:
            runs[-1].append(due)
    return [Absence(run[0], run[-1], len(run)) for run in runs if len(run) > 1], sorted(
        [*answered, *(run[0] for run in runs if len(run) == 1)]
    )


def enter(
    conn: sqlite3.Connection,
    absence: Absence,
    *,
    job: str,
    newest: datetime,
    term: int,
    holder: str,
    scans: bool,
    now: datetime,
) -> None:
    """Write an absence as one slot that is missed, at the last of its times, and of scans as one entry of the chain."""
    conn.execute(
        "INSERT OR IGNORE INTO slot (job, due_at, state, term, holder, ended_at, covered_by, said) "
        "VALUES (?, ?, 'missed', ?, ?, ?, ?, ?)",
        (job, stamp(absence.last), term, safe(holder), stamp(now), stamp(newest), absence.said),
    )
    if scans:
        slots.note_missed(conn, absence.name, due_at=absence.first, now=now)


def _iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
