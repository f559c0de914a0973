"""What happened since an inventory comes from listing what was written; what nobody could see is a gap, never absence."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from auditor.model import Gap, Seen
from auditor.sandbox.aws.cloud import AwsCloud
from auditor.sources import aws_s3
from tests.aws_sources import FROM, MADE, NOW, A
from tests.inventory_case import (
    ARN,
    BUCKET,
    DELIVERED,
    HOUR,
    INTO,
    SETTLED,
    cloud,
    job,
    listed,
    looked,
    versions,
    way,
)

__all__ = ("cloud",)
pytestmark = pytest.mark.xdist_group("sources_s3_inventory")


def delivered(cloud: AwsCloud, *keys: str) -> None:
    for key in keys:
        cloud.put_object(BUCKET, key, b"x", at=MADE)
    cloud.put_inventory(BUCKET, into=INTO)
    cloud.deliver_inventory(BUCKET, at=DELIVERED)


def event(key: str, **more: Any) -> dict[str, Any]:
    return {
        "bucket": BUCKET,
        "key": key,
        "at": NOW - HOUR,
        "error_code": "",
        "event_name": "PutObject",
    } | more


def backup(at: datetime, **more: Any) -> dict[str, Any]:
    row = {
        "resource_arn": ARN,
        "state": "COMPLETED",
        "category": "SUCCESS",
        "point_arn": "p",
        "started_at": at,
        "created_at": at,
    }
    return row | more


@pytest.mark.parametrize(
    ("jobs", "listed_too"),
    [
        ([backup(MADE + 2 * HOUR)], False),
        ([], True),
        ([backup(MADE + HOUR)], True),
        ([backup(MADE + 14 * HOUR)], True),
        ([backup(MADE + 2 * HOUR, category="ABORTED")], True),
        ([backup(MADE + 2 * HOUR, state="FAILED")], True),
        ([backup(MADE + 2 * HOUR, resource_arn="arn:aws:s3:::other")], True),
        ([backup(SETTLED + HOUR)], True),
    ],
)
def test_an_older_export_that_nothing_captured_in_time_is_listed_too(
    cloud: AwsCloud, jobs: list[dict[str, Any]], listed_too: bool
) -> None:
    delivered(cloud, "a/1")
    found = looked(cloud, job("a/", MADE + HOUR), jobs=jobs)
    assert way(found)["prefixes"] == (["a/"] if listed_too else [])


def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no bucket be small enough to be listed whole."""
    monkeypatch.setattr("auditor.sources._s3_way.SMALL", 0)


def test_the_prefix_of_an_export_since_is_listed_and_its_rows_of_the_inventory_are_left_out(
    cloud: AwsCloud,
) -> None:
    delivered(cloud, "a/1", "a/2", "b/1")
    cloud.put_object(BUCKET, "a/3", b"new", at=NOW - HOUR)
    cloud.put_object(BUCKET, "a/1", b"again", at=NOW - HOUR)
    (version,) = [row["version_id"] for row in versions(listed(cloud)) if row["key"] == "a/2"]
    cloud.delete_object(BUCKET, "a/2", at=NOW, version_id=version)
    found = looked(cloud, job("a/", NOW - HOUR))
    assert way(found)["prefixes"] == ["a/"]
    assert versions(found) == versions(listed(cloud))
    assert "a/2" not in [row["key"] for row in versions(found)]
    assert cloud.calls["s3", "ListObjectVersions"] == 3
    assert found.gaps == []


def test_a_job_that_still_runs_and_one_that_ended_in_the_margin_are_listed_and_an_older_one_is_not(
    cloud: AwsCloud,
) -> None:
    delivered(cloud, "a/1", "b/1", "c/1", "d/1")
    relisted = SETTLED - 48 * HOUR
    found = looked(
        cloud,
        job("a/", None),
        job("b/", SETTLED + HOUR),
        job("c/", relisted + HOUR),
        job("d/", relisted - 3 * HOUR),
        jobs=[backup(relisted - HOUR)],
    )
    assert way(found)["prefixes"] == ["a/", "b/", "c/"]


def test_a_write_that_only_a_data_event_tells_of_is_found_too(cloud: AwsCloud) -> None:
    delivered(cloud, "a/1", "s/1")
    cloud.put_object(BUCKET, "s/stray", b"x", at=NOW - HOUR)
    cloud.put_object(BUCKET, "root", b"x", at=NOW - HOUR)
    events = [
        event("s/stray"),
        event("root"),
        event("a/denied", error_code="AccessDenied"),
        event("z/old", at=SETTLED - HOUR),
    ]
    found = looked(cloud, events=events)
    assert way(found)["prefixes"] == ["root", "s/"]
    assert versions(found) == versions(listed(cloud))
    assert found.gaps == []


def test_without_data_events_a_small_bucket_is_listed_whole(cloud: AwsCloud) -> None:
    delivered(cloud, "a/1")
    cloud.put_object(BUCKET, "stray/1", b"x", at=NOW - HOUR)
    found = looked(cloud, seen=[])
    assert way(found)["way"] == "listing"
    assert "no data events tell" in way(found)["because"]
    assert versions(found) == versions(listed(cloud))
    assert found.gaps == []
    assert found.covered("s3_object_version") == [("us-east-1", ARN)]


def _gap(**more: Any) -> Gap:
    place: dict[str, Any] = {"table": "s3_data_event", "account": A, "region": "us-east-1", "resource": ARN}
    return Gap(**(place | {"from_at": NOW - 5 * HOUR, "until_at": NOW - 4 * HOUR} | more))


