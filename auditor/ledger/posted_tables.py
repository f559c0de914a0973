"""Messages that no scan wrote are bound by the chain too, and none is changed or removed by accident. Schema 9."""

from __future__ import annotations

import sqlite3

from auditor.ledger import chain
from auditor.ledger.values import instant

GUARDED = (
    (
        "CREATE TRIGGER outbox_never_delete BEFORE DELETE ON outbox "
        "BEGIN SELECT RAISE(ABORT, 'outbox is append-only'); END"
    ),
    (
        "CREATE TRIGGER outbox_never_update_of "
        "BEFORE UPDATE OF alert_id, scan, channel, event, keys, body, created_at ON outbox "
        "BEGIN SELECT RAISE(ABORT, 'outbox is append-only'); END"
    ),
)


def bind(conn: sqlite3.Connection) -> None:
    """Bind what was posted before messages had entries, as it stands now: one entry, at the time of the last thing before it.

    A migration is told no time, and reads no clock.
    """
    rows = conn.execute(
        "SELECT alert_id, created_at FROM outbox WHERE scan IS NULL ORDER BY alert_id"
    ).fetchall()
    if rows:
        last = conn.execute("SELECT max(at) FROM entry").fetchone()[0] or ""
        at = instant(max([last, *(created for _, created in rows)]))
        chain.post(conn, [alert_id for alert_id, _ in rows], at, {"schema": chain.POSTED_SINCE})
