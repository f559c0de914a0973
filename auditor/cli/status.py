"""Say on one screen how things stand: last scan, chains, findings, gaps, alerts."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import App, answering, app
from auditor.cli._reading import NO_SCAN, Standing, standing
from auditor.model import SEVERITIES

if TYPE_CHECKING:
    from auditor.ledger import Ledger, ScanRow

HINT = "`auditor findings` lists them; `auditor exports --state broken` the broken chains."


@click.command("status")
@answering
def command() -> None:
    """Say on one screen how things stand: last scan, chains, findings, gaps, ledger, alerts.

    Exit code 5: the ledger's file is damaged. Whether what it holds is what was recorded `auditor db verify` says: to walk
    the chain takes seconds where there is much of it.
    """
    this = app()
    now = standing(this)
    row = row_of(this, now) if now.scan else None
    if this.json:
        from auditor.cli._answer import answer

        answer("status", now, [row] if row else [])
        return
    from auditor.cli._text import write

    write([*screen(now, row), "", HINT] if row else [NO_SCAN])


def row_of(this: App, now: Standing) -> dict[str, Any]:
    """Return how things stand in one row; VerificationError where a page of the ledger is damaged."""
    scan = now.found
    with this.ledger() as ledger:
        ledger.require_whole()
        return _standing(ledger, scan, now)


def _standing(ledger: Ledger, scan: ScanRow, now: Standing) -> dict[str, Any]:
    findings = ledger.findings(as_of=now.at)
    outbox = ledger.outbox()
    seq, head = ledger.head()
    failing = Counter(row.severity for row in findings if row.verdict == "fail" and row.waiver is None)
    hidden = Counter(row.severity for row in findings if row.verdict == "unknown" and row.waiver is None)
    return {
        "slot": scan.slot,
        "at": scan.at,
        "age_s": max(0, int((now.at - scan.at).total_seconds())),
        "interval_s": scan.interval_s,
        "chains": scan.tally["chains"],
        "links": scan.tally["links"],
        "verdicts": scan.tally["verdicts"],
        "not_due": scan.tally["not_due"],
        "findings": {level: {"fail": failing[level], "unknown": hidden[level]} for level in SEVERITIES},
        "waived": sum(row.waiver is not None for row in findings),
        "gaps": scan.tally["gaps"],
        "pass": scan.tally.get("pass"),
        "ledger": {"entries": seq, "head": head},
        "alerts": {
            "undelivered": sum(one.state in ("pending", "sending") for one in outbox),
            "dead": sum(one.state == "dead" for one in outbox),
            "channels_off": ledger.channels_off(),
            "silences": sum(row.at(now.at) for row, _, _ in ledger.silences()),
        },
    }


def screen(now: Standing, row: dict[str, Any]) -> list[str]:
    """Return how things stand on one screen."""
    from auditor.cli._text import bold, columns, cut, paint, plural, safe, span, when

    scan = now.found
    age = timedelta(seconds=row["age_s"])
    late = row["interval_s"] and row["age_s"] > 1.5 * row["interval_s"]
    whole = "complete" if scan.complete else paint("incomplete", "incomplete")
    lines = [
        f"{bold('Last scan')}   {safe(scan.slot)} at {when(scan.at)}, {span(age)} ago, {whole}",
        *(
            [f"            it is overdue: scans are due every {span(timedelta(seconds=row['interval_s']))}"]
            if late
            else []
        ),
        *([f"            {passed_in_words(row['pass'])}"] if row["pass"] else []),
        f"{bold('Chains')}      {_counts(row['chains'])}",
        f"{bold('Verdicts')}    {_counts(row['verdicts'])}"
        + (f" ({row['not_due']} not due yet)" if row["not_due"] else ""),
    ]
    told = [
        f"{paint(level, level)} {counts['fail']} failing, {counts['unknown']} unknown"
        for level, counts in row["findings"].items()
        if counts["fail"] or counts["unknown"]
    ]
    lines += [
        f"{bold('Findings')}    {told[0] if told else 'none open'}",
        *(f"            {line}" for line in told[1:]),
    ]
    if row["waived"]:
        lines.append(f"            {row['waived']} waived")
    unseen = plural(row["gaps"], "gap") if row["gaps"] else "no gap: all that the estate records was read"
    lines += [
        f"{bold('Not seen')}    {unseen}",
        f"{bold('Ledger')}      {plural(row['ledger']['entries'], 'entry', 'entries')}, head {row['ledger']['head'][:16]}",
        f"{bold('Alerts')}      {row['alerts']['undelivered']} undelivered, {row['alerts']['dead']} dead"
        + (f", {plural(row['alerts']['silences'], 'silence')} in force" if row["alerts"]["silences"] else ""),
    ]
    for channel, because in row["alerts"]["channels_off"].items():
        lines.append(cut(f"            {safe(channel)} is off: {safe(because)}", columns()))
    return lines


def passed_in_words(told: dict[str, Any]) -> str:
    """Say whether everything was read anew, or how much was carried over and how old the oldest of it is."""
    from auditor.cli._text import plural, when

    if told["full"]:
        return "a full pass: everything was read anew"
    carried = "nothing carried over"
    if told["scopes"]:
        oldest = when(datetime.fromisoformat(told["oldest"]))
        carried = f"{plural(told['scopes'], 'setting')} carried over, the oldest read at {oldest}"
    return f"an increment: {carried}; last full pass {when(datetime.fromisoformat(told['full_at']))}"


def _counts(tally: dict[str, int]) -> str:
    from auditor.cli._text import paint

    order = ("proven", "pass", "broken", "fail", "unknown", "pending", "not_applicable", "not_required")
    total = sum(tally.values())
    parts = [paint(f"{tally[word]:,} {word.replace('_', ' ')}", word) for word in order if tally.get(word)]
    return f"{total:,}: {', '.join(parts)}" if parts else "none"
