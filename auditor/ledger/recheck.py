"""A re-check of one subject enters the ledger: its findings move, and nothing else does.

It has a row and an entry of its own, so that what it moved is bound as what a scan moved. It is no scan of the whole:
nothing that asks for the scan before, for the last scan or for missed slots finds it, and no memory, cursor or
coverage is written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from auditor.drift import Present, Standing, finding_id, moves
from auditor.ledger import chain, outbox, remembered, standing
from auditor.ledger.intervals import Intervals, plain
from auditor.ledger.record import drift_row, entered, numbered
from auditor.ledger.recorded import ScanRecord
from auditor.ledger.values import Alert, safe
from auditor.model import Drift, Outcome

if TYPE_CHECKING:
    from auditor.judge import Key


def keys_of(conn: sqlite3.Connection, subject_key: str) -> list[Key]:
    """Return every finding of a subject, open or closed."""
    rows = conn.execute(
        "SELECT DISTINCT rule, subject_table, subject_key FROM finding WHERE subject_key = ? ORDER BY 1, 2",
        (safe(subject_key),),
    )
    return [(rule, table, key) for rule, table, key in rows]


def record(
    conn: sqlite3.Connection,
    scan: ScanRecord,
    subject_key: str,
    outcomes: Iterable[Outcome],
    drift: Iterable[Drift],
    *,
    alerts: Sequence[Alert],
    only: Collection[Key],
    at: datetime,
    checkpoint: Callable[[str], None],
) -> str:
    """Write a re-check within the caller's transaction; return its id.

    `only` are the findings of the subject, known or new; `outcomes` what was said of it, and of subjects nobody could
    list, which may hide it. A move of any other subject is not written.
    """
    n = numbered(conn, scan, at)
    altered = remembered.altered(conn, partial(chain.wording_digest, conn))
    past = standing.past(conn, at, only)
    present = Present(
        outcomes=map(plain, outcomes),
        coverage=scan.coverage,
        judged=None if scan.rules is None else scan.rules.keys(),
        broken=scan.broken,
    )
    key = safe(subject_key)
    steps = [move for move in moves(past, present, now=at) if _subject(move.before, move.after) == key]
    writing = Intervals(conn, n, at, past.previous_at, scan.rules or {})
    standing.forget_unjudged(conn, (finding_id(*each) for each in only))
    for move in sorted(steps, key=lambda move: move.finding_id):
        writing.apply(move)
    checkpoint("findings")
    mine = (one for one in drift if one.rule is not None and safe(one.subject_key) == key)
    conn.executemany(f"INSERT INTO drift VALUES ({', '.join('?' * 16)})", (drift_row(n, one) for one in mine))
    checkpoint("drift")
    outbox.post(conn, alerts, n=n, at=at)
    checkpoint("outbox")
    return entered(conn, "recheck", scan, n, at, more={"only": key, **altered}, checkpoint=checkpoint)


def _subject(before: Standing | None, after: Outcome | None) -> str:
    some = after or (before.outcome if before else None)
    assert some is not None
    return some.subject_key
