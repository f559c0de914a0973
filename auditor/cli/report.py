"""Write the weekly report: one HTML file that needs no network."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import click

from auditor.cli._app import TIME, App, F, answering, app, shared
from auditor.errors import INCOMPLETE, UsageError

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


@click.group("report")
@shared
def command() -> None:
    """Write the weekly report: one HTML file that needs no network."""


@command.command("weekly")
@with_period
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder; default: the configuration's."
)
@answering
def weekly(from_at: datetime | None, to_at: datetime | None, out: Path | None) -> int:
    """Write the report of a period. Exit code 4 when its last scan was incomplete."""
    from auditor.report import write

    this = app()
    config = this.config()
    begin, end, complete = period(this, from_at, to_at)
    with this.ledger() as ledger:
        into = out or Path(config.report.dir)
        path = write(
            ledger, config, this.pack(), from_at=begin, to_at=end, now=max(this.now(), end), into=into
        )
    if this.json:
        from auditor.cli._answer import envelope

        row = {"path": str(path), "from": begin, "to": end, "bytes": path.stat().st_size}
        envelope("report", [row], as_of=end, complete=complete)
    else:
        click.echo(path)
        if not complete:
            this.tell("The last scan of the period was incomplete: the report says what could not be seen.")
    return 0 if complete else INCOMPLETE
