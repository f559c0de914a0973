"""The agenda of the service: slots that are due, the one instance that leads, and the last sign that all was well.

Whoever leads writes under its term. The term is looked at in the very transaction that writes: an instance that was
stopped, or whose clock stood still, and that wakes up after another took over can write nothing any more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from auditor.errors import BusyError
from auditor.ledger import absences, slots
from auditor.ledger.absences import Absence
from auditor.ledger.values import instant, maybe, safe, stamp

SCAN = "scan"
"""The job whose slots are scans: those that nobody took are entered in the hash chain too."""
_SLOT = "job, due_at, state, term, holder, started_at, ended_at, failures, scan, covered_by, said"
_OPEN = "state IN ('planned', 'running')"
_SAID = 500

Opening = Callable[[], AbstractContextManager[sqlite3.Connection]]


class DeposedError(BusyError):
    """Raised when another instance leads by now: nothing was written."""


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads, as the ledger has it."""

    holder: str
    """Empty: it resigned."""
    term: int
    beat: int
    since: datetime
    until: datetime
    """Until when it said it would, by its own clock."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One time at which a job is due."""

    job: str
    due_at: datetime
    state: str
    """`planned`, `running`, `done`, `missed` or `failed`."""
    term: int | None = None
    """The term it was last written in."""
    holder: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    failures: int = 0
    scan: str | None = None
    """The scan that answered it."""
    covered_by: datetime | None = None
    """The later slot that was run in its place."""
    said: str = ""
    """Why it failed, or what it was joined with."""

    @property
    def name(self) -> str:
        """The slot's name, as scans know it."""
        return slot_name(self.due_at)


