"""Sign-offs: what a person looked at and stands for, each with its entry in the chain.

One table serves them all: a report reviewed, a row of an access review decided, a rule pack approved, a head published outside.
What was signed is named by `subject`, and by digests in `details`, so that a sign-off speaks of exact bytes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auditor.errors import UsageError
from auditor.ledger import chain
from auditor.ledger.values import canonical, digest, instant, safe, stamp

_COLUMNS = "sign_off_id, topic, subject, signer, at, note, decision, details"


@dataclass(frozen=True, slots=True)
class SignOff:
    """One decision of one person. Nothing is changed or taken back: a later one of the same subject supersedes it."""

    sign_off_id: str
    kind: str
    """What sort of thing it is: `report`, `access-review`, `rules`, `receipt` ..."""
    subject: str
    decision: str
    """One word of its kind, such as `reviewed`, `approved`, `keep`, `revoke`; may be empty."""
    reason: str
    by: str
    at: datetime
    details: Mapping[str, Any]
    """Whatever else its kind states: digests, a window, a number."""
    seq: int = 0
    """Its entry in the chain: of two decisions on one subject the later counts."""


def sign(
    conn: sqlite3.Connection,
    *,
    kind: str,
    subject: str,
    by: str,
    now: datetime,
    decision: str = "",
    reason: str = "",
    details: Mapping[str, Any] | None = None,
) -> SignOff:
    """Enter a sign-off. UsageError when it lacks what it is of or who signs, or would stand before an earlier entry."""
    if not kind.strip() or not subject.strip() or not by.strip():
        raise UsageError("a sign-off needs a topic, a subject and a signer")
    not_back_dated(conn, now, "a sign-off")
    body: dict[str, Any] = {
        "topic": safe(kind.strip()),
        "subject": safe(subject.strip()),
        "signer": safe(by.strip()),
        "at": stamp(now),
        "note": safe(reason.strip()),
        "decision": safe(decision.strip()),
        "details": canonical(dict(details or {})),
    }
    body = {"sign_off_id": f"S-{digest(body)[:12]}", **body}
    found = conn.execute("SELECT 1 FROM sign_off WHERE sign_off_id = ?", (body["sign_off_id"],)).fetchone()
    if found:
        raise UsageError("the same sign-off was entered a moment ago")
    conn.execute(
        f"INSERT INTO sign_off ({', '.join(body)}) VALUES ({', '.join('?' * len(body))})",
        tuple(body.values()),
    )
    entry = chain.append(conn, "sign_off", now, body)
    return _row(tuple(body[name] for name in _COLUMNS.split(", ")), entry.seq)


def every(conn: sqlite3.Connection, *, kind: str = "", as_of: datetime | None = None) -> list[SignOff]:
    """Return the sign-offs of a kind (or all) entered by a time, in the order of the chain."""
    order = {
        json.loads(body)["sign_off_id"]: seq
        for seq, body in conn.execute("SELECT seq, body FROM entry WHERE kind = 'sign_off'")
    }
    rows = [
        _row(row, order.get(row[0], 0))
        for row in conn.execute(f"SELECT {_COLUMNS} FROM sign_off WHERE topic = ? OR ? = ''", (kind, kind))
    ]
    rows.sort(key=lambda row: (row.seq, row.sign_off_id))
    return [row for row in rows if as_of is None or row.at <= as_of]


def not_back_dated(conn: sqlite3.Connection, now: datetime, what: str) -> None:
    """Refuse what would stand before an entry that is in the chain already; a message that a service wrote meanwhile is none."""
    row = conn.execute(
        "SELECT at FROM entry WHERE kind <> ? ORDER BY at DESC LIMIT 1", (chain.POSTED,)
    ).fetchone()
    if row is not None and stamp(now) < row[0]:
        raise UsageError(
            f"{what} of {stamp(now)} would stand before the ledger's last entry, of {row[0]}",
            remedy="Decisions are entered when they are made: check the clock of this machine.",
        )


def _row(row: tuple[Any, ...], seq: int) -> SignOff:
    sign_off_id, topic, subject, signer, at, note, decision, details = row
    return SignOff(
        sign_off_id=sign_off_id,
        kind=topic,
        subject=subject,
        decision=decision or "",
        reason=note or "",
        by=signer,
        at=instant(at),
        details=json.loads(details) if details else {},
        seq=seq,
    )
