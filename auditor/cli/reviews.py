"""Review denied attempts to start work or to act as somebody, and sign what came of it."""

from __future__ import annotations

from typing import Any

import click

from auditor.cli._app import App, answering, app
from auditor.cli._reading import NO_SCAN, standing
from auditor.errors import UsageError

KIND = "denied-attempts"


@click.group("reviews", invoke_without_command=True)
@answering
def command() -> None:
    """Review denied attempts to start work or to act as somebody, and sign what came of it.

    Without a word after it: list.
    """
    if click.get_current_context().invoked_subcommand is None:
        _list(app(), open_only=False)


@command.command("list")
@click.option("--open", "open_only", is_flag=True, help="Only what nobody reviewed.")
@answering
def list_(*, open_only: bool) -> None:
    """List denied attempts: a row a principal, project or account, and day."""
    _list(app(), open_only=open_only)


def _list(this: App, *, open_only: bool) -> None:
    now = standing(this)
    signed = _signed(this)
    rows = [_row(row, signed) for row in now.rows("audit_entry_facts")]
    rows = [row for row in rows if not (open_only and row["reviewed"])]
    if this.json:
        from auditor.cli._answer import answer

        answer("reviews", now, rows)
        return
    from auditor.cli._text import plural, table, write

    if not now.scan or not rows:
        write(
            ["No denied attempt is open." if open_only else "No attempt was denied."]
            if now.scan
            else [NO_SCAN]
        )
        return
    said = [
        (
            "✓ reviewed" if row["reviewed"] else "? signed since" if row["signed_since"] else "✗ open",
            row["subject"],
            str(row["attempts"]),
            ", ".join(row["methods"]),
            row["reviewed_by"] or row["signed_since"] or "–",
            row["review"],
        )
        for row in rows
    ]
    headers = ("STATE", "SUBJECT", "ATTEMPTS", "WHAT", "BY", "REVIEW")
    left = sum(not row["reviewed"] and not row["signed_since"] for row in rows)
    lines = table(headers, said, keys=("SUBJECT",), fixed=("STATE", "ATTEMPTS"))
    write(
        [*lines, "", f"{plural(len(rows), 'row')}, {left} open. `auditor reviews sign SUBJECT` reviews one."]
    )


def _signed(this: App) -> dict[str, tuple[Any, str]]:
    """Return the latest review of each subject, also those that no scan has seen yet."""
    if not this.ledger_path.exists():
        return {}
    with this.ledger() as ledger:
        return {each.subject: (each.at, each.by) for each in ledger.signoffs(KIND)}


def _row(row: dict[str, Any], signed: dict[str, tuple[Any, str]]) -> dict[str, Any]:
    at, by = signed.get(row["subject_key"], (None, ""))
    since = "" if row["reviewed"] or at is None or at < row["last_at"] else by
    return {
        "subject": row["subject_key"],
        "principal": row["principal"],
        "day": row["day"],
        "project": row["project"],
        "account": row["account"],
        "methods": row["methods"] or [],
        "attempts": row["attempts"],
        "first_at": row["first_at"],
        "last_at": row["last_at"],
        "reviewed": row["reviewed"],
        "reviewed_by": row["reviewed_by"],
        "review": row["review_says"],
        "signed_since": since,
    }


@command.command("sign")
@click.argument("subjects", nargs=-1, required=True, metavar="SUBJECT...")
@click.option("--reviewer", required=True, help="E-mail of the reviewer: somebody else than the principal.")
@click.option("--note", required=True, help="What came of it.")
@answering
def sign(subjects: tuple[str, ...], reviewer: str, note: str) -> None:
    """Sign that denied attempts were looked into. SUBJECT is a line of `auditor reviews list`; the next scan counts it."""
    from auditor.config_read import did_you_mean
    from auditor.persons import same_person

    this = app()
    now = standing(this)
    known = {row["subject_key"]: row for row in now.rows("audit_entry_facts")}
    for subject in subjects:
        if subject not in known:
            raise UsageError(
                f"no denied attempts are known as {subject!r}{did_you_mean(subject, known)}",
                remedy="`auditor reviews list` lists them.",
            )
        if same_person(known[subject]["principal"], reviewer):
            raise UsageError(f"{reviewer} cannot review their own attempts", remedy="Let somebody else sign.")
    if "@" not in reviewer or not note.strip():
        raise UsageError("a review needs the reviewer's e-mail and a note of what came of it")
    with this.ledger() as ledger:
        for subject in dict.fromkeys(subjects):
            ledger.sign(KIND, subject, by=reviewer, now=now.at, decision="reviewed", reason=note)
    rows = [{"subject": subject, "reviewer": reviewer, "at": now.at} for subject in dict.fromkeys(subjects)]
    if this.json:
        from auditor.cli._answer import answer

        answer("reviews", now, rows)
        return
    from auditor.cli._text import plural, write

    write([f"{plural(len(rows), 'review')} signed. The next scan counts it."])
