"""The outbox: alerts written with the findings they tell of, sent at least once, with one id."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from auditor.errors import UsageError
from auditor.ledger import chain
from auditor.ledger.silences import ACKED
from auditor.ledger.values import Alert, Sending, canonical, instant, maybe, safe, stamp

_COLUMNS = (
    "alert_id, channel, event, keys, body, state, created_at, attempts, next_at, last_error, delivered_at, "
    "within, incidents, closes, held"
)
_DUE = (
    "within IS NULL AND held IS NULL AND channel NOT IN (SELECT channel FROM channel_off) "
    "AND ((state = 'pending' AND next_at <= :now) OR (state = 'sending' AND lease_until <= :now)) "
)
_IN_ORDER = (
    # The end of a matter never overtakes its beginning, which may be waiting for its next attempt.
    "AND NOT EXISTS (SELECT 1 FROM outbox AS sooner, json_each(sooner.keys) AS theirs "
    "WHERE sooner.state IN ('pending', 'sending') AND sooner.within IS NULL AND sooner.held IS NULL "
    "AND sooner.channel = outbox.channel AND sooner.created_at < outbox.created_at "
    "AND theirs.value IN (SELECT value FROM json_each(outbox.keys))) "
)


def post(conn: sqlite3.Connection, alerts: Sequence[Alert], *, n: int | None, at: datetime) -> None:
    """Put alerts into the outbox, and note what each channel now waits to hear the end of; what is held it was not told.

    `n` is the scan whose entry binds them; None: they get an entry of their own.
    """
    when = stamp(at)
    for one in alerts:
        alert = _as_it_stands(conn, one)
        conn.execute(
            "INSERT INTO outbox (alert_id, scan, channel, event, keys, body, created_at, state, "
            "next_at, held) VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?)",
            (
                alert.alert_id,
                n,
                alert.channel,
                alert.event,
                canonical(alert.keys),
                canonical(alert.body),
                when,
                when,
                alert.held,
            ),
        )
        if alert.held is None:
            _follow(conn, alert, when)
        else:
            conn.executemany(
                "INSERT INTO holding VALUES (?, ?, ?)",
                [(alert.alert_id, key, canonical(alert.matters.get(key, {}))) for key in alert.keys],
            )
    if n is None:
        chain.post(conn, [alert.alert_id for alert in alerts], at)


def _as_it_stands(conn: sqlite3.Connection, alert: Alert) -> Alert:
    """Return an alert, no longer held where what held it ended while it was made: a scan takes its time."""
    if alert.held is None:
        return alert
    holds = conn.execute(
        "SELECT 1 FROM silence WHERE silence_id = :held AND ended_at IS NULL UNION ALL "
        "SELECT 1 FROM alerting WHERE flapping = :held AND channel = :channel "
        "AND dedup_key IN (SELECT value FROM json_each(:keys)) LIMIT 1",
        {"held": alert.held, "channel": alert.channel, "keys": canonical(alert.keys)},
    ).fetchone()
    if holds:
        return alert
    data = {name: value for name, value in alert.body.get("data", {}).items() if name != "held"}
    return replace(alert, held=None, body={**alert.body, "data": data})


def _follow(conn: sqlite3.Connection, alert: Alert, when: str) -> None:
    """Keep by which alert the receiver knows each matter, and say what is over."""
    keys = [(alert.channel, key) for key in alert.keys]
    flapping = alert.alert_id if alert.event == "flapping" else None
    conn.executemany(
        "INSERT INTO alerting (channel, dedup_key, since, incident, told, raised_at, said, flapping, told_at) "
        "VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?) ON CONFLICT (channel, dedup_key) DO UPDATE SET told = told + 1, "
        "raised_at = excluded.raised_at, said = excluded.said, flapping = excluded.flapping, "
        "told_at = excluded.told_at",
        [
            (
                alert.channel,
                key,
                when,
                alert.alert_id,
                when,
                canonical(alert.matters.get(key, {})),
                flapping,
                when,
            )
            for key in alert.opening
        ],
    )
    if alert.event == "reminder" and not alert.opening:
        conn.executemany(
            "UPDATE alerting SET told_at = ?, told = told + 1 WHERE channel = ? AND dedup_key = ?",
            [(when, *key) for key in keys],
        )
    named = conn.execute(
        "SELECT DISTINCT incident FROM alerting WHERE channel = ? AND dedup_key IN (SELECT value FROM json_each(?))",
        (alert.channel, canonical(alert.keys)),
    )
    touched = {incident for (incident,) in named if incident}
    conn.executemany(
        "DELETE FROM alerting WHERE channel = ? AND dedup_key = ?",
        [(alert.channel, key) for key in alert.closing],
    )
    if alert.event == "acknowledged":
        touched = {each for each in touched if _all_acked(conn, alert.channel, each)}
    if touched:
        _name_incidents(conn, alert.alert_id, alert.channel, touched)


def _all_acked(conn: sqlite3.Connection, channel: str, incident: str) -> bool:
    """Say whether somebody works on everything that a receiver knows as one incident."""
    row = conn.execute(
        f"SELECT 1 FROM alerting WHERE channel = ? AND incident = ? AND NOT {ACKED} LIMIT 1",
        (channel, incident),
    ).fetchone()
    return row is None


def _name_incidents(conn: sqlite3.Connection, alert_id: str, channel: str, touched: set[str]) -> None:
    still = {
        incident
        for incident in touched
        if conn.execute(
            "SELECT 1 FROM alerting WHERE channel = ? AND incident = ? LIMIT 1", (channel, incident)
        ).fetchone()
    }
    conn.execute(
        "UPDATE outbox SET incidents = ?, closes = ? WHERE alert_id = ?",
        (canonical(sorted(still)), canonical(sorted(touched - still)), alert_id),
    )


def lease(
    conn: sqlite3.Connection,
    now: datetime,
    *,
    lease_s: int,
    limit: int,
    channels: Collection[str],
    only: str = "",
) -> list[Sending]:
    """Take what is due for these channels; a sender that dies gives it back when the lease ends."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM outbox WHERE {_DUE} {_IN_ORDER}"
        "AND channel IN (SELECT value FROM json_each(:channels)) AND (:only = '' OR alert_id = :only) "
        "ORDER BY next_at, created_at, alert_id LIMIT :limit",
        {"now": stamp(now), "channels": canonical(sorted(channels)), "only": only, "limit": limit},
    ).fetchall()
    until = stamp(now + timedelta(seconds=lease_s))
    conn.executemany(
        "UPDATE outbox SET state = 'sending', attempts = attempts + 1, lease_until = ? WHERE alert_id = ?",
        [(until, row[0]) for row in rows],
    )
    return [_sending((*row[:7], row[7] + 1, *row[8:])) for row in rows]


