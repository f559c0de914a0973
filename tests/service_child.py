"""Services in processes of their own, to be killed: python service_child.py PLAN

Forks a service for each line it reads, and answers with its process id. The process that forks never starts a thread,
and imports everything once. A service rings its loops itself, on a clock on which an hour takes a second; each scan is a
process that it forks.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ledger_case import T0, outcome, scan

from auditor.alerts.channels import webhook
from auditor.alerts.deliver import Way
from auditor.alerts.outgoing import Out
from auditor.config_alerts import Outgoing
from auditor.drift import Present, compare
from auditor.errors import AuditorError, BusyError
from auditor.ledger import Alert, Ledger, local_owner
from auditor.ledger.agenda import SCAN, Slot
from auditor.ledger.owner import is_gone
from auditor.model import Outcome
from auditor.service import serve
from auditor.service.condition import Condition
from auditor.service.election import Election
from auditor.service.instance import Ended, Instance, Job
from auditor.service.serve import Service
from auditor.timetable import Every

SPEED = 3600.0
LEASE_S = 1800
"""Half a second of ours."""


@dataclass(frozen=True)
class Plan:
    """What all processes agree on."""

    path: str
    url: str
    trusted: str
    began: float
    """By the clock that only grows, which processes share."""
    speed: float = SPEED
    config: str = ""
    """A configuration: then each scan is a real one of what it names, and not a stub."""

    def mono(self) -> float:
        return (time.monotonic() - self.began) * self.speed

    def clock(self) -> datetime:
        return T0 + timedelta(seconds=self.mono())


def outcomes(k: int) -> list[Outcome]:
    """Return what the k-th scan finds."""
    return [
        outcome(
            ("fail", "unknown")[(k + n) % 7 == 0],
            f"arn:aws:s3:::b{n}",
            because=f"it is so for {(k + n) // 3}",
        )
        for n in range(8)
        if (k * 3 + n) % 4
    ]


def recorded(ledger: Ledger, k: int, at: datetime, **more: Any) -> None:
    """Record the k-th scan, with two alerts."""
    before = ledger.state(at)
    drift = compare(before.past, Present(outcomes(k)), now=at)
    alerts = [Alert(f"msg_{k}_{n}", "hook", "changed", (), {"type": "t", "k": k, "n": n}) for n in range(2)]
    ledger.record(scan(k, **more), outcomes(k), drift, None, alerts, at=at)


def scan_once(plan: Plan, slot: str) -> int:
    """Make one scan; return the exit code that `auditor scan` would."""
    try:
        with Ledger.open(plan.path, busy_s=30) as ledger:
            if plan.config:
                scanned(ledger, Path(plan.config), slot, plan.clock())
                return 0
            lease = ledger.begin(slot, local_owner(), 3600, at := plan.clock())
            time.sleep(random.uniform(0.0, 0.05))
            recorded(ledger, len(ledger.scans(state="finished")) + 1, at, slot=slot, lease=lease)
    except BusyError:
        return BusyError.exit_code
    except AuditorError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


BUCKETS = ("claims", "billing", "hr", "trials")
ACCOUNT, REGION = "111111111111", "eu-west-1"


def scanned(ledger: Ledger, path: Path, slot: str, at: datetime) -> None:
    """Make a real scan; before the k-th the buckets are as they are to be then, whoever tried it before and was killed."""
    import boto3

    from auditor import config as configuration
    from auditor import scan as scans
    from auditor import sources
    from auditor.alerts import routes
    from auditor.builtin import builtin
    from auditor.rulepack import load

    scans.LEASE_S = 86_400  # it is renewed by the true clock, and this one runs ahead of it
    sections: dict[str, Any] = {f"sources.{name}": sources.source(name).Settings for name in sources.NAMES}
    config = configuration.load(path, sections | routes.sections())
    rules = builtin("rules")
    k = len(ledger.scans(state="finished"))
    s3 = boto3.client("s3", REGION, endpoint_url=config.aws.endpoint)
    for n, name in enumerate(BUCKETS):
        said = "Suspended" if (k + n) % 3 == 0 else "Enabled"
        s3.put_bucket_versioning(Bucket=f"acme-{name}", VersioningConfiguration={"Status": said})
    scans.scan(config, ledger, load([rules], [rules / "frameworks"]), now=at, slot=slot)


class Scanner:
    """Forks a scan for each slot it is told, one after the other, from a process that never opened the ledger.

    No connection of SQLite may be carried over a fork (sqlite.org/howtocorrupt.html, 2.6).
    """

    def __init__(self, plan: Plan) -> None:
        self.begun = 0
        self.codes: dict[int, int] = {}
        asks, self.asked = os.pipe()
        self.told, tells = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self.asked)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self._work(plan, asks, tells)
        os.close(asks)
        os.close(tells)
        os.set_blocking(self.told, False)

    def _work(self, plan: Plan, asks: int, tells: int) -> None:
        with os.fdopen(asks) as lines:
            for n, line in enumerate(lines, start=1):
                if not (pid := os.fork()):
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
                    os._exit(scan_once(plan, line.strip()))
                _, status = os.waitpid(pid, 0)
                try:
                    os.write(tells, b"%d %d\n" % (n, os.waitstatus_to_exitcode(status)))
                except BrokenPipeError:  # the service was killed: its scan has ended as it would
                    break
        os._exit(0)

    def begin(self, slot: Slot) -> Forked:
        os.write(self.asked, f"{slot.name}\n".encode())
        self.begun += 1
        return Forked(self, self.begun)

    def code(self, n: int) -> int | None:
        """Return how the n-th scan ended; None while it runs."""
        with suppress(BlockingIOError):
            for line in os.read(self.told, 4096).decode().splitlines():
                which, code = map(int, line.split())
                self.codes[which] = code
        return self.codes.get(n)


class Forked:
    """A scan in a process that was forked."""

    def __init__(self, scanner: Scanner, n: int) -> None:
        self.scanner, self.n = scanner, n

    def ended(self) -> Ended | None:
        code = self.scanner.code(self.n)
        if code is None:
            return None
        if code == 0:
            return Ended("done")
        return Ended("busy" if code == BusyError.exit_code else "failed", f"exit code {code}")

    def stop(self) -> None:
        """Wait for it: it is short."""
        while self.ended() is None:
            time.sleep(0.005)


def served(plan: Plan) -> int:
    """Serve until SIGTERM."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
    os.environ["HOOK"] = "whsec_" + "A" * 43 + "="
    out = Out(Outgoing(("127.0.0.1/32",), plan.trusted))
    way = Way(webhook.channel(webhook.Settings(url=plan.url, secret="env:HOOK", timeout_s=5), out))
    holder = local_owner()
    jobs = [Job(SCAN, Every(3600), Scanner(plan).begin, at_once=True)]
    service = Service(
        path=Path(plan.path),
        instance=Instance(holder, jobs, Election(LEASE_S, is_gone), lambda *_: None),
        condition=Condition(holder, LEASE_S, 3600, plan.clock()),
        ways={"hook": way},
        tell=lambda *_: None,
        clock=plan.clock,
        mono=plan.mono,
    )
    serve.BUSY_S = 30.0
    while not stopping:
        service.ring()
        service.deliver()
        time.sleep(0.02)
    while service.instance.busy():
        time.sleep(0.005)
    with Ledger.open(plan.path, busy_s=30) as ledger:
        service.instance.resign(ledger, plan.clock())
    return 0


def main(plan_file: str) -> None:
    plan = Plan(**json.loads(Path(plan_file).read_text()))
    if plan.config:  # imported once, and not by each scan
        import boto3  # noqa: F401
        import duckdb  # noqa: F401

        import auditor.scan  # noqa: F401
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who was killed is gone at once
    for _ in sys.stdin:
        if not (pid := os.fork()):
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            random.seed()
            os._exit(served(plan))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
