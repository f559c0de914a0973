"""A seeded AWS in a process of its own, so that what the client costs is the client's alone.

Run as `python -m bench.cloud ROLES BUCKETS POINTS`: prints the endpoint, then answers `calls` on standard input with
the calls it was asked, as JSON, and sets its clock by `clock TIME`, until its input ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

ACCOUNT = "111111111111"
REGIONS = ("eu-west-1", "eu-central-1")
NOW = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
VAULTS = 6
PLANS, SELECTIONS = 10, 15
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Federated": "accounts.google.com"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {"accounts.google.com:sub": "104200000000000000001"}},
        }
    ],
}


class Served:
    """A running cloud, asked for what it was called with."""

    def __init__(self, process: subprocess.Popen[str], endpoint: str) -> None:
        self.endpoint = endpoint
        self._process = process

    def clock(self, at: datetime) -> None:
        """Set the cloud's clock."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"clock {at.isoformat()}\n")
        self._process.stdin.flush()
        self.calls()

    def calls(self) -> dict[str, int]:
        """Return calls by `service:operation` since the last time this was asked."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("calls\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))


@contextmanager
def served(roles: int, buckets: int, points: int) -> Iterator[Served]:
    """Start a cloud of that size; it ends with the block."""
    command = [sys.executable, "-m", "bench.cloud", str(roles), str(buckets), str(points)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield Served(process, process.stdout.readline().strip())
        finally:
            process.stdin.close()
            process.wait(timeout=30)


def main(roles: int, buckets: int, points: int) -> None:
    """Seed, serve, answer."""
    from auditor.sandbox.aws import AwsCloud
    from auditor.sandbox.faults import Faults

    cloud = AwsCloud(Faults())
    endpoint = cloud.start()
    cloud.clock(NOW)
    at = NOW - timedelta(days=90)
    for number in range(roles):
        inline = {"write": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:PutObject",
                                                                    "Resource": f"arn:aws:s3:::b{number}/*"}]}}  # fmt: skip
        cloud.put_role(ACCOUNT, f"role-{number:05d}", trust=TRUST, at=at, inline=inline)
    for number in range(buckets):
        tags = {"compliance-zone": "phi" if number % 3 else "internal"}
        cloud.put_bucket(ACCOUNT, REGIONS[number % 2], f"bench-exports-{number:04d}", at=at, tags=tags)
    vaults = [
        cloud.put_vault(ACCOUNT, REGIONS[number % 2], f"vault-{number}", at=at) for number in range(VAULTS)
    ]
    rule = {
        "RuleName": "daily",
        "ScheduleExpression": "cron(0 5 * * ? *)",
        "Lifecycle": {"DeleteAfterDays": 35},
    }
    plans = [
        cloud.put_plan(
            ACCOUNT, REGIONS[number % 2], f"plan-{number}", at=at,
            rules=[rule | {"TargetBackupVaultName": f"vault-{number % 2}"}],
        )
        for number in range(PLANS)
    ]  # fmt: skip
    role = f"arn:aws:iam::{ACCOUNT}:role/role-00000"
    for number in range(SELECTIONS):
        pattern = f"arn:aws:s3:::bench-exports-{number:02d}*"
        cloud.put_selection(
            plans[number % PLANS], f"selection-{number}", at=at, role=role, resources=(pattern,)
        )
    for number in range(points):
        made = NOW - timedelta(minutes=5 * number + 60)
        cloud.put_point(
            vaults[number % VAULTS], f"arn:aws:s3:::bench-exports-{number % max(1, buckets):04d}",
            initiated_at=made, created_at=made, completed_at=made + timedelta(minutes=30),
            bytes=1000 + number, delete_after_d=400,
        )  # fmt: skip
    cloud.calls.clear()
    print(endpoint, flush=True)
    for line in sys.stdin:
        if line.startswith("clock "):
            cloud.clock(datetime.fromisoformat(line.split()[1]))
            continue
        told = {":".join(name): count for name, count in cloud.calls.items()}
        cloud.calls.clear()
        print(json.dumps(told, sort_keys=True), flush=True)
    cloud.stop()


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:4]))