@dataclass(frozen=True, slots=True)
class Answered:
    """The scan that answered a slot."""

    scan: str
    at: datetime
    """When it looked."""
    complete: bool


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The last time that all was well."""

    at: datetime
    scan: str | None
    told_at: datetime | None
    said: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """An alert that waits for delivery."""

    alert_id: str
    route: str
    since: datetime
    attempts: int
    last_error: str


@dataclass(frozen=True, slots=True)
class Signs:
    """Signs of life, for one who only reads."""

    last_scan: tuple[str, datetime] | None
    """The last finished scan, and when it looked."""
    first_due_at: datetime | None
    """The first slot that was ever planned."""
    leader: Leader | None
    waiting: int
    oldest: Waiting | None
    """The alert that waits longest."""
    failing: tuple[Slot, ...] = ()
    """Slots that were tried and are tried again."""


def slot_name(due_at: datetime) -> str:
    """Name a slot by its time in UTC, as a scan without a slot is named."""
    return f"{due_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


class Agenda:
    """The agenda of one open ledger."""

    def __init__(self, write: Opening, read: Opening) -> None:
        self._write = write
        self._read = read

    # Who leads

    def leader(self) -> Leader | None:
        """Return who leads, or led last; None before the first."""
        with self._read() as conn:
            return _leader(conn)

    def lead(self, holder: str, now: datetime, lease_s: int, *, after: Leader | None) -> Leader:
        """Take the lead after the leader that was seen, and under a new term.

        DeposedError when that one gave a sign of life since, or another was faster.
        """
        with self._write() as conn:
            there = _leader(conn)
            if _sign(there) != _sign(after):
                raise DeposedError(f"{there.holder if there else 'nobody'} leads")
            term = there.term + 1 if there else 1
            until = now + timedelta(seconds=lease_s)
            conn.execute(
                "INSERT OR REPLACE INTO leader VALUES (1, ?, ?, 1, ?, ?)",
                (safe(holder), term, stamp(now), stamp(until)),
            )
            return Leader(holder, term, 1, now, until)

    @contextmanager
    def leading(self, lead: Leader) -> Iterator[Desk]:
        """Write as a leader in its term, all of it in one transaction; DeposedError when that term is over.

        Its name counts too: a backup that was put in the ledger's place brings an older term back.
        """
        with self._write() as conn:
            there = _leader(conn)
            if there is None or (there.term, there.holder) != (lead.term, lead.holder):
                who = there.holder if there else ""
                raise DeposedError(f"{who or 'nobody'} leads, and not {lead.holder} in term {lead.term}")
            yield Desk(conn, there)

    # What is due

    def open_slots(self) -> list[Slot]:
        """Return the slots that are planned or running, by job and time."""
        with self._read() as conn:
            rows = conn.execute(f"SELECT {_SLOT} FROM slot WHERE {_OPEN} ORDER BY job, due_at")
            return [_slot(row) for row in rows]

    def slots(
        self, job: str = "", from_at: datetime | None = None, until_at: datetime | None = None
    ) -> list[Slot]:
        """Return the slots of `[from_at, until_at)`, of one job or of all, oldest first."""
        with self._read() as conn:
            rows = conn.execute(
                f"SELECT {_SLOT} FROM slot WHERE (:job = '' OR job = :job) AND due_at >= :from_at "
                "AND (:until_at = '' OR due_at < :until_at) ORDER BY due_at, job",
                {"job": job, "from_at": _or_empty(from_at), "until_at": _or_empty(until_at)},
            )
            return [_slot(row) for row in rows]

    def last_settled(self, job: str) -> datetime | None:
        """Return the time of a job's newest slot that is no longer only planned."""
        with self._read() as conn:
            (last,) = conn.execute(
                "SELECT max(due_at) FROM slot WHERE job = ? AND state <> 'planned'", (job,)
            ).fetchone()
            return maybe(last)

    def heartbeat(self, kind: str = SCAN) -> Heartbeat | None:
        """Return the last sign that all was well."""
        with self._read() as conn:
            row = conn.execute(
                "SELECT at, scan, told_at, said FROM heartbeat WHERE kind = ?", (kind,)
            ).fetchone()
            return None if row is None else Heartbeat(instant(row[0]), row[1], maybe(row[2]), row[3])

    def signs(self) -> Signs:
        """Return the signs of life that a ledger of any schema has."""
        with self._read() as conn:
            scan = conn.execute(
                "SELECT scan, at, slot FROM scan WHERE state = 'finished' ORDER BY at DESC LIMIT 1"
            ).fetchone()
            columns = {row[0] for row in conn.execute("SELECT name FROM pragma_table_info('outbox')")}
            kept = "AND (held IS NULL OR within IS NOT NULL) " if "held" in columns else ""
            waiting = conn.execute(
                "SELECT alert_id, channel, created_at, attempts, last_error FROM outbox "
                f"WHERE state IN ('pending', 'sending') {kept}ORDER BY created_at, alert_id"
            ).fetchall()
            known = {row[0] for row in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            leader = _leader(conn) if "leader" in known else None
            first = conn.execute("SELECT min(due_at) FROM slot").fetchone()[0] if "slot" in known else None
            open_ = f"SELECT {_SLOT} FROM slot WHERE {_OPEN} AND failures > 0 ORDER BY due_at, job"
            failing = [_slot(row) for row in conn.execute(open_)] if "slot" in known else []
            return Signs(
                last_scan=None if scan is None else (str(scan[0]), instant(scan[1])),
                first_due_at=maybe(first),
                leader=leader,
                failing=tuple(failing),
                waiting=len(waiting),
                oldest=_waiting(waiting[0]) if waiting else None,
            )

    def counts(self) -> dict[str, Any]:
        """Return what a dashboard shows: findings, slots, the outbox; numbers alone."""
        with self._read() as conn:
            open_ = "SELECT verdict, severity, count(*) FROM finding WHERE until_scan IS NULL GROUP BY 1, 2 ORDER BY 1, 2"
            oldest = (
                "SELECT min(created_at) FROM outbox WHERE state IN ('pending', 'sending') "
                "AND within IS NULL AND held IS NULL"
            )
            return {
                "findings": conn.execute(open_).fetchall(),
                "slots": conn.execute(
                    f"SELECT job, state, sum({absences.COUNTED}) FROM slot GROUP BY 1, 2 ORDER BY 1, 2"
                ).fetchall(),
                "outbox": dict(
                    conn.execute(
                        "SELECT CASE WHEN held IS NOT NULL AND state = 'pending' AND within IS NULL THEN 'held' "
                        "ELSE state END, count(*) FROM outbox GROUP BY 1 ORDER BY 1"
                    )
                ),
                "waiting_since": maybe(conn.execute(oldest).fetchone()[0]),
                "channels_off": conn.execute("SELECT count(*) FROM channel_off").fetchone()[0],
                "entries": conn.execute("SELECT coalesce(max(seq), 0) FROM entry").fetchone()[0],
            }


class Desk:
    """What a leader writes within one transaction."""

    def __init__(self, conn: sqlite3.Connection, leader: Leader) -> None:
        self._conn = conn
        self._leader = leader

    def beat(self, now: datetime, lease_s: int) -> Leader:
        """Give a sign of life."""
        until = now + timedelta(seconds=lease_s)
        self._conn.execute("UPDATE leader SET beat = beat + 1, until = ?", (stamp(until),))
        was = self._leader
        return Leader(was.holder, was.term, was.beat + 1, was.since, until)

    def resign(self, now: datetime) -> None:
        """Lead no longer: another may at once."""
        self._conn.execute("UPDATE leader SET holder = '', until = ?, beat = beat + 1", (stamp(now),))

    def plan(self, job: str, dues: Sequence[datetime], *, next_at: datetime, now: datetime) -> None:
        """Plan slots, and of those that lie ahead the next alone: an earlier schedule's are forgotten."""
        self._conn.execute(
            "DELETE FROM slot WHERE job = ? AND state = 'planned' AND failures = 0 AND due_at > ? AND due_at <> ?",
            (job, stamp(now), stamp(next_at)),
        )
        self._conn.executemany(
            "INSERT OR IGNORE INTO slot (job, due_at, state) VALUES (?, ?, 'planned')",
            [(job, stamp(due)) for due in (*dues, next_at)],
        )

    def absent(
        self, job: str, dues: Sequence[datetime], newest: datetime, now: datetime
    ) -> tuple[list[Absence], list[datetime]]:
        """Enter what of many times before the newest nobody answered, in runs; return them, and the times to be planned."""
        rows = self._conn.execute(
            "SELECT at FROM scan WHERE state = 'finished' AND at >= ? AND at < ? ORDER BY at",
            (stamp(dues[0]), stamp(newest)),
        )
        found, left = absences.told_apart(
            dues, newest, [instant(at) for (at,) in rows] if job == SCAN else []
        )
        term, holder = self._leader.term, self._leader.holder
        for each in found:
            absences.enter(
                self._conn, each, job=job, newest=newest, scans=job == SCAN, now=now, term=term, holder=holder
            )
        return found, left

    def start(self, slot: Slot, now: datetime, *, said: str = "") -> None:
        """Begin a slot."""
        self._write(slot, "running", said=said or slot.said, started_at=stamp(now), ended_at=None)

    def end(self, slot: Slot, state: str, now: datetime, *, said: str = "", scan: str | None = None) -> None:
        """End a slot as `done` or `failed`."""
        self._write(slot, state, said=said, scan=scan, ended_at=stamp(now))

    def again(self, slot: Slot, *, said: str, failed: bool) -> None:
        """Plan a slot anew: its run came to nothing."""
        self._write(slot, "planned", said=said, failures=slot.failures + failed)

    def skip(self, slot: Slot, covered_by: datetime, now: datetime) -> None:
        """Give up a slot for a later one: `failed` when it was tried, `missed` when nobody was there."""
        state = "failed" if slot.failures else "missed"
        self._write(slot, state, said=slot.said, covered_by=stamp(covered_by), ended_at=stamp(now))
        if slot.job == SCAN:
            slots.note_missed(self._conn, slot.name, due_at=slot.due_at, now=now)

    def scan_within(self, from_at: datetime, until_at: datetime | None) -> Answered | None:
        """Return a scan that was finished and looked in `[from_at, until_at)`."""
        row = self._conn.execute(
            "SELECT scan, at, complete FROM scan WHERE state = 'finished' AND at >= ? AND (? = '' OR at < ?) ORDER BY at LIMIT 1",
            (stamp(from_at), _or_empty(until_at), _or_empty(until_at)),
        ).fetchone()
        return None if row is None else Answered(str(row[0]), instant(row[1]), bool(row[2]))

    def scan_of(self, slot_name: str) -> Answered | None:
        """Return the scan that answered a slot."""
        row = self._conn.execute(
            "SELECT scan, at, complete FROM scan WHERE slot = ? AND state = 'finished'", (safe(slot_name),)
        ).fetchone()
        return None if row is None else Answered(str(row[0]), instant(row[1]), bool(row[2]))

    def well(self, at: datetime, scan: str | None, kind: str = SCAN) -> None:
        """Note that all was well."""
        self._conn.execute(
            "INSERT INTO heartbeat (kind, at, scan) VALUES (?, ?, ?) ON CONFLICT (kind) DO UPDATE SET "
            "at = excluded.at, scan = excluded.scan, told_at = NULL, said = '' WHERE excluded.at > heartbeat.at",
            (kind, stamp(at), scan),
        )

    def told(self, heartbeat: Heartbeat, now: datetime | None, said: str, kind: str = SCAN) -> None:
        """Note whether a heartbeat was told outside; one that came meanwhile is not touched."""
        self._conn.execute(
            "UPDATE heartbeat SET told_at = ?, said = ? WHERE kind = ? AND at = ?",
            (stamp(now) if now else None, safe(said)[:_SAID], kind, stamp(heartbeat.at)),
        )

    def _write(self, slot: Slot, state: str, *, said: str = "", **more: Any) -> None:
        values = {
            "state": state,
            "said": safe(said)[:_SAID],
            "term": self._leader.term,
            "holder": self._leader.holder,
        }
        values |= more
        self._conn.execute(
            f"UPDATE slot SET {', '.join(f'{name} = ?' for name in values)} WHERE job = ? AND due_at = ?",
            (*values.values(), slot.job, stamp(slot.due_at)),
        )


def _leader(conn: sqlite3.Connection) -> Leader | None:
    row = conn.execute("SELECT holder, term, beat, since, until FROM leader").fetchone()
    return None if row is None else Leader(row[0], row[1], row[2], instant(row[3]), instant(row[4]))


def _waiting(row: tuple[Any, ...]) -> Waiting:
    alert_id, route, since, attempts, error = row
    return Waiting(alert_id, route, instant(since), attempts, error)


def _sign(leader: Leader | None) -> tuple[int, int] | None:
    return None if leader is None else (leader.term, leader.beat)


def _slot(row: tuple[Any, ...]) -> Slot:
    job, due_at, state, term, holder, started_at, ended_at, failures, scan, covered_by, said = row
    return Slot(
        job, instant(due_at), state, term, holder, maybe(started_at), maybe(ended_at), failures, scan,
        maybe(covered_by), said,
    )  # fmt: skip


def _or_empty(at: datetime | None) -> str:
    return "" if at is None else stamp(at)
