"""What left the house, as the ledger knows it: reports, bundles, and receipts of its head that were published outside."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from auditor.errors import UsageError
from auditor.ledger import chain, signoffs
from auditor.ledger.signoffs import SignOff
from auditor.ledger.values import instant

PRUNE = "prune"
"""Kind of the entries that tell of a snapshot that was pruned."""
RECEIPT = "receipt"
REPORT = "report"
RULES = "rules"
"""Kinds of sign-offs that the product itself reads."""


def reports(conn: sqlite3.Connection, as_of: datetime) -> list[dict[str, Any]]:
    """Return every report that was written: rows of `history_report`."""
    return [
        {
            "sha256": body["sha256"],
            "file": body["file"],
            "from_at": instant(body["from"]),
            "to_at": instant(body["to"]),
            "at": at,
        }
        for at, body in _noted(conn, "report", as_of)
    ]


def bundles(conn: sqlite3.Connection, as_of: datetime) -> list[dict[str, Any]]:
    """Return every bundle that was written, not yet looked for: rows of `history_bundle`."""
    return [
        {
            "bundle": body["bundle"],
            "file": body["file"],
            "from_at": instant(body["from"]),
            "to_at": instant(body["to"]),
            "at": at,
            "sha256": body.get("sha256"),
            "kept": body.get("kept"),
            "found": None,
            "same": None,
        }
        for at, body in _noted(conn, "bundle", as_of)
    ]


def pruned(conn: sqlite3.Connection, snapshot_id: str) -> str | None:
    """Return when and why a snapshot was pruned, in words; None when it was not."""
    for seq, at, text in conn.execute(
        "SELECT seq, at, body FROM entry WHERE kind = ? ORDER BY seq", (PRUNE,)
    ):
        body = json.loads(text)
        if body["snapshot"] == snapshot_id:
            return f"pruned at {instant(at):%Y-%m-%d %H:%M}Z: {body['because']} (entry {seq} of the ledger)"
    return None


def _noted(conn: sqlite3.Connection, kind: str, as_of: datetime) -> list[tuple[datetime, Mapping[str, Any]]]:
    rows = conn.execute("SELECT at, body FROM entry WHERE kind = ? ORDER BY seq", (kind,))
    found = [(instant(at), json.loads(body)) for at, body in rows]
    return [(at, body) for at, body in found if at <= as_of]


def add_receipt(
    conn: sqlite3.Connection,
    *,
    kind: str,
    place: str,
    by: str,
    now: datetime,
    head: str = "",
    reason: str = "",
) -> SignOff:
    """Enter that a head was published outside: the present one, or one as a receipt names it (`17 · 0123456789abcdef`).

    A head that is not in the chain is entered too: it is the very thing that receipts are kept for.
    """
    if not place.strip():
        raise UsageError("a receipt needs where it is kept: an object's URI, a file, an address")
    seq, digest = named(head) if head.strip() else chain.head(conn)
    if not seq:
        raise UsageError(
            "the ledger is empty: it has no head yet", remedy="`auditor scan` writes the first entry."
        )
    details = {"kind": kind, "place": place.strip(), "seq": seq, "head": digest}
    subject = f"{seq} \N{MIDDLE DOT} {digest[:16]}"
    return signoffs.sign(
        conn,
        kind=RECEIPT,
        subject=subject,
        by=by,
        now=now,
        decision="published",
        reason=reason,
        details=details,
    )


def named(text: str) -> tuple[int, str]:
    """Read a head as a receipt names it; UsageError when it is none."""
    number, _, digest = (part.strip() for part in text.replace("\N{MIDDLE DOT}", " ").partition(" "))
    digest = digest.lower()
    fits = 16 <= len(digest) <= 64 and all(char in "0123456789abcdef" for char in digest)
    if not (number.isascii() and number.isdigit() and int(number) and fits):
        raise UsageError(f"{text!r} names no head", remedy="It reads `17 \N{MIDDLE DOT} 0123456789abcdef`.")
    return int(number), digest


def receipts(conn: sqlite3.Connection, as_of: datetime) -> list[dict[str, Any]]:
    """Return every receipt, and whether its head is in the chain: rows of `history_receipt`."""
    found = []
    for one in signoffs.every(conn, kind=RECEIPT, as_of=as_of):
        seq, digest = one.details.get("seq"), str(one.details.get("head", ""))
        row = conn.execute("SELECT hash FROM entry WHERE seq = ?", (seq,)).fetchone()
        found.append(
            {
                "sign_off_id": one.sign_off_id,
                "kind": one.details.get("kind"),
                "place": one.details.get("place"),
                "seq": seq,
                "head": digest,
                "at": one.at,
                "in_chain": bool(row) and len(digest) >= 16 and row[0].startswith(digest),
            }
        )
    return found


def unreceipted_since(
    conn: sqlite3.Connection, known: list[dict[str, Any]], as_of: datetime
) -> datetime | None:
    """Return when the oldest entry was made that no published head holds; None when every one is held.

    Entering a receipt makes an entry itself; that one is nothing that would have to be published.
    """
    covered = max((row["seq"] for row in known if row["in_chain"]), default=0)
    for at, kind, body in conn.execute(
        "SELECT at, kind, body FROM entry WHERE seq > ? ORDER BY seq", (covered,)
    ):
        if not (kind == "sign_off" and json.loads(body).get("topic") == RECEIPT):
            return instant(at) if instant(at) <= as_of else None
    return None
