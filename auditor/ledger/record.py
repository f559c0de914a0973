"""One scan enters the ledger: intervals, memories, alerts and the entry that binds them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from auditor.drift import Present, moves
from auditor.errors import BusyError, UsageError
from auditor.ledger import chain, cursors, memory, outbox, remembered, standing
from auditor.ledger.intervals import Intervals, plain
from auditor.ledger.recorded import Memories, ScanRecord
from auditor.ledger.values import Alert, canonical, optional, safe, stamp
from auditor.model import Drift, Outcome
from auditor.spool import CHANGES, ordered, uncollected

if TYPE_CHECKING:
    from auditor.judge import Key


@uncollected()
def record(
    conn: sqlite3.Connection,
    scan: ScanRecord,
    outcomes: Iterable[Outcome],
    drift: Iterable[Drift],
    *,
    memories: Memories,
    alerts: Sequence[Alert],
    only: Iterable[Key] | None = None,
    at: datetime,
    checkpoint: Callable[[str], None],
) -> str:
    """Write a scan within the caller's transaction; return its id.

    `only` are the findings that may have moved, where that is known: then `outcomes` need not tell of others.
    """
    n, when = numbered(conn, scan, at), stamp(at)
    altered = remembered.altered(conn, partial(chain.wording_digest, conn))
    past = standing.past(conn, at, only)
    present = Present(
        outcomes=map(plain, outcomes),
        coverage=scan.coverage,
        judged=None if scan.rules is None else scan.rules.keys(),
        broken=scan.broken,
    )
    writing = Intervals(conn, n, at, past.previous_at, scan.rules or {})
    # Read to the end before anything is written, and written in the order of the table: of a random one each row costs a page.
    steps = ordered(moves(past, present, now=at), key=lambda move: move.finding_id, held=CHANGES)
    standing.forget_unjudged(conn)
    for move in steps:
        writing.apply(move)
    checkpoint("findings")
    conn.executemany(
        f"INSERT INTO drift VALUES ({', '.join('?' * 16)})", (drift_row(n, one) for one in drift)
    )
    checkpoint("drift")
    previous_at = stamp(past.previous_at) if past.previous_at else None
    moved = memory.remember(conn, memories, scan.coverage, n=n, at=when, previous_at=previous_at)
    cursors.keep(conn, scan.cursors, n=n)
    checkpoint("memory")
    outbox.post(conn, alerts, n=n, at=at)
    checkpoint("outbox")
    more = {"open_index": scan.open_index, "due_times_not_applied": moved, **altered}
    return entered(conn, "scan", scan, n, at, more=more, checkpoint=checkpoint)


def entered(
    conn: sqlite3.Connection,
    kind: str,
    scan: ScanRecord,
    n: int,
    at: datetime,
    *,
    more: Mapping[str, Any],
    checkpoint: Callable[[str], None],
) -> str:
    """Append the entry that binds all that a scan wrote, and its row; return its id."""
    row = {
        "n": n,
        "scan": scan.scan_id(at),
        "slot": safe(scan.slot),
        "at": stamp(at),
        "complete": scan.complete,
        "interval_s": scan.interval_s,
        "snapshot_id": scan.snapshot_id,
        "snapshot_dir": safe(scan.snapshot_dir),
        "rule_digest": scan.rule_digest,
        "config_digest": scan.config_digest,
        "outcome_digest": scan.outcome_digest,
        "tally": json.loads(canonical(scan.tally)),
    }
    open_now = conn.execute("SELECT count(*) FROM finding WHERE until_scan IS NULL").fetchone()[0]
    body = {
        **chain.scan_body(row),
        **chain.bound_digests(conn, n),
        "wording": chain.wording_digest(conn),
        remembered.BOUND: remembered.digest(conn),
        "open": open_now,
        "broken_rules": sorted(scan.broken),
        **more,
    }
    add_scan(conn, kind, row, body, at)
    if scan.lease is not None:
        conn.execute("DELETE FROM lease WHERE slot = ?", (scan.lease.slot,))
    checkpoint("entry")
    return str(row["scan"])


def add_scan(
    conn: sqlite3.Connection, kind: str, row: dict[str, Any], body: dict[str, Any], at: datetime
) -> None:
    """Append the entry of a scan, then its row."""
    entry = chain.append(conn, kind, at, body)
    full = {
        **row,
        "complete": int(row["complete"]),
        "tally": canonical(row["tally"]),
        "state": chain.SCAN_KINDS[kind],
        "head": entry.hash,
        "entry": entry.seq,
    }
    conn.execute(
        f"INSERT INTO scan ({', '.join(full)}) VALUES ({', '.join('?' * len(full))})",
        tuple(full.values()),
    )


def next_number(conn: sqlite3.Connection) -> int:
    """Return the number of the scan to come."""
    return int(conn.execute("SELECT coalesce(max(n), 0) + 1 FROM scan").fetchone()[0])


def numbered(conn: sqlite3.Connection, scan: ScanRecord, at: datetime) -> int:
    """Check that the scan may be recorded, and number it."""
    if scan.lease is not None:
        held = conn.execute("SELECT token FROM lease WHERE slot = ?", (scan.lease.slot,)).fetchone()
        if held is None or held[0] != scan.lease.token or scan.lease.slot != scan.slot:
            raise BusyError(
                f"slot {scan.slot} was taken over by another scan while this one ran",
                remedy="Nothing of this scan was recorded; look at `auditor status`.",
            )
    done = conn.execute(
        "SELECT scan FROM scan WHERE slot = ? AND state = 'finished'", (safe(scan.slot),)
    ).fetchone()
    if done:
        raise UsageError(f"slot {scan.slot} was already scanned: {done[0]}")
    if scan.compared_with and scan.compared_with != standing.last_scan(conn):
        raise BusyError(
            f"another scan was recorded while the one of slot {scan.slot} ran",
            remedy="Nothing of this scan was recorded; look at `auditor status`.",
        )
    check_time(conn, at)
    return next_number(conn)


def check_time(conn: sqlite3.Connection, at: datetime) -> None:
    """Refuse a scan that would stand before one that is recorded already."""
    last = conn.execute("SELECT max(at) FROM scan WHERE state IN ('finished', 'rechecked')").fetchone()[0]
    if last is not None and stamp(at) <= last:
        raise UsageError(
            f"a scan at {stamp(at)} cannot follow the one recorded at {last}",
            remedy="Scans are recorded in order of time: check the clock, or the time given.",
        )


def drift_row(n: int, one: Drift) -> tuple[Any, ...]:
    """Return a row of the table `drift`."""
    return (
        n,
        one.drift_id,
        one.kind,
        optional(one.rule),
        safe(one.subject_table),
        safe(one.subject_key),
        optional(one.field),
        optional(one.before),
        optional(one.after),
        one.direction,
        stamp(one.changed_at) if one.changed_at else None,
        stamp(one.detected_at),
        optional(one.actor),
        safe(one.actor_reason),
        one.severity,
        safe(one.because),
    )
