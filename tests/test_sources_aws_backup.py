"""AWS Backup as the real client sees it: each vault, plan and listing fails on its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from auditor.model import Gap, Place, Row, Seen, Window
from auditor.sandbox.aws import AwsCloud
from auditor.snapshot import write
from auditor.sources import aws_backup
from auditor.sources.ask import Ask, Clients
from auditor.sources.clients import Access
from auditor.sources.pages import Pages

NOW = datetime(2026, 1, 26, 6, tzinfo=UTC)
DAY = timedelta(days=1)
A, B = "111111111111", "222222222222"
HOME, AWAY = "eu-west-1", "eu-central-1"
BUCKET = "arn:aws:s3:::exports-a"
TOPIC = f"arn:aws:sns:{AWAY}:{B}:backups"
ROLE = f"arn:aws:iam::{A}:role/backup"


class World:
    """One small estate on loopback, and what a source is asked of it."""

    def __init__(self) -> None:
        self.aws = AwsCloud()
        endpoint = self.aws.start()
        self.aws.clock(NOW)
        roles = {account: f"arn:aws:iam::{account}:role/auditor" for account in (A, B)}
        self.access = Access(
            aws_endpoint=endpoint, roles=roles, read_timeout_s=2, connect_timeout_s=2, attempts=2
        )
        self.sessions = Clients(self.access)._shared
        for account in (A, B):
            trust = {"Version": "2012-10-17", "Statement": []}
            self.aws.put_role(account, "auditor", trust=trust, at=NOW - 90 * DAY)
        self.main = self.aws.put_vault(A, HOME, "main", at=NOW - 90 * DAY, policy='{"a":1}')
        lock = {"min_d": 35, "max_d": 400, "lock_date": NOW - DAY}
        self.spare = self.aws.put_vault(A, HOME, "spare", at=NOW - 90 * DAY, lock=lock)
        told = {"topic": TOPIC, "events": ["COPY_JOB_FAILED", "BACKUP_JOB_COMPLETED"]}
        self.away = self.aws.put_vault(B, AWAY, "away", at=NOW - 90 * DAY, notify=told)
        self.aws.put_report_plan(A, HOME, "jobs", at=NOW - 9 * DAY, succeeded_at=NOW - DAY)
        self.aws.put_framework(B, AWAY, "controls", at=NOW - 9 * DAY, status="FAILED")
        self.plan = self.aws.put_plan(
            A,
            HOME,
            "daily",
            at=NOW - 90 * DAY,
            rules=[
                {
                    "RuleName": "nightly",
                    "TargetBackupVaultName": "main",
                    "ScheduleExpression": "cron(0 5 * * ? *)",
                    "Lifecycle": {"DeleteAfterDays": 35},
                    "CopyActions": [
                        {
                            "DestinationBackupVaultArn": self.away,
                            "Lifecycle": {"DeleteAfterDays": 400},
                        }
                    ],
                },
                {"RuleName": "for-ever", "TargetBackupVaultName": "spare"},
            ],
        )
        self.aws.put_selection(
            self.plan,
            "all",
            at=NOW - 90 * DAY,
            role=ROLE,
            resources=["arn:aws:s3:::z*", "arn:aws:s3:::a*"],
        )
        times = {"created_at": NOW - DAY, "initiated_at": NOW - DAY, "completed_at": NOW}
        for vault in (self.main, self.spare):
            self.aws.put_point(vault, BUCKET, bytes=7, delete_after_d=35, **times)
        self.aws.put_point(self.main, BUCKET, continuous=True, status="AVAILABLE", **times)
        for days in (2, 20, 29):
            at = NOW - days * DAY
            self.aws.put_backup_job(
                A,
                HOME,
                vault_arn=self.main,
                resource_arn=BUCKET,
                state="COMPLETED",
                category="SUCCESS",
                created_at=at,
                completed_at=at,
            )

    def collect(
        self, *, days: float = 7, settings: aws_backup.Settings | None = None
    ) -> tuple[list[Row], list[Seen], list[Gap], Pages]:
        pages = Pages()
        ask = Ask(
            source="aws_backup",
            settings=settings or aws_backup.Settings(),
            places=(Place("aws", A, HOME), Place("aws", B, AWAY)),
            window=Window(NOW - days * DAY, NOW),
            now=NOW,
            clients=Clients(self.access, source="aws_backup", pages=pages, shared=self.sessions),
        )
        every = list(aws_backup.collect(ask))
        return (
            [each for each in every if isinstance(each, Row)],
            [each for each in every if isinstance(each, Seen)],
            [each for each in every if isinstance(each, Gap)],
            pages,
        )


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World()
    yield made
    made.aws.stop()


@pytest.fixture(autouse=True)
def _no_faults(world: World) -> Iterator[None]:
    yield
    world.aws.faults.clear()


def of(rows: list[Row], table: str) -> list[Mapping[str, Any]]:
    key = {"backup_plan_rule": "rule_name", "backup_job": "created_at"}.get(table, "arn")
    return sorted((row.values for row in rows if row.table == table), key=lambda row: str(row.get(key)))


def test_denied_vault_becomes_a_gap_and_the_next_vault_is_still_read(world: World) -> None:
    operation = "ListRecoveryPointsByBackupVault"
    world.aws.faults.set("backup", operation, "deny", account=A, resource="main")
    rows, seen, gaps, _ = world.collect()
    (gap,) = gaps
    assert (gap.table, gap.account, gap.region) == ("backup_recovery_point", A, HOME)
    assert (gap.resource, gap.reason) == (world.main, "denied")
    assert f"backup:{operation}" in gap.detail
    assert f"add backup:{operation} to the role" in gap.detail
    points = of(rows, "backup_recovery_point")
    assert [point["vault_arn"] for point in points] == [world.spare]
    assert Seen("backup_recovery_point", A, HOME, world.spare) in seen
    assert Seen("backup_recovery_point", A, HOME, world.main) not in seen


TABLES_OF = {
    "ListBackupPlans": {"backup_plan", "backup_plan_rule", "backup_selection"},
    "GetBackupPlan": {"backup_plan_rule", "backup_plan"},
    "ListBackupSelections": {"backup_selection"},
    "GetBackupSelection": {"backup_selection"},
    "ListBackupVaults": {"backup_vault", "backup_recovery_point"},
    "GetBackupVaultAccessPolicy": {"backup_vault"},
    "GetBackupVaultNotifications": {"backup_vault"},
    "ListReportPlans": {"backup_report_plan"},
    "ListFrameworks": {"backup_framework"},
    "ListRecoveryPointsByBackupVault": {"backup_recovery_point"},
    "ListBackupJobs": {"backup_job"},
    "ListCopyJobs": {"backup_copy_job"},
    "ListRestoreJobs": {"backup_restore_job"},
    "ListProtectedResources": {"backup_protected"},
    "DescribeRegionSettings": {"backup_region"},
}
REASONS_OF = {
    "deny": {"denied"},
    "expire": {"expired"},
    "empty": {"suspect"},
    "garbage": {"malformed"},
    "throttle": {"throttled"},
    "fail": {"failed"},
    "cut": {"malformed", "hung", "suspect"},
}
RETRIED = {"throttle", "fail", "cut"}
"""botocore waits before it asks again: two operations stand for all."""


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        (operation, kind)
        for operation in TABLES_OF
        for kind in REASONS_OF
        if kind not in RETRIED or operation in {"GetBackupSelection", "ListRecoveryPointsByBackupVault"}
    ],
)
def test_every_fault_of_every_operation_is_a_gap_and_the_rest_is_read(
    world: World, operation: str, kind: str
) -> None:
    world.aws.faults.set("backup", operation, kind, account=A, region=HOME)
    _, seen, gaps, _ = world.collect()
    assert {gap.table for gap in gaps} == TABLES_OF[operation]
    assert {gap.reason for gap in gaps} <= REASONS_OF[kind]
    assert {(gap.account, gap.region) for gap in gaps} == {(A, HOME)}
    assert all(gap.detail for gap in gaps)
    assert {each.table for each in seen if each.region == AWAY} == set(aws_backup.TABLES)
    for gap in gaps:
        assert Seen(gap.table, gap.account, gap.region, gap.resource) not in seen


def test_a_pagination_cut_in_the_middle_keeps_its_rows_and_is_truncated(world: World) -> None:
    operation = "ListRecoveryPointsByBackupVault"
    world.aws.faults.set("backup", operation, "truncate", account=A, resource="main")
    rows, _, gaps, _ = world.collect()
    (gap,) = gaps
    assert (gap.resource, gap.reason) == (world.main, "truncated")
    assert "after 1 pages" in gap.detail
    vaults = {point["vault_arn"] for point in of(rows, "backup_recovery_point")}
    assert vaults == {world.main, world.spare}


def test_everything_is_read_with_the_fewest_calls(world: World) -> None:
    rows, seen, gaps, pages = world.collect(days=20)
    assert gaps == []
    assert {each.table for each in seen} == set(aws_backup.TABLES)
    places, vaults, plans, selections = 2, 3, 1, 1
    calls = pages.calls()
    refused = pages.refused()  # a vault without a policy or notifications answers ResourceNotFoundException
    assert sum(calls.values()) + sum(refused.values()) == (
        places * (1 + 1 + 3 + 1 + 2 + 1) + 2 * plans + selections + 3 * vaults
    )
    assert refused == {"backup:GetBackupVaultAccessPolicy": 2, "backup:GetBackupVaultNotifications": 2}
    assert len(rows) == len({str(row) for row in rows})


def test_rows_say_what_aws_said_and_fit_the_schema(world: World, tmp_path: Path) -> None:
    rows, _, _, _ = world.collect()
    away, main, spare = of(rows, "backup_vault")
    assert away["account"] == B
    assert main["policy"] == '{"a":1}'
    assert (main["locked"], main["min_retention_d"], main["lock_date"]) == (False, -1, None)
    assert (spare["policy"], spare["locked"], spare["min_retention_d"]) == ("none", True, 35)
    assert spare["lock_date"] == NOW - DAY
    assert (away["notify_topic"], away["notify_events"]) == (
        TOPIC,
        ["BACKUP_JOB_COMPLETED", "COPY_JOB_FAILED"],
    )
    assert (main["notify_topic"], main["notify_events"]) == ("none", [])
    (reported,) = of(rows, "backup_report_plan")
    assert (reported["template"], reported["succeeded_at"]) == ("BACKUP_JOB_REPORT", NOW - DAY)
    (framework,) = of(rows, "backup_framework")
    assert (framework["account"], framework["controls"], framework["status"]) == (B, 11, "FAILED")
    for_ever, nightly = of(rows, "backup_plan_rule")
    assert (for_ever["delete_after_d"], for_ever["copies"]) == (-1, [])
    assert nightly["copies"] == [{"vault_arn": world.away, "delete_after_d": 400}]
    (plan,) = of(rows, "backup_plan")
    assert plan["next_runs"][0]["at"] > NOW
    (selection,) = of(rows, "backup_selection")
    assert selection["resources"] == ["arn:aws:s3:::a*", "arn:aws:s3:::z*"]
    assert (selection["conditions"], selection["role_arn"]) == ({}, ROLE)
    points = of(rows, "backup_recovery_point")
    assert sorted(point["continuous"] for point in points) == [False, False, True]
    assert {point["resource_arn"] for point in points} == {BUCKET}
    kept: dict[str, list[Mapping[str, Any]]] = {table: [] for table in aws_backup.TABLES}
    for row in rows:
        kept[row.table].append(row.values)
    write(tmp_path, kept, as_of=NOW, window=Window(NOW - DAY, NOW)).verify()


def test_jobs_are_asked_from_a_little_before_the_window(world: World) -> None:
    rows, seen, gaps, _ = world.collect(days=13)
    assert len(of(rows, "backup_job")) == 2
    assert gaps == []
    assert Seen("backup_job", A, HOME, "*", NOW - 21 * DAY, NOW) in seen, "13 days of window and 8 of overlap"


def test_a_window_older_than_aws_keeps_jobs_is_out_of_reach(world: World) -> None:
    rows, seen, gaps, _ = world.collect(days=60)
    assert len(of(rows, "backup_job")) == 3
    assert Seen("backup_job", A, HOME, "*", NOW - 30 * DAY, NOW) in seen
    assert {gap.reason for gap in gaps} == {"out_of_reach"}
    assert {gap.table for gap in gaps} == {"backup_job", "backup_copy_job", "backup_restore_job"}
    assert {(gap.from_at, gap.until_at) for gap in gaps} == {(NOW - 60 * DAY, NOW - 30 * DAY)}


def test_tags_of_points_are_asked_only_when_wanted(world: World) -> None:
    rows, _, _, pages = world.collect()
    assert "backup:ListTags" not in pages.calls()
    assert all("tags" not in row for row in of(rows, "backup_recovery_point"))
    wanted = replace(aws_backup.Settings(), point_tags=True)
    rows, _, _, pages = world.collect(settings=wanted)
    assert pages.calls()["backup:ListTags"] == 3
    assert all(row["tags"] == {} for row in of(rows, "backup_recovery_point"))


def test_refused_notifications_leave_the_vaults_policy_known(world: World) -> None:
    world.aws.faults.set("backup", "GetBackupVaultNotifications", "deny", account=A, resource="main")
    rows, _, gaps, _ = world.collect()
    assert [(gap.table, gap.resource) for gap in gaps] == [("backup_vault", f"{world.main}#notify")]
    main = next(row for row in of(rows, "backup_vault") if row["name"] == "main")
    assert (main["notify_topic"], main["notify_events"]) == (None, None)
    assert main["policy"] == '{"a":1}'


def test_listings_without_a_paginator_are_read_to_their_last_page(world: World) -> None:
    names = [f"r{n:04d}" for n in range(1_001)]
    for name in names:
        world.aws.put_report_plan(A, AWAY, name, at=NOW)
    try:
        ask = Ask("aws_backup", aws_backup.Settings(), (Place("aws", A, AWAY),), Window(NOW - DAY, NOW), NOW,
                  Clients(world.access))  # fmt: skip
        rows = [each for each in aws_backup.collect(ask) if isinstance(each, Row)]
    finally:
        for name in names:
            world.aws.drop_report_plan(A, AWAY, name)
    assert [row["name"] for row in of(rows, "backup_report_plan")] == names


def test_every_answered_page_is_recorded_with_who_asked_what_where(world: World) -> None:
    _, _, _, pages = world.collect()
    (query,) = [
        query
        for query in pages.queries()
        if query["operation"] == "ListRecoveryPointsByBackupVault" and query["account"] == A
    ]
    assert (query["source"], query["service"], query["region"]) == ("aws_backup", "backup", HOME)
    assert (query["pages"], query["rows"]) == (2, 3)
    assert query["bytes"] > 100
    assert '"ByResourceType":"S3"' in query["example"]


def test_a_budget_that_is_spent_is_a_gap_for_all_that_is_left(world: World) -> None:
    clients = Clients(world.access, source="aws_backup", budget_s=-1)
    ask = Ask(
        "aws_backup",
        aws_backup.Settings(),
        (Place("aws", A, HOME),),
        Window(NOW - DAY, NOW),
        NOW,
        clients,
    )
    every = list(aws_backup.collect(ask))
    assert {type(each) for each in every} == {Gap}
    assert {each.table for each in every} == set(aws_backup.TABLES)
    assert all("budget" in each.detail for each in every if isinstance(each, Gap))


def test_a_role_that_cannot_be_assumed_and_a_dead_endpoint_are_gaps(world: World) -> None:
    def gaps(access: Access) -> list[Gap]:
        settings, places = aws_backup.Settings(), (Place("aws", A, HOME),)
        window = Window(NOW - DAY, NOW)
        ask = Ask("aws_backup", settings, places, window, NOW, Clients(access))
        every = list(aws_backup.collect(ask))
        assert {each.table for each in every} == set(aws_backup.TABLES)
        return [each for each in every if isinstance(each, Gap)]

    world.aws.faults.set("sts", "AssumeRole", "deny")
    denied = gaps(world.access)
    assert {gap.reason for gap in denied} == {"denied"}
    assert "sts:AssumeRole AccessDenied: see that the role exists" in denied[0].detail
    dead = replace(world.access, aws_endpoint="http://127.0.0.1:9", roles={}, attempts=1)
    assert {gap.reason for gap in gaps(dead)} == {"hung"}
