"""Tell when scans or alerts have stopped: a second unit that only reads the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from auditor.cli._app import App, answering, app
from auditor.errors import INCOMPLETE

if TYPE_CHECKING:
    from auditor.alerts.deliver import Way
    from auditor.config import Config
    from auditor.service.watch import Limits, Trouble, Watcher


@click.command("watch")
@click.option("--once", is_flag=True, help="Look once, tell, and exit: for a timer.")
@click.option(
    "--log", "form", type=click.Choice(("auto", "text", "json")), default="auto", show_default=True,
    help="Lines on stderr; auto: words on a terminal, JSON otherwise.",
)  # fmt: skip
@answering
def command(once: bool, form: Literal["auto", "text", "json"]) -> int:
    """Tell when scans or alerts have stopped: a second unit that only reads the ledger.

    It looks every minute, and tells by the route of [service] watch when two intervals pass without a finished scan, when
    a scan or a report keeps failing, when no instance of `auditor serve` leads, when an alert waits for delivery too long,
    or when the ledger cannot be read; every hour it also looks through each page and walks the chain, and tells what is
    damaged or was altered. It repeats what lasts every [service] repeat, and says when it is over. It writes nothing.

    Exit code of --once: 0 all is well, 4 something is amiss, 2 the configuration cannot be used.
    """
    import time

    from auditor.cli.serve import logging_as
    from auditor.service.watch import AT_ONCE, Watcher, looked

    this = app()
    config = this.config()
    limits = _limits(config)
    log = logging_as(this, form)
    watcher = Watcher(str(this.ledger_path.absolute()), limits, _way(config), log)
    if once:
        troubles = looked(this.ledger_path, limits, this.now())
        if any(one.kind in AT_ONCE for one in troubles):
            time.sleep(1)  # a backup may have been put in its place at that moment
            troubles = looked(this.ledger_path, limits, this.now())
        _tell(this, troubles)
        for _ in range(2):  # what could not be read is told when it could not be twice
            watcher.turn(troubles, this.now(), 0.0)
        return INCOMPLETE if troubles else 0
    _watch(this, watcher, limits)
    return 0


def _limits(config: Config) -> Limits:
    from auditor.config_service import scan_times
    from auditor.service.watch import Limits
    from auditor.timetable import longest_gap_s

    times = scan_times(config.schedule, config.scan)
    return Limits(longest_gap_s(times) if times else 0, config.service.stuck, config.service.repeat)


def _way(config: Config) -> Way | None:
    from auditor.cli._channels import ways

    return ways(config).get(config.service.watch)


def _watch(this: App, watcher: Watcher, limits: Limits) -> None:
    import signal
    import threading
    import time

    from auditor.service.watch import TURN_S, Looks

    stopping = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stopping.set())
    watcher.tell("watching", {"ledger": watcher.place, "route": this.config().service.watch or "none"})
    looks = Looks(this.ledger_path, limits)
    while not stopping.is_set():
        watcher.turn(looks.look(this.now(), time.monotonic()), this.now(), time.monotonic())
        stopping.wait(TURN_S)


def _tell(this: App, troubles: list[Trouble]) -> None:
    if this.json:
        from auditor.cli._answer import envelope

        rows = [
            {"kind": one.kind, "since": one.since, "because": one.said, "remedy": one.remedy}
            for one in troubles
        ]
        envelope("watch", rows, as_of=this.now(), complete=not troubles)
        return
    from auditor.cli._text import safe, write

    lines = [line for one in troubles for line in (f"! {safe(one.said)}", f"    → {safe(one.remedy)}")]
    write(lines or ["All is well."])
