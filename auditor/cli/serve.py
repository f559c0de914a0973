"""Run scans, reports and alerts on schedule, and show how they fare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import click

from auditor.cli._app import App, app, shared

if TYPE_CHECKING:
    from auditor.config import Config
    from auditor.service.instance import Job
    from auditor.service.log import Log
    from auditor.service.serve import Service

FORMS = ("auto", "text", "json")


@click.command("serve")
@click.option("--listen", metavar="HOST:PORT", help="In place of [service] listen; empty: no port.")
@click.option(
    "--log", "form", type=click.Choice(FORMS), default="auto", show_default=True,
    help="Lines on stderr; auto: words on a terminal, JSON otherwise.",
)  # fmt: skip
@shared
def command(listen: str | None, form: Literal["auto", "text", "json"]) -> int:
    """Run scans, reports and alerts on schedule, and show how they fare.

    [schedule] says when, [service] how: docs/service.md. Each time that is due is a row of the ledger and is run once; what
    was missed is caught up once. Several instances may run on one ledger: one leads, the others stand by.

    \b
    /healthz   200 while the process lives
    /readyz    200 while the ledger can be read and written, a leader is
               known and the last scan is not overdue
    /metrics   OpenMetrics

    Ctrl-C or SIGTERM ends it within [service] stop: a scan that runs may end, or is cut off and made again by the next
    instance. Exit code 0 then; 2: the configuration or the ledger cannot be used.
    """  # noqa: D301
    from auditor.errors import UsageError
    from auditor.service import serve as service

    this = app()
    config = this.config()
    address = _address(config, listen)
    log = logging_as(this, form)
    path = this.ledger_path
    new = not path.exists()
    service.opened(path)
    made = _service(this, config, log)
    if not made.instance.jobs and not made.ways:
        raise UsageError(
            "nothing is scheduled and no route is configured", remedy=f"Set [schedule] in {this.path}."
        )
    return _run(made, config, address, {"ledger": str(path), **({"new_ledger": True} if new else {})})


def logging_as(this: App, form: Literal["auto", "text", "json"]) -> Log:
    """Return what says what happens."""
    import sys

    from auditor.service.log import Log

    chosen: Literal["text", "json"] = "json" if form == "auto" and not sys.stderr.isatty() else "text"
    return Log(this.now, chosen if form == "auto" else form, quiet=this.verbosity < 0)


def _address(config: Config, listen: str | None) -> tuple[str, int] | None:
    from auditor.config_service import listening
    from auditor.errors import UsageError

    text = config.service.listen if listen is None else listen
    found = listening(text)
    if text and (found is None or found[1] > 65_535):
        raise UsageError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:9847")
    return found


def _service(this: App, config: Config, log: Log) -> Service:
    import time

    from auditor.cli._channels import ways
    from auditor.config_service import scan_times
    from auditor.ledger import local_owner
    from auditor.ledger.owner import is_gone
    from auditor.scan import routes
    from auditor.service.condition import Condition
    from auditor.service.election import Election
    from auditor.service.instance import Instance
    from auditor.service.serve import Service
    from auditor.timetable import longest_gap_s

    holder, lease_s = local_owner(), config.service.lease
    scans = scan_times(config.schedule, config.scan)
    interval_s = longest_gap_s(scans) if scans else 0
    return Service(
        path=this.ledger_path,
        instance=Instance(
            holder, _jobs(this, config), Election(lease_s, is_gone), log, config.service.longest
        ),
        condition=Condition(holder, lease_s, interval_s, this.now()),
        ways=ways(config),
        tell=log,
        clock=this.now,
        mono=time.monotonic,
        ping=_ping(config),
        routes=routes(config),
    )


def _jobs(this: App, config: Config) -> list[Job]:
    from auditor.config_service import report_times, scan_times
    from auditor.ledger.agenda import SCAN
    from auditor.service.instance import Job
    from auditor.service.runs import running_auditor

    at = str(this.path)
    scans, reports = scan_times(config.schedule, config.scan), report_times(config.schedule)
    jobs = []
    if scans:
        jobs.append(
            Job(
                SCAN,
                scans,
                running_auditor(at, "scan", "--slot", "{slot}", "--no-send", "--json"),
                at_once=True,
            )
        )
    if reports:
        jobs.append(
            Job("report", reports, running_auditor(at, "report", "deliver", "--to", "{slot}", "--json"))
        )
    return jobs


def _ping(config: Config) -> Any:
    if not config.service.heartbeat_url:
        return None
    from auditor.alerts.outgoing import Out
    from auditor.alerts.secret import reveal
    from auditor.service.serve import heartbeat

    reference = config.service.heartbeat_url
    return heartbeat(lambda: reveal(reference), Out(config.outgoing))


def _run(made: Service, config: Config, address: tuple[str, int] | None, about: dict[str, Any]) -> int:
    """Serve until a signal, or Ctrl-C, says to stop."""
    import os
    import signal
    import sys

    from auditor.service.port import Port

    def stop(*_: object) -> None:
        made.stopping.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, stop)
    port = Port(address, made.pages()) if address else None
    if port and address:
        about["listen"] = f"http://{f'[{address[0]}]' if ':' in address[0] else address[0]}:{port.number}"
    made.tell("serving", {**about, "holder": made.instance.holder, "routes": ", ".join(made.ways) or "none"})
    idle = made.run(config.service.stop)
    if port:
        port.close()
    if not idle:  # a receiver that does not answer would hold the process up: what it was sent is sent again
        sys.stderr.flush()
        os._exit(0)
    return 0
