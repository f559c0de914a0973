"""A scan that finds 10,000 changes against one that finds none: `python -m bench.changing WHAT ...`.

`cloud N` serves an account of N roles that trust somebody each, with a trail, in a process of its own; it changes as it is
told on standard input. `scan` makes one whole scan of it and sends what that has to say, in a process of its own too.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from bench.cloud import ACCOUNT, NOW, REGIONS
from bench.figures import Figure
from bench.receiver import SECRET, receiving

CHANGED = 10_000
MOST_MESSAGES = 20
SLOWER = 1.5
TRAIL_BUCKET = "bench-trail"


def changing() -> Iterator[Figure]:
    """Scan twice undisturbed, then after one hand changed all its 10,000 roles in a number, then in whom they trust."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        with receiving(folder) as receiver, _served(CHANGED) as tell:
            (folder / "hook.toml").write_text(receiver.config('severity = "low"'))
            _scanned(folder, tell, 0)
            calm = _scanned(folder, tell, 1)
            for n, word in ((2, "lengthen"), (3, "widen")):
                before = len(receiver.got)
                tell(f"{word} {_at(n, -20):%Y-%m-%dT%H:%M:%SZ}")
                loud = _scanned(folder, tell, n)
                ids = {each.alert_id for each in receiver.got[before:]}
                yield from _figures(word, calm, loud, ids, _reached(folder, ids, n))


_WHAT = {
    "lengthen": "longest sessions made longer",
    "widen": "trust policies widened, each compared by its meaning",
}


def _figures(
    word: str, calm: dict[str, float], loud: dict[str, float], ids: set[str], reached: int
) -> Iterator[Figure]:
    ratio = loud["cpu_s"] / calm["cpu_s"]
    cpu = f"CPU ({loud['cpu_s']:.1f} s) of a scan against one that finds no change ({calm['cpu_s']:.1f} s)"
    what = f"{CHANGED:,} {_WHAT[word]}, {loud['drift']:,.0f} lines of drift, to the last message: {cpu}"
    yield Figure(what, f"{ratio:.2f} x", f"{SLOWER} x", ratio <= SLOWER)
    within = f"{MOST_MESSAGES} at most"
    yield Figure("messages of it at the receiver", str(len(ids)), within, 0 < len(ids) <= MOST_MESSAGES)
    what = "changes that stand in these messages, or in what a digest of them holds"
    yield Figure(what, f"{reached:,}", f"{CHANGED:,}", reached == CHANGED)


def _at(n: int, minute: int = 0) -> datetime:
    return NOW + timedelta(hours=n, minutes=minute)


