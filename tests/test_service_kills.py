"""kill -9 of services, senders and scans at random moments, under a receiver that loses what it can: nothing is lost or doubled."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from alert_case import Receiver, Reply, certificates, receiving
from ledger_case import T0
from service_child import recorded

from auditor.ledger import Filters, Ledger

KILLS = 200 if os.environ.get("AUDITOR_FULL_WALK") else 12
TESTS = Path(__file__).parent


def children(pid: int) -> list[int]:
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except FileNotFoundError:
        return []


class Pool:
    """Two services that are started anew whenever one is killed."""

    def __init__(self, plan: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"}
        command = [sys.executable, str(TESTS / "service_child.py"), str(plan)]
        self.forks = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pids = [self.start() for _ in range(2)]

    def start(self) -> int:
        assert self.forks.stdin is not None and self.forks.stdout is not None
        self.forks.stdin.write("service\n")
        self.forks.stdin.flush()
        return int(self.forks.stdout.readline())

    def kill(self, dice: random.Random) -> str:
        """Kill a service, or the scan that one of them runs."""
        at = dice.randrange(2)
        scans = [scan for scanner in children(self.pids[at]) for scan in children(scanner)]
        if scans and dice.random() < 0.5:
            with suppress(ProcessLookupError):
                os.kill(scans[0], signal.SIGKILL)
            return "scan"
        os.kill(self.pids[at], signal.SIGKILL)
        self.pids[at] = self.start()
        return "service"

    def stop(self) -> None:
        for pid in self.pids:
            os.kill(pid, signal.SIGTERM)
        for pid in self.pids:
            while Path(f"/proc/{pid}").exists():
                time.sleep(0.01)

    def close(self) -> None:
        assert self.forks.stdin is not None and self.forks.stdout is not None
        self.forks.stdin.close()
        self.forks.stdout.close()
        self.forks.wait(30)


def lossy(receiver: Receiver, dice: random.Random, accepted: Counter[str]) -> Any:
    """Answer as bad receivers do: not at all, too busy, or having taken it and not said so."""

    def reply(n: int) -> Reply | None:
        what, alert = dice.random(), receiver.got[n][1]["webhook-id"]
        if what < 0.1:
            return None
        if what < 0.25:
            return 503, {}, b""
        if what < 0.3:
            return 429, {"Retry-After": "1"}, b""
        accepted[alert] += 1
        return None if what < 0.4 else (204, {}, b"")

    return reply


def standing(ledger: Ledger) -> dict[str, Any]:
    """Return what people see: findings, their histories and drift, ids and times of scans apart."""
    found = sorted(ledger.findings(Filters(state="all")), key=lambda row: row.finding_id)
    return {
        "findings": [
            (row.finding_id, row.state, row.verdict, row.because, row.failed_checks, row.severity)
            for row in found
        ],
        "histories": [
            [(row.verdict, row.because, row.ended) for row in ledger.history(row.finding_id)] for row in found
        ],
        "drift": [
            [
                (one.kind, one.subject_key, one.field, one.before, one.after)
                for one in ledger.drift(scan=scan.scan)
            ]
            for scan in ledger.scans(state="finished")
        ],
    }


def test_services_senders_and_scans_killed_at_random_lose_and_double_nothing(tmp_path: Path) -> None:
    path, dice = tmp_path / "ledger.sqlite3", random.Random(5)
    Ledger.open(path).close()
    accepted: Counter[str] = Counter()
    killed: Counter[str] = Counter()
    with receiving() as receiver:
        receiver.reply = lossy(receiver, dice, accepted)
        plan = tmp_path / "plan.json"
        told = {
            "path": str(path),
            "url": receiver.url,
            "trusted": str(certificates()[0]),
            "began": time.monotonic(),
        }
        plan.write_text(json.dumps(told))
        pool = Pool(plan)
        try:
            time.sleep(0.5)
            for _ in range(KILLS):
                time.sleep(dice.uniform(0.0, 0.4))
                killed[pool.kill(dice)] += 1
            deadline = time.monotonic() + 60
            with Ledger.open(path) as ledger:
                while time.monotonic() < deadline:
                    time.sleep(0.2)
                    if not ledger.outbox(state="pending") and not ledger.outbox(state="sending"):
                        break
            pool.stop()
        finally:
            pool.close()
    assert killed["service"] >= KILLS / 3
    with Ledger.open(path) as ledger:
        assert ledger.verify().because == ""
        assert ledger.damage() == []
        finished = [scan.slot for scan in ledger.scans(state="finished")]
        assert max(Counter(finished).values()) == 1
        assert len(finished) >= 3
        slots = ledger.agenda.slots("scan")
        steps = {later.due_at - sooner.due_at for sooner, later in pairwise(slots)}
        assert steps == {timedelta(hours=1)}  # none was forgotten
        ends = {slot.state for slot in slots if slot.due_at < slots[-2].due_at}
        assert ends <= {"done", "missed", "failed"}
        assert {slot.scan for slot in slots if slot.state == "done"} == {
            scan.scan for scan in ledger.scans(state="finished")
        }
        sent = ledger.outbox()
        assert {row.alert.alert_id for row in sent} == {
            f"msg_{k + 1}_{n}" for k in range(len(finished)) for n in range(2)
        }
        waiting = {row.alert.alert_id for row in sent if row.state in ("pending", "sending")}
        assert len(waiting) <= 6  # of scans that ended with the services
        assert set(accepted) >= {row.alert.alert_id for row in sent} - waiting
        assert set(accepted) <= {
            row.alert.alert_id for row in sent
        }  # what came twice came under its first id
        seen = standing(ledger)
    with Ledger.open(tmp_path / "undisturbed") as quiet:
        for k in range(len(finished)):
            recorded(quiet, k + 1, T0 + timedelta(hours=k))
        assert seen == standing(quiet)
