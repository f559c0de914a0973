"""What the service must reach, with real processes: `auditor serve` over the sandbox's estate, on loopback.

Nothing is stubbed but the host names: instances that are to be of other machines say so, for else each sees at once that
another one's process has ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.changing import changing
from bench.figures import ROOT, Figure
from bench.receiver import SECRET, receiving

ACCOUNT = "111111111111"
REGION = "eu-west-1"
BUCKETS = ("claims", "billing", "hr")
LEASE_S = 5
"""The shortest that is allowed."""
NEAR, FAR = 38, 12
"""Leaders killed whose end the others see, and such of other machines."""
_ELSEWHERE = """\
import socket, sys
name = sys.argv.pop(1)
socket.gethostname = lambda: name
from auditor.__main__ import main
main()
"""


def service() -> Iterator[Figure]:
    """Tell how soon a change is told, how leaders are followed, what idles, and what ten thousand changes cost."""
    with tempfile.TemporaryDirectory() as text, receiving(Path(text)) as receiver:
        yield from _told(Path(text), receiver)
        yield from _followed(Path(text), receiver)
    yield from changing()


class Serving:
    """One `auditor serve`; its lines are read as they come."""

    def __init__(self, folder: Path, host: str = "") -> None:
        words = ["-c", "config.toml", "serve", "--log", "json"]
        front = [sys.executable, "-c", _ELSEWHERE, host] if host else [sys.executable, "-m", "auditor"]
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "x",
            "BENCH_HOOK": SECRET,
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.process = subprocess.Popen(
            [*front, *words], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[tuple[float, dict[str, Any]]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with suppress(ValueError):
                self.lines.append((time.monotonic(), json.loads(line)))

    def said(self, event: str) -> list[tuple[float, dict[str, Any]]]:
        return [(at, line) for at, line in list(self.lines) if line["event"] == event]

    def wait(self, event: str, count: int = 1, seconds: float = 90) -> tuple[float, dict[str, Any]]:
        """Wait until it said something so many times."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if len(found := self.said(event)) >= count:
                return found[count - 1]
            time.sleep(0.05)
        raise TimeoutError(f"it never said {event!r}: {self.lines[-3:]}")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def _config(endpoint: str, receiver: Any, state: str) -> str:
    return (
        f'[state]\ndir = "{state}"\n[aws]\nendpoint = "{endpoint}"\nregions = ["{REGION}"]\n'
        f'[[aws.accounts]]\nid = "{ACCOUNT}"\n[sources.aws_s3]\n'
        f'[schedule]\nscan = "1m"\nreport = "never"\n[service]\nlisten = "127.0.0.1:0"\nlease = "{LEASE_S}s"\n'
        + receiver.config('severity = "low"', "per_minute = 0")
    )


def _cloud() -> Any:
    from datetime import UTC, datetime, timedelta

    from auditor.sandbox.aws import AwsCloud

    made = AwsCloud(judged=False)
    made.start()
    now = datetime.now(UTC)  # noqa: TID251 - the service's own clock is the true one
    made.clock(now)
    for name in BUCKETS:
        made.put_bucket(ACCOUNT, REGION, f"acme-{name}", at=now - timedelta(days=90))
    return made


def _told(folder: Path, receiver: Any) -> Iterator[Figure]:
    """Suspend the versioning of a bucket by boto3, and wait for the message that says so; twice."""
    import boto3

    cloud = _cloud()
    (folder / "config.toml").write_text(_config(cloud.endpoint, receiver, "told"))
    s3 = boto3.client(
        "s3", REGION, endpoint_url=cloud.endpoint, aws_access_key_id=ACCOUNT, aws_secret_access_key="x"
    )
    serving = Serving(folder)
    waits, scans = [], []
    try:
        url = serving.wait("serving")[1]["listen"]
        for n, name in enumerate(BUCKETS[:2]):
            serving.wait("done", n + 1)
            time.sleep(5 + 20 * n)
            changed = time.monotonic()
            s3.put_bucket_versioning(Bucket=f"acme-{name}", VersioningConfiguration={"Status": "Suspended"})
            cloud.put_events(
                ACCOUNT, REGION, [_event(f"acme-{name}", n)]
            )  # the sandbox's trail is told by hand
            waits.append(_arrives(receiver, f"acme-{name}", "versioning", changed) - changed)
            done = serving.wait("done", n + 2)[0]
            scans.append(done - serving.wait("started", n + 2)[0])
        memory = _memory_mb(url)
    finally:
        serving.stop()
        cloud.stop()
    longest = max(scans)
    told = ", ".join(f"{each:.0f}" for each in waits)
    yield Figure(
        f"a change to its alert at the receiver, two changes ({told} s), scans every minute ({longest:.1f} s each)",
        f"{max(waits):.0f} s",
        f"{60 + longest:.0f} s: a scan and 60 s",
        max(waits) <= 60 + longest,
    )
    yield Figure("memory of the idle service after its scans", f"{memory:.0f} MB", "200 MB", memory <= 200)


