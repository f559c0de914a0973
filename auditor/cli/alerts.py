"""List what was told and what waits, send what is due, a test, or a dead letter again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import App, answering, app
from auditor.cli._lifecycle import ack, silence, silences, unsilence
from auditor.errors import AuditorError, UsageError

if TYPE_CHECKING:
    from auditor.ledger import Sending

STATES = ("pending", "sending", "delivered", "dead", "held")


@click.group("alerts", invoke_without_command=True)
@answering
def command() -> None:
    """List what was told and what waits, send what is due, a test, or a dead letter again. Without a word after it: list."""
    if click.get_current_context().invoked_subcommand is None:
        _list(app())


for each in (ack, silence, silences, unsilence):
    command.add_command(each)


@command.command("list")
@click.option(
    "--state", type=click.Choice(STATES), default=None, metavar="STATE", help=f"One of {', '.join(STATES)}."
)
@click.option("--route", "--channel", default="", help="Route.")
@click.option(
    "--within", default="", metavar="ID", help="What one digest, one silence or one flapping holds."
)
@answering
def list_(state: str | None, route: str, within: str) -> None:
    """List the outbox, oldest first."""
    _list(app(), state or "", route, within)


@command.command("dead")
@click.option("--route", default="", help="Route.")
@answering
def dead(route: str) -> None:
    """List the dead letters: what a route could not deliver. `replay` sends one again."""
    _list(app(), "dead", route)


def _list(this: App, state: str = "", route: str = "", within: str = "") -> None:
    rows: list[Sending] = []
    if this.ledger_path.exists():
        with this.ledger() as ledger:
            rows = ledger.outbox(state=state, channel=route, within=within)
    if route and not rows and route not in (known := this.config().alerts):
        from auditor.config_read import did_you_mean
        from auditor.errors import UsageError

        raise UsageError(f"there is no route {route!r}, and no alert for it{did_you_mean(route, known)}")
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
    tried = any(row.last_error for row in rows)
    said = [
        (
            row.alert.alert_id,
            row.state,
            row.alert.channel,
            when(row.created_at),
            _title(row),
            *((row.attempts, row.last_error) if tried else ()),
        )
        for row in rows
    ]
    headers = ("ALERT", "STATE", "ROUTE", "CREATED", "TITLE", *(("TRIES", "LAST ERROR") if tried else ()))
    lines = table(headers, said, right=("TRIES",) if tried else (), fixed=("ALERT", "STATE", "CREATED"))
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
        "within": row.within,
        "held": row.held,
    }


@command.command("send")
@answering
def send() -> None:
    """Send what is due now, reminders too; every scan does so when it is done."""
    from auditor.cli._channels import told, ways

    this = app()
    rows: list[Sending] = []
    known = ways(this.config())
    if this.ledger_path.exists():
        with this.ledger() as ledger:
            told(this.config(), ledger, this.now)
            rows = [row for row in ledger.outbox() if row.state in ("pending", "sending") and not row.within]
    for route in sorted({row.alert.channel for row in rows} - set(known)):
        waiting = sum(row.alert.channel == route for row in rows)
        this.tell(f"{waiting} for the route {route!r}, which is not configured: they wait until it is")
    _tell(this, rows)


@command.command("test")
@click.argument("route")
@answering
def test(route: str) -> None:
    """Send one test message by a route of the configuration."""
    import uuid

    from auditor.cli._answer import stamp
    from auditor.cli._channels import ways
    from auditor.config_read import did_you_mean
    from auditor.ledger import Alert

    this = app()
    known = ways(this.config())
    if route not in known:
        raise UsageError(
            f"no route {route!r} is configured{did_you_mean(route, known)}",
            remedy=f"Give [alerts.{route}] an address in {this.path}.",
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
        route,
        "test",
        (),
        {"type": "auditor.test", "timestamp": stamp(now), "data": data},
    )
    with this.ledger(create=True) as ledger:
        ledger.post([alert], now)
    _send(this, [alert.alert_id])


@command.command("replay")
@click.argument("alert", required=False)
@click.option("--dead", "all_dead", is_flag=True, help="All dead letters, not one alert.")
@click.option("--route", default="", help="With --dead: those of one route.")
@answering
def replay(alert: str | None, all_dead: bool, route: str) -> None:
    """Send an alert again under the same id, and switch its route on again."""
    this = app()
    if bool(alert) == all_dead:
        raise click.UsageError("Name one alert, or --dead for all dead letters.")
    with this.ledger() as ledger:
        ids = (
            [alert]
            if alert
            else [row.alert.alert_id for row in ledger.outbox(state="dead", channel=route) if not row.within]
        )
        for each in ids:
            ledger.replay_alert(each, this.now())
    _send(this, ids)


def _send(this: App, alert_ids: list[str]) -> None:
    """Send these alone, whatever the rate of their routes: a person asked for them."""
    from auditor.alerts import deliver
    from auditor.cli._channels import ways

    known = ways(this.config())
    with this.ledger() as ledger:
        for each in alert_ids:
            deliver(ledger, known, this.now, only=each)
        rows = [one for one in ledger.outbox() if one.alert.alert_id in alert_ids]
        off = ledger.channels_off()
    _tell(this, rows)
    failed = [row for row in rows if row.state != "delivered"]
    if failed:
        route = failed[0].alert.channel
        why = failed[0].last_error or (
            f"its route {route!r} is not configured"
            if route not in known
            else f"its route {route!r} is switched off since it answered {off[route]}"
            if route in off
            else "something of the same matter waits before it"
        )
        raise AuditorError(
            f"{failed[0].alert.alert_id} was not delivered: {why}",
            remedy="It stays in the outbox; `auditor alerts replay` sends it again.",
        )
