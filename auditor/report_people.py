"""People who left: what of their access is left, and how long it outlived them; and what a review took away in vain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auditor.report_read import Past
from auditor.report_words import counted, day, span, when

PRINTED = 20
"""People printed; the rest are counted."""
_MARKS = {True: ("broken", "open"), False: ("proven", "ended"), None: ("unknown", "not known")}
_PARTS = {
    "groups": "group",
    "bindings": "binding",
    "sessions": "session",
    "keys": "key",
    "owns": "automation",
}


@dataclass(frozen=True, slots=True)
class Leaver:
    """One person whose access ended in the period, or of whom something is still left."""

    person: str
    mark: str
    state: str
    ended: str
    last_use: str
    outlived: str
    left: str


@dataclass(frozen=True, slots=True)
class People:
    """What the report says of people."""

    known: bool
    """The last scan derived it."""
    leavers: tuple[Leaver, ...]
    open: int
    revoked: tuple[str, ...]
    """Memberships that a review revoked and that are still there."""


def people(past: Past) -> People:
    """Return who left in the period, and of whom something is left; those with something left first."""
    judgement = past.last.judgement if past.last else None
    if judgement is None or not {"offboarding", "access"} <= judgement.digests.keys():
        return People(False, (), 0, ())
    rows = [row for row in judgement.rows("offboarding") if _wanted(row, past)]
    rows.sort(key=lambda row: ({True: 0, None: 1, False: 2}[row["open"]], row["person"]))
    revoked = tuple(
        f"{row['person']} in {row['group_name']}, revoked by {row['decided_by']} on {day(row['decided_at'])}"
        for row in judgement.rows("access")
        if row["decision"] == "revoke"
    )
    return People(True, tuple(map(_leaver, rows)), sum(row["open"] is True for row in rows), revoked)


def _wanted(row: Mapping[str, Any], past: Past) -> bool:
    if row["open"] is True:
        return True
    ended = row["ended_at"] or row["ended_by"]
    return ended is None or past.from_at <= ended < past.to_at


def _leaver(row: Mapping[str, Any]) -> Leaver:
    mark, state = _MARKS[row["open"]]
    ended = when(row["ended_at"])
    if row["ended_at"] is None:
        ended = f"by {when(row['ended_by'])}" if row["ended_by"] is not None else "not known"
    outlived = (
        "not known" if row["outlived_s"] is None else span(row["outlived_s"]) if row["outlived_s"] else "0"
    )
    return Leaver(
        person=row["person"],
        mark=mark,
        state=state,
        ended=ended,
        last_use=when(row["last_use_at"]) if row["last_use_at"] is not None else "none known",
        outlived=f"{outlived}, goes on" if row["open"] and row["outlived_s"] is not None else outlived,
        left=_left(row),
    )


def _left(row: Mapping[str, Any]) -> str:
    found = [counted(len(row[name]), word) for name, word in _PARTS.items() if row[name]]
    unread = [name for name in _PARTS if row[name] is None]
    return "; ".join(found + ([f"not collected: {', '.join(unread)}"] if unread else [])) or "nothing"
