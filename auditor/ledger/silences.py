"""Silences and acknowledgements: who asked to hear nothing of what until when, and who works on what."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from auditor.errors import UsageError
from auditor.ledger import chain
from auditor.ledger.signoffs import not_back_dated
from auditor.ledger.values import digest, instant, maybe, safe, stamp

LONGEST_D = 30
"""No silence lasts longer than this many days."""
ACKED = (
    "EXISTS (SELECT 1 FROM acknowledgement AS k WHERE k.dedup_key = alerting.dedup_key "
    "AND k.at >= coalesce(alerting.raised_at, alerting.since))"
)
"""SQL on `alerting`: somebody works on it, and it has not got worse or begun anew since they said so."""


@dataclass(frozen=True, slots=True)
class Silence:
    """What is not told for a time. It hides nothing: findings, drift and reports are as they are."""

    silence_id: str
    rule: str
    """Glob on a rule's id or code; empty: any. So with the others."""
    resource: str
    zone: str
    owner: str
    reason: str
    author: str
    created_at: datetime
    until: datetime
    ended_at: datetime | None = None
    """When somebody ended it before its time."""
    ended_by: str | None = None
    ended_reason: str | None = None

    @property
    def end(self) -> datetime:
        """Return when it ends or ended."""
        return min(self.until, self.ended_at or self.until)

    def at(self, now: datetime) -> bool:
        """Say whether it is in force; the second it ends it is not."""
        return self.created_at <= now < self.end

    def covers(self, said: dict[str, Any]) -> bool:
        """Say whether a matter is one of those: what has no known zone or owner fits none that is named."""
        from fnmatch import fnmatchcase

        words = {
            "rule": [said.get("rule"), said.get("code")],
            "resource": [said.get("resource")],
            "zone": [said.get("zone")],
            "owner": [said.get("owner")],
        }
        globs = {name: getattr(self, name) for name in words}
        return all(
            any(fnmatchcase(str(word), glob) for word in words[name] if word)
            for name, glob in globs.items()
            if glob
        )


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody works on a matter: it is not reminded of until it ends, gets worse or begins anew."""

    ack_id: str
    dedup_key: str
    resource: str
    reason: str
    author: str
    at: datetime


def add(
    conn: sqlite3.Connection,
    *,
    reason: str,
    author: str,
    until: datetime,
    now: datetime,
    rule: str = "",
    resource: str = "",
    zone: str = "",
    owner: str = "",
) -> Silence:
    """Enter a silence from now on. UsageError says why one cannot be."""
    if not reason.strip() or not author.strip():
        raise UsageError("a silence needs a reason and who asks for it")
    if not any(text.strip() for text in (rule, resource, zone, owner)):
        raise UsageError(
            "a silence needs a rule, a resource, a zone or an owner", remedy="Globs such as * are taken."
        )
    if until <= now:
        raise UsageError(f"a silence cannot end at {stamp(until)}: that is past")
    if until - now > timedelta(days=LONGEST_D):
        raise UsageError(
            f"a silence may last {LONGEST_D} days at most",
            remedy=f"Let it end by {stamp(now + timedelta(days=LONGEST_D))}; a waiver is what accepts a finding for longer.",
        )
    not_back_dated(conn, now, "a silence")
    body: dict[str, Any] = {
        "rule": safe(rule.strip()),
        "resource": safe(resource.strip()),
        "zone": safe(zone.strip()),
        "owner": safe(owner.strip()),
        "reason": safe(reason.strip()),
        "author": safe(author.strip()),
        "created_at": stamp(now),
        "until": stamp(until),
        "ended_at": None,
        "ended_by": None,
        "ended_reason": None,
    }
    body = {"silence_id": f"SIL-{digest(body)[:12]}", **body}
    _insert(conn, "silence", body, "the same silence was entered a moment ago")
    chain.append(conn, "silence", now, body)
    return _silence(tuple(body.values()))


def end(conn: sqlite3.Connection, silence_id: str, *, by: str, reason: str, now: datetime) -> Silence:
    """End a silence before its time."""
    found = conn.execute("SELECT * FROM silence WHERE silence_id = ?", (silence_id,)).fetchone()
    if found is None:
        raise UsageError(
            f"no silence {silence_id} is in the ledger", remedy="`auditor alerts silences` lists them."
        )
    was = _silence(found)
    if not was.at(now):
        raise UsageError(f"silence {silence_id} is over already, since {stamp(was.end)}")
    if not by.strip() or not reason.strip():
        raise UsageError("ending a silence needs who does it and why")
    not_back_dated(conn, now, "the end of a silence")
    body = {
        "silence_id": silence_id,
        "ended_at": stamp(now),
        "ended_by": safe(by.strip()),
        "ended_reason": safe(reason.strip()),
    }
    conn.execute(
        "UPDATE silence SET ended_at = ?, ended_by = ?, ended_reason = ? WHERE silence_id = ?",
        (body["ended_at"], body["ended_by"], body["ended_reason"], silence_id),
    )
    chain.append(conn, "silence_ended", now, body)
    return _silence(conn.execute("SELECT * FROM silence WHERE silence_id = ?", (silence_id,)).fetchone())


def every(conn: sqlite3.Connection) -> list[Silence]:
    """Return every silence, over or not, oldest first."""
    return [_silence(row) for row in conn.execute("SELECT * FROM silence ORDER BY created_at, silence_id")]


def counts(conn: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """Return how many messages each silence held back, and how many matters these told of."""
    found = conn.execute(
        "SELECT json_extract(o.body, '$.data.held.by'), count(*), sum(json_array_length(o.keys)) FROM outbox AS o "
        "WHERE o.held IS NOT NULL GROUP BY 1"
    )
    return {by: (messages, matters) for by, messages, matters in found}


def acknowledge(
    conn: sqlite3.Connection,
    matters: Iterable[tuple[str, str]],
    *,
    reason: str,
    author: str,
    now: datetime,
) -> list[Acknowledgement]:
    """Enter that somebody works on matters, each (dedup key, resource); one entry of the chain, however many they are."""
    if not reason.strip() or not author.strip():
        raise UsageError("an acknowledgement needs a reason and who works on it")
    not_back_dated(conn, now, "an acknowledgement")
    by = {"reason": safe(reason.strip()), "author": safe(author.strip()), "at": stamp(now)}
    bodies = [{"dedup_key": key, "resource": safe(resource), **by} for key, resource in sorted(set(matters))]
    twice = "the same acknowledgement was entered a moment ago"
    if len(bodies) == 1:
        body = {"ack_id": f"ACK-{digest(bodies[0])[:12]}", **bodies[0]}
        _insert(conn, "acknowledgement", body, twice)
        chain.append(conn, "acknowledgement", now, body)
        return [_ack(tuple(body.values()))]
    batch = f"ACK-{digest(bodies)[:12]}"
    rows = [{"ack_id": f"{batch}-{n:05d}", **body} for n, body in enumerate(bodies, start=1)]
    for row in rows:
        _insert(conn, "acknowledgement", row, twice)
    told = [tuple(row.values()) for row in rows]
    chain.append(
        conn,
        chain.ACKS,
        now,
        {"ack_id": batch, **by, "matters": len(rows), "digest": chain.rows_digest(told)},
    )
    return [_ack(row) for row in told]


def acknowledgements(conn: sqlite3.Connection) -> list[Acknowledgement]:
    """Return every acknowledgement, oldest first."""
    return [_ack(row) for row in conn.execute("SELECT * FROM acknowledgement ORDER BY at, ack_id")]


def held_items(conn: sqlite3.Connection, alert_ids: Iterable[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the matters of alerts that are held: alert, then dedup key, to what it is in short."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for alert_id in alert_ids:
        found[alert_id] = {
            key: json.loads(said)
            for key, said in conn.execute(
                "SELECT dedup_key, said FROM holding WHERE alert_id = ? ORDER BY dedup_key", (alert_id,)
            )
        }
    return found


def _insert(conn: sqlite3.Connection, table: str, body: dict[str, Any], twice: str) -> None:
    key = next(iter(body))
    if conn.execute(f"SELECT 1 FROM {table} WHERE {key} = ?", (body[key],)).fetchone():
        raise UsageError(twice)
    conn.execute(
        f"INSERT INTO {table} ({', '.join(body)}) VALUES ({', '.join('?' * len(body))})", tuple(body.values())
    )


def _silence(row: tuple[Any, ...]) -> Silence:
    silence_id, rule, resource, zone, owner, reason, author, created_at, until, ended_at, by, why = row
    return Silence(
        silence_id, rule, resource, zone, owner, reason, author,
        instant(created_at), instant(until), maybe(ended_at), by, why,
    )  # fmt: skip


def _ack(row: tuple[Any, ...]) -> Acknowledgement:
    ack_id, key, resource, reason, author, at = row
    return Acknowledgement(ack_id, key, resource, reason, author, instant(at))
