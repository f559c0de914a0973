"""Review who may trigger jobs: a sheet per period, and each decision signed into the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import App, answering, app
from auditor.cli._reading import NO_SCAN, standing
from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.ledger import Ledger

KIND = "access-review"
SHEET = "access_review_sheet"
"""Kind of the entry that says which rows a sheet had."""


@click.group("access-review", invoke_without_command=True)
@answering
def command() -> None:
    """Review who may trigger jobs: a sheet per period, and each decision signed into the ledger.

    Without a word after it: list.
    """
    if click.get_current_context().invoked_subcommand is None:
        _list(app(), None)


@command.command("list")
@click.option("--period", help="Only what was decided in this period, such as 2026-Q1; the rest is open.")
@answering
def list_(period: str | None) -> None:
    """List who may trigger jobs, and what the latest review decided of each.

    What was revoked and is still there says so.
    """
    _list(app(), period)


def _list(this: App, period: str | None) -> None:
    now = standing(this)
    rows = [_row(row, period) for row in now.rows("access")]
    if this.json:
        from auditor.cli._answer import answer

        answer("access-review", now, rows)
        return
    from auditor.cli._text import plural, table, when, write

    if not now.scan:
        write([NO_SCAN])
        return
    if not rows:
        write(["Nobody is in a group that a duty of [[duties]] means."])
        return
    said = [
        (
            _MARKS[row["state"]],
            row["person"],
            row["group"],
            when(row["last_use_at"])[:10] or "–",
            row["decided_by"] or "–",
            row["duty"],
        )
        for row in rows
    ]
    headers = ("STATE", "PERSON", "GROUP", "LAST USE", "DECIDED BY", "MAY")
    count = {state: sum(row["state"] == state for row in rows) for state in _MARKS}
    told = f"{count['keep']} kept, {count['revoked']} revoked and still there, {count['open']} open."
    lines = table(headers, said, keys=("PERSON", "GROUP"), fixed=("STATE", "LAST USE"))
    write([*lines, "", f"{plural(len(rows), 'row')}: {told}"])


_MARKS = {"keep": "✓ kept", "revoked": "✗ revoked, still there", "open": "? open"}


def _row(row: Mapping[str, Any], period: str | None) -> dict[str, Any]:
    """Return a row with its decision, where one was made in the period that is asked for."""
    counts = bool(row["decision"]) and period in (None, row["period"])
    state = "open" if not counts else "revoked" if row["decision"] == "revoke" else "keep"
    return {
        "person": row["person"],
        "directory": row["directory"],
        "group": row["group_name"],
        "duty": row["duty"],
        "since_at": row["since_at"],
        "status": row["status"],
        "last_use_at": row["last_use_at"],
        "state": state,
        "decided_by": row["decided_by"] if counts else "",
        "decided_at": row["decided_at"] if counts else None,
        "period": row["period"] if counts else period or "",
    }


@command.command("export")
@click.option("--period", required=True, help="Period under review: 2026, 2026-H1, 2026-Q1 or 2026-01.")
@click.option("--into", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File to write.")
@answering
def export(period: str, into: Path) -> None:
    """Write the sheet of a period: a row for each person, group and duty, with room for a decision.

    Fill in decision (keep or revoke) and reason, and nothing else. The ledger keeps which rows the sheet had.
    """
    from auditor.cli import _sheet

    this = app()
    now = standing(this)
    at = max(this.now(), now.found.at)
    if _sheet.begins(period) > (at.year, at.month):
        raise UsageError(f"the period {period} has not begun")
    if into.exists():
        raise UsageError(
            f"{into} is there already", remedy="Name another file: a sheet is never overwritten."
        )
    rows = _sheet.rows_of(now.rows("access"), period)
    if not rows:
        raise UsageError(
            "nobody is in a group that a duty means: there is nothing to review",
            remedy="[[duties]] says which groups may trigger what.",
        )
    names = sorted(row["row"] for row in rows)
    body = {
        "period": period,
        "scan": now.found.scan,
        "rows": len(rows),
        "sha256": _sheet.digest(names),
        "row_names": names,
    }
    try:
        with into.open("x", encoding="utf-8", newline="") as file:
            file.write(_sheet.text_of(rows))
    except OSError as error:
        raise UsageError(f"{into}: cannot be written: {error.strerror}") from None
    with this.ledger() as ledger:
        ledger.note(SHEET, body, at)
    said = {"file": str(into), **{name: body[name] for name in ("period", "scan", "rows", "sha256")}}
    _told(this, said, f"{into}: {len(rows)} rows of {period}, as scan {now.found.scan} saw them.")


@command.command("sign")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--reviewer", required=True, help="E-mail of the reviewer, who is in no row that is decided.")
@answering
def sign(file: Path, reviewer: str) -> None:
    """Sign the decisions of a sheet into the ledger; rows without one stay open.

    All of them or none: a changed row, one that was not in the sheet, another word than keep or revoke, or a reviewer's own
    row is refused with its line.
    """
    from auditor.cli import _sheet

    this = app()
    rows = _sheet.read(file)
    at = standing(this).at
    with this.ledger() as ledger:
        sheets = [entry.body for entry in ledger.entries(kind=SHEET)]
        sheet = _sheet.held_to(file, rows, sheets)
        chosen = _sheet.decided(file, rows, reviewer.strip())
        before = _signed(ledger, sheet["sha256"])
        new = [row for row in chosen if before.get(row.name) != _decision(row, reviewer)]
        for row in new:
            _sign(ledger, row, sheet, reviewer.strip(), at)
        after = _signed(ledger, sheet["sha256"])
    revoked = sum(row.cells["decision"] == "revoke" for row in new)
    said = {
        "file": str(file),
        "period": sheet["period"],
        "sha256": sheet["sha256"],
        "signed": len(new),
        "revoked": revoked,
        "open": sheet["rows"] - len(after),
    }
    words = f"{len(new)} decisions signed by {reviewer.strip()}, {revoked} of them to revoke; {said['open']} rows are open."
    _told(this, said, words)


def _decision(row: Any, reviewer: str) -> tuple[str, str, str]:
    return row.cells["decision"], row.cells["reason"], reviewer.strip()


def _signed(ledger: Ledger, sha256: str) -> dict[str, tuple[str, str, str]]:
    """Return the latest decision on each row of a sheet."""
    return {
        str(each.details.get("row")): (each.decision, each.reason, each.by)
        for each in ledger.signoffs(KIND)
        if each.details.get("sheet") == sha256
    }


def _sign(ledger: Ledger, row: Any, sheet: Mapping[str, Any], reviewer: str, at: Any) -> None:
    cells = row.cells
    ledger.sign(
        KIND,
        f"{cells['period']}/{cells['directory']}/{cells['person']}/{cells['group']}",
        by=reviewer,
        now=at,
        decision=cells["decision"],
        reason=cells["reason"],
        details={
            "period": cells["period"],
            "sheet": sheet["sha256"],
            "row": row.name,
            "person": cells["person"],
            "directory": cells["directory"],
            "group": cells["group"],
            "duty": cells["duty"],
            "last_use": cells["last_use"],
        },
    )


def _told(this: App, said: dict[str, Any], words: str) -> None:
    if this.json:
        from auditor.cli._answer import envelope

        envelope("access-review", [said], as_of=this.now())
        return
    from auditor.cli._text import safe, write

    write([safe(words)])
