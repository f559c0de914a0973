"""List, add and revoke waivers: exceptions with a reason, two people and an end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import App, ahead, answering, app
from auditor.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from auditor.ledger import WaiverRow


@click.group("waivers", invoke_without_command=True)
@answering
def command() -> None:
    """List, add and revoke waivers: exceptions with a reason, two people and an end. Without a word after it: list."""
    if click.get_current_context().invoked_subcommand is None:
        _list(app())


@command.command("list")
@answering
def list_() -> None:
    """List every waiver, in force or not."""
    _list(app())


def _list(this: App) -> None:
    rows: list[WaiverRow] = []
    if this.ledger_path.exists():
        with this.ledger() as ledger:
            rows = ledger.waivers()
    _tell(this, rows)


def _tell(this: App, rows: list[WaiverRow]) -> None:
    now = this.now()
    if this.json:
        from auditor.cli._answer import envelope

        envelope("waivers", [row_of(row, now) for row in rows], as_of=now)
        return
    from auditor.cli._text import plural, table, when, write

    if not rows:
        write(["No waivers. `auditor waivers add --help` says how one is entered."])
        return
    said = [
        (
            row.waiver_id,
            _state(row, now),
            when(row.expires_at)[:10],
            row.rule,
            row.subject,
            row.approver,
            row.reason,
        )
        for row in rows
    ]
    headers = ("WAIVER", "STATE", "EXPIRES", "RULE", "SUBJECT", "APPROVED BY", "REASON")
    force = sum(_state(row, now) == "in force" for row in rows)
    lines = table(headers, said, keys=("SUBJECT",), fixed=("WAIVER", "STATE", "EXPIRES"))
    write([*lines, "", f"{plural(len(rows), 'waiver')}, {force} in force."])


def row_of(row: WaiverRow, now: datetime) -> dict[str, Any]:
    """Return a waiver as `waivers --json` gives it."""
    return {
        "waiver_id": row.waiver_id,
        "state": _state(row, now),
        "rule": row.rule,
        "subject": row.subject,
        "finding_id": row.finding_id,
        "reason": row.reason,
        "requester": row.requester,
        "approver": row.approver,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
        "revoked_by": row.revoked_by,
        "revoked_reason": row.revoked_reason,
    }


def _state(row: WaiverRow, now: datetime) -> str:
    if row.revoked_at is not None:
        return "revoked"
    return "in force" if row.expires_at > now else "expired"


@command.command("add")
@click.argument("finding", required=False)
@click.option("--rule", help="Rule id, or a glob; instead of a finding.")
@click.option("--subject", help="Subject key, or a glob; instead of a finding.")
@click.option("--reason", required=True, help="Why.")
@click.option("--requester", required=True, help="Who asks for it.")
@click.option("--approver", required=True, help="Who approves it: somebody else.")
@click.option(
    "--expires", required=True, metavar="TIME", help="Until when: a date, or 30d from now; 90 days at most."
)
@answering
def add(
    finding: str | None,
    rule: str | None,
    subject: str | None,
    reason: str,
    requester: str,
    approver: str,
    expires: str,
) -> None:
    """Waive a FINDING, or whatever a rule says of a subject, until a time.

    A waived finding stays open and counted as waived; the second the waiver expires it counts as before.
    """
    this = app()
    if (finding is None) == (rule is None and subject is None):
        raise UsageError(
            "a waiver is of a finding, or of a rule and a subject", remedy="Give one of the two."
        )
    now = this.now()
    with this.ledger() as ledger:
        finding_id = None
        if finding is not None:
            found = ledger.finding(finding)
            if found is None:
                raise UsageError(f"there is no finding {finding!r}", remedy="`auditor findings` lists them.")
            finding_id = found.finding_id
        row = ledger.waive(
            reason=reason,
            requester=requester,
            approver=approver,
            expires_at=ahead(expires, now),
            now=now,
            finding_id=finding_id,
            rule=_rule_id(this, rule),
            subject=subject or "",
            longest_d=_longest_d(this),
        )
    _tell(this, [row])


def _longest_d(this: App) -> int:
    """Return how many days a waiver may last: what the configuration says to SCN-009, and never more than 90."""
    from auditor.config_read import Wrong, duration
    from auditor.ledger.waivers import LONGEST_D

    for word in ("SCN-009", "waiver-valid"):
        given = this.config().params.get(word, {}).get("max_length")
        if isinstance(given, str):
            try:
                return min(LONGEST_D, duration(given) // 86_400)
            except Wrong as error:
                raise UsageError(f"[params.{word}] max_length: {error}") from None
    return LONGEST_D


def _rule_id(this: App, word: str | None) -> str:
    """Return a rule's id for its code; a glob stays as it is."""
    if not word or any(char in word for char in "*?["):
        return word or ""
    return this.pack().find(word).id


@command.command("revoke")
@click.argument("waiver")
@click.option("--by", required=True, help="Who ends it.")
@click.option("--reason", required=True, help="Why.")
@answering
def revoke(waiver: str, by: str, reason: str) -> None:
    """End a waiver before its time."""
    this = app()
    with this.ledger() as ledger:
        row = ledger.revoke_waiver(waiver, by=by, reason=reason, now=this.now())
    _tell(this, [row])
