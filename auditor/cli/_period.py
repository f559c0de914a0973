"""The period of a report or a bundle, and the entry that a report was written."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditor.cli._app import TIME, App, F
from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.ledger import Ledger

WEEK = timedelta(days=7)


def with_period(command: F) -> F:
    """Add `--from` and `--to`."""
    for option in (
        click.option("--to", "to_at", type=TIME, help="End of the period; default: the last scan."),
        click.option(
            "--from", "from_at", type=TIME, help="Begin of the period; default: a week before its end."
        ),
    ):
        command = option(command)
    return command


def period(this: App, from_at: datetime | None, to_at: datetime | None) -> tuple[datetime, datetime, bool]:
    """Return begin and end of a period, and whether its last scan was complete."""
    with this.ledger() as ledger:
        last = ledger.latest_scan(to_at)
    if last is None:
        when = f" by {to_at:%Y-%m-%d %H:%MZ}" if to_at else ""
        raise UsageError(f"no scan yet{when}", remedy="`auditor scan` makes one.")
    end = to_at or last.at
    begin = from_at or end - WEEK
    if begin >= end:
        raise UsageError(
            f"the period ends ({end:%Y-%m-%d %H:%MZ}) before it begins ({begin:%Y-%m-%d %H:%MZ})"
        )
    return begin, end, last.complete


def enter(ledger: Ledger, path: Path, begin: datetime, end: datetime, now: datetime) -> str:
    """Note in the ledger that a report was written, once for the same bytes; return their digest."""
    from auditor.ledger.values import stamp

    digest = sha256(path)
    if all(row["sha256"] != digest for row in ledger.reports(now)):
        body = {"sha256": digest, "file": path.name, "from": stamp(begin), "to": stamp(end)}
        ledger.note("report", body, now)
    return digest


def sha256(path: Path) -> str:
    """Return the digest of a file, in hex."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
