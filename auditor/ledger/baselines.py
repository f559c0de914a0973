"""Approved states in the ledger: accepted and withdrawn by sign-offs, so that none is ever changed or lost.

A sign-off of the kind `baseline` states the settings that it approves, part by part. Of two that approve one part of a
subject the later counts; one that withdraws ends all of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from auditor.baselines import SUBJECTS, Approval, Setting
from auditor.errors import BusyError, UsageError
from auditor.ledger import signoffs, standing, states
from auditor.ledger.states import Author, Parts, State
from auditor.ledger.values import instant, maybe, optional, safe, stamp
from auditor.persons import same_person

TOPIC = "baseline"
ACCEPTED, WITHDRAWN = "accepted", "withdrawn"

Opening = Callable[[], AbstractContextManager[sqlite3.Connection]]


@dataclass(frozen=True, slots=True)
class Baseline:
    """One acceptance or withdrawal of a state."""

    baseline_id: str
    table: str
    key: str
    decision: str
    """`accepted` or `withdrawn`."""
    approver: str
    """Who approved, or withdrew."""
    reason: str
    at: datetime
    parts: Parts = field(default_factory=dict)
    scan: str = ""
    """The scan that saw the state."""
    scanned_at: datetime | None = None
    authors: tuple[Author, ...] = ()
    self_approved: bool = False
    """The approver may be who made one of the changes: nobody else looked at it."""
    seq: int = 0


@dataclass(frozen=True, slots=True)
class InForce:
    """What is approved of one subject: the last acceptance of each of its parts."""

    table: str
    key: str
    parts: Mapping[str, Baseline]

    @property
    def since(self) -> datetime:
        """When the oldest part that counts was approved."""
        return min(one.at for one in self.parts.values())

    def settings(self) -> Iterator[tuple[Setting, Baseline]]:
        """Yield every approved setting with the acceptance it is of."""
        for name, one in sorted(self.parts.items()):
            yield from ((setting, one) for setting in one.parts[name])


class Baselines:
    """The baselines of an open ledger."""

    def __init__(self, write: Opening, read: Opening) -> None:
        self._write = write
        self._read = read

    def every(self, as_of: datetime | None = None) -> list[Baseline]:
        """Return every acceptance and withdrawal entered by a time, in the order of the chain."""
        with self._read() as conn:
            return every(conn, as_of)

    def in_force(self, as_of: datetime | None = None) -> dict[tuple[str, str], InForce]:
        """Return what is approved at a time, by table and key."""
        with self._read() as conn:
            return in_force(every(conn, as_of))

    def state(
        self, subject: str, fields: Sequence[str] = (), *, gaps: Iterable[Mapping[str, Any]] = ()
    ) -> State:
        """Return what the last scan knows of a subject: all of it, or some fields and what belongs to them.

        `gaps` are what that scan could not see, as its judgement lists it. UsageError for a subject that it did not
        see, or a field that is not watched.
        """
        with self._read() as conn:
            return state(conn, subject, fields, gaps)

    def find(self, subject: str) -> tuple[str, str]:
        """Return table and key of a subject that has a baseline or was seen; UsageError names the nearest."""
        with self._read() as conn:
            return find(conn, subject)

    def accept(self, seen: State, *, approver: str, reason: str, now: datetime) -> Baseline:
        """Approve a state; UsageError says why it cannot be, BusyError when a scan has come in between."""
        with self._write() as conn:
            return accept(conn, seen, approver=approver, reason=reason, now=now)

    def withdraw(self, subject: str, *, by: str, reason: str, now: datetime) -> Baseline:
        """Approve nothing of a subject any more; UsageError where nothing is."""
        with self._write() as conn:
            return withdraw(conn, subject, by=by, reason=reason, now=now)


def every(conn: sqlite3.Connection, as_of: datetime | None = None) -> list[Baseline]:
    """Return every acceptance and withdrawal entered by a time, in the order of the chain."""
    return [_baseline(one) for one in signoffs.every(conn, kind=TOPIC, as_of=as_of)]


def in_force(found: Iterable[Baseline]) -> dict[tuple[str, str], InForce]:
    """Return what is approved after these decisions, by table and key."""
    parts: dict[tuple[str, str], dict[str, Baseline]] = {}
    for one in found:
        if one.decision == ACCEPTED:
            parts.setdefault((one.table, one.key), {}).update(dict.fromkeys(one.parts, one))
        else:
            parts.pop((one.table, one.key), None)
    return {subject: InForce(*subject, parts[subject]) for subject in sorted(parts)}


def rows(conn: sqlite3.Connection, as_of: datetime) -> list[dict[str, Any]]:
    """Return the rows of `history_baseline`: every setting that is approved at a time."""
    return [
        {
            "subject_table": each.table,
            "subject_key": each.key,
            "table_name": setting.table,
            "key": setting.key,
            "field": setting.field,
            "value": setting.value,
            "account": setting.account,
            "region": setting.region,
            "approver": one.approver,
            "approved_at": one.at,
            "sign_off_id": one.baseline_id,
        }
        for each in in_force(every(conn, as_of)).values()
        for setting, one in each.settings()
    ]


def approved(conn: sqlite3.Connection, as_of: datetime) -> tuple[Approval, ...]:
    """Return every part that is approved, for what is told of changes."""
    return tuple(
        Approval(each.table, each.key, part, one.parts[part], one.approver, one.at)
        for each in in_force(every(conn, as_of)).values()
        for part, one in sorted(each.parts.items())
    )


def find(conn: sqlite3.Connection, subject: str) -> tuple[str, str]:
    """Return table and key of what is meant: a key, the name it ends with, or the start of a finding's id."""
    marks = ", ".join("?" * len(SUBJECTS))
    known = set(
        conn.execute(
            f"SELECT DISTINCT table_name, key FROM watch_memory WHERE table_name IN ({marks})", SUBJECTS
        )
    )
    known |= set(in_force(every(conn)))
    word = subject.strip()
    keys = {word, f"arn:aws:s3:::{word}"}
    if len(word) >= 4:
        keys |= {
            key
            for (key,) in conn.execute(
                "SELECT DISTINCT subject_key FROM finding WHERE finding_id >= ? AND finding_id < ?",
                (word, word + "\U0010ffff"),
            )
        }
    found = sorted(one for one in known if one[1] in keys)
    if not found and word:  # the name that an ARN ends with
        found = sorted(one for one in known if one[1].endswith((f"/{word}", f":{word}")))
    if len(found) == 1:
        return str(found[0][0]), str(found[0][1])
    if found:
        raise UsageError(
            f"{word} may be {' or '.join(key for _, key in found)}", remedy="Give the whole key."
        )
    close = get_close_matches(word, sorted({key for _, key in known}), 3, 0.5)
    raise UsageError(
        f"no watched resource {word!r} was seen",
        remedy=f"Did you mean {', '.join(close)}?"
        if close
        else "`auditor findings` lists subjects; give a whole key.",
    )


