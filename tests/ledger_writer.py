"""Another process at a ledger: writes scans, sends alerts, and dies where it is told to.

python ledger_writer.py PATH record DAY CHECKPOINT     kill -9 itself at a checkpoint of that scan
python ledger_writer.py PATH many FIRST COUNT          record so many scans, waiting its turn
python ledger_writer.py PATH decide WHO COUNT        ack, silence, post and end so many times, waiting its turn
python ledger_writer.py PATH send URL WHEN CA          kill -9 itself before or after a message went
python ledger_writer.py PATH drain URL CA HOURS RATE   send by the routes a and b until nothing is left
python ledger_writer.py PATH migrate STEP              kill -9 itself within or after a migration
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ledger_case import day, outcome, scan

from auditor.alerts.channels import webhook
from auditor.alerts.deliver import Answer, Way, deliver
from auditor.alerts.outgoing import Out
from auditor.config_alerts import Outgoing
from auditor.drift import Present, compare
from auditor.errors import UsageError
from auditor.ledger import Alert, Ledger, Memories, PointMemory, Sending, storage


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def record_day(ledger: Ledger, n: int) -> None:
    before = ledger.state(day(n))
    outcomes = [outcome("fail", f"arn:aws:s3:::b{k}") for k in range(n)]
    drift = compare(before.past, Present(outcomes), now=day(n))
    alerts = [Alert(f"msg_{n}", "hook", "opened", (f"key-{n}",), {"type": "t", "n": n})]
    points = [PointMemory(f"p{n}", "1", "r", "v", "b", "COMPLETED", None, None)]
    memories = Memories(points=points)
    cursors = {("aws_cloudtrail", "111111111111"): f"at {n}"}
    ledger.record(scan(n, cursors=cursors), outcomes, drift, memories, alerts, at=day(n))


def record(path: str, n: str, at: str) -> None:
    def checkpoint(name: str) -> None:
        if name == at:
            die()

    with Ledger.open(path, checkpoint=checkpoint) as ledger:
        record_day(ledger, int(n))


def many(path: str, first: str, count: str) -> None:
    with Ledger.open(path, busy_s=30) as ledger:
        for n in range(int(first), int(first) + int(count)):
            last = ledger.latest_scan()
            at = (last.at if last else day(0)) + timedelta(seconds=1)
            while True:
                try:
                    ledger.record(scan(n), [outcome("fail")], at=at)
                    break
                except UsageError:  # the other was first: take a later time
                    at += timedelta(seconds=1)


def decide(path: str, who: str, count: str) -> None:
    """Do what a person does, and a service beside them, at the very same time as another process does it."""
    with Ledger.open(path, busy_s=30) as ledger:
        now = day(10)

        def entered(enter: Callable[[datetime], Any]) -> Any:
            nonlocal now
            while True:
                now += timedelta(seconds=1)
                with suppress(UsageError):  # the other was first: take a later time
                    return enter(now)

        for n in range(int(count)):
            ledger.post([Alert(f"msg_{who}_{n}", "hook", "test", (), {"n": n})], now)
            note = Alert(f"msg_ack_{who}_{n}", "hook", "acknowledged", ("key-1",), {})
            silence = entered(
                lambda at: ledger.silence(
                    rule="x*", reason="work", by=who, until=at + timedelta(hours=9), now=at
                )
            )
            entered(
                lambda at, note=note: ledger.acknowledge(
                    "msg_1", reason="on it", by=who, now=at, told=lambda *_: note
                )
            )
            entered(
                lambda at, name=silence.silence_id: ledger.end_silence(name, by=who, reason="done", now=at)
            )


def send(path: str, url: str, when: str, trusted: str) -> None:
    os.environ["HOOK"] = "whsec_" + "A" * 43 + "="
    way_out = Out(Outgoing(("127.0.0.1/32",), trusted))
    through = webhook.channel(webhook.Settings(url=url, secret="env:HOOK"), way_out)

    def dying(sending: Sending, now: object) -> Answer:
        if when == "before":
            die()
        answer = through(sending, day(50))
        if when == "after":
            die()
        return answer

    with Ledger.open(path) as ledger:
        deliver(ledger, {"hook": Way(dying)}, lambda: day(50), lease_s=60)


def drain(path: str, url: str, trusted: str, hours: str, rate: str) -> None:
    """Send by two routes until nothing is left, six hours a round, the first of them from so many hours on."""
    os.environ["HOOK"] = "whsec_" + "A" * 43 + "="
    way_out = Out(Outgoing(("127.0.0.1/32",), trusted))
    ways = {
        name: Way(
            webhook.channel(webhook.Settings(url=f"{url}/{name}", secret="env:HOOK", timeout_s=60), way_out),
            int(rate),
        )
        for name in ("a", "b")
    }
    at = day(0) + timedelta(hours=int(hours))
    with Ledger.open(path, busy_s=30) as ledger:
        for _ in range(100):
            if not [row for row in ledger.outbox() if row.state in ("pending", "sending")]:
                return
            now = at = at + timedelta(hours=6)
            deliver(ledger, ways, lambda now=now: now)  # type: ignore[misc]
    sys.exit(3)


def migrate(path: str, step: str) -> None:
    def second(database: object) -> None:
        database.execute("CREATE TABLE added (n INTEGER) STRICT")  # type: ignore[attr-defined]
        if step == "within":
            die()

    storage.MIGRATIONS = (*storage.MIGRATIONS, second)
    storage.VERSION += 1
    Ledger.open(Path(path)).close()
    if step == "after":
        die()


if __name__ == "__main__":
    {"record": record, "many": many, "decide": decide, "send": send, "drain": drain, "migrate": migrate}[
        sys.argv[2]
    ](sys.argv[1], *sys.argv[3:])
