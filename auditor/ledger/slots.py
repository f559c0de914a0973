"""Slots: who may scan now, what was interrupted, and what never ran."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from auditor.errors import BusyError, UsageError
from auditor.ledger import record
from auditor.ledger.owner import is_gone
from auditor.ledger.values import Lease, digest, instant, safe, stamp

RECHECK = "recheck/"
"""What the slots of re-checks begin with: one that comes to nothing is no scan that was interrupted."""
_EMPTY = {
    "complete": False,
    "interval_s": 0,
    "snapshot_id": "",
    "snapshot_dir": "",
    "rule_digest": "",
    "config_digest": "",
    "outcome_digest": "",
    "tally": {},
}


def begin(
    conn: sqlite3.Connection,
    slot: str,
    owner: str,
    lease_s: int,
    now: datetime,
    *,
    expected: Sequence[tuple[str, datetime]] = (),
    gone: Callable[[str], bool] = is_gone,
) -> Lease:
    """Take a slot within the caller's transaction.

    Leases that ended without a record become `interrupted_scan` entries, and slots of `expected`
    (slot, due time) that nobody took become `missed_scan` entries. Raises BusyError while another
    scan runs, UsageError for a slot that is done.
    """
    running = conn.execute("SELECT slot, token, owner, begun_at, until FROM lease").fetchall()
    for held, token, holder, begun_at, until in running:
        if instant(until) > now and not gone(holder):
            raise BusyError(
                f"a scan of slot {held} is running since {begun_at} ({holder})",
                remedy=f"It has until {until}; then the slot is free again.",
            )
        if not held.startswith(RECHECK):
            _note(conn, "interrupted_scan", held, at=instant(begun_at), now=now, about=f"{holder} {token}")
        conn.execute("DELETE FROM lease WHERE slot = ?", (held,))
    done = conn.execute(
        "SELECT scan FROM scan WHERE slot = ? AND state = 'finished'", (safe(slot),)
    ).fetchone()
    if done:
        raise UsageError(f"slot {slot} was already scanned: {done[0]}")
    record.check_time(conn, now)
    for missed, due_at in sorted(expected, key=lambda one: (one[1], one[0])):
        known = conn.execute("SELECT 1 FROM scan WHERE slot = ?", (safe(missed),)).fetchone()
        if known is None and missed != slot:
            _note(conn, "missed_scan", missed, at=due_at, now=now, about="")
    conn.execute("UPDATE token SET last = last + 1")
    token = int(conn.execute("SELECT last FROM token").fetchone()[0])
    until = now + timedelta(seconds=lease_s)
    conn.execute(
        "INSERT INTO lease VALUES (?, ?, ?, ?, ?)",
        (safe(slot), token, safe(owner), stamp(now), stamp(until)),
    )
    return Lease(slot, token, owner, until, now)


def running(
    conn: sqlite3.Connection, now: datetime, *, gone: Callable[[str], bool] = is_gone
) -> Lease | None:
    """Return the slot that is being scanned: the one for which `begin` would be refused."""
    rows = conn.execute("SELECT slot, token, owner, until, begun_at FROM lease ORDER BY token DESC")
    for slot, token, owner, until, begun_at in rows:
        if instant(until) > now and not gone(owner):
            return Lease(slot, token, owner, instant(until), instant(begun_at))
    return None


def note_missed(conn: sqlite3.Connection, slot: str, *, due_at: datetime, now: datetime) -> None:
    """Enter a slot that nobody took, once."""
    known = conn.execute(
        "SELECT 1 FROM scan WHERE slot = ? AND state <> 'interrupted'", (safe(slot),)
    ).fetchone()
    if known is None:
        _note(conn, "missed_scan", slot, at=due_at, now=now, about="")


def renew(conn: sqlite3.Connection, lease: Lease, lease_s: int, now: datetime) -> Lease:
    """Hold a slot for longer; BusyError when somebody else has it by now."""
    until = now + timedelta(seconds=lease_s)
    changed = conn.execute(
        "UPDATE lease SET until = ? WHERE slot = ? AND token = ?",
        (stamp(until), safe(lease.slot), lease.token),
    ).rowcount
    if not changed:
        raise BusyError(f"slot {lease.slot} was taken over by another scan")
    return Lease(lease.slot, lease.token, lease.owner, until, lease.begun_at)


def release(conn: sqlite3.Connection, lease: Lease, now: datetime) -> None:
    """Give a slot back without a record; the chain says that the scan was interrupted."""
    row = conn.execute(
        "SELECT begun_at FROM lease WHERE slot = ? AND token = ?", (safe(lease.slot), lease.token)
    ).fetchone()
    if row is not None:
        about = f"{lease.owner} {lease.token}"
        if not lease.slot.startswith(RECHECK):
            _note(conn, "interrupted_scan", lease.slot, at=instant(row[0]), now=now, about=about)
        conn.execute("DELETE FROM lease WHERE slot = ?", (safe(lease.slot),))


def _note(conn: sqlite3.Connection, kind: str, slot: str, *, at: datetime, now: datetime, about: str) -> None:
    """Enter a scan that did not happen."""
    n = record.next_number(conn)
    scan = f"{kind.removesuffix('_scan')}-{digest([slot, stamp(at), about])[:20]}"
    row = {**_EMPTY, "n": n, "scan": scan, "slot": safe(slot), "at": stamp(at)}
    record.add_scan(conn, kind, row, {**row, "about": about}, now)
