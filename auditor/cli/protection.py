"""Compare what backup plans say of each bucket with what was really backed up."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from auditor.cli._app import answering, app
from auditor.cli._reading import NO_SCAN, standing, with_as_of

_SYMBOLS = {"agree": "✓", "undecided": "?", "unknown": "?"}
VERDICTS = ("agree", "covered_never_backed_up", "backed_up_no_plan", "unprotected", "undecided", "unknown")


@click.command("protection")
@click.option(
    "--state", type=click.Choice(VERDICTS), metavar="STATE", help=f"Verdict: {', '.join(VERDICTS)}."
)
@click.option("--account", default="", help="AWS account id.")
@with_as_of
@answering
def command(state: str | None, account: str, as_of: datetime | None) -> None:
    """Compare what backup plans say of each bucket with what was really backed up."""
    this = app()
    now = standing(this, as_of)
    rows = [
        row
        for row in now.rows("protection")
        if state in (None, row["verdict"]) and account in ("", row["account"])
    ]
    if this.json:
        from auditor.cli._answer import answer

        answer("protection", now, rows)
        return
    from auditor.cli._text import write

    write(_lines(rows) if now.scan else [NO_SCAN])


def _lines(rows: list[dict[str, Any]]) -> list[str]:
    from auditor.cli._text import plural, table, when

    if not rows:
        return ["No bucket fits."]
    said = [
        (
            f"{_SYMBOLS.get(row['verdict'], '✗')} {row['verdict'].replace('_', ' ')}",
            row["bucket_arn"].removeprefix("arn:aws:s3:::"),
            row["covered"].replace("_", " "),
            row["observed"].replace("_", " "),
            when(row["last_point_at"])[:10] or "–",
            row["because"],
        )
        for row in rows
    ]
    headers = ("VERDICT", "BUCKET", "BY PLAN", "OBSERVED", "NEWEST", "BECAUSE")
    agree = sum(row["verdict"] == "agree" for row in rows)
    return [
        *table(headers, said, keys=("BUCKET",), fixed=("VERDICT", "BY PLAN", "OBSERVED", "NEWEST")),
        "",
        f"{plural(len(rows), 'bucket')}: plan and practice agree for {agree}.",
    ]
