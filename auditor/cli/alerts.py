"""List what was told and what waits, send a test, send a dead letter again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import App, answering, app
from auditor.errors import AuditorError, UsageError

if TYPE_CHECKING:
    from auditor.ledger import Sending

STATES = ("pending", "sending", "delivered", "dead")


@click.group("alerts", invoke_without_command=True)
@answering
def command() -> None:
    """List what was told and what waits, send a test, send a dead letter again. Without a word after it: list."""
    if click.get_current_context().invoked_subcommand is None:
        _list(app(), "", "")


@command.command("list")
@click.option(
    "--state", type=click.Choice(STATES), default=None, metavar="STATE", help=f"One of {', '.join(STATES)}."
)
@click.option("--channel", default="", help="Channel.")
@answering
def list_(state: str | None, channel: str) -> None:
    """List the outbox, oldest first; state `dead` are the dead letters."""
    _list(app(), state or "", channel)


def _list(this: App, state: str, channel: str) -> None:
    rows: list[Sending] = []
    if this.ledger_path.exists():
        with this.ledger() as ledger:
            rows = ledger.outbox(state=state, channel=channel)
    _tell(this, rows)


def _tell(this: App, rows: list[Sending]) -> None:
    if this.json:
        from auditor.cli._answer import envelope

        envelope("alerts", [row_of(row) for row in rows], as_of=this.now())
        return
    from auditor.cli._text import plural, table, when, write

    if not rows:
        write(["No alerts."])
        return
    said = [
        (
            row.alert.alert_id,
            row.state,
            row.alert.channel,
            row.attempts,
            when(row.created_at),
            _title(row),
            row.last_error,
        )
        for row in rows
    ]
    headers = ("ALERT", "STATE", "CHANNEL", "TRIES", "CREATED", "TITLE", "LAST ERROR")
    lines = table(headers, said, right=("TRIES",), fixed=("ALERT", "STATE", "CREATED"))
    counts = Counter(row.state for row in rows)
    told = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    write([*lines, "", f"{plural(len(rows), 'alert')}: {told}."])


def _title(row: Sending) -> str:
    return str(row.alert.body.get("data", {}).get("title", row.alert.event))


def row_of(row: Sending) -> dict[str, Any]:
    """Return an alert as `alerts --json` gives it."""
    return {
        "alert_id": row.alert.alert_id,
        "channel": row.alert.channel,
        "event": row.alert.event,
        "title": _title(row),
        "state": row.state,
        "created_at": row.created_at,
        "attempts": row.attempts,
        "next_at": row.next_at,
        "delivered_at": row.delivered_at,
        "last_error": row.last_error,
    }


@command.command("test")
@click.argument("channel")
@answering
def test(channel: str) -> None:
    """Send one test message through a channel of the configuration."""
    import uuid

    from auditor.cli._answer import stamp
    from auditor.cli._channels import channels
    from auditor.config_read import did_you_mean
    from auditor.ledger import Alert

    this = app()
    known = channels(this.config())
    if channel not in known:
        raise UsageError(
            f"no channel {channel!r} is configured{did_you_mean(channel, known)}",
            remedy=f"Give [alerts.{channel}] an address in {this.path}.",
        )
    now = this.now()
    data = {
        "title": "[TEST] auditor can reach you",
        "event": "test",
        "severity": "low",
        "count": 0,
        "items": [],
    }
    alert = Alert(
        f"msg_{uuid.uuid4().hex}",
        channel,
        "test",
        (),
        {"type": "auditor.test", "timestamp": stamp(now), "data": data},
    )
    with this.ledger(create=True) as ledger:
        ledger.post([alert], now)
    _send(this, alert.alert_id)


@command.command("replay")
@click.argument("alert")
@answering
def replay(alert: str) -> None:
    """Send an alert again under the same id, and switch its channel on again."""
    this = app()
    with this.ledger() as ledger:
        row = ledger.replay_alert(alert, this.now())
    _send(this, row.alert.alert_id)


def _send(this: App, alert_id: str) -> None:
    from auditor.alerts import deliver
    from auditor.cli._channels import channels

    with this.ledger() as ledger:
        deliver(ledger, channels(this.config()), this.now())
        row = next(one for one in ledger.outbox() if one.alert.alert_id == alert_id)
    _tell(this, [row])
    if row.state != "delivered":
        raise AuditorError(
            f"{alert_id} was not delivered: {row.last_error or 'its channel is not configured'}",
            remedy="It stays in the outbox; `auditor alerts replay` sends it again.",
        )
