"""What the ledger adds to a snapshot: the `history_*` tables, so that judging reads no ledger."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from auditor.ledger import baselines, handed_out, memory, queries, signoffs, waivers
from auditor.ledger.signoffs import SignOff
from auditor.ledger.values import Check, WaiverRow, canonical, instant
from auditor.spool import spooled

_TIMES = frozenset(
    {
        "at", "since", "created_at", "expires_at", "first_seen_at", "last_seen_at", "delete_at",
        "capture_due_at", "from_seen_at", "until_seen_at",
    }
)  # fmt: skip
_BOOLS = frozenset({"complete", "final", "eventbridge", "deletes_after_copy", "intact"})


def tables(conn: sqlite3.Connection, as_of: datetime, check: Check) -> dict[str, Collection[dict[str, Any]]]:
    """Return the tables in the order of their names, their values typed as schema/joined.py has them.

    `check` is what walking the chain said in the same transaction.
    """
    found: dict[str, Collection[dict[str, Any]]] = {
        name: spooled(map(_typed, rows)) for name, rows in memory.rows(conn, memory.last_at(conn))
    }
    found["history_scan"] = [
        {
            "scan": scan.scan,
            "slot": scan.slot,
            "at": scan.at,
            "state": scan.state,
            "complete": scan.complete,
            "interval_s": scan.interval_s,
        }
        for scan in queries.scans(conn)
    ]
    found["history_finding"] = spooled(map(_typed, queries.open_findings(conn)))
    entered = waivers.entered_after(conn)
    found["history_waiver"] = [
        _waiver(row) | {"entered_after": entered.get(row.waiver_id)} for row in waivers.every(conn, as_of)
    ]
    found["history_signoff"] = [
        _signoff(row) for row in signoffs.every(conn, as_of=as_of) if row.kind != baselines.TOPIC
    ]
    found["history_baseline"] = baselines.rows(conn, as_of)
    found["history_report"] = handed_out.reports(conn, as_of)
    found["history_bundle"] = handed_out.bundles(conn, as_of)
    receipts = found["history_receipt"] = handed_out.receipts(conn, as_of)
    found["history_ledger"] = [
        {
            "head": check.head,
            "entries": check.entries,
            "intact": check.intact,
            "because": check.because,
            "unreceipted_since": handed_out.unreceipted_since(conn, receipts, as_of),
        }
    ]
    return dict(sorted(found.items()))


def _waiver(row: WaiverRow) -> dict[str, Any]:
    return {
        "waiver_id": row.waiver_id,
        "rule": row.rule,
        "subject": row.subject,
        "reason": row.reason,
        "requester": row.requester,
        "approver": row.approver,
        "created_at": row.created_at,
        "expires_at": min(row.expires_at, row.revoked_at or row.expires_at),
        "finding_id": row.finding_id,
    }


def _signoff(row: SignOff) -> dict[str, Any]:
    return {
        "sign_off_id": row.sign_off_id,
        "kind": row.kind,
        "subject": row.subject,
        "decision": row.decision,
        "reason": row.reason,
        "signer": row.by,
        "at": row.at,
        "details": canonical(row.details),
        "seq": row.seq,
    }


def _typed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give a row of a history table the types of schema/joined.py."""
    return {name: _value(name, value) for name, value in row.items()}


def _value(name: str, value: Any) -> Any:
    if name in _TIMES and isinstance(value, str):
        return instant(value)
    if name in _BOOLS and value is not None:
        return bool(value)
    return value