def _scanned(folder: Path, tell: Any, n: int) -> dict[str, float]:
    endpoint = tell(f"clock {_at(n):%Y-%m-%dT%H:%M:%SZ}")
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "x",
        "BENCH_HOOK": SECRET,
    }
    command = [sys.executable, "-m", "bench.changing", "scan", str(folder), endpoint, str(n)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return dict(json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def _served(roles: int) -> Iterator[Any]:
    """Start the account; yields what tells it something, and returns its address."""
    command = [sys.executable, "-m", "bench.changing", "cloud", str(roles)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        to, by = process.stdin, process.stdout
        assert to is not None
        assert by is not None

        def tell(line: str) -> str:
            to.write(f"{line}\n")
            to.flush()
            return by.readline().strip()

        try:
            yield tell
        finally:
            to.close()
            process.wait(30)


def _trust(open_: bool, n: int) -> dict[str, Any]:
    """Return a trust policy that lets two roles in; when it is open, one of them and everybody of the account."""
    whom = (f"role/caller-{n:05d}", "root" if open_ else f"role/other-{n:05d}")
    principal = {"AWS": [f"arn:aws:iam::{ACCOUNT}:{each}" for each in whom]}
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def cloud(roles: int) -> None:
    """Serve until the input ends; each line is answered with the address."""
    from auditor.sandbox.aws import AwsCloud

    made = AwsCloud(judged=False)
    endpoint = made.start()
    at = NOW - timedelta(days=90)
    for region in REGIONS:
        made.put_bucket(ACCOUNT, region, f"{TRAIL_BUCKET}-{region}", at=at)
    made.put_trail(ACCOUNT, REGIONS[0], "main", bucket=f"{TRAIL_BUCKET}-{REGIONS[0]}", at=at)
    arns = [
        made.put_role(ACCOUNT, f"role-{n:05d}", trust=_trust(open_=False, n=n), at=at) for n in range(roles)
    ]
    for line in sys.stdin:
        word, when = line.split()
        time = datetime.fromisoformat(when)
        if word == "clock":
            made.clock(time)
        else:
            for n, arn in enumerate(arns):
                made.set_role(
                    arn, **({"max_session_s": 43_200} if word == "lengthen" else {"trust": _trust(True, n)})
                )
            name = "UpdateRole" if word == "lengthen" else "UpdateAssumeRolePolicy"
            made.put_events(ACCOUNT, "us-east-1", [_event(n, time, name) for n in range(roles)])
        print(endpoint, flush=True)
    made.stop()


def _event(n: int, at: datetime, name: str) -> dict[str, Any]:
    """Return what CloudTrail says of one change."""
    return {
        "eventVersion": "1.11",
        "eventID": f"00000000-0000-4000-{8000 + len(name)}-{n:012d}",
        "eventTime": f"{at + timedelta(seconds=n // 100):%Y-%m-%dT%H:%M:%SZ}",
        "eventSource": "iam.amazonaws.com",
        "eventName": name,
        "awsRegion": "us-east-1",
        "sourceIPAddress": "198.51.100.7",
        "userAgent": "terraform",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": "AROAX:deploy",
            "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/deploy",
            "accountId": ACCOUNT,
        },
        "recipientAccountId": ACCOUNT,
        "readOnly": False,
        "managementEvent": True,
        "eventCategory": "Management",
        "requestParameters": {"roleName": f"role-{n:05d}"},
    }


def scanned(folder: Path, endpoint: str, n: int) -> None:
    """Scan, send, and print what that took."""
    from auditor import config as configuration
    from auditor import sources
    from auditor.alerts import deliver, routes
    from auditor.builtin import builtin
    from auditor.cli._channels import ways
    from auditor.ledger import Ledger
    from auditor.rulepack import load
    from auditor.scan import scan

    path = folder / "config.toml"
    path.write_text(
        f'[state]\ndir = "{folder}/state"\n[aws]\nendpoint = "{endpoint}"\nregions = {json.dumps(REGIONS)}\n'
        f'[[aws.accounts]]\nid = "{ACCOUNT}"\n[sources.aws_iam]\n[sources.aws_cloudtrail]\n[sources.aws_s3]\n'
        + (folder / "hook.toml").read_text()
    )
    sections: dict[str, Any] = {f"sources.{name}": sources.source(name).Settings for name in sources.NAMES}
    config = configuration.load(path, sections | routes.sections())
    rules = builtin("rules")
    pack = load([rules], [rules / "frameworks"])
    judging: list[float] = []

    def told(event: str, _: Any) -> None:
        if event == "judging":
            judging.append(_cpu_s())

    began, sent = _cpu_s(), 0
    with Ledger.open(folder / "state" / "ledger.sqlite3") as ledger:
        done = scan(config, ledger, pack, now=_at(n), progress=told)
        for minute in range(5):
            sent += deliver(ledger, ways(config), partial(_at, n, minute)).delivered
        ended = _cpu_s()
    fields = sum(1 for one in done.drift if one.field)
    found = {"cpu_s": ended - began, "after_s": ended - judging[0], "drift": len(done.drift), "fields": fields, "sent": sent,
             "gaps": len(done.gaps)}  # fmt: skip
    print(json.dumps(found))


def _reached(folder: Path, ids: set[str], n: int) -> int:
    """Return how many of the changes that were recorded stand in a message that came, or in one that came within it."""
    from auditor.alerts.items import dedup_key
    from auditor.ledger import Ledger

    with Ledger.look(folder / "state" / "ledger.sqlite3") as ledger:
        rows = [row for row in ledger.outbox() if row.alert.alert_id in ids]
        rows += [row for one in sorted(ids) for row in ledger.outbox(within=one)]
        drift = ledger.drift(from_at=_at(n), until_at=_at(n + 1))
    keys = {key for row in rows for key in row.alert.keys}
    fields = (one for one in drift if one.field and one.subject_table == "iam_role")
    return sum(dedup_key("setting", f"iam_role/{one.subject_key}", str(one.field)) in keys for one in fields)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "cloud":
        cloud(int(rest[0]))
    else:
        scanned(Path(rest[0]), rest[1], int(rest[2]))
