"""What the next scan compares with, bound by the entry of the scan that left it: it is overwritten from scan to scan.

A change of it in the file would make the next scan see a change where there was none, or none where there was one. And as the
next scan writes it anew, the next entry would vouch for it: so that entry says for good what was found.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

_TABLES: Mapping[str, tuple[str, ...]] = {
    "bucket_memory": ("arn", "since_at", "until_at", "versioning", "eventbridge"),
    "cursor": ("source", "scope", "position", "scan"),
    "export_memory": (
        "export_id", "first_scan", "zone", "first_seen_at", "capture_due_at", "later_due_at", "retention_state",
        "proving_point", "final_scan", "links",
    ),
    "membership_memory": ("user_id", "group_name", "since_at", "until_at"),
    "point_memory": (
        "arn", "account", "region", "vault_arn", "resource_arn", "status", "delete_at", "deletes_after_copy",
        "first_seen_at", "last_seen_at",
    ),
    "unjudged": ("finding_id",),
    "watch_memory": ("table_name", "key", "field", "value", "account", "region", "known_at"),
    "watch_scope": ("table_name", "account", "region"),
}  # fmt: skip
"""Columns as they were when they were first bound: one that a later schema adds is bound under another name."""
BOUND = "remembered"
ALTERED = "altered"
"""In the body of an entry: what was found of the memory that its scan built on."""


def digest(conn: sqlite3.Connection) -> str:
    """Digest all of it; each value with its length before it, made into one text by SQLite, a fourth of the time of JSON."""
    total = hashlib.sha256()
    for table, columns in _TABLES.items():
        total.update(f"{table}\n".encode())
        row = " || ".join(f"coalesce(length({name}) || ':' || {name}, '-')" for name in columns)
        for (text,) in conn.execute(f"SELECT {row} FROM {table} ORDER BY {', '.join(columns)}"):
            total.update(f"{text}\n".encode())
    return total.hexdigest()


def differs(conn: sqlite3.Connection, body: Mapping[str, Any], wording: Callable[[], str]) -> str:
    """Say what is not as the last scan's or re-check's entry has it; empty: nothing, or it says nothing of it."""
    if "wording" in body and wording() != body["wording"]:
        return "the words of open findings were changed (table wording)"
    if BOUND in body and digest(conn) != body[BOUND]:
        return f"what the next scan compares with was changed (one of the tables {', '.join(_TABLES)})"
    return ""


def altered(conn: sqlite3.Connection, wording: Callable[[], str]) -> dict[str, str]:
    """Return what the entry of a scan that begins to write says of what it builds on: nothing where that is sound."""
    row = conn.execute(
        "SELECT seq, body FROM entry WHERE kind IN ('scan', 'recheck') ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    words = differs(conn, json.loads(row[1]), wording) if row else ""
    return {ALTERED: f"since entry {row[0]} {words}"} if words else {}
