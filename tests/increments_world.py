"""A small AWS account that is looked at again and again, to see what is carried from one look to the next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aws_sources import MADE, NOW, A
from rule_table import shipped

from auditor.collect import collect
from auditor.config import Config
from auditor.config_sections import Account, Aws, Scan, State
from auditor.increments import CARRIED
from auditor.judge import Judgement, judge
from auditor.ledger import Ledger
from auditor.model import Window
from auditor.sandbox.aws.cloud import AwsCloud
from auditor.scan import OVERLAP, joins
from auditor.snapshot import Snapshot
from auditor.sources import source

HOME, FAR = "eu-west-1", "us-east-1"
HOURS = timedelta(hours=1)
NAMES = ("aws_backup", "aws_cloudtrail", "aws_iam", "aws_kms", "aws_s3")
BUCKETS = ("alpha", "beta", "gamma")
READER = f"arn:aws:iam::{A}:role/reader"
LETS_READ = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"AWS": READER}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::beta/*"}
]}  # fmt: skip
TRUST = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
]}  # fmt: skip


class World:
    """The account, its changes and its events, and the looks at it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cloud = AwsCloud()
        self.endpoint = self.cloud.start()
        self.now = NOW
        self.last: Snapshot | None = None
        self.scan: dict[str, Any] = {}
        self.regions: tuple[str, ...] = (HOME, FAR)
        self.accounts: tuple[str, ...] = (A,)
        self.sources: tuple[str, ...] = NAMES
        self.calls: dict[tuple[str, str], int] = {}
        self._events = 0
        self._config: Config | None = None
        cloud = self.cloud
        cloud.clock(NOW)
        cloud.put_role(A, "reader", trust=TRUST, at=MADE)
        self.key = cloud.put_key(A, HOME, "data", rotation=True)
        for name in BUCKETS:
            cloud.put_bucket(
                A, HOME, name, at=MADE, kms_key=self.key, policy=LETS_READ if name == "beta" else None
            )
        self.vault = cloud.put_vault(A, HOME, "main", at=MADE, kms_key=self.key)
        self.plan = cloud.put_plan(
            A, HOME, "daily", at=MADE,
            rules=[{"RuleName": "daily", "TargetBackupVaultName": "main", "ScheduleExpression": "cron(0 5 * * ? *)"}],
        )  # fmt: skip
        self.selection = cloud.put_selection(
            self.plan, "all", at=MADE, role=READER, resources=("arn:aws:s3:::*",)
        )

    @property
    def config(self) -> Config:
        """What is asked, by the clients of the last look where that was asked the same."""
        found = Config(
            state=State(str(self.folder)),
            aws=Aws(
                endpoint=self.endpoint,
                regions=self.regions,
                accounts=tuple(Account(each, regions=self.regions) for each in self.accounts),
            ),
            sources={name: source(name).Settings() for name in self.sources},
            scan=replace(Scan(), **self.scan),
        )
        if found != self._config:
            self._config = found
        return self._config

    def event(
        self, name: str, service: str = "s3", *, at: datetime | None = None, told: bool = True, **more: Any
    ) -> dict[str, Any]:
        """Make the record of a management write, and let CloudTrail tell it unless it is withheld."""
        self._events += 1
        region = more.pop("region", HOME)
        record = {
            "eventVersion": "1.11",
            "eventID": f"00000000-0000-4000-8000-{self._events:012d}",
            "eventTime": f"{at or self.now:%Y-%m-%dT%H:%M:%SZ}",
            "eventSource": f"{service}.amazonaws.com",
            "eventName": name,
            "awsRegion": region,
            "sourceIPAddress": "198.51.100.7",
            "userAgent": "aws-cli",
            "userIdentity": {"type": "AssumedRole", "principalId": "AROAX:ana", "arn": f"arn:aws:sts::{A}:assumed-role/ops/ana",
                             "accountId": A},
            "recipientAccountId": A,
            "readOnly": False,
            "managementEvent": True,
            "eventCategory": "Management",
            "requestParameters": {},
            **more,
        }  # fmt: skip
        if told:
            self.cloud.put_events(A, region, [record])
        return record

    def write(
        self, name: str, at: datetime | None = None, *, told: bool = True, **settings: Any
    ) -> dict[str, Any]:
        """Change a bucket, with the event that tells of it."""
        self.cloud.set_bucket(name, **settings)
        return self.event("PutBucket", at=at, told=told, requestParameters={"bucketName": name})

    def later(self, hours: float = 6) -> None:
        self.now += hours * HOURS
        self.cloud.clock(self.now)

    def look(self, *, full: bool = False, before: Snapshot | None = None) -> Snapshot:
        """Look as a scan does; what came of it stands as the look before the next."""
        before = before or self.last
        start = self.now - timedelta(seconds=self.config.scan.lookback)
        if before:
            start = max(start, before.as_of - OVERLAP)
        self.cloud.calls.clear()
        found = collect(
            self.config,
            now=self.now,
            window=Window(start, self.now),
            carried=before,
            cursors=cursors(before),
            full=full,
            overlap=OVERLAP,
            into=self.folder / "snapshots",
        )
        self.calls = dict(self.cloud.calls)
        self.last = found.joined({})
        return self.last

    def asked(self, operation: str) -> int:
        return sum(count for (_, name), count in self.calls.items() if name == operation)

    def bucket(self, name: str) -> dict[str, Any]:
        assert self.last is not None
        return next(row for row in self.last.rows("s3_bucket") if row["bucket"] == name)

    def judged(self) -> Judgement:
        """Judge the last look by every shipped rule, with nothing in the ledger before it."""
        assert self.last is not None
        with Ledger.open(self.folder / "empty.sqlite3") as ledger:
            history = ledger.state(self.now)
        tables = joins(self.config, shipped(), history, now=self.now, slot="one")
        return judge(self.last.joined(tables), shipped(), into=self.folder / "judged")


def cursors(snapshot: Snapshot | None) -> dict[tuple[str, str], str]:
    return {(name, scope): at for name, scope, at in snapshot.manifest["cursors"]} if snapshot else {}


def carried(snapshot: Snapshot | None) -> dict[tuple[str, str], datetime]:
    """Return what was carried, by table and the last part of its name, with the time it was observed."""
    assert snapshot is not None
    return {
        (row["table_name"], row["resource"]): row["observed_at"]
        for row in snapshot.rows("coverage")
        if row["table_name"] in CARRIED and row["complete"] and row["observed_at"] < snapshot.as_of
    }


def carried_buckets(snapshot: Snapshot | None) -> set[str]:
    return {name.rpartition(":")[2] for table, name in carried(snapshot) if table == "s3_bucket"}


def differences(snapshot: Snapshot | None) -> Sequence[Mapping[str, Any]]:
    assert snapshot is not None
    return list(snapshot.rows("carried_difference"))


@contextmanager
def world(folder: Path) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        made = World(folder)
        try:
            yield made
        finally:
            made.cloud.faults.clear()
            made.cloud.stop()
