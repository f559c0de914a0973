"""List what changed between scans, who changed it and whether it got worse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from auditor import rulechanges
from auditor.cli._app import App, answering, app
from auditor.cli._filters import Wanted, filtered, nothing
from auditor.cli._reading import NO_SCAN, Standing, standing, with_as_of
from auditor.model import SEVERITIES

if TYPE_CHECKING:
    from auditor.ledger import FindingRow
    from auditor.model import Drift

KINDS = ("appeared", "resolved", "regressed", "changed", "vanished")


@click.command("drift")
@filtered(KINDS, "Kind of change", since_help="Detected then or later; default: in the last scan.")
@with_as_of
@answering
def command(wanted: Wanted, as_of: datetime | None) -> None:
    """List what changed between scans, who changed it and whether it got worse.

    A rule that changed is listed as such, and findings that moved with it say so: they tell of the rule, not of what it judges.
    Settings stand before findings, and what is worse before what is better. Where many findings of one rule did the same they
    share a line; with --rule or --limit each has its own. Without --since it is what the last scan found; `--since 30d` goes
    further back.
    """
    this = app()
    wanted.check(this)
    now = standing(this, as_of)
    found = _select(this, wanted, now) if now.scan else []
    shown = list(wanted.first(found))
    looked = _looked_before(this, shown)
    if this.json:
        from auditor.cli._answer import answer, drift_row

        answer("drift", now, (drift_row(row, looked[row.detected_at]) for row in shown))
        return
    from auditor.cli._text import write

    if now.scan is None:
        write([NO_SCAN])
    elif not found:
        write(nothing("drift", wanted, "`auditor drift --since 30d` looks further back."))
    else:
        each = bool(wanted.rule or wanted.limit)
        with this.ledger() as ledger:
            plans = ledger.plans() if any(row.subject_table in _PLANS for row in shown) else {}
        ordered = list(wanted.first(sorted(found, key=_urgency)))
        write(_lines(ordered, found, looked, plans, each=each))


def _select(this: App, wanted: Wanted, now: Standing) -> list[Drift]:
    from datetime import timedelta

    scan = now.found
    with this.ledger() as ledger:
        rows = ledger.drift(
            wanted.since, scan.at + timedelta(microseconds=1), scan="" if wanted.since else scan.scan
        )
    from auditor.watch.late import folded

    rows = [
        row
        for row in folded(rows)
        if (not wanted.severity or row.severity == wanted.severity)
        and (not wanted.state or row.kind == wanted.state)
    ]
    if any((wanted.zone, wanted.owner, wanted.account, wanted.project, wanted.control, wanted.rule)):
        known = _known(this, now)
        rows = [row for row in rows if _fits(row, wanted, known)]
    return rows


def _looked_before(this: App, rows: list[Drift]) -> dict[datetime, datetime | None]:
    """Return when the scan before looked, by the time of the scan that saw a change: in between it was made."""
    from datetime import timedelta

    if not rows:
        return {}
    with this.ledger() as ledger:
        found = {
            at: ledger.latest_scan(at - timedelta(microseconds=1))
            for at in sorted({row.detected_at for row in rows})
        }
    return {at: scan.at if scan else None for at, scan in found.items()}


def _known(this: App, now: Standing) -> Mapping[tuple[str | None, str], FindingRow]:
    """Return what is known of each subject: the finding of each rule, and under None any of them."""
    from auditor.cli._filters import findings

    found: dict[tuple[str | None, str], FindingRow] = {}
    for row in findings(this, Wanted(state="all"), now.at):
        found[row.rule, row.subject_key] = row
        if row.zone or (None, row.subject_key) not in found:
            found[None, row.subject_key] = row
    return found


def _fits(row: Drift, wanted: Wanted, known: Mapping[tuple[str | None, str], FindingRow]) -> bool:
    from auditor.watch.gcp import TABLES, project_of

    finding = known.get((row.rule, row.subject_key)) or known.get((None, row.subject_key))
    code = finding.code if finding and row.rule else None
    of_rule = row.rule is None and row.subject_table == "rule" and row.subject_key == wanted.rule
    if wanted.rule and wanted.rule not in (row.rule, code) and not of_rule:
        return False
    if wanted.control and not (finding and row.rule and wanted.control in finding.controls):
        return False
    of: dict[str, Any] = {
        name: getattr(finding, name, None) for name in ("zone", "owner", "account", "project")
    }
    parts = row.subject_key.split(":")
    if row.subject_key.startswith("arn:") and len(parts) > 4 and parts[4]:
        of["account"] = parts[4]
    if row.subject_table in TABLES:
        of["project"] = project_of(row.subject_key)
    return wanted.fits(of, of)


_IS = {"worse": "weaker", "better": "stronger"}
"""Of a setting; a finding is worse or better."""
_WIDE = 120
"""Columns from which on the table has room for when something changed."""


_PLANS = ("plan", "backup_plan")
_FEW = 3
"""So many findings of one rule that did the same have a line each."""
_DIRECTIONS = ("worse", "neutral", "better")


def _urgency(row: Drift) -> tuple[object, ...]:
    """Order as who is woken by it reads: settings, then findings; the worst first."""
    severity = SEVERITIES.index(row.severity) if row.severity in SEVERITIES else len(SEVERITIES)
    return (
        row.rule is not None, _DIRECTIONS.index(row.direction), severity, row.rule or "", row.kind, _what(row),
        row.subject_table, row.subject_key, row.detected_at,
    )  # fmt: skip


def _alike(row: Drift) -> tuple[str, ...]:
    """Return what findings have in common that share a line; each setting stands by itself."""
    return row.rule or row.drift_id, row.direction, row.severity, row.kind, _what(row)


def _lines(
    shown: list[Drift],
    found: list[Drift],
    looked: Mapping[datetime, datetime | None],
    plans: Mapping[str, str],
    *,
    each: bool,
) -> list[str]:
    from auditor.cli._text import columns, plural, table

    rows: list[tuple[str, ...]] = []
    for _, alike in groupby(shown, key=_alike):
        some = list(alike)
        rows += [_row(row, plans) for row in some] if each or len(some) <= _FEW else [_together(some)]
    headers: tuple[str, ...] = ("KIND", "IS", "SEVERITY", "SUBJECT", "WHAT", "CHANGED", "BY")
    fixed: tuple[str, ...] = ("KIND", "IS", "SEVERITY", "CHANGED")
    if columns() < _WIDE:
        headers, fixed, rows = (*headers[:5], "BY"), fixed[:3], [(*row[:5], row[6]) for row in rows]
    lines = table(headers, rows, keys=("SUBJECT",), fixed=fixed, paints="SEVERITY")
    counts = Counter(row.kind for row in found)
    said = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
    more = f"; the first {len(shown)} are shown" if len(shown) < len(found) else ""
    by_rule = rulechanges.count(found)
    rules = [f"{plural(by_rule, 'finding')} moved because a rule is new, changed or gone."] if by_rule else []
    return [*lines, "", f"{plural(len(found), 'change')}: {said}{more}.", *rules, *_seen(looked)]


def _row(row: Drift, plans: Mapping[str, str]) -> tuple[str, ...]:
    return (
        row.kind,
        _is(row),
        row.severity,
        _subject(row, plans),
        _what(row),
        f"{row.changed_at:%Y-%m-%d %H:%M}" if row.changed_at else "not known",
        row.actor.rpartition("/")[2] if row.actor else "not known",
    )


def _together(some: list[Drift]) -> tuple[str, ...]:
    """Return one line for findings of one rule that did the same; they may be of several tables, times and hands."""
    kind, direction, severity, _, what, *_ = _row(some[0], {})
    changed, actor = (
        cells[0] if len(set(cells)) == 1 else "several"
        for cells in list(zip(*(_row(row, {}) for row in some), strict=True))[-2:]
    )
    tables = " and ".join(sorted({row.subject_table for row in some}))
    return kind, direction, severity, f"{len(some)} of {tables}", what, changed, actor


def _seen(looked: Mapping[datetime, datetime | None]) -> list[str]:
    """Say when they were detected, and since when they can have been made."""
    told = [
        f"Detected {at:%Y-%m-%d %H:%M} UTC"
        + (f"; the scan before looked at {before:%Y-%m-%d %H:%M} UTC." if before else ", by the first scan.")
        for at, before in sorted(looked.items())
    ]
    if len(told) > 1:
        return [f"Detected by {len(told)} scans; --json has when, and how each author is known."]
    return told


def _what(row: Drift) -> str:
    from auditor.watch.told import labelled

    said = labelled(row)[1]
    if row.rule is None and (
        row.field is None or ": " in said
    ):  # it came, or went, or is told by what it comes to
        return said
    before, after = (value if value is not None else "–" for value in (row.before, row.after))
    why = f" ({rulechanges.why(row)})" if row.rule and rulechanges.of_rule(row) else ""
    return f"{row.rule or row.field}: {before} → {after}{why}"


def _subject(row: Drift, plans: Mapping[str, str]) -> str:
    from auditor.watch.told import labelled

    name = labelled(row)[0]
    if name == row.subject_key and row.subject_table in _PLANS:
        name = plans.get(name, name)
    return f"{row.subject_table} {name}" if name == row.subject_key else name


def _is(row: Drift) -> str:
    from auditor.watch.told import not_decided

    if row.direction == "neutral":
        return ""
    if row.rule:
        return row.direction
    return "may be weaker" if row.direction == "worse" and not_decided(row.because) else _IS[row.direction]