def due(conn: sqlite3.Connection, channel: str, now: datetime) -> list[Sending]:
    """Return what a channel is due, oldest first, with what must wait for something before it."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM outbox WHERE {_DUE} AND channel = :channel ORDER BY created_at, alert_id",
        {"now": stamp(now), "channel": channel},
    )
    return [_sending(row) for row in rows]


def sent(conn: sqlite3.Connection, channel: str, since: datetime) -> int:
    """Return how many messages a channel had after a time; what went out within a digest is none."""
    (count,) = conn.execute(
        "SELECT count(*) FROM outbox WHERE channel = ? AND delivered_at > ? AND within IS NULL",
        (channel, stamp(since)),
    ).fetchone()
    return int(count)


def collapse(conn: sqlite3.Connection, digest: Alert, alert_ids: Sequence[str], now: datetime) -> bool:
    """Put alerts into a digest, all of them or none; False when one is no longer due.

    What they opened is from now on known by the digest; what was perhaps sent under an alert's own id is
    closed with it.
    """
    when, ids = stamp(now), canonical(sorted(alert_ids))
    rows = conn.execute(
        f"SELECT alert_id, incidents, closes, attempts FROM outbox WHERE {_DUE} AND channel = :channel "
        "AND alert_id IN (SELECT value FROM json_each(:ids))",
        {"now": when, "ids": ids, "channel": digest.channel},
    ).fetchall()
    if len(rows) != len(set(alert_ids)):
        return False
    post(conn, [digest], n=None, at=now)
    conn.execute(
        "UPDATE outbox SET within = ?, state = 'pending', lease_until = NULL "
        "WHERE alert_id IN (SELECT value FROM json_each(?))",
        (digest.alert_id, ids),
    )
    conn.execute(
        "UPDATE alerting SET incident = ? WHERE channel = ? AND incident IN (SELECT value FROM json_each(?))",
        (digest.alert_id, digest.channel, ids),
    )
    touched = {digest.alert_id}
    for alert_id, incidents, closes, attempts in rows:
        touched |= {*json.loads(incidents), *json.loads(closes)} - {alert_id}
        touched |= {alert_id} if attempts else set()
    _name_incidents(conn, digest.alert_id, digest.channel, touched)
    return True


def delivered(conn: sqlite3.Connection, alert_id: str, now: datetime) -> None:
    """Note that the receiver has it, and what it holds."""
    conn.execute(
        "UPDATE outbox SET state = 'delivered', delivered_at = ?, lease_until = NULL, "
        "last_error = '' WHERE alert_id = ? OR within = ?",
        (stamp(now), alert_id, alert_id),
    )


def retry(conn: sqlite3.Connection, alert_id: str, next_at: datetime, error: str) -> None:
    """Note a failed attempt and when to try again."""
    conn.execute(
        "UPDATE outbox SET state = 'pending', next_at = ?, lease_until = NULL, last_error = ? "
        "WHERE alert_id = ? AND state = 'sending'",
        (stamp(next_at), safe(error)[:500], alert_id),
    )


def bury(conn: sqlite3.Connection, alert_id: str, error: str) -> str | None:
    """Give up on an alert and on what it holds: dead letters, listed until they are replayed.

    Returns its channel, or None when another sender has settled it.
    """
    said = safe(error)[:500]
    row = conn.execute(
        "UPDATE outbox SET state = 'dead', lease_until = NULL, last_error = ? "
        "WHERE alert_id = ? AND state = 'sending' RETURNING channel",
        (said, alert_id),
    ).fetchone()
    if row is None:
        return None
    conn.execute("UPDATE outbox SET state = 'dead', last_error = ? WHERE within = ?", (said, alert_id))
    return str(row[0])


def replay(conn: sqlite3.Connection, alert_id: str, now: datetime) -> Sending:
    """Send an alert once more, under the same id, and switch its channel on again."""
    kept = conn.execute(
        "SELECT held FROM outbox WHERE alert_id = ? AND held IS NOT NULL AND within IS NULL AND state = 'pending'",
        (alert_id,),
    ).fetchone()
    if kept is not None:
        raise UsageError(
            f"alert {alert_id} is kept back by {kept[0]}",
            remedy="What is still open is told when that ends; `auditor alerts unsilence` ends a silence.",
        )
    changed = conn.execute(
        "UPDATE outbox SET state = 'pending', attempts = 0, next_at = ?, lease_until = NULL, within = NULL, "
        "held = NULL WHERE alert_id = ? AND state <> 'sending'",
        (stamp(now), alert_id),
    ).rowcount
    row = conn.execute(f"SELECT {_COLUMNS} FROM outbox WHERE alert_id = ?", (alert_id,)).fetchone()
    if row is None:
        raise UsageError(
            f"no alert {alert_id} is in the outbox",
            remedy="`auditor alerts dead` lists what was given up, `auditor alerts list` all there is.",
        )
    if not changed:
        raise UsageError(f"alert {alert_id} is being sent at this moment")
    conn.execute("UPDATE outbox SET state = 'pending' WHERE within = ?", (alert_id,))
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


def listed(
    conn: sqlite3.Connection, *, state: str = "", channel: str = "", within: str = ""
) -> list[Sending]:
    """Return the outbox, oldest first; `within`: what one digest, one silence or one flapping holds."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM outbox WHERE (:state = '' OR :state = CASE WHEN held IS NOT NULL "
        "AND state = 'pending' AND within IS NULL THEN 'held' ELSE state END) "
        "AND (:channel = '' OR channel = :channel) "
        "AND (:within = '' OR within = :within OR held = :within) ORDER BY created_at, alert_id",
        {"state": state, "channel": channel, "within": within},
    )
    return [_sending(row) for row in rows]


def channels_off(conn: sqlite3.Connection) -> dict[str, str]:
    """Return the channels that are switched off, each with the reason."""
    return dict(conn.execute("SELECT channel, because FROM channel_off ORDER BY channel"))


def _sending(row: tuple[Any, ...]) -> Sending:
    alert_id, channel, event, keys, body, state, created_at, attempts, next_at, error, done, *more = row
    alert = Alert(alert_id, channel, event, tuple(json.loads(keys)), json.loads(body))
    within, incidents, closes, held = more
    return Sending(
        alert,
        "held" if held and state == "pending" and within is None else state,
        instant(created_at),
        attempts,
        instant(next_at),
        error,
        maybe(done),
        within,
        tuple(json.loads(incidents)),
        tuple(json.loads(closes)),
        held,
    )
