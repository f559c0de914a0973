"""`alerts ack`, `silence`, `silences` and `unsilence`: who works on what, and what is not told until when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import App, ahead, answering, app

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from auditor.ledger import Alert, Ledger
    from auditor.ledger.silences import Acknowledgement, Silence


@click.command("ack")
@click.argument("matter", metavar="ALERT|FINDING")
@click.option("--reason", required=True, help="What is done about it.")
@click.option("--by", required=True, help="Who works on it.")
@answering
def ack(matter: str, reason: str, by: str) -> None:
    """Say that somebody works on an alert's matters, or on a finding.

    It is not reminded of until it ends, gets worse or begins anew. Routes that heard of it, and want that, hear who works on it.
    """
    from auditor.alerts.due import acknowledged
    from auditor.scan import routes

    this = app()
    now = this.now()
    asked = {route.channel for route in routes(this.config()) if "acknowledged" in route.events}

    def told(channel: str, named: Mapping[str, str]) -> Alert | None:
        return acknowledged(channel, named, reason, by, now) if channel in asked else None

    with this.ledger() as ledger:
        done = ledger.acknowledge(matter, _finding(ledger, matter), reason=reason, by=by, now=now, told=told)
    if this.json:
        from auditor.cli._answer import envelope

        envelope("acknowledgements", [_ack_row(each) for each in done], as_of=now)
        return
    from auditor.cli._text import plural, safe, write

    write([*(f"{each.ack_id}  {safe(each.resource)}" for each in done[:20]), "",
           f"{plural(len(done), 'matter')} acknowledged by {safe(by)}."])  # fmt: skip


def _finding(ledger: Ledger, word: str) -> list[tuple[str, str]]:
    from auditor.alerts.items import about, dedup_key

    found = None if word.startswith("msg_") else ledger.finding(word)
    if found is None or found.state != "open":
        return []
    return [
        (dedup_key("finding", about(found.subject_table, found.subject_key), found.rule), found.subject_key)
    ]


def _ack_row(row: Acknowledgement) -> dict[str, Any]:
    return {
        "ack_id": row.ack_id,
        "dedup_key": row.dedup_key,
        "resource": row.resource,
        "reason": row.reason,
        "by": row.author,
        "at": row.at,
    }


@click.command("silence")
@click.option("--rule", default="", metavar="GLOB", help="Rule id or code.")
@click.option("--resource", default="", metavar="GLOB", help="Resource.")
@click.option("--zone", default="", metavar="GLOB", help="Zone; what has none is not silenced by it.")
@click.option("--owner", default="", metavar="GLOB", help="Owner; what has none is not silenced by it.")
@click.option("--until", required=True, metavar="TIME", help="A date, or 8h from now; 30 days at most.")
@click.option("--reason", required=True, help="Why.")
@click.option("--by", required=True, help="Who asks for it.")
@answering
def silence(rule: str, resource: str, zone: str, owner: str, until: str, reason: str, by: str) -> None:
    """Tell nothing of what fits all that is given, until a time.

    Findings, reports and drift are as they are, and what begins meanwhile is kept: what is still open when the
    silence ends is told then. Blindness and undelivered alerts are told all the same.
    """
    this = app()
    now = this.now()
    with this.ledger(create=True) as ledger:
        row = ledger.silence(
            rule=rule,
            resource=resource,
            zone=zone,
            owner=owner,
            until=ahead(until, now),
            reason=reason,
            by=by,
            now=now,
        )
    _tell(this, [(row, 0, 0)])


@click.command("silences")
@answering
def silences() -> None:
    """List every silence, in force or over, with what it kept back."""
    this = app()
    rows: list[tuple[Silence, int, int]] = []
    if this.ledger_path.exists():
        with this.ledger() as ledger:
            rows = ledger.silences()
    _tell(this, rows)


@click.command("unsilence")
@click.argument("silence")
@click.option("--by", required=True, help="Who ends it.")
@click.option("--reason", required=True, help="Why.")
@answering
def unsilence(silence: str, by: str, reason: str) -> None:
    """End a silence before its time; what it kept back and is still open is told with the next sending."""
    this = app()
    with this.ledger() as ledger:
        row = ledger.end_silence(silence, by=by, reason=reason, now=this.now())
        rows = [each for each in ledger.silences() if each[0].silence_id == row.silence_id]
    _tell(this, rows)


def _tell(this: App, rows: Sequence[tuple[Silence, int, int]]) -> None:
    now = this.now()
    if this.json:
        from auditor.cli._answer import envelope

        envelope("silences", [row_of(*row, now) for row in rows], as_of=now)
        return
    from auditor.cli._text import plural, table, when, write

    if not rows:
        write(["No silences. `auditor alerts silence --help` says how one is entered."])
        return
    said = [
        (row.silence_id, _state(row, now), when(row.end), messages, _of(row), row.author, row.reason)
        for row, messages, _ in rows
    ]
    headers = ("SILENCE", "STATE", "UNTIL", "KEPT", "OF", "BY", "REASON")
    force = sum(row.at(now) for row, _, _ in rows)
    lines = table(headers, said, keys=("OF",), right=("KEPT",), fixed=("SILENCE", "STATE", "UNTIL"))
    write([*lines, "", f"{plural(len(rows), 'silence')}, {force} in force."])


def row_of(row: Silence, messages: int, matters: int, now: datetime) -> dict[str, Any]:
    """Return a silence as `alerts silences --json` gives it."""
    return {
        "silence_id": row.silence_id,
        "state": _state(row, now),
        "rule": row.rule,
        "resource": row.resource,
        "zone": row.zone,
        "owner": row.owner,
        "reason": row.reason,
        "by": row.author,
        "created_at": row.created_at,
        "until": row.until,
        "ended_at": row.ended_at,
        "ended_by": row.ended_by,
        "ended_reason": row.ended_reason,
        "messages_held": messages,
        "matters_held": matters,
    }


def _state(row: Silence, now: datetime) -> str:
    if row.ended_at is not None:
        return "ended"
    return "in force" if row.at(now) else "over"


def _of(row: Silence) -> str:
    named = (("rule", row.rule), ("resource", row.resource), ("zone", row.zone), ("owner", row.owner))
    return ", ".join(f"{name} {glob}" for name, glob in named if glob)
