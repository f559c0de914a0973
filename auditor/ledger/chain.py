"""The hash chain: every entry holds the hash of the one before, and binds the rows that belong to it.

Triggers stop accidents; this finds the rest. What it cannot find is an end cut off together with all
its rows, or a chain made anew from some point on: that is what head receipts outside the ledger are for.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Any

from auditor.ledger import outgoing, remembered
from auditor.ledger.values import Check, Entry, canonical, instant, row_text, stamp

FIRST = "0" * 64
"""What the first entry names as the hash before it."""
NO_TEXT = "Could not decode to UTF-8"
"""What Python's sqlite3 says, under no code, of a text whose bytes are none."""
OTHER_TABLES = "its tables are not those of its schema"
NOTHING = hashlib.sha256(b"").hexdigest()
"""Digest of no rows at all."""
SCAN_KINDS = {
    "scan": "finished",
    "recheck": "rechecked",
    "missed_scan": "missed",
    "interrupted_scan": "interrupted",
}
"""Kinds of entries that stand for a row of `scan`, and its state."""
ACKS = "acknowledgements"
"""The one entry of many matters that were acknowledged together."""
LOOKS = ("scan", "recheck")
"""Those of them that looked at the clouds and may have moved findings: each binds the rows it wrote."""
POSTED = "posted"
"""Messages that no scan wrote: reminders, digests, dead letters told elsewhere, answers to what people decided, tests."""
POSTED_SINCE = 9
"""The schema from which on every message has an entry."""

_OPENED = (
    "finding_id, since_scan, rule, code, subject_table, subject_key, verdict, severity, owner, "
    "zone, account, project, because, reason, params, failed_checks, unknown_checks, gaps, "
    "refs, controls, remedy, opened_at, last_fail_at, seen_before"
)
_DRIFT = (
    "drift_id, kind, rule, subject_table, subject_key, field, before, after, direction, "
    "changed_at, detected_at, actor, actor_reason, severity, because"
)
_MESSAGE = "alert_id, channel, event, keys, body, created_at"
BOUND = {
    "opened": (
        "finding",
        "since_scan",
        _OPENED,
        "finding_id",
    ),
    "ended": (
        "finding",
        "until_scan",
        "finding_id, since_scan, until_scan, closed_at, ended, ended_because",
        "finding_id",
    ),
    "drift": (
        "drift",
        "scan",
        _DRIFT,
        "drift_id",
    ),
    "exports": (
        "export_memory",
        "first_scan",
        "export_id, zone, first_seen_at, capture_due_at",
        "export_id",
    ),
    "settled_exports": (
        "export_memory",
        "final_scan",
        "export_id, retention_state, proving_point",
        "export_id",
    ),
    "alerts": ("outbox", "scan", _MESSAGE, "alert_id"),
}
"""What a scan's entry digests: table, the column that names the scan, columns, order."""

_SCAN = (
    "scan, n, slot, at, complete, interval_s, snapshot_id, snapshot_dir, rule_digest, "
    "config_digest, outcome_digest, tally"
)
_WORDING = "SELECT * FROM wording ORDER BY finding_id"


def append(conn: sqlite3.Connection, kind: str, at: datetime, body: Mapping[str, Any]) -> Entry:
    """Add one entry at the end, within the caller's transaction."""
    last = conn.execute("SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
    seq, prev = (last[0] + 1, last[1]) if last else (1, FIRST)
    text, when = canonical(body), stamp(at)
    hashed = entry_hash(seq, kind, when, text, prev)
    conn.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)", (seq, kind, when, text, prev, hashed))
    return Entry(seq, kind, at, json.loads(text), prev, hashed)


def post(
    conn: sqlite3.Connection, alert_ids: Iterable[str], at: datetime, more: Mapping[str, Any] | None = None
) -> None:
    """Add the entry of messages that no scan wrote, each with the digest of what it says; none where there are none."""
    digests = {
        alert_id: rows_digest(
            conn.execute(f"SELECT {_MESSAGE} FROM outbox WHERE alert_id = ? AND scan IS NULL", (alert_id,))
        )
        for alert_id in alert_ids
    }
    if digests:
        append(conn, POSTED, at, {"messages": digests, **(more or {})})


