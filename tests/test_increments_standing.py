"""A setting is carried only while every write to it would have been seen; all else is read anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aws_sources import MADE, NOW, A, B
from increments_world import (
    BUCKETS,
    FAR,
    HOME,
    HOURS,
    LETS_READ,
    World,
    carried,
    carried_buckets,
    cursors,
    world,
)

from auditor import increments
from auditor.collect import collect
from auditor.model import Gap, Seen, Window
from auditor.sources.ask import Ask

ALL = set(BUCKETS)


@pytest.fixture
def there(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def other_tables(there: World, one: Any, two: Any) -> list[str]:
    """Return the tables of two looks that differ, but for when and what was seen."""
    apart = {"coverage", "api_clock", "carried_difference"}
    tables = one.manifest["tables"].keys() - apart
    return sorted(
        t for t in tables if one.manifest["tables"][t]["digest"] != two.manifest["tables"][t]["digest"]
    )


def test_of_a_quiet_estate_the_second_scan_asks_for_no_setting_again_and_says_when_it_was_read(
    there: World,
) -> None:
    first = there.look()
    assert there.asked("GetBucketPolicy") == 3
    there.later()
    second = there.look()
    for operation in (
        "GetBucketPolicy", "GetBucketVersioning", "GetBackupVaultAccessPolicy", "ListBackupSelections", "GetKeyPolicy",
    ):  # fmt: skip
        assert there.asked(operation) == 0, operation
    for operation in ("ListBuckets", "ListBackupVaults", "ListRecoveryPointsByBackupVault", "GetBackupPlan"):
        assert there.asked(operation), operation
    assert {table for table, _ in carried(second)} == increments.CARRIED.keys()
    assert set(carried(second).values()) == {NOW}
    assert second.manifest["pass"]["scopes"] == len(carried(second)) == 6
    assert second.manifest["pass"]["oldest"] == first.manifest["as_of"]
    assert other_tables(there, first, second) == ["backup_plan"]  # its next runs are later ones
    there.later()
    assert set(carried(there.look()).values()) == {
        NOW
    }  # and so on: the age is that of the reading, not of the scan before


def test_a_bucket_that_was_written_to_is_read_anew_and_its_neighbours_are_not(there: World) -> None:
    there.look()
    there.later(3)
    there.write("beta", versioning="Suspended")
    there.later(3)
    assert carried_buckets(there.look()) == {"alpha", "gamma"}
    assert (there.asked("GetBucketVersioning"), there.bucket("beta")["versioning"]) == (1, "Suspended")


@pytest.mark.parametrize(
    ("name", "more", "stand"),
    [
        ("PutBucketSomethingNew", {"requestParameters": {"bucketName": "beta"}}, {"alpha", "gamma"}),
        ("PutSomethingElse", {}, set()),  # what it wrote to cannot be told
        ("PutBucketPolicy", {"requestParameters": {"bucketName": "beta"}, "errorCode": "AccessDenied"}, ALL),
        ("PutBucketPolicy", {"requestParameters": {"bucketName": "beta"}, "errorCode": "MalformedPolicy"}, ALL),
        ("PutBucketPolicy", {"requestParameters": {"bucketName": "beta"}, "errorCode": "InternalError"}, {"alpha", "gamma"}),
        ("PutBucketPolicy", {"requestParameters": {"bucketName": "beta"}, "errorCode": "Weird"}, {"alpha", "gamma"}),
        ("PutBucketNotification", {"requestParameters": {"bucketName": "beta"}, "region": FAR}, {"alpha", "gamma"}),
        (
            "PutBucketNotification",
            {
                "requestParameters": {"bucketName": "beta"},
                "userIdentity": {"type": "AWSService", "invokedBy": "backup.amazonaws.com"},
            },
            {"alpha", "gamma"},
        ),
        ("DeleteBucketPolicy", {"requestParameters": {"bucketName": "another"}}, ALL),
    ],
)  # fmt: skip
def test_any_write_to_it_or_to_who_knows_what_ends_it_and_a_refused_one_does_not(
    there: World, name: str, more: dict[str, Any], stand: set[str]
) -> None:
    there.look()
    there.later(3)
    there.event(name, **more)
    there.later(3)
    assert carried_buckets(there.look()) == stand


def test_jobs_of_aws_backup_end_nothing_and_writes_to_vaults_plans_and_keys_end_theirs(there: World) -> None:
    there.look()
    there.later(3)
    there.event("BackupJobCompleted", "backup")
    there.event("CreateGrant", "kms", requestParameters={"keyId": there.key})
    there.later(3)
    assert len(carried(there.look())) == 6
    plan = f"arn:aws:backup:{HOME}:{A}:backup-plan:{there.plan}"
    for service, name, asked, ended in (
        ("backup", "PutBackupVaultAccessPolicy", {"backupVaultName": "main"}, there.vault),
        ("backup", "CreateBackupSelection", {"backupPlanId": there.plan}, plan),
        ("kms", "PutKeyPolicy", {"keyId": there.key}, there.key),
    ):
        there.look(full=True)
        there.later(3)
        there.event(name, service, requestParameters=asked)
        there.later(3)
        stand = {resource for _, resource in carried(there.look())}
        assert (len(stand), ended in stand) == (5, False), name
    there.look(full=True)
    there.later(3)
    there.event("BackupSelectionDeletedDueToSLRDeletion", "backup")  # a service's own, without a request
    there.later(3)
    assert {table for table, _ in carried(there.look())} == {"s3_bucket", "kms_key"}


def test_a_write_shortly_before_it_was_read_ends_it_for_the_answer_may_have_been_older(there: World) -> None:
    there.write("beta", at=NOW - timedelta(minutes=30))
    there.look()
    there.later()
    assert carried_buckets(there.look()) == {"alpha", "gamma"}


def test_an_event_that_comes_late_is_seen_by_the_scan_after(there: World) -> None:
    there.look()
    there.later(5)
    late = there.write("beta", versioning="Suspended", told=False)
    there.later(1)
    assert "beta" in carried_buckets(there.look())
    there.cloud.put_events(A, HOME, [late])
    there.later(6)
    assert carried_buckets(there.look()) == {"alpha", "gamma"}
    assert there.bucket("beta")["versioning"] == "Suspended"


def test_where_events_cannot_be_read_everything_is_read_anew(there: World) -> None:
    there.look()
    there.later()
    for region in (HOME, FAR):  # what is global stands in the other region
        there.cloud.faults.set("cloudtrail", "LookupEvents", "deny", region=region)
        assert carried(there.look()) == {}, region
        there.cloud.faults.clear()
        there.later()
        assert set(carried(there.look()).values()) == {there.now - 6 * HOURS}
        there.later()


def test_without_the_source_of_events_nothing_is_ever_carried(there: World) -> None:
    there.sources = ("aws_backup", "aws_iam", "aws_kms", "aws_s3")
    for _ in range(2):
        assert carried(there.look()) == {}
        there.later()


@pytest.fixture
def trail(there: World) -> str:
    there.cloud.put_bucket(A, HOME, "trail", at=MADE)
    arn = there.cloud.put_trail(A, HOME, "main", bucket="trail", at=MADE, data_arns=(), validated=False)
    for region in (HOME, FAR):  # a trail that never delivered cannot be read
        there.event("CreateGrant", "kms", at=NOW - 40 * HOURS, region=region)
    return arn


def test_a_trail_of_every_management_write_proves_as_much_as_the_event_history(
    there: World, trail: str
) -> None:
    there.look()
    there.later(3)
    there.write("beta", versioning="Suspended")
    there.later(3)
    assert carried_buckets(there.look()) == {"alpha", "gamma", "trail"}
    assert there.asked("LookupEvents") == 0


@pytest.mark.parametrize(
    "how", ["read only", "stopped", "restarted", "selectors", "restarted twice", "no global", "undelivered"]
)
def test_a_trail_that_missed_something_or_may_have_proves_nothing(there: World, trail: str, how: str) -> None:
    if how == "read only":
        there.cloud.set_trail(trail, at=MADE, management="ReadOnly")
    if how == "no global":
        there.cloud.set_trail(trail, at=MADE, global_events=False)
    there.look()
    there.later(3)
    if how in ("stopped", "restarted"):
        there.cloud.set_trail(trail, at=there.now, logging=False)
    there.write("beta", versioning="Suspended", told=how in ("read only", "no global"))
    if how == "restarted":
        there.cloud.set_trail(trail, at=there.now + HOURS, logging=True)
    if how == "undelivered":
        there.cloud.set_trail(trail, at=there.now, delivery_error="NoSuchBucket", delivered_at=there.now)
    if how == "selectors":
        there.event("PutEventSelectors", "cloudtrail", requestParameters={"trailName": "main"})
    if how == "restarted twice":  # its status tells of the last time only, its events of each
        there.event("StopLogging", "cloudtrail", requestParameters={"name": trail})
    there.later(3)
    assert carried(there.look()) == {}
    assert there.bucket("beta")["versioning"] == "Suspended"


def test_a_trail_that_leaves_out_one_service_proves_nothing_of_that_one(there: World, trail: str) -> None:
    there.cloud.set_trail(trail, at=MADE, advanced=[{"FieldSelectors": [
        {"Field": "eventCategory", "Equals": ["Management"]},
        {"Field": "eventSource", "NotEquals": ["kms.amazonaws.com"]},
    ]}])  # fmt: skip
    there.look()
    there.later()
    assert {table for table, _ in carried(there.look())} == increments.CARRIED.keys() - {"kms_key"}


def test_a_bucket_that_was_deleted_and_made_again_is_read_anew_even_if_no_event_tells(there: World) -> None:
    there.look()
    there.later(3)
    there.event("DeleteBucket", requestParameters={"bucketName": "alpha"})
    there.event("CreateBucket", requestParameters={"bucketName": "alpha"})
    for name in ("alpha", "gamma"):
        with there.cloud.world.entered():
            from auditor.sandbox.aws.moto_world import moto

            moto("s3.models").s3_backends[A]["aws"].delete_bucket(name)
        there.cloud.put_bucket(A, HOME, name, at=there.now, versioning="Off")
    there.later(3)
    assert carried_buckets(there.look()) == {"beta"}
    assert [there.bucket(name)["versioning"] for name in BUCKETS] == ["Off", "Enabled", "Off"]


def test_a_region_that_was_out_of_scope_is_read_anew_when_it_is_back(there: World) -> None:
    there.look()
    there.later()
    there.regions = (FAR,)
    there.look()
    there.later()
    there.regions = (HOME, FAR)
    back = there.look()
    assert {table for table, _ in carried(back)}.isdisjoint({"backup_vault", "backup_selection"})
    there.later()
    assert len(carried(there.look())) == 6


def test_an_account_that_was_out_of_scope_is_read_anew_when_it_is_back(there: World) -> None:
    there.look()
    there.later()
    there.accounts = (B,)
    assert A not in {row["account"] for row in there.look().rows("s3_bucket")}
    there.later()
    there.accounts = (A,)
    assert carried(there.look()) == {}


def test_when_clocks_differ_too_much_nothing_is_carried(there: World) -> None:
    there.look()
    there.now += 6 * HOURS  # and the cloud's clock stays behind
    assert carried(there.look()) == {}


def test_what_was_denied_in_between_is_read_anew(there: World) -> None:
    there.look()
    there.later(3)
    there.write("beta", versioning="Suspended")
    there.later(3)
    there.cloud.faults.set("s3", "GetBucketVersioning", "deny", resource="beta")
    assert carried_buckets(there.look()) == {"alpha", "gamma"}
    assert there.bucket("beta")["versioning"] is None
    there.cloud.faults.clear()
    there.later(30 / 60)
    assert carried_buckets(there.look()) == {"alpha", "gamma"}
    assert there.bucket("beta")["versioning"] == "Suspended"
    there.cloud.faults.set("s3", "ListBuckets", "deny")
    there.later()
    assert carried_buckets(there.look()) == set()
    there.cloud.faults.clear()
    there.later()
    assert carried_buckets(there.look()) == set()
    assert {there.bucket(name)["versioning"] for name in BUCKETS} == {"Enabled", "Suspended"}


def test_a_setting_is_read_anew_when_it_gets_old(there: World) -> None:
    there.look()
    for hours, kept in ((12, NOW), (12, NOW), (1, None), (6, NOW + 25 * HOURS)):
        there.later(hours)
        assert set(carried(there.look()).values()) == ({kept} if kept else set()), hours


@pytest.mark.parametrize("setting", ["carry_max_age", "max_age"])
def test_either_limit_of_age_is_kept(there: World, setting: str) -> None:
    there.scan = {setting: 3 * 3600}
    there.look()
    there.later()
    assert carried(there.look()) == {}
    there.scan = {"carry_max_age": 0}
    there.later(1)
    assert carried(there.look()) == {}
    assert there.last is not None
    assert there.last.manifest["pass"]["compared"] == 0


def test_a_policy_that_names_a_deleted_role_is_read_anew_for_aws_has_written_it_anew(there: World) -> None:
    there.look()
    there.later(3)
    gone = {**LETS_READ, "Statement": [{**LETS_READ["Statement"][0], "Principal": {"AWS": "AROAEXAMPLE"}}]}  # type: ignore[dict-item]
    there.cloud.set_bucket("beta", policy=gone)
    there.event("DeleteRole", "iam", region=FAR, requestParameters={"roleName": "reader"})
    there.later(3)
    assert carried_buckets(there.look()) == {"alpha", "gamma"}
    assert "AROAEXAMPLE" in there.bucket("beta")["policy"]


def test_what_another_version_of_the_product_read_is_read_anew(
    there: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.look()
    there.later()
    monkeypatch.setattr(increments, "__version__", "another")
    assert carried(there.look()) == {}


def test_a_key_whose_end_is_set_or_whose_material_was_imported_is_asked_anew(there: World) -> None:
    for changes in ({"state": "PendingDeletion", "deletion_at": NOW + 240 * HOURS}, {"origin": "EXTERNAL"}):
        there.cloud.set_key(there.key, **changes)
        there.look(full=True)
        there.later()
        assert "kms_key" not in {table for table, _ in carried(there.look())}
        there.cloud.set_key(there.key, state="Enabled")
        there.later()


@dataclass
class Old:
    """A source that says when it read what it tells."""

    age: timedelta
    TABLES: tuple[str, ...] = ("backup_vault",)
    AFTER: tuple[str, ...] = ()
    ACTIONS: tuple[str, ...] = ()
    Settings: type[Any] = field(default=object)

    def collect(self, ask: Ask) -> Iterator[Seen | Gap]:
        yield Seen("backup_vault", A, HOME, observed_at=ask.now - self.age)


@pytest.mark.parametrize(("days", "complete"), [(6, True), (8, False)])
def test_what_was_read_longer_ago_than_the_limit_is_a_gap_whatever_a_source_says(
    there: World, days: int, complete: bool
) -> None:
    config = there.config
    config.sources.clear()  # type: ignore[attr-defined]
    config.sources["aws_backup"] = object()  # type: ignore[index]
    found = collect(
        config, now=NOW, window=Window(NOW - HOURS, NOW), into=there.folder,
        sources={"aws_backup": Old(timedelta(days=days))},  # type: ignore[dict-item]
    )  # fmt: skip
    (row,) = (row for row in found.rows("coverage") if row["table_name"] == "backup_vault")
    assert (row["complete"], row["reason"]) == (complete, "" if complete else "stale")


def test_a_region_whose_events_were_denied_is_looked_up_from_where_it_was_left(there: World) -> None:
    there.look()
    there.cloud.faults.set("cloudtrail", "LookupEvents", "deny", region=HOME)
    for _ in range(3):
        there.later(24)
        there.look()
    assert cursors(there.last)["aws_cloudtrail", f"lookup {A}/{HOME}"] == NOW.isoformat()
    there.cloud.faults.clear()
    there.later(1)
    there.event("PutBucketPolicy", at=NOW + 2 * HOURS, requestParameters={"bucketName": "beta"})
    found = there.look()
    assert [row["resource"] for row in found.rows("aws_change")] == ["arn:aws:s3:::beta"]
    gaps = [
        row for row in found.rows("coverage") if row["table_name"] == "aws_change" and not row["complete"]
    ]
    assert gaps == []


def test_a_region_that_comes_into_scope_is_looked_up_as_far_back_as_a_first_scan_would(there: World) -> None:
    there.event("PutBucketPolicy", at=NOW - 240 * HOURS, requestParameters={"bucketName": "beta"})
    there.regions = (FAR,)
    there.look()
    there.later()
    there.regions = (HOME, FAR)
    assert [row["resource"] for row in there.look().rows("aws_change")] == ["arn:aws:s3:::beta"]
