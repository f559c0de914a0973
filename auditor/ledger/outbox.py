"""The outbox: alerts written with the findings they tell of, sent at least once, with one id."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from auditor.errors import UsageError
from auditor.ledger import chain
from auditor.ledger.values import Alert, Sending, instant, maybe, safe, stamp

_COLUMNS = (
    "alert_id, channel, event, keys, body, state, created_at, attempts, next_at, last_error, delivered_at"
)


def lease(
    conn: sqlite3.Connection, now: datetime, *, lease_s: int, limit: int, channels: Collection[str]
) -> list[Sending]:
    """Take what is due for these channels; a sender that dies gives it back when the lease ends."""
    marks = ", ".join("?" * len(channels))
    when = stamp(now)
    due = conn.execute(
        f"SELECT {_COLUMNS} FROM outbox WHERE channel IN ({marks}) "
        "AND channel NOT IN (SELECT channel FROM channel_off) "
        "AND ((state = 'pending' AND next_at <= ?) OR (state = 'sending' AND lease_until <= ?)) "
        "ORDER BY next_at, created_at, alert_id LIMIT ?",
        (*sorted(channels), when, when, limit),
    ).fetchall()
    until = stamp(now + timedelta(seconds=lease_s))
    conn.executemany(
        "UPDATE outbox SET state = 'sending', attempts = attempts + 1, lease_until = ? WHERE alert_id = ?",
        [(until, row[0]) for row in due],
    )
    return [_sending((*row[:7], row[7] + 1, *row[8:])) for row in due]


def delivered(conn: sqlite3.Connection, alert_id: str, now: datetime) -> None:
    """Note that the receiver has it."""
    conn.execute(
        "UPDATE outbox SET state = 'delivered', delivered_at = ?, lease_until = NULL, "
        "last_error = '' WHERE alert_id = ?",
        (stamp(now), alert_id),
    )


def retry(conn: sqlite3.Connection, alert_id: str, next_at: datetime, error: str) -> None:
    """Note a failed attempt and when to try again."""
    conn.execute(
        "UPDATE outbox SET state = 'pending', next_at = ?, lease_until = NULL, last_error = ? "
        "WHERE alert_id = ? AND state = 'sending'",
        (stamp(next_at), safe(error)[:500], alert_id),
    )


def bury(conn: sqlite3.Connection, alert_id: str, error: str) -> None:
    """Give up on an alert: it becomes a dead letter, listed until it is replayed."""
    conn.execute(
        "UPDATE outbox SET state = 'dead', lease_until = NULL, last_error = ? "
        "WHERE alert_id = ? AND state = 'sending'",
        (safe(error)[:500], alert_id),
    )


def replay(conn: sqlite3.Connection, alert_id: str, now: datetime) -> Sending:
    """Send an alert once more, under the same id, and switch its channel on again."""
    changed = conn.execute(
        "UPDATE outbox SET state = 'pending', attempts = 0, next_at = ?, lease_until = NULL "
        "WHERE alert_id = ? AND state <> 'sending'",
        (stamp(now), alert_id),
    ).rowcount
    row = conn.execute(f"SELECT {_COLUMNS} FROM outbox WHERE alert_id = ?", (alert_id,)).fetchone()
    if row is None:
        raise UsageError(f"no alert {alert_id} is in the outbox")
    if not changed:
        raise UsageError(f"alert {alert_id} is being sent at this moment")
    switch_on(conn, row[1], now)
    return _sending(row)


def switch_off(conn: sqlite3.Connection, channel: str, because: str, now: datetime) -> None:
    """Stop sending to a channel; what is for it stays in the outbox."""
    known = conn.execute("SELECT 1 FROM channel_off WHERE channel = ?", (channel,)).fetchone()
    if known is None:
        conn.execute("INSERT INTO channel_off VALUES (?, ?, ?)", (channel, stamp(now), safe(because)))
        chain.append(conn, "channel_off", now, {"channel": channel, "because": because})


def switch_on(conn: sqlite3.Connection, channel: str, now: datetime) -> None:
    """Send to a channel again."""
    if conn.execute("DELETE FROM channel_off WHERE channel = ?", (channel,)).rowcount:
        chain.append(conn, "channel_on", now, {"channel": channel})


def listed(conn: sqlite3.Connection, *, state: str = "", channel: str = "") -> list[Sending]:
    """Return the outbox, oldest first."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM outbox WHERE (:state = '' OR state = :state) "
        "AND (:channel = '' OR channel = :channel) ORDER BY created_at, alert_id",
        {"state": state, "channel": channel},
    )
    return [_sending(row) for row in rows]


def channels_off(conn: sqlite3.Connection) -> dict[str, str]:
    """Return the channels that are switched off, each with the reason."""
    return dict(conn.execute("SELECT channel, because FROM channel_off ORDER BY channel"))


def _sending(row: tuple[Any, ...]) -> Sending:
    alert_id, channel, event, keys, body, state, created_at, attempts, next_at, error, done = row
    alert = Alert(alert_id, channel, event, tuple(json.loads(keys)), json.loads(body))
    return Sending(alert, state, instant(created_at), attempts, instant(next_at), error, maybe(done))
