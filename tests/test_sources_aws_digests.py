"""Digest files of CloudTrail: signed, chained, and compared with the log files they name; the forgeries first."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from aws_sources import FROM, MADE, NOW, A, Found, look

from auditor.model import Gap
from auditor.sandbox.aws.cloud import AwsCloud
from auditor.schema import tables
from auditor.sources import aws_cloudtrail

COLUMNS = tables()["cloudtrail_digest"].columns
REGION = "us-east-1"
HOUR = timedelta(hours=1)
START = NOW - timedelta(hours=6)


def event(at: datetime, name: str = "e1") -> dict[str, Any]:
    return {
        "eventVersion": "1.08", "eventID": name, "eventTime": f"{at:%Y-%m-%dT%H:%M:%SZ}", "eventSource": "s3.amazonaws.com",
        "eventName": "PutBucketVersioning", "awsRegion": REGION, "sourceIPAddress": "203.0.113.9", "userAgent": "cli",
        "userIdentity": {"type": "IAMUser", "arn": f"arn:aws:iam::{A}:user/eve", "accountId": A}, "recipientAccountId": A,
        "requestParameters": {"bucketName": "b"}, "managementEvent": True, "readOnly": False, "eventCategory": "Management",
    }  # fmt: skip


@pytest.fixture
def cloud() -> Iterator[AwsCloud]:
    started = AwsCloud()
    started.clock(NOW)
    started.put_bucket(A, REGION, "logs", at=MADE)
    yield started
    started.faults.clear()
    started.stop()


def told(cloud: AwsCloud, **digests: Any) -> str:
    """Make a trail whose digests of the last six hours name one log file."""
    arn = cloud.put_trail(A, REGION, "trail", bucket="logs", at=MADE)
    cloud.put_events(A, REGION, [event(START + timedelta(minutes=30))])
    cloud.put_digests(arn, REGION, from_at=START, until_at=NOW, **digests)
    return arn


def asked(cloud: AwsCloud, **more: Any) -> Found:
    return look(aws_cloudtrail, cloud.start(), **more)


def chain(found: Found) -> Mapping[str, Any]:
    """Return what the facts make of it."""
    coverage = [
        {"table_name": seen.table, "account": seen.account, "region": seen.region, "resource": seen.resource,
         "from_at": seen.from_at, "until_at": seen.until_at, "complete": True, "reason": "", "detail": "", "source": "t"}
        for seen in found.seen
    ]  # fmt: skip
    coverage += [
        {"table_name": gap.table, "account": gap.account, "region": gap.region, "resource": gap.resource,
         "from_at": gap.from_at, "until_at": gap.until_at, "complete": False, "reason": gap.reason, "detail": gap.detail, "source": "t"}
        for gap in found.gaps
    ]  # fmt: skip
    held = {
        "as_of": [{"as_of": NOW, "previous_at": FROM, "skew_s": 120, "horizon_cloudtrail_s": 3600,
                   "horizon_logging_s": 3600, "horizon_listing_s": 0}],
        "cloudtrail_trail": found.of("cloudtrail_trail"),
        "recent_digest": [{**dict.fromkeys(c.name for c in COLUMNS), **row} for row in found.of("cloudtrail_digest")],
        "coverage": coverage,
    }  # fmt: skip
    rows = list(import_module("auditor.correlate.75_digest_chain").derive(held))
    return rows[0] if rows else {}


def test_whole_chain_verifies_and_its_log_file_is_what_it_says(cloud: AwsCloud) -> None:
    told(cloud)
    found = asked(cloud)
    rows = found.of("cloudtrail_digest")
    assert [row["signature"] for row in rows] == ["valid"] * 6
    assert (
        rows[0]["files"],
        rows[0]["files_unread"],
        rows[0]["files_changed"],
        rows[0]["files_missing"],
    ) == (1, 0, [], [])
    said = chain(found)
    assert (said["digests"], said["troubles"], said["files_unread"]) == (6, [], 0)


def test_digest_that_somebody_else_signed_is_invalid(cloud: AwsCloud) -> None:
    told(cloud, forged=[START + 2 * HOUR])
    found = asked(cloud)
    assert [row["signature"] for row in found.of("cloudtrail_digest")].count("invalid") == 1
    assert "its signature does not verify" in chain(found)["troubles"][0]


def test_digest_that_names_a_key_which_cloudtrail_does_not_list_does_not_hold(cloud: AwsCloud) -> None:
    told(cloud)
    key = min(row["key"] for row in asked(cloud).of("cloudtrail_digest"))
    body, metadata = cloud_body(cloud, key)
    digest = json.loads(gzip.decompress(body)) | {"digestPublicKeyFingerprint": "0" * 32}
    cloud.put_object("logs", key, gzip.compress(json.dumps(digest).encode()), at=NOW, metadata=metadata)
    found = asked(cloud)
    assert found.only("cloudtrail_digest", key=key)["signature"] == "no_key"
    assert "lists no public key" in chain(found)["troubles"][0]


def test_digest_that_was_deleted_is_named_by_the_one_after_it(cloud: AwsCloud) -> None:
    told(cloud, skipped=[START + 3 * HOUR])
    troubles = chain(asked(cloud))["troubles"]
    assert len(troubles) == 1
    assert "is not there" in troubles[0]


def test_digest_that_a_gap_hides_is_not_missed(cloud: AwsCloud) -> None:
    told(cloud)
    found = asked(cloud)
    (arn,) = {row["trail_arn"] for row in found.of("cloudtrail_digest")}
    one = sorted(row["end_at"] for row in found.of("cloudtrail_digest"))[3]
    rows = [row for row in found.rows if row.values.get("end_at") != one]
    hour = (one - HOUR / 2, one + HOUR / 2)
    hidden = Gap("cloudtrail_digest", A, REGION, arn, "denied", "", *hour)
    elsewhere = Gap("cloudtrail_digest", A, "eu-west-1", arn, "denied", "", *hour)
    assert chain(replace(found, rows=rows, gaps=[*found.gaps, hidden]))["troubles"] == []
    assert len(chain(replace(found, rows=rows, gaps=[*found.gaps, elsewhere]))["troubles"]) == 1


def test_digest_replaced_by_an_older_one_says_that_it_is_another(cloud: AwsCloud) -> None:
    told(cloud)
    keys = sorted(row["key"] for row in asked(cloud).of("cloudtrail_digest"))
    body = cloud_body(cloud, keys[1])
    cloud.put_object("logs", keys[2], body[0], at=NOW, metadata=body[1])
    rows = asked(cloud).of("cloudtrail_digest", key=keys[2])
    assert rows[0]["signature"] == "invalid"
    assert "it says that it is" in rows[0]["says"]


def cloud_body(cloud: AwsCloud, key: str) -> tuple[bytes, dict[str, str]]:
    from aws_sources import shared

    reply = shared(cloud.start(), (A,), 1, 5).aws("s3", A, REGION).get_object(Bucket="logs", Key=key)
    return reply["Body"].read(), reply["Metadata"]


def test_log_file_with_one_record_taken_out_is_named(cloud: AwsCloud) -> None:
    told(cloud)
    (key,) = [name for name in _names(cloud) if "/CloudTrail/" in name]
    cloud.put_object("logs", key, gzip.compress(json.dumps({"Records": []}).encode()), at=NOW)
    assert [row["files_changed"] for row in asked(cloud).of("cloudtrail_digest") if row["files_changed"]] == [
        [key]
    ]


def test_log_file_that_is_no_log_file_any_more_is_named(cloud: AwsCloud) -> None:
    told(cloud)
    (key,) = [name for name in _names(cloud) if "/CloudTrail/" in name]
    cloud.put_object("logs", key, b"garbage", at=NOW)
    assert [row["files_changed"] for row in asked(cloud).of("cloudtrail_digest") if row["files_changed"]] == [
        [key]
    ]


def test_log_file_that_was_deleted_is_missing_and_not_merely_unread(cloud: AwsCloud) -> None:
    told(cloud)
    (key,) = [name for name in _names(cloud) if "/CloudTrail/" in name]
    cloud.put_events(
        A, REGION, [event(NOW - HOUR, "e2")]
    )  # another stays, or the trail would have no files at all
    cloud.delete_object("logs", key, at=NOW)
    client = _client(cloud)
    for version in client.list_object_versions(Bucket="logs", Prefix=key).get("Versions", []):
        client.delete_object(Bucket="logs", Key=key, VersionId=version["VersionId"])
    assert [row["files_missing"] for row in asked(cloud).of("cloudtrail_digest") if row["files_missing"]] == [
        [key]
    ]


def _client(cloud: AwsCloud) -> Any:
    from aws_sources import shared

    return shared(cloud.start(), (A,), 1, 5).aws("s3", A, REGION)


def _names(cloud: AwsCloud) -> list[str]:
    return [item["Key"] for item in _client(cloud).list_objects_v2(Bucket="logs")["Contents"]]


def test_digest_without_signature_or_without_content_is_a_finding_and_not_a_gap(cloud: AwsCloud) -> None:
    told(cloud)
    keys = sorted(row["key"] for row in asked(cloud).of("cloudtrail_digest"))
    body, _ = cloud_body(cloud, keys[0])
    cloud.put_object("logs", keys[0], body, at=NOW)
    cloud.put_object("logs", keys[1], b"\x00garbage", at=NOW)
    cloud.put_object("logs", keys[2], gzip.compress(b"[]"), at=NOW)
    found = asked(cloud)
    states = {row["key"]: row["signature"] for row in found.of("cloudtrail_digest")}
    assert [states[key] for key in keys[:3]] == ["unsigned", "invalid", "invalid"]
    assert found.missing("cloudtrail_digest") == []


@pytest.mark.parametrize(
    ("service", "operation"), [("s3", "GetObject"), ("s3", "ListObjectsV2"), ("cloudtrail", "ListPublicKeys")]
)
def test_digests_that_cannot_be_read_are_a_gap_and_never_sound(
    cloud: AwsCloud, service: str, operation: str
) -> None:
    arn = told(cloud)
    cloud.faults.set(service, operation, "deny")
    found = asked(cloud)
    assert ("us-east-1", arn, "denied") in found.missing("cloudtrail_digest") or (
        "*",
        arn,
        "denied",
    ) in found.missing("cloudtrail_digest")


def test_more_digests_than_allowed_are_a_gap(cloud: AwsCloud) -> None:
    arn = told(cloud)
    found = asked(cloud, settings=aws_cloudtrail.Settings(digests_most=4))
    assert len(found.of("cloudtrail_digest")) == 4
    assert found.missing("cloudtrail_digest") == [("us-east-1", arn, "truncated")]


def test_switched_off_nothing_is_read_and_nothing_is_said_to_hold(cloud: AwsCloud) -> None:
    told(cloud)
    found = asked(cloud, settings=aws_cloudtrail.Settings(digests=False))
    assert found.of("cloudtrail_digest") == []
    assert found.covered("cloudtrail_digest") == []
    assert chain(found) == {}


def test_silence_of_the_stream_is_the_longest_time_without_a_digest(cloud: AwsCloud) -> None:
    arn = cloud.put_trail(A, REGION, "trail", bucket="logs", at=MADE)
    cloud.put_digests(arn, REGION, from_at=FROM, until_at=FROM + timedelta(hours=5))
    cloud.put_digests(arn, REGION, from_at=NOW - timedelta(hours=3), until_at=NOW - HOUR)
    cloud.put_events(A, REGION, [event(NOW - HOUR)])
    said = chain(asked(cloud))
    assert said["longest_silence_s"] == int(
        (NOW - timedelta(hours=2) - FROM - timedelta(hours=5)).total_seconds()
    )


def test_validated_trail_that_never_wrote_a_digest_is_in_trouble(cloud: AwsCloud) -> None:
    cloud.put_trail(A, REGION, "trail", bucket="logs", at=MADE)
    cloud.put_events(A, REGION, [event(NOW - HOUR)])
    assert "no digest stands in its bucket" in chain(asked(cloud))["troubles"][0]
