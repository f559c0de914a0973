"""kill -9 of services, senders and real scans at random moments: what is left is what an undisturbed run leaves (`make soak`)."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from alert_case import certificates, receiving
from ledger_case import T0
from service_child import ACCOUNT, BUCKETS, REGION, scanned
from test_service_kills import Pool, children, lossy

from auditor.errors import BusyError
from auditor.ledger import Filters, Ledger
from auditor.sandbox.aws import AwsCloud

KILLS = 24
SPEED = 360.0
"""An hour takes ten seconds: a scan takes some two."""
CONFIG = """
[state]
dir = "{state}"
[aws]
endpoint = "{endpoint}"
regions = ["{region}"]
[[aws.accounts]]
id = "{account}"
[sources.aws_s3]
[scan]
full = "1m"
[alerts]
allow = ["127.0.0.1/32"]
ca_file = "{trusted}"
[alerts.hook]
channel = "webhook"
url = "{url}"
secret = "env:HOOK"
severity = "low"
per_minute = 0
remind_critical = "0s"
remind_high = "0s"
"""


def left(ledger: Ledger) -> dict[str, Any]:
    """Return what people see but of the scanner itself, whose slots were missed: ids and times of scans apart."""
    found = [row for row in ledger.findings(Filters(state="all")) if not row.code.startswith("SCN")]
    rules = {row.rule for row in ledger.findings(Filters(state="all")) if row.code.startswith("SCN")}
    return {
        "findings": sorted((row.finding_id, row.state, row.verdict, row.because) for row in found),
        "histories": {
            row.finding_id: [(one.verdict, one.because, one.ended) for one in ledger.history(row.finding_id)]
            for row in found
        },
        "drift": [
            [
                (one.kind, one.rule, one.subject_key, one.field, one.before, one.after)
                for one in ledger.drift(scan=scan.scan)
                if one.rule not in rules
            ]
            for scan in ledger.scans(state="finished")
        ],
    }


def struck(pool: Pool, dice: random.Random) -> str:
    """Kill at any moment, or amid a scan: that scan, or the service that began it."""
    until = time.monotonic() + 15
    while dice.random() < 0.995 and time.monotonic() < until:
        running = [
            (at, scan)
            for at, pid in enumerate(pool.pids)
            for scanner in children(pid)
            for scan in children(scanner)
        ]
        if running:
            at, scan = running[0]
            time.sleep(dice.uniform(0.0, 2.0))
            if dice.random() < 0.6:
                with suppress(ProcessLookupError):
                    os.kill(scan, signal.SIGKILL)
                return "scan"
            os.kill(pool.pids[at], signal.SIGKILL)
            pool.pids[at] = pool.start()
            return "service"
        time.sleep(0.02)
    return pool.kill(dice)


@pytest.mark.skipif(not os.environ.get("AUDITOR_FULL_WALK"), reason="two minutes: `make soak`")
def test_real_scans_killed_with_services_and_senders_leave_what_an_undisturbed_run_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCOUNT)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("HOOK", "whsec_" + "A" * 43 + "=")
    dice = random.Random(11)
    accepted: Counter[str] = Counter()
    killed: Counter[str] = Counter()
    cloud = AwsCloud(judged=False)
    cloud.start()
    cloud.clock(T0)
    for name in BUCKETS:
        cloud.put_bucket(ACCOUNT, REGION, f"acme-{name}", at=T0 - timedelta(days=90))
    try:
        with receiving() as receiver:
            receiver.reply = lossy(receiver, dice, accepted)
            about = {"endpoint": cloud.endpoint, "region": REGION, "account": ACCOUNT, "url": receiver.url}
            about["trusted"] = str(certificates()[0])
            for name in ("disturbed", "quiet"):
                (tmp_path / f"{name}.toml").write_text(CONFIG.format(state=tmp_path / name, **about))
            path = tmp_path / "disturbed" / "ledger.sqlite3"
            Ledger.open(path).close()
            plan = {"path": str(path), "url": receiver.url, "trusted": about["trusted"], "speed": SPEED}
            plan |= {"began": time.monotonic(), "config": str(tmp_path / "disturbed.toml")}
            (tmp_path / "plan.json").write_text(json.dumps(plan))
            pool = Pool(tmp_path / "plan.json")
            try:
                time.sleep(2)
                for _ in range(KILLS):
                    killed[struck(pool, dice)] += 1
                deadline = (
                    time.monotonic() + 120
                )  # on a busy machine few scans come to their end between kills
                with Ledger.open(path) as ledger:
                    while time.monotonic() < deadline:
                        time.sleep(0.5)
                        waits = ledger.outbox(state="pending") or ledger.outbox(state="sending")
                        if not waits and len(ledger.scans(state="finished")) >= 3:
                            break
                pool.stop()
            finally:
                pool.close()
        with Ledger.open(path) as ledger, Ledger.open(tmp_path / "quiet" / "ledger.sqlite3") as quiet:
            over_by = time.monotonic() + 60  # a scan outlives the service that began it
            while time.monotonic() < over_by:
                with suppress(BusyError), ledger.alone():
                    break
                time.sleep(0.2)
            assert ledger.verify().because == ""
            assert ledger.damage() == []
            finished = ledger.scans(state="finished")
            assert max(Counter(scan.slot for scan in finished).values()) == 1
            slots = ledger.agenda.slots("scan")
            assert {later.due_at - sooner.due_at for sooner, later in pairwise(slots)} == {timedelta(hours=1)}
            sent = ledger.outbox()
            ids = {row.alert.alert_id for row in sent}
            waiting = {row.alert.alert_id for row in sent if row.state in ("pending", "sending")}
            waiting |= {row.alert.alert_id for row in sent if row.held}  # what comes and goes is kept back
            assert not [row for row in sent if row.state == "dead"]
            assert ids - waiting <= set(accepted) <= ids  # none lost, and none under another id
            for scan in finished:
                scanned(quiet, tmp_path / "quiet.toml", scan.slot, scan.at)
            assert left(ledger) == left(quiet)
        assert len(finished) >= 3
        assert min(killed["scan"], killed["service"]) >= 2, killed
        assert len(accepted) >= 3
    finally:
        cloud.stop()
