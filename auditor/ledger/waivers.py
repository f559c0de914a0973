"""Waivers: what people decided not to count for a time, each with its entry in the chain."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from auditor.errors import UsageError
from auditor.ledger import chain
from auditor.ledger.signoffs import not_back_dated
from auditor.ledger.values import WaiverRow, digest, instant, maybe, safe, stamp
from auditor.persons import same_person

LONGEST_D = 90
"""No waiver lasts longer than this many days."""


def add(
    conn: sqlite3.Connection,
    *,
    reason: str,
    requester: str,
    approver: str,
    expires_at: datetime,
    now: datetime,
    finding_id: str | None = None,
    rule: str = "",
    subject: str = "",
    longest_d: int = LONGEST_D,
) -> WaiverRow:
    """Enter a waiver from now on, of one finding or of a rule glob and a subject glob."""
    _check_people(reason, requester, approver)
    _check_end(expires_at, now, longest_d)
    not_back_dated(conn, now, "a waiver")
    if finding_id is not None:
        row = conn.execute(
            "SELECT rule, subject_key FROM finding WHERE finding_id = ? ORDER BY since_scan DESC LIMIT 1",
            (finding_id,),
        ).fetchone()
        if row is None:
            raise UsageError(f"no finding {finding_id} is in the ledger")
        rule, subject = _literal(row[0]), _literal(row[1])
    elif not rule.strip() or not subject.strip():
        raise UsageError(
            "a waiver needs a finding, or a rule and a subject", remedy="Globs such as * are taken."
        )
    body: dict[str, Any] = {
        "rule": safe(rule),
        "subject": safe(subject),
        "finding_id": finding_id,
        "reason": safe(reason.strip()),
        "requester": safe(requester.strip()),
        "approver": safe(approver.strip()),
        "created_at": stamp(now),
        "expires_at": stamp(expires_at),
        "revoked_at": None,
        "revoked_by": None,
        "revoked_reason": None,
    }
    body = {"waiver_id": f"W-{digest(body)[:12]}", **body}
    if conn.execute("SELECT 1 FROM waiver WHERE waiver_id = ?", (body["waiver_id"],)).fetchone():
        raise UsageError("the same waiver was entered a moment ago")
    _insert(conn, "waiver", body)
    chain.append(conn, "waiver", now, body)
    return _row(tuple(body.values()))


def _check_people(reason: str, requester: str, approver: str) -> None:
    if not reason.strip():
        raise UsageError("a waiver needs a reason")
    if not requester.strip() or not approver.strip():
        raise UsageError("a waiver needs who asked for it and who approved it")
    if same_person(requester, approver):
        raise UsageError(
            f"{requester.strip()} cannot approve what they asked for",
            remedy="Name a different approver.",
        )


def _check_end(expires_at: datetime, now: datetime, longest_d: int) -> None:
    end = stamp(expires_at)
    if expires_at <= now:
        raise UsageError(f"a waiver cannot end at {end}: that is past")
    longest = min(longest_d, LONGEST_D)
    if expires_at - now > timedelta(days=longest):
        raise UsageError(
            f"a waiver may last {longest} days at most",
            remedy=f"Let it expire by {stamp(now + timedelta(days=longest))}.",
        )


def _literal(text: str) -> str:
    """Write a text as a glob that matches only itself."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in text)


def revoke(conn: sqlite3.Connection, waiver_id: str, *, by: str, reason: str, now: datetime) -> WaiverRow:
    """End a waiver before its time."""
    found = conn.execute("SELECT * FROM waiver WHERE waiver_id = ?", (waiver_id,)).fetchone()
    if found is None:
        raise UsageError(f"no waiver {waiver_id} is in the ledger")
    if _row(found).revoked_at is not None:
        raise UsageError(f"waiver {waiver_id} was revoked already, at {found[9]}")
    if not by.strip() or not reason.strip():
        raise UsageError("revoking a waiver needs who does it and why")
    end = {
        "waiver_id": waiver_id,
        "revoked_at": stamp(now),
        "revoked_by": safe(by.strip()),
        "revoked_reason": safe(reason.strip()),
    }
    conn.execute(
        "UPDATE waiver SET revoked_at = ?, revoked_by = ?, revoked_reason = ? WHERE waiver_id = ?",
        (end["revoked_at"], end["revoked_by"], end["revoked_reason"], waiver_id),
    )
    chain.append(conn, "waiver_revoked", now, end)
    return _row(conn.execute("SELECT * FROM waiver WHERE waiver_id = ?", (waiver_id,)).fetchone())


def end(waiver: WaiverRow) -> datetime:
    """Return when a waiver ends or ended."""
    return min(waiver.expires_at, waiver.revoked_at or waiver.expires_at)


def every(conn: sqlite3.Connection, as_of: datetime | None = None) -> list[WaiverRow]:
    """Return the waivers entered by a time, oldest first."""
    rows = [_row(row) for row in conn.execute("SELECT * FROM waiver ORDER BY created_at, waiver_id")]
    return [row for row in rows if as_of is None or row.created_at <= as_of]


def entered_after(conn: sqlite3.Connection) -> dict[str, datetime]:
    """Return, for each waiver, the time of the entry before its own: it cannot have been decided before that."""
    found: dict[str, datetime] = {}
    last = None
    for at, kind, body in conn.execute("SELECT at, kind, body FROM entry ORDER BY seq"):
        if kind == "waiver" and last is not None:
            found[json.loads(body)["waiver_id"]] = instant(last)
        last = max(at, last or at)
    return found


def _row(row: tuple[Any, ...]) -> WaiverRow:
    waiver_id, rule, subject, finding, reason, requester, approver, *times, by, why = row
    created_at, expires_at, revoked_at = times
    return WaiverRow(
        waiver_id=waiver_id,
        rule=rule,
        subject=subject,
        finding_id=finding,
        reason=reason,
        requester=requester,
        approver=approver,
        created_at=instant(created_at),
        expires_at=instant(expires_at),
        revoked_at=maybe(revoked_at),
        revoked_by=by,
        revoked_reason=why,
    )


def _insert(conn: sqlite3.Connection, table: str, body: Mapping[str, Any]) -> None:
    conn.execute(
        f"INSERT INTO {table} ({', '.join(body)}) VALUES ({', '.join('?' * len(body))})",
        tuple(body.values()),
    )
