"""What rules judge of the ledger: whether its own check holds, and whether its head was published outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.zoning import seconds, strictest_declared

TABLE = "ledger_facts"
READS = ("history_ledger", "history_receipt", "config_zone", "as_of")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row, also before anything was recorded."""
    (now,) = tables["as_of"]
    ledger = next(iter(tables["history_ledger"]), None)
    receipts = tables["history_receipt"]
    since = ledger["unreceipted_since"] if ledger else None
    yield {
        "subject_key": "ledger",
        "zone": strictest_declared(tables["config_zone"]),
        "account": None,
        "project": None,
        "owner": None,
        "region": None,
        "head": ledger["head"] if ledger else None,
        "entries": (ledger["entries"] if ledger else None) or 0,
        "intact": ledger["intact"] if ledger else None,
        "differs": (ledger["because"] if ledger else None) or "",
        "receipts": len(receipts),
        "unreceipted_s": None if ledger is None else max(0, seconds(now["as_of"], since) or 0),
        "foreign_receipts": sorted(
            {f"{row['seq']} \N{MIDDLE DOT} {row['head'][:16]}" for row in receipts if not row["in_chain"]}
        ),
    }
