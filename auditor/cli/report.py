"""Write the weekly report, deliver it, list those that were written, and sign one off."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import answering, app, shared
from auditor.cli._period import enter, period, sha256, with_period
from auditor.errors import INCOMPLETE, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditor.ledger import SignOff


@click.group("report")
@shared
def command() -> None:
    """Write the weekly report (one HTML file that needs no network), deliver it, list those there are, and sign one off."""


@command.command("weekly")
@with_period
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder; default: the configuration's."
)
@answering
def weekly(from_at: datetime | None, to_at: datetime | None, out: Path | None) -> int:
    """Write the report of a period. Exit code 4 when its last scan was incomplete, 5 when the ledger is not what was recorded."""
    from auditor.report import write

    this = app()
    config = this.config()
    begin, end, complete = period(this, from_at, to_at)
    with this.ledger() as ledger:
        ledger.require_whole()
        into = out or Path(config.report.dir)
        now = max(this.now(), end)
        path = write(ledger, config, this.pack(), from_at=begin, to_at=end, now=now, into=into)
        entered = enter(ledger, path, begin, end, now)
        check = ledger.verify()
    if this.json:
        from auditor.cli._answer import envelope

        row = {"path": str(path), "from": begin, "to": end, "bytes": path.stat().st_size, "sha256": entered}
        envelope("report", [row], as_of=end, complete=complete)
    else:
        click.echo(path)
        if not complete:
            this.tell("The last scan of the period was incomplete: the report says what could not be seen.")
    if not check.intact:
        from auditor.ledger.storage import differs

        raise differs(this.ledger_path, f"the report says so first of all: {check.because}")
    return 0 if complete else INCOMPLETE


@command.command("deliver")
@with_period
@answering
def deliver(from_at: datetime | None, to_at: datetime | None) -> int:
    """Write report and bundle of a period, and put them where [delivery] says: what `auditor serve` does every week.

    What arrived before is left out, so that it may be repeated. Exit code 4 when the last scan was incomplete.
    """
    from auditor.cli._delivery import delivered

    return delivered(app(), from_at, to_at)


@command.command("list")
@answering
def list_() -> None:
    """List the reports that were written, and who signed them off."""
    this = app()
    rows: list[dict[str, Any]] = []
    if this.ledger_path.exists():
        with this.ledger() as ledger:
            now = this.now()
            signed = {one.subject: one for one in ledger.signoffs("report", now)}
            rows = [_row(row, signed.get(row["sha256"])) for row in ledger.reports(now)]
    if this.json:
        from auditor.cli._answer import envelope

        envelope("reports", rows)
        return
    from auditor.cli._text import plural, table, when, write

    said = [
        (
            row["sha256"][:12],
            when(row["from"])[:10],
            when(row["to"])[:10],
            row["file"],
            row["signed_by"] or "nobody yet",
        )
        for row in rows
    ]
    lines = table(("REPORT", "FROM", "TO", "FILE", "SIGNED OFF BY"), said, fixed=("REPORT", "FROM", "TO"))
    write(
        [*lines, "", f"{plural(len(rows), 'report')}. `auditor report sign FILE --by E-MAIL` signs one off."]
    )


def _row(row: Mapping[str, Any], signed: SignOff | None) -> dict[str, Any]:
    return {
        "sha256": row["sha256"],
        "file": row["file"],
        "from": row["from_at"],
        "to": row["to_at"],
        "written_at": row["at"],
        "signed_by": signed.by if signed else None,
        "signed_at": signed.at if signed else None,
        "reason": signed.reason if signed else None,
    }


@command.command("sign")
@click.argument("report", metavar="FILE|ID")
@click.option("--by", required=True, metavar="E-MAIL", help="Who has read it.")
@click.option("--reason", default="", help="What was found, or a remark.")
@answering
def sign(report: str, by: str, reason: str) -> None:
    """Sign a report off: its exact bytes, in the ledger. ID is the start of its digest, as `report list` shows it."""
    this = app()
    now = this.now()
    with this.ledger() as ledger:
        known = {row["sha256"]: row for row in ledger.reports(now)}
        if Path(report).is_file():
            fits = [sha256(Path(report))]
            if fits[0] not in known:
                raise UsageError(
                    f"{report}: the ledger knows no report of these bytes: it was changed, or written elsewhere",
                    remedy="`auditor report list` has those it knows.",
                )
        else:
            fits = [digest for digest in known if len(report) >= 8 and digest.startswith(report.lower())]
        if len(fits) != 1:
            raise UsageError(
                f"there is no report {report!r}", remedy="`auditor report list` has those it knows."
            )
        row = known[fits[0]]
        details = {name: row[name] for name in ("file", "from_at", "to_at")}
        signed = ledger.sign(
            "report", fits[0], by=by, now=now, decision="reviewed", reason=reason, details=details
        )
    if this.json:
        from auditor.cli._answer import envelope

        envelope("reports", [_row(row, signed)])
        return
    click.echo(f"{row['file']} ({fits[0][:12]}) is signed off by {signed.by}: {signed.sign_off_id}")