WHOLE = Seen("s3_data_event", A, "us-east-1", ARN, FROM, NOW)


@pytest.mark.parametrize(
    "seen",
    [
        [],
        [WHOLE, _gap()],
        [WHOLE, _gap(resource="*", region="*")],
        [Seen("s3_data_event", A, "us-east-1", ARN, SETTLED + HOUR, NOW)],
        [Seen("s3_data_event", A, "us-east-1", ARN, FROM, NOW - HOUR)],
        [Seen("s3_data_event", A, "eu-west-1", "*", FROM, NOW)],
        [Seen("s3_data_event", A, "us-east-1", "arn:aws:s3:::other", FROM, NOW)],
        [Seen("s3_data_event", "222222222222", "us-east-1", "*", FROM, NOW)],
        [
            Seen("s3_data_event", A, "us-east-1", ARN, FROM, NOW - 3 * HOUR),
            Seen("s3_data_event", A, "us-east-1", ARN, NOW - 2 * HOUR, NOW),
        ],
    ],
)
def test_where_events_were_not_read_through_the_rest_of_the_bucket_is_a_gap(
    cloud: AwsCloud, monkeypatch: pytest.MonkeyPatch, seen: list[Seen | Gap]
) -> None:
    crowded(monkeypatch)
    delivered(cloud, "a/1")
    found = looked(cloud, job("a/", NOW - HOUR), seen=seen)
    assert (way(found)["way"], way(found)["whole"], way(found)["prefixes"]) == ("inventory", False, ["a/"])
    assert found.missing("s3_object_version") == [("us-east-1", ARN, "not_enabled")]
    assert found.covered("s3_object_version") == []
    (missed,) = [each for each in found.gaps if each.table == "s3_object_version"]
    assert "record S3 write data events" in missed.detail


@pytest.mark.parametrize(
    "seen",
    [
        [WHOLE],
        [WHOLE, _gap(resource="arn:aws:s3:::other")],
        [WHOLE, _gap(from_at=FROM - 9 * HOUR, until_at=SETTLED - HOUR)],
        [
            Seen("s3_data_event", A, "us-east-1", "*", FROM, NOW - 3 * HOUR),
            Seen("s3_data_event", A, "us-east-1", "*", NOW - 3 * HOUR, NOW),
        ],
    ],
)
def test_events_that_were_read_through_vouch_for_the_rest(cloud: AwsCloud, seen: list[Seen | Gap]) -> None:
    delivered(cloud, "a/1")
    found = looked(cloud, seen=seen)
    assert way(found)["whole"] is True
    assert found.covered("s3_object_version") == [("us-east-1", ARN)]


def test_a_prefix_that_cannot_be_listed_is_a_gap_of_the_bucket_and_its_old_rows_are_not_shown(
    cloud: AwsCloud,
) -> None:
    delivered(cloud, "a/1", "b/1")
    cloud.faults.set("s3", "ListObjectVersions", "deny")
    found = looked(cloud, job("a/", NOW - HOUR))
    assert found.missing("s3_object_version") == [("us-east-1", ARN, "denied")]
    assert way(found)["prefixes"] == []
    assert [row["key"] for row in versions(found)] == ["b/1"]


def test_an_export_at_the_root_lets_the_bucket_be_listed(cloud: AwsCloud) -> None:
    delivered(cloud, "a/1")
    found = looked(cloud, job("", NOW - HOUR))
    assert way(found)["way"] == "listing"
    assert "root of the bucket" in way(found)["because"]


def test_a_key_that_rows_could_not_hold_is_listed_from_the_folder_above_it(cloud: AwsCloud) -> None:
    delivered(cloud, "a/x", "a/b\x00/1")
    cloud.put_object(BUCKET, "a/b\x00/2", b"x", at=NOW - HOUR)
    found = looked(cloud, events=[event("a/b\\u0000/2")])
    assert way(found)["prefixes"] == ["a/"]
    assert versions(found) == versions(listed(cloud))


def test_a_marker_that_was_deleted_since_is_no_gap(cloud: AwsCloud) -> None:
    cloud.put_object(BUCKET, "a/_SUCCESS", b'{"filenames": []}', at=MADE)
    delivered(cloud, "a/1")
    (version,) = [row["version_id"] for row in versions(listed(cloud)) if row["key"] == "a/_SUCCESS"]
    cloud.delete_object(BUCKET, "a/_SUCCESS", at=NOW, version_id=version)
    found = looked(cloud)
    assert found.of("s3_manifest") == []
    assert found.gaps == []


def test_the_newest_replicated_object_is_asked_as_by_listing(cloud: AwsCloud) -> None:
    rules = {
        "Role": "arn:aws:iam::111111111111:role/r",
        "Rules": [{"Status": "Enabled", "Destination": {"Bucket": "arn:aws:s3:::far"}}],
    }
    cloud.set_bucket(BUCKET, replication=rules)
    cloud.put_object(BUCKET, "a/0", b"x", at=MADE + HOUR, replication="COMPLETED")
    delivered(cloud, "a/1")
    by_inventory, by_listing = looked(cloud), listed(cloud)
    assert by_inventory.of("s3_replica") == by_listing.of("s3_replica")
    assert by_inventory.only("s3_replica")["status"] == "COMPLETED"


def test_inventories_can_be_switched_off(cloud: AwsCloud) -> None:
    delivered(cloud, "a/1")
    cloud.calls.clear()
    found = looked(cloud, settings=aws_s3.Settings(inventory=False))
    assert way(found)["way"] == "listing"
    assert ("s3", "ListBucketInventoryConfigurations") not in cloud.calls
