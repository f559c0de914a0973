"""List what fails or cannot be told, each with its owner and remedy."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

import click

from auditor.cli._app import answering, app
from auditor.cli._filters import Wanted, filtered, findings, nothing
from auditor.cli._reading import NO_SCAN, standing, with_as_of
from auditor.model import SEVERITIES

if TYPE_CHECKING:
    from auditor.ledger import FindingRow

STATES = ("open", "waived", "closed", "all", "fail", "unknown")


@click.command("findings")
@filtered(
    STATES,
    "State of the finding, or its verdict; default: open and waived",
    since_help="Open since then or later.",
)
@with_as_of
@answering
def command(wanted: Wanted, as_of: datetime | None) -> None:
    """List what fails or cannot be told, each with its owner and remedy.

    A finding is open from the scan that first saw it until one that saw it end; `waived` while a waiver covers it.
    """
    this = app()
    wanted.check(this)
    now = standing(this, as_of)
    found = findings(this, wanted, now.at) if now.scan else []
    shown = list(wanted.first(found))
    if this.json:
        from auditor.cli._answer import answer, finding_row

        answer("findings", now, map(finding_row, shown))
        return
    from auditor.cli._text import write

    if now.scan is None:
        write([NO_SCAN])
    elif not found:
        write(nothing("findings", wanted, "`auditor findings --state all` has the closed ones too."))
    else:
        write(_lines(shown, found))


def _lines(shown: list[FindingRow], found: list[FindingRow]) -> list[str]:
    from auditor.cli._answer import finding_state
    from auditor.cli._text import marked, plural, table, when

    rows = [
        (
            row.finding_id[:10],
            row.severity,
            marked(row.verdict) + {"waived": ", waived", "closed": ", closed"}.get(finding_state(row), ""),
            row.code,
            f"{row.subject_table} {row.subject_key}",
            row.owner or "–",
            when(row.opened_at)[:10],
        )
        for row in shown
    ]
    headers = ("FINDING", "SEVERITY", "VERDICT", "RULE", "SUBJECT", "OWNER", "SINCE")
    fixed = ("FINDING", "SEVERITY", "VERDICT", "RULE", "SINCE")
    lines = table(headers, rows, keys=("SUBJECT",), fixed=fixed, paints="SEVERITY")
    counts = Counter(row.severity for row in found)
    said = ", ".join(f"{counts[level]} {level}" for level in SEVERITIES if counts[level])
    more = f"; the first {len(shown)} are shown" if len(shown) < len(found) else ""
    return [
        *lines,
        "",
        f"{plural(len(found), 'finding')}: {said}{more}.",
        "`auditor explain FINDING` says why, step by step.",
    ]