def _event(bucket: str, n: int) -> dict[str, Any]:
    """Return what CloudTrail says of the change, at once: settings are asked again where it tells of a write."""
    from datetime import UTC, datetime

    return {
        "eventVersion": "1.11",
        "eventID": f"00000000-0000-4000-8000-{n:012d}",
        "eventTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",  # noqa: TID251 - the service's own clock is the true one
        "eventSource": "s3.amazonaws.com",
        "eventName": "PutBucketVersioning",
        "awsRegion": REGION,
        "sourceIPAddress": "198.51.100.7",
        "userAgent": "boto3",
        "userIdentity": {
            "type": "IAMUser",
            "principalId": "AIDAX",
            "arn": f"arn:aws:iam::{ACCOUNT}:user/ann",
            "accountId": ACCOUNT,
        },
        "recipientAccountId": ACCOUNT,
        "readOnly": False,
        "managementEvent": True,
        "eventCategory": "Management",
        "requestParameters": {"bucketName": bucket},
        "resources": [{"type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{bucket}", "accountId": ACCOUNT}],
    }


def _arrives(receiver: Any, resource: str, field: str, since: float) -> float:
    until = since + 180
    while time.monotonic() < until:
        for each in list(receiver.got):
            if each.at_s >= since and resource in (text := json.dumps(each.body)) and field in text:
                return float(each.at_s)
        time.sleep(0.05)
    raise TimeoutError(f"nobody was told of {resource}")


def _memory_mb(url: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        text = answer.read().decode()
    (line,) = [each for each in text.splitlines() if each.startswith("process_resident_memory_bytes ")]
    return float(line.split()[1]) / 1e6


def _followed(folder: Path, receiver: Any) -> Iterator[Figure]:
    """Kill the leader again and again among three instances that scan once a minute."""
    cloud = _cloud()
    (folder / "config.toml").write_text(_config(cloud.endpoint, receiver, "followed"))
    near: list[float] = []
    far: list[float] = []
    begun = time.monotonic()
    try:
        for waits, count, elsewhere in ((near, NEAR, False), (far, FAR, True)):
            number = 0

            def started(elsewhere: bool = elsewhere) -> Serving:
                nonlocal number
                number += 1
                return Serving(folder, f"host-{number}" if elsewhere else "")

            there = [started() for _ in range(3)]
            for _ in range(count):
                leader = _leader(there)
                time.sleep(0.3)
                killed = time.monotonic()
                os.kill(leader.process.pid, signal.SIGKILL)
                leader.process.wait()
                there.remove(leader)
                followed = _leader(there)
                waits.append(followed.said("leading")[-1][0] - killed)
                there.append(started())
            for each in there:
                each.wait("serving")
                each.stop()
        took = time.monotonic() - begun
    finally:
        cloud.stop()
    yield from _none_missed(folder / "followed" / "ledger.sqlite3", near, far, took)


def _leader(there: list[Serving]) -> Serving:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for each in there:
            if each.said("leading") and not each.said("deposed"):
                return each
        time.sleep(0.02)
    raise TimeoutError("nobody leads")


def _none_missed(path: Path, near: list[float], far: list[float], took: float) -> Iterator[Figure]:
    from auditor.ledger import Ledger

    with Ledger.look(path) as ledger:
        slots = ledger.agenda.slots("scan")
        finished = Counter(scan.slot for scan in ledger.scans(state="finished"))
        intact = ledger.verify().because
    steps = {(later.due_at - sooner.due_at).total_seconds() for sooner, later in pairwise(slots)}
    past = slots[:-1]
    missed = sum(slot.state in ("missed", "failed") for slot in past) + (steps != {60.0})
    doubled = sum(count - 1 for count in finished.values())
    killed = len(near) + len(far)
    what = f"slots missed or doubled of {len(past)}, one a minute, leader killed (-9) {killed} times among three in {took:.0f} s"
    yield Figure(what, str(missed + doubled), "0", not missed and not doubled and not intact)
    for whose, waits in (("on one machine", near), ("as on three machines", far)):
        what = f"longest takeover after a kill {whose}, {len(waits)} kills"
        longest = max(waits)
        within = f"{2 * LEASE_S} s: two leases"
        yield Figure(what, f"{longest:.1f} s", within, longest <= 2 * LEASE_S)
