"""List what every rule says of every subject, passes included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import click

from auditor.cli._app import App, answering, app
from auditor.cli._filters import Wanted, filtered, nothing
from auditor.cli._reading import NO_SCAN, Standing, standing, with_as_of
from auditor.model import SEVERITIES, Verdict


@click.command("outcomes")
@filtered(
    list(map(str, Verdict)), "Verdict", since_help="Verdicts of findings that are open since then or later."
)
@with_as_of
@answering
def command(wanted: Wanted, as_of: datetime | None) -> None:
    """List what every rule says of every subject, passes included: the population behind each control."""
    this = app()
    wanted.check(this)
    now = standing(this, as_of)
    found = select(this, wanted, now)
    shown = list(wanted.first(found))
    if this.json:
        from auditor.cli._answer import answer, outcome_row

        answer("outcomes", now, map(outcome_row, shown))
        return
    from auditor.cli._text import write

    if now.scan is None:
        write([NO_SCAN])
    elif not found:
        write(nothing("outcomes", wanted, "`auditor rules list` has every rule and its subject."))
    else:
        write(_lines(shown, found))


def select(this: App, wanted: Wanted, now: Standing) -> list[dict[str, Any]]:
    """Return the outcomes that fit, in the order of code, rule and subject."""
    rules = None
    if wanted.control:
        rules = {rule.id for rule in this.pack().rules if wanted.control in rule.controls}
    since = _since(this, wanted, now) if wanted.since else None
    return [
        row
        for row in now.rows("outcome")
        if wanted.fits(row)
        and (not wanted.rule or wanted.rule in (row["rule"], row["code"]))
        and (not wanted.state or row["verdict"] == wanted.state)
        and (rules is None or row["rule"] in rules)
        and (since is None or (row["rule"], row["subject_key"]) in since)
    ]


def _since(this: App, wanted: Wanted, now: Standing) -> set[tuple[str, str]]:
    from auditor.cli._filters import findings

    rows = findings(this, Wanted(since=wanted.since), now.at)
    return {(row.rule, row.subject_key) for row in rows}


def _lines(shown: Iterable[Mapping[str, Any]], found: list[dict[str, Any]]) -> list[str]:
    from auditor.cli._text import marked, plural, table

    rows = [
        (
            marked(row["verdict"]),
            row["severity"],
            row["code"],
            f"{row['subject_table']} {row['subject_key']}",
            row["because"],
        )
        for row in sorted(shown, key=lambda row: SEVERITIES.index(row["severity"]))
    ]
    headers = ("VERDICT", "SEVERITY", "RULE", "SUBJECT", "BECAUSE")
    lines = table(headers, rows, keys=("SUBJECT",), fixed=("VERDICT", "SEVERITY", "RULE"), paints="VERDICT")
    counts = Counter(row["verdict"] for row in found)
    said = ", ".join(
        f"{counts[verdict]:,} {verdict.replace('_', ' ')}" for verdict in map(str, Verdict) if counts[verdict]
    )
    more = f"; the first {len(rows)} are shown" if len(rows) < len(found) else ""
    return [*lines, "", f"{plural(len(found), 'outcome')}: {said}{more}."]