def entry_hash(seq: int, kind: str, at: str, body: str, prev: str) -> str:
    """Hash an entry: sha256 of the canonical JSON of `at, body, kind, prev, seq`."""
    text = (
        f'{{"at":{canonical(at)},"body":{body},"kind":{canonical(kind)},'
        f'"prev":{canonical(prev)},"seq":{seq}}}'
    )
    return hashlib.sha256(text.encode()).hexdigest()


def head(conn: sqlite3.Connection) -> tuple[int, str]:
    """Return the last entry's number and hash; 0 and `FIRST` of an empty ledger."""
    row = conn.execute("SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
    return (row[0], row[1]) if row else (0, FIRST)


def entry_of(row: Iterable[Any]) -> Entry:
    """Read one row of `entry`."""
    seq, kind, at, body, prev, hashed = row
    return Entry(seq, kind, instant(at), json.loads(body), prev, hashed)


def bound_digests(conn: sqlite3.Connection, n: int) -> dict[str, str]:
    """Digest the rows that belong to scan `n`, group by group."""
    return {
        name: rows_digest(
            conn.execute(f"SELECT {columns} FROM {table} WHERE {scan} = ? ORDER BY {order}", (n,))
        )
        for name, (table, scan, columns, order) in BOUND.items()
    }


def bound_rows(conn: sqlite3.Connection, n: int) -> dict[str, list[list[Any]]]:
    """Return the rows of scan `n` that its entry digests, group by group, as they are digested."""
    return {
        name: [
            list(row)
            for row in conn.execute(f"SELECT {columns} FROM {table} WHERE {scan} = ? ORDER BY {order}", (n,))
        ]
        for name, (table, scan, columns, order) in BOUND.items()
    }


def wording_digest(conn: sqlite3.Connection) -> str:
    """Digest the present words of open findings."""
    return rows_digest(conn.execute(_WORDING))


def scan_body(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an entry repeats of a row of `scan`."""
    return {name: row[name] for name in _SCAN.split(", ")}


def rows_digest(rows: Iterable[tuple[Any, ...]]) -> str:
    """Return the SHA-256 of rows in their order."""
    total = hashlib.sha256()
    for row in rows:
        total.update(row_text(row).encode() + b"\n")
    return total.hexdigest()


def verify(conn: sqlite3.Connection, *, expect_head: str = "") -> Check:
    """Walk the whole ledger; name the first entry that is not what it was, or whose rows are not.

    `expect_head` is the hash of any earlier head, kept outside: it must still be in the chain.
    """
    kept = conn.text_factory
    try:
        return _verified(conn, expect_head)
    except sqlite3.OperationalError as error:
        if not str(error).startswith(NO_TEXT):
            raise
        conn.text_factory = _readable
        return _verified(conn, expect_head)
    finally:
        conn.text_factory = kept


def _verified(conn: sqlite3.Connection, expect_head: str) -> Check:
    try:
        seq, head_hash = head(conn)
        troubles = sorted(_troubles(conn, expect_head), key=lambda trouble: trouble[0])
    except sqlite3.OperationalError as error:
        if not altered(error):
            raise
        return Check(False, "", 0, f"{OTHER_TABLES}: {error}")
    if not troubles:
        return Check(True, head_hash, seq, "")
    first, words = troubles[0]
    return Check(False, head_hash, seq, words, first or None)


def altered(error: sqlite3.OperationalError) -> bool:
    """Say whether a statement failed for what the file holds: a schema that is another, JSON that is none."""
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR


def _readable(raw: bytes) -> str:
    """Read bytes that may be no text, so that they differ from any that were recorded and the entry can be named."""
    return raw.decode("utf-8", "backslashreplace")


def _troubles(conn: sqlite3.Connection, expect_head: str) -> Iterator[tuple[int, str]]:
    entries: list[Entry] = []
    prev, hashes = FIRST, {FIRST}
    for number, row in enumerate(conn.execute("SELECT * FROM entry ORDER BY seq"), start=1):
        seq, kind, at, body, named, hashed = row
        if seq != number:
            yield number, f"entry {number} is missing"
            return
        if named != prev:
            yield seq, f"entry {seq} ({kind}) does not follow the entry before it"
            return
        if entry_hash(seq, kind, at, body, named) != hashed:
            yield seq, f"entry {seq} ({kind}, {at}) was changed: its hash is not that of its content"
            return
        try:
            entries.append(entry_of(row))
        except ValueError:
            yield seq, f"entry {seq} ({kind}) cannot be read"
            return
        prev = hashed
        hashes.add(hashed)
    if expect_head and expect_head not in hashes:
        yield len(entries) + 1, f"the head {expect_head[:16]} that was receipted is not in the chain"
    yield from _scan_troubles(conn, entries)
    yield from _bound_troubles(conn, entries)
    yield from _signed_troubles(conn, entries)
    yield from _posted_troubles(conn, entries)
    yield from ((0, words) for words in outgoing.troubles(conn))


def _scan_troubles(conn: sqlite3.Connection, entries: list[Entry]) -> Iterator[tuple[int, str]]:
    told = {entry.seq: entry for entry in entries if entry.kind in SCAN_KINDS}
    names = _SCAN.split(", ")
    for row in conn.execute(f"SELECT entry, head, state, {_SCAN} FROM scan ORDER BY n"):
        seq, head_hash, state, *values = row
        entry = told.pop(seq, None)
        found = dict(zip(names, values, strict=True))
        if entry is None:
            yield seq, f"scan {found['scan']} has no entry in the chain"
            continue
        told_of = {
            **entry.body,
            "tally": canonical(entry.body.get("tally")),
            "complete": int(bool(entry.body.get("complete"))),
        }
        wrong = [name for name in names if told_of.get(name) != found[name]]
        if SCAN_KINDS[entry.kind] != state:
            wrong.append("state")
        if entry.hash != head_hash:
            wrong.append("head")
        if wrong:
            yield seq, f"entry {seq}: scan {found['scan']} was changed in {', '.join(wrong)}"
    for seq, entry in told.items():
        yield seq, f"entry {seq}: scan {entry.body.get('scan')} is missing"


def _bound_troubles(conn: sqlite3.Connection, entries: list[Entry]) -> Iterator[tuple[int, str]]:
    scans = {entry.body.get("n"): entry for entry in entries if entry.kind in LOOKS}
    words = {"opened": "findings opened", "ended": "findings ended", "alerts": "alerts written"}
    for name, (table, scan, columns, order) in BOUND.items():
        rows = conn.execute(
            f"SELECT {scan}, {columns} FROM {table} WHERE {scan} IS NOT NULL ORDER BY {scan}, {order}"
        )
        found = {n: rows_digest(row[1:] for row in some) for n, some in groupby(rows, _first)}
        for n in sorted({*found, *scans}, key=str):
            entry = scans.get(n)
            if entry is None:
                yield 0, f"{table} has rows of a scan {n} that is not in the chain"
            elif found.get(n, NOTHING) != entry.body.get(name):
                what = words.get(name, name.replace("_", " "))
                yield (
                    entry.seq,
                    (
                        f"entry {entry.seq}: the {what} by scan {entry.body.get('scan')} "
                        f"are not those it recorded (table {table})"
                    ),
                )
    last = max(scans.values(), key=lambda entry: entry.seq, default=None)
    if last and (what := remembered.differs(conn, last.body, partial(wording_digest, conn))):
        yield last.seq, f"entry {last.seq}: {what}"
    for entry in scans.values():
        if remembered.ALTERED in entry.body:
            yield (
                entry.seq,
                f"entry {entry.seq}: {entry.body[remembered.ALTERED]}, and a scan was built on it",
            )


def _first(row: tuple[Any, ...]) -> Any:
    return row[0]


def _signed_troubles(conn: sqlite3.Connection, entries: list[Entry]) -> Iterator[tuple[int, str]]:
    """Compare what people decided with what the chain says of it."""
    keys = {
        "waiver": "waiver_id",
        "sign_off": "sign_off_id",
        "baseline": "name",
        "silence": "silence_id",
        "acknowledgement": "ack_id",
    }
    ends = {"waiver_revoked": "waiver", "silence_ended": "silence"}
    told: dict[str, dict[str, tuple[int, dict[str, Any]]]] = {table: {} for table in keys}
    many = {str(entry.body.get("ack_id")): entry for entry in entries if entry.kind == ACKS}
    yield from _acked_troubles(conn, many)
    for entry in entries:
        if entry.kind in told:
            told[entry.kind][entry.body[keys[entry.kind]]] = (entry.seq, dict(entry.body))
        elif (table := ends.get(entry.kind)) is not None:
            name = entry.body[keys[table]]
            seq, body = told[table].get(name, (entry.seq, {}))
            told[table][name] = (entry.seq, {**body, **entry.body})
    for table, rows in told.items():
        cursor = conn.execute(f"SELECT * FROM {table} ORDER BY 1")
        names = [column[0] for column in cursor.description]
        if keys[table] not in names:
            yield 0, f"{OTHER_TABLES}: {table} has no column {keys[table]}"
            continue
        for row in cursor:
            found = dict(zip(names, row, strict=True))
            if table == "acknowledgement" and _batch(found["ack_id"]) in many:
                continue
            seq, body = rows.pop(found[keys[table]], (0, {}))
            wrong = [name for name in names if body.get(name) != found[name]]
            if not body:
                yield 0, f"{table} {found[keys[table]]} has no entry in the chain"
            elif wrong:
                yield seq, f"entry {seq}: {table} was changed in {', '.join(wrong)}"
        for key, (seq, _) in rows.items():
            yield seq, f"entry {seq}: {table} {key} is missing"


def _acked_troubles(conn: sqlite3.Connection, entries: dict[str, Entry]) -> Iterator[tuple[int, str]]:
    """Compare what was acknowledged together with the one entry that says how much it was, and its digest."""
    rows: dict[str, list[tuple[Any, ...]]] = {batch: [] for batch in entries}
    for row in conn.execute("SELECT * FROM acknowledgement ORDER BY ack_id") if entries else ():
        if (batch := _batch(row[0])) in rows:
            rows[batch].append(row)
    for batch, found in rows.items():
        entry = entries[batch]
        said = {name: entry.body.get(name) for name in ("matters", "digest")}
        if said != {"matters": len(found), "digest": rows_digest(found)}:
            yield (
                entry.seq,
                f"entry {entry.seq}: acknowledgement {batch} is not of the {said['matters']} matters it was of",
            )


def _batch(ack_id: Any) -> str:
    return str(ack_id).rpartition("-")[0]


def _posted_troubles(conn: sqlite3.Connection, entries: list[Entry]) -> Iterator[tuple[int, str]]:
    """Compare messages that no scan wrote with what the chain says of each."""
    told: dict[str, tuple[int, Any]] = {}
    for entry in entries:
        if entry.kind == POSTED:
            for alert_id, digest in dict(entry.body.get("messages") or {}).items():
                told.setdefault(alert_id, (entry.seq, digest))
    since = conn.execute("PRAGMA user_version").fetchone()[0]
    for row in conn.execute(f"SELECT {_MESSAGE} FROM outbox WHERE scan IS NULL ORDER BY alert_id"):
        seq, digest = told.pop(row[0], (0, None))
        if seq and digest != rows_digest([row]):
            yield seq, f"entry {seq}: message {row[0]} is not what was posted (table outbox)"
        elif not seq and since >= POSTED_SINCE:  # before, such messages had none
            yield 0, f"message {row[0]} has no entry in the chain (table outbox)"
    for alert_id, (seq, _) in told.items():
        yield seq, f"entry {seq}: message {alert_id} that was posted is missing (table outbox)"