def state(
    conn: sqlite3.Connection,
    subject: str,
    fields: Sequence[str] = (),
    gaps: Iterable[Mapping[str, Any]] = (),
) -> State:
    """Return what the last scan knows of a subject; see `Baselines.state`."""
    table, key = find(conn, subject)
    former = [one.at for one in every(conn) if (one.table, one.key) == (table, key)]
    return states.seen(conn, table, key, fields, gaps, since=former[-1] if former else None)


def accept(conn: sqlite3.Connection, seen: State, *, approver: str, reason: str, now: datetime) -> Baseline:
    """Enter an acceptance; see `Baselines.accept`."""
    if not approver.strip():
        raise UsageError("a baseline needs who approves it")
    if not reason.strip():
        raise UsageError("a baseline needs a reason")
    if seen.unknown:
        raise UsageError(
            f"{seen.key} was not fully read: {', '.join(seen.unknown)} not known; nobody can approve what nobody saw",
            remedy="Nothing was recorded. Let the scanner read it and scan again, or accept other fields with --field.",
        )
    if seen.scan != standing.last_scan(conn):
        raise BusyError(
            f"another scan was recorded since {seen.key} was looked at",
            remedy="Nothing was recorded. Look at it again.",
        )
    own = any(_is(approver, one.actor) for one in seen.authors)
    signed = signoffs.sign(
        conn,
        kind=TOPIC,
        subject=f"{seen.table}/{seen.key}",
        by=approver,
        now=now,
        decision=ACCEPTED,
        reason=reason,
        details={
            "table": seen.table,
            "key": safe(seen.key),
            "parts": {
                name: [[s.table, safe(s.key), s.field, optional(s.value), s.account, s.region] for s in some]
                for name, some in seen.parts.items()
            },
            "scan": seen.scan,
            "scanned_at": stamp(seen.at),
            "authors": [[a.actor, a.table, safe(a.key), a.field, stamp(a.at)] for a in seen.authors],
            "self_approved": own,
        },
    )
    return _baseline(signed)


def _is(approver: str, actor: str) -> bool:
    """Say whether an approver may be who the trail names: by the whole name, or that of the session or user."""
    name = actor.rpartition("/")[2]
    mine = (approver, approver.partition("@")[0])
    return any(same_person(one, other) for one in mine for other in (actor, name, name.partition("@")[0]))


def withdraw(conn: sqlite3.Connection, subject: str, *, by: str, reason: str, now: datetime) -> Baseline:
    """Enter a withdrawal; see `Baselines.withdraw`."""
    if not by.strip() or not reason.strip():
        raise UsageError("withdrawing a baseline needs who does it and why")
    table, key = find(conn, subject)
    if (table, key) not in in_force(every(conn)):
        raise UsageError(f"{key} has no baseline", remedy="`auditor baseline list` has all there are.")
    details = {"table": table, "key": safe(key)}
    return _baseline(
        signoffs.sign(
            conn, kind=TOPIC, subject=f"{table}/{key}", by=by, now=now, decision=WITHDRAWN, reason=reason, details=details
        )
    )  # fmt: skip


def _baseline(signed: signoffs.SignOff) -> Baseline:
    said = signed.details
    return Baseline(
        baseline_id=signed.sign_off_id,
        table=said["table"],
        key=said["key"],
        decision=signed.decision,
        approver=signed.by,
        reason=signed.reason,
        at=signed.at,
        parts={name: tuple(Setting(*row) for row in some) for name, some in said.get("parts", {}).items()},
        scan=said.get("scan", ""),
        scanned_at=maybe(said.get("scanned_at")),
        authors=tuple(_author(row) for row in said.get("authors", ())),
        self_approved=bool(said.get("self_approved")),
        seq=signed.seq,
    )


def _author(row: Sequence[str]) -> Author:
    actor, table, key, name, at = row
    return Author(actor, table, key, name, instant(at))
