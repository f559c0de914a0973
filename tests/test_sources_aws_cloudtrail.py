"""Trails and their records, through the real client and a real server."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auditor.model import Window
from auditor.sandbox.aws.cloud import AwsCloud
from auditor.sources import aws_cloudtrail
from auditor.sources._cloudtrail_record import read_record
from auditor.sources._cloudtrail_trails import selected
from auditor.sources.ask import Clients
from auditor.sources.clients import Access
from tests.aws_sources import FROM, MADE, NOW, A, B, look

pytestmark = pytest.mark.xdist_group("sources_aws_cloudtrail")
EVENTS = ("sts_session", "s3_data_event", "aws_change")
AT = FROM + timedelta(hours=3)
ROLE = f"arn:aws:iam::{A}:role/exporter"
Lookup = aws_cloudtrail.Settings(events="lookup")


def record(name: str, source: str, *, at: datetime = AT, **more: Any) -> dict[str, Any]:
    data = source == "s3" and name.endswith(("Object", "Objects", "Upload"))
    return {
        "eventVersion": "1.10",
        "eventID": f"{name}-{at:%d%H%M}",
        "eventTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "eventSource": f"{source}.amazonaws.com",
        "eventName": name,
        "eventType": "AwsApiCall",
        "awsRegion": "us-east-1",
        "recipientAccountId": A,
        "readOnly": source == "sts",
        "managementEvent": not data,
        "eventCategory": "Data" if data else "Management",
        "sourceIPAddress": "203.0.113.7",
        "userAgent": "agent",
        "userIdentity": {"type": "IAMUser", "arn": f"arn:aws:iam::{A}:user/ada", "accessKeyId": "AKIA1"},
    } | more


def issue(**more: Any) -> dict[str, Any]:
    return record(
        "AssumeRoleWithWebIdentity",
        "sts",
        userIdentity={
            "type": "WebIdentityUser",
            "principalId": "accounts.google.com:client-1:117",
            "userName": "117",
            "identityProvider": "accounts.google.com",
        },
        requestParameters={"roleArn": ROLE, "roleSessionName": "dataproc-1", "durationSeconds": 7200},
        responseElements={
            "credentials": {"accessKeyId": "ASIA1", "expiration": "Mar 2, 2026, 5:00:00 AM"},
            "subjectFromWebIdentityToken": "117",
            "audience": "client-1",
        },
        **more,
    )


def put_object(bucket: str = "exports-a", **more: Any) -> dict[str, Any]:
    arn = f"arn:aws:s3:::{bucket}"
    return record(
        "PutObject",
        "s3",
        userIdentity={
            "type": "AssumedRole",
            "arn": f"arn:aws:sts::{A}:assumed-role/exporter/dataproc-1",
            "accessKeyId": "ASIA1",
            "sessionContext": {"sessionIssuer": {"arn": ROLE}},
        },
        requestParameters={"bucketName": bucket, "key": "d/part-0"},
        responseElements={"x-amz-version-id": "v1"},
        additionalEventData={"bytesTransferredIn": 12.0},
        resources=[{"type": "AWS::S3::Object", "ARN": f"{arn}/d/part-0"}],
        **more,
    )


def change(**more: Any) -> dict[str, Any]:
    asked = {"bucketName": "exports-a"}
    return record("PutBucketVersioning", "s3", **({"requestParameters": asked} | more))


@pytest.fixture
def cloud() -> Iterator[AwsCloud]:
    cloud = AwsCloud()
    cloud.clock(NOW)
    cloud.put_bucket(A, "us-east-1", "trail-logs", at=MADE)
    cloud.put_bucket(A, "us-east-1", "exports-a", at=MADE)
    yield cloud
    cloud.faults.clear()
    cloud.stop()


def put_trail(cloud: AwsCloud, **more: Any) -> str:
    settings: dict[str, Any] = {"bucket": "trail-logs", "at": MADE} | more
    return cloud.put_trail(A, "us-east-1", "main", **settings)


def put_file(cloud: AwsCloud, body: bytes, *, at: datetime = AT, region: str = "us-east-1") -> str:
    key = f"AWSLogs/{A}/CloudTrail/{region}/{at:%Y/%m/%d}/{A}_CloudTrail_{region}_{at:%Y%m%dT%H%MZ}_x.json.gz"
    cloud.put_object("trail-logs", key, body, at=at)
    return key


def packed(*records: object) -> bytes:
    return gzip.compress(json.dumps({"Records": list(records)}).encode(), mtime=0)


def test_trail_that_records_all_gives_sessions_writes_and_changes(cloud: AwsCloud) -> None:
    put_trail(cloud)
    cloud.put_events(A, "us-east-1", [issue(), put_object(), change()])
    found = look(aws_cloudtrail, cloud.start())
    session = found.only("sts_session")
    assert (session["session_key"], session["subject"]) == ("ASIA1", "117")
    assert (session["provider"], session["audience"]) == ("accounts.google.com", "client-1")
    assert (session["duration_s"], session["expires_at"]) == (7200, FROM + timedelta(hours=5))
    write = found.only("s3_data_event")
    assert (write["version_id"], write["bytes"], write["role_arn"]) == ("v1", 12, ROLE)
    assert (write["session_name"], write["access_key_id"]) == ("dataproc-1", "ASIA1")
    assert found.only("aws_change")["resource"] == "arn:aws:s3:::exports-a"
    assert found.gaps == []
    for table in EVENTS:
        (seen,) = [one for one in found.seen if one.table == table]
        assert (seen.region, seen.resource, seen.from_at, seen.until_at) == ("*", "*", FROM, NOW)


def test_calls_are_as_few_as_the_files_need(cloud: AwsCloud) -> None:
    put_trail(cloud)
    cloud.put_events(A, "us-east-1", [issue(), put_object(), change()])
    look(aws_cloudtrail, cloud.start(), regions=("us-east-1", "eu-west-1"))
    assert dict(cloud.calls) == {
        ("cloudtrail", "DescribeTrails"): 2,
        ("cloudtrail", "GetTrailStatus"): 1,
        ("cloudtrail", "GetEventSelectors"): 1,
        ("s3", "ListObjectsV2"): 3,  # the third: whether there are digests
        ("s3", "GetObject"): 1,
    }


def test_files_of_earlier_windows_are_not_read_again(cloud: AwsCloud) -> None:
    put_trail(cloud)
    for days in range(1, 6):
        cloud.put_events(A, "us-east-1", [issue(at=FROM + timedelta(days=days))])
    window = Window(FROM + timedelta(days=4), NOW)
    found = look(aws_cloudtrail, cloud.start(), window=window)
    assert cloud.calls["s3", "GetObject"] == 2
    assert found.only("sts_session")["issued_at"] >= window.from_at


def test_event_delivered_late_is_found_by_the_next_scan(cloud: AwsCloud) -> None:
    put_trail(cloud)
    put_file(cloud, packed(issue(at=FROM - timedelta(minutes=5))), at=FROM + timedelta(minutes=10))
    found = look(aws_cloudtrail, cloud.start())
    assert found.only("sts_session")["issued_at"] == FROM - timedelta(minutes=5)


def test_event_delivered_twice_is_one_row(cloud: AwsCloud) -> None:
    put_trail(cloud)
    put_file(cloud, packed(issue(), put_object()))
    put_file(cloud, packed(put_object(), issue()), at=AT + timedelta(minutes=5))
    found = look(aws_cloudtrail, cloud.start())
    assert len(found.of("sts_session")) == len(found.of("s3_data_event")) == 1


# What a trail does not record


def test_write_only_trail_has_no_sessions(cloud: AwsCloud) -> None:
    put_trail(cloud, management="WriteOnly", data_read_write="WriteOnly")
    cloud.put_events(A, "us-east-1", [issue(), put_object(), change()])
    found = look(aws_cloudtrail, cloud.start())
    assert found.of("sts_session") == []
    assert found.missing("sts_session") == [("*", "*", "not_enabled")]
    assert found.covered("sts_session") == []
    assert found.covered("aws_change") == [("*", "*")]
    assert found.only("cloudtrail_trail")["management_events"] == "WriteOnly"


def test_trail_of_another_bucket_leaves_ours_unknown(cloud: AwsCloud) -> None:
    cloud.put_bucket(A, "us-east-1", "other", at=MADE)
    put_trail(cloud, data_arns=("arn:aws:s3:::other/", "arn:aws:s3:::exports-a/some/prefix"))
    cloud.put_events(A, "us-east-1", [issue()])
    found = look(aws_cloudtrail, cloud.start())
    assert found.missing("s3_data_event") == [
        ("*", "arn:aws:s3:::exports-a", "not_enabled"),
        ("*", "arn:aws:s3:::trail-logs", "not_enabled"),
    ]
    assert found.covered("s3_data_event") == [("*", "arn:aws:s3:::other")]


def test_trail_that_leaves_out_one_bucket_covers_the_others(cloud: AwsCloud) -> None:
    both = [
        {"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]},
        {
            "FieldSelectors": [
                {"Field": "eventCategory", "Equals": ["Data"]},
                {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
                {"Field": "readOnly", "Equals": ["false"]},
                {"Field": "resources.ARN", "NotStartsWith": ["arn:aws:s3:::trail-logs/"]},
            ]
        },
    ]
    put_trail(cloud, advanced=both)
    cloud.put_events(A, "us-east-1", [issue()])
    found = look(aws_cloudtrail, cloud.start())
    assert found.covered("s3_data_event") == [("*", "arn:aws:s3:::exports-a")]
    assert found.only("cloudtrail_trail")["write_data_arns"] == ["arn:aws:s3:::exports-a/"]


def test_buckets_that_cannot_be_listed_leave_every_write_unknown(cloud: AwsCloud) -> None:
    put_trail(cloud, data_arns=("arn:aws:s3:::exports-a/",))
    cloud.put_events(A, "us-east-1", [issue()])
    cloud.faults.set("s3", "ListBuckets", "deny")
    found = look(aws_cloudtrail, cloud.start())
    assert found.missing("s3_data_event") == [("*", "*", "denied")]
    assert found.covered("s3_data_event") == []


def test_trail_of_one_region_leaves_the_others_unknown(cloud: AwsCloud) -> None:
    put_trail(cloud, multi_region=False)
    cloud.put_events(A, "us-east-1", [issue()])
    found = look(aws_cloudtrail, cloud.start(), regions=("us-east-1", "eu-west-1"))
    for table in EVENTS:
        assert found.missing(table) == [("eu-west-1", "*", "not_enabled")]
        assert found.covered(table) == [("us-east-1", "*")]


def test_trail_that_began_within_the_window_says_from_when(cloud: AwsCloud) -> None:
    put_trail(cloud, at=AT)
    cloud.put_events(A, "us-east-1", [issue(at=AT + timedelta(hours=1))])
    found = look(aws_cloudtrail, cloud.start())
    (gap,) = [gap for gap in found.gaps if gap.table == "sts_session"]
    assert (gap.reason, gap.from_at, gap.until_at) == ("not_enabled", FROM, AT)


def test_trail_that_was_stopped_says_since_when(cloud: AwsCloud) -> None:
    arn = put_trail(cloud)
    cloud.put_events(A, "us-east-1", [issue()])
    cloud.set_trail(arn, at=AT, logging=False)
    found = look(aws_cloudtrail, cloud.start())
    assert {(gap.from_at, gap.until_at) for gap in found.gaps} == {(AT, NOW)}
    assert found.only("cloudtrail_trail")["logging"] is False


def test_trail_that_cannot_deliver_is_a_gap_since_its_last_file(cloud: AwsCloud) -> None:
    arn = put_trail(cloud)
    cloud.put_events(A, "us-east-1", [issue()])
    cloud.set_trail(arn, at=AT, delivery_error="AccessDenied", delivered_at=AT)
    found = look(aws_cloudtrail, cloud.start())
    assert {(gap.reason, gap.from_at, gap.until_at) for gap in found.gaps} == {("failed", AT, NOW)}


def test_trail_told_anew_what_to_record_covers_no_write_before(cloud: AwsCloud) -> None:
    put_trail(cloud)
    told = record("PutEventSelectors", "cloudtrail", requestParameters={"trailName": "main"})
    cloud.put_events(A, "us-east-1", [told])
    found = look(aws_cloudtrail, cloud.start())
    (gap,) = found.gaps
    assert (gap.table, gap.from_at, gap.until_at) == ("s3_data_event", FROM, AT)


# What cannot be read


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"not gzip", "not gzip"),
        (packed(issue())[:-12], "the gzip stream breaks off"),
        (gzip.compress(b'{"Records": ['), "not JSON"),
        (gzip.compress(b"[]"), "not a log file"),
        (gzip.compress(b"[" * 100_000), "not JSON"),
        (gzip.compress(b'{"records": []}'), "no Records"),
    ],
    ids=["plain", "cut", "half JSON", "a list", "too deep", "other JSON"],
)
def test_broken_file_is_a_gap_of_its_day_and_the_others_are_read(
    cloud: AwsCloud, body: bytes, why: str
) -> None:
    put_trail(cloud)
    cloud.put_events(A, "us-east-1", [issue(at=AT + timedelta(days=2))])
    key = put_file(cloud, body)
    found = look(aws_cloudtrail, cloud.start())
    assert len(found.of("sts_session")) == 1
    assert {gap.table for gap in found.gaps} == set(EVENTS)
    for gap in found.gaps:
        assert gap.reason in {"malformed", "suspect"}
        assert why in gap.detail
        assert key in gap.detail
        assert (gap.region, gap.from_at, gap.until_at) == ("us-east-1", FROM, FROM + timedelta(days=1))


def test_file_that_is_denied_is_a_gap_of_its_day(cloud: AwsCloud) -> None:
    put_trail(cloud)
    cloud.put_events(A, "us-east-1", [issue(), issue(at=AT + timedelta(days=2), eventID="b")])
    cloud.faults.set("s3", "GetObject", "deny", times=1)
    found = look(aws_cloudtrail, cloud.start())
    assert {gap.reason for gap in found.gaps} == {"denied"}
    assert found.covered("sts_session") == [("*", "*")]


def test_region_whose_listing_fails_is_a_gap_of_the_window(cloud: AwsCloud) -> None:
    put_trail(cloud)
    cloud.put_events(A, "us-east-1", [issue()])
    cloud.put_events(A, "eu-west-1", [issue(awsRegion="eu-west-1", eventID="b")])
    clients = Clients(Access(aws_endpoint=cloud.start(), attempts=1))

    def refuse(params: Mapping[str, Any], **_: Any) -> None:
        if "eu-west-1" in str(params["query_string"].get("prefix")):
            cloud.faults.set("s3", "ListObjectsV2", "fail", times=1)

    events = clients.aws("s3", A, "us-east-1").meta.events
    events.register("before-call.s3.ListObjectsV2", refuse)
    found = look(aws_cloudtrail, "", clients=clients)
    assert len(found.of("sts_session")) == 1
    assert {(gap.region, gap.reason, gap.from_at, gap.until_at) for gap in found.gaps} == {
        ("eu-west-1", "failed", FROM, NOW)
    }


def test_record_that_lacks_fields_is_kept_and_named(cloud: AwsCloud) -> None:
    put_trail(cloud)
    bare = {"eventSource": "s3.amazonaws.com", "eventName": "PutObject"}
    put_file(cloud, packed(bare, None, "text", [1], {"eventName": "X"}, issue()))
    found = look(aws_cloudtrail, cloud.start())
    write = found.only("s3_data_event")
    assert write["event_id"].startswith("sha256:")
    assert (write["bucket"], write["at"], write["region"]) == (None, None, None)
    assert len(found.of("sts_session")) == 1
    details = {gap.detail for gap in found.gaps if gap.table == "s3_data_event"}
    assert any("lacks eventID, awsRegion, eventTime, userIdentity, bucket, key" in one for one in details)
    assert any("lacks everything" in one for one in details)
    assert not any("bucket" in gap.detail for gap in found.gaps if gap.table == "sts_session")


def test_hostile_text_survives(cloud: AwsCloud) -> None:
    put_trail(cloud)
    key = "d/<img src=x>\0\ud800\u202e\n=1+1"
    asked = {"bucketName": "exports-a", "key": key}
    put_file(cloud, packed(put_object() | {"requestParameters": asked, "userAgent": "x" * 100_000}))
    found = look(aws_cloudtrail, cloud.start())
    assert found.only("s3_data_event")["key"] == key
    assert found.gaps == []


@pytest.mark.parametrize(
    ("kind", "reason"), [("deny", "denied"), ("expire", "expired"), ("empty", "suspect")]
)
def test_trails_that_cannot_be_described_are_gaps_and_lookup_is_tried(
    cloud: AwsCloud, kind: str, reason: str
) -> None:
    put_trail(cloud)
    cloud.put_events(A, "us-east-1", [issue(), change()])
    cloud.faults.set("cloudtrail", "DescribeTrails", kind)
    found = look(aws_cloudtrail, cloud.start())
    assert found.missing("cloudtrail_trail") == [("us-east-1", "*", reason)]
    assert found.missing("s3_data_event") == [("*", "*", reason)]
    assert len(found.of("sts_session")) == len(found.of("aws_change")) == 1


@pytest.mark.parametrize("operation", ["GetTrailStatus", "GetEventSelectors"])
def test_denied_detail_of_a_trail_leaves_only_its_columns_unknown(cloud: AwsCloud, operation: str) -> None:
    arn = put_trail(cloud)
    cloud.put_events(A, "us-east-1", [issue()])
    cloud.faults.set("cloudtrail", operation, "deny")
    found = look(aws_cloudtrail, cloud.start())
    trail = found.only("cloudtrail_trail")
    unknown = (
        {"logging", "started_at", "delivered_at", "delivery_error"}
        if operation == "GetTrailStatus"
        else {"management_events", "write_data_arns"}
    )
    assert {name for name, value in trail.items() if value is None} == unknown
    named = {resource for _, resource, _ in found.missing("cloudtrail_trail")}
    assert named == {f"{arn}#{name}" for name in unknown}
    assert found.missing("s3_data_event")


def test_log_bucket_that_is_denied_falls_back_to_lookup_and_says_so(cloud: AwsCloud) -> None:
    put_trail(cloud)
    cloud.put_events(A, "us-east-1", [issue(), put_object(), change()])
    cloud.faults.set("s3", "ListObjectsV2", "deny")
    found = look(aws_cloudtrail, cloud.start())
    assert found.of("s3_data_event") == []
    assert found.missing("s3_data_event") == [("*", "*", "denied")]
    assert len(found.of("sts_session")) == 1
    assert found.covered("sts_session") == [("us-east-1", "*")]


def test_files_only_setting_does_not_fall_back(cloud: AwsCloud) -> None:
    cloud.put_events(A, "us-east-1", [issue()])
    files = aws_cloudtrail.Settings(events="files")
    found = look(aws_cloudtrail, cloud.start(), settings=files)
    assert found.of("sts_session") == []
    assert [found.missing(table) for table in EVENTS] == [[("*", "*", "not_enabled")]] * 3


def test_trail_without_a_single_file_is_suspect_and_never_a_quiet_account(cloud: AwsCloud) -> None:
    put_trail(cloud)
    files = aws_cloudtrail.Settings(events="files")
    found = look(aws_cloudtrail, cloud.start(), settings=files)
    assert [found.missing(table) for table in EVENTS] == [[("*", "*", "suspect")]] * 3


# Lookup


def test_lookup_reads_every_region_and_us_east_1(cloud: AwsCloud) -> None:
    cloud.put_events(A, "us-east-1", [issue(), change()])
    cloud.put_events(A, "eu-west-1", [issue(eventID="eu", awsRegion="eu-west-1")])
    found = look(aws_cloudtrail, cloud.start(), regions=("eu-west-1",), settings=Lookup)
    assert sorted(found.covered("sts_session")) == [("eu-west-1", "*"), ("us-east-1", "*")]
    assert found.missing("s3_data_event") == [("*", "*", "not_enabled")]
    assert len(found.of("aws_change")) == 1


def test_lookup_says_what_is_older_than_it_keeps(cloud: AwsCloud) -> None:
    old = NOW - timedelta(days=200)
    found = look(aws_cloudtrail, cloud.start(), settings=Lookup, window=Window(old, NOW))
    kept = NOW - timedelta(days=90)
    gaps = [gap for gap in found.gaps if gap.table == "sts_session"]
    assert [(gap.reason, gap.from_at, gap.until_at) for gap in gaps] == [("out_of_reach", old, kept)]
    assert {seen.from_at for seen in found.seen if seen.table == "sts_session"} == {kept}


@pytest.mark.parametrize(("kind", "reason"), [("empty", "suspect"), ("throttle", "throttled")])
def test_lookup_that_fails_in_one_region_is_a_gap_there(cloud: AwsCloud, kind: str, reason: str) -> None:
    cloud.faults.set("cloudtrail", "LookupEvents", kind, region="eu-west-1")
    found = look(aws_cloudtrail, cloud.start(), regions=("eu-west-1",), settings=Lookup)
    assert found.missing("sts_session") == [("eu-west-1", "*", reason)]
    assert found.covered("sts_session") == [("us-east-1", "*")]


def test_accounts_are_read_apart(cloud: AwsCloud) -> None:
    put_trail(cloud)
    cloud.put_role(B, "auditor", trust={"Statement": []}, at=MADE)
    cloud.put_events(A, "us-east-1", [issue()])
    cloud.put_events(B, "us-east-1", [change(recipientAccountId=B)])
    found = look(aws_cloudtrail, cloud.start(), accounts=(A, B))
    assert found.only("aws_change")["account"] == B
    assert {gap.account for gap in found.gaps} == {B}


# Records and selectors


@pytest.mark.parametrize(
    ("event", "resource"),
    [
        (change(), "arn:aws:s3:::exports-a"),
        (
            record("UpdateAssumeRolePolicy", "iam", requestParameters={"roleName": "exporter"}),
            f"arn:aws:iam::{A}:role/exports/exporter",
        ),
        (record("DeleteRole", "iam", requestParameters={"roleName": "x"}), f"arn:aws:iam::{A}:role/x"),
        (
            record("AttachRolePolicy", "iam", requestParameters={"policyArn": "arn:p", "roleName": "x"}),
            f"arn:aws:iam::{A}:role/x",
        ),
        (record("CreatePolicyVersion", "iam", requestParameters={"policyArn": "arn:p"}), "arn:p"),
        (
            record("DeleteBackupVault", "backup", requestParameters={"backupVaultName": "v"}),
            f"arn:aws:backup:us-east-1:{A}:backup-vault:v",
        ),
        (
            record("UpdateBackupPlan", "backup", requestParameters={"backupPlanId": "p"}),
            f"arn:aws:backup:us-east-1:{A}:backup-plan:p",
        ),
        (
            record("StopLogging", "cloudtrail", requestParameters={"name": "main"}),
            f"arn:aws:cloudtrail:us-east-1:{A}:trail/main",
        ),
        (
            record("ScheduleKeyDeletion", "kms", requestParameters={"keyId": "k"}),
            f"arn:aws:kms:us-east-1:{A}:key/k",
        ),
        (record("PutAccountPublicAccessBlock", "s3", requestParameters=None), None),
    ],
)
def test_changed_resource_is_named(event: dict[str, Any], resource: str | None) -> None:
    arns = {(f"{A}:role", "exporter"): f"arn:aws:iam::{A}:role/exports/exporter"}
    reading = read_record(event, arns, A)
    assert reading.row is not None
    assert (reading.row.table, reading.row.values["resource"]) == ("aws_change", resource)


@pytest.mark.parametrize(
    "event",
    [
        record("GetBucketPolicy", "s3", readOnly=True),
        record("RunInstances", "ec2"),
        record("GetObject", "s3", readOnly=True),
        record("PutObjectTagging", "s3", managementEvent=False, eventCategory="Data"),
        record("ListRoles", "iam", readOnly=None),
    ],
)
def test_reads_and_foreign_services_are_not_kept(event: dict[str, Any]) -> None:
    assert read_record(event, {}, A).row is None


def test_refused_issue_has_no_key_and_its_error() -> None:
    refused = issue() | {"errorCode": "AccessDenied", "responseElements": None}
    row = read_record(refused, {}, A).row
    assert row is not None
    assert (row.values["error_code"], row.values["access_key_id"]) == ("AccessDenied", None)
    assert row.values["session_key"] == refused["eventID"]
    assert row.values["expires_at"] is None


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("Sep 2, 2026 11:04:12 PM", datetime(2026, 9, 2, 23, 4, 12, tzinfo=UTC)),
        ("Dec 31, 2026, 12:00:01\u202fAM", datetime(2026, 12, 31, 0, 0, 1, tzinfo=UTC)),
        ("2026-03-02T05:00:00Z", datetime(2026, 3, 2, 5, tzinfo=UTC)),
        ("soon", AT + timedelta(seconds=7200)),
        (None, AT + timedelta(seconds=7200)),
    ],
)
def test_expiry_is_read_as_cloudtrail_writes_it_or_reckoned(text: str | None, at: datetime) -> None:
    event = issue() | {"responseElements": {"credentials": {"expiration": text}}}
    row = read_record(event, {}, A).row
    assert row is not None
    assert row.values["expires_at"] == at


def data(*tests: dict[str, Any]) -> dict[str, Any]:
    kind = [{"Field": "eventCategory", "Equals": ["Data"]}]
    kind += [{"Field": "resources.type", "Equals": ["AWS::S3::Object"]}]
    return {"AdvancedEventSelectors": [{"FieldSelectors": [*kind, *tests]}]}


@pytest.mark.parametrize(
    ("reply", "whole"),
    [
        (data(), True),
        (data({"Field": "readOnly", "Equals": ["true"]}), False),
        (data({"Field": "readOnly", "NotEquals": ["true"]}), True),
        (data({"Field": "resources.ARN", "StartsWith": ["arn:aws:s3:::b/"]}), True),
        (data({"Field": "resources.ARN", "StartsWith": ["arn:aws:s3:::b/only/"]}), False),
        (data({"Field": "resources.ARN", "StartsWith": ["arn:aws:s3:::bb/"]}), False),
        (data({"Field": "resources.ARN", "NotStartsWith": ["arn:aws:s3:::b/tmp/"]}), False),
        (data({"Field": "resources.ARN", "NotStartsWith": ["arn:aws:s3:::c/"]}), True),
        (data({"Field": "resources.ARN", "EndsWith": [".parquet"]}), False),
        (data({"Field": "eventName", "Equals": ["PutObject"]}), False),
        (data({"Field": "userIdentity.arn", "NotStartsWith": ["arn:x"]}), False),
    ],
)
def test_selectors_cover_a_bucket_only_when_every_write_is_recorded(
    reply: dict[str, Any], whole: bool
) -> None:
    assert selected(reply).whole("b") is whole


def test_management_selector_that_narrows_covers_nothing() -> None:
    fields = [
        {"Field": "eventCategory", "Equals": ["Management"]},
        {"Field": "eventSource", "Equals": ["iam.amazonaws.com"]},
    ]
    assert selected({"AdvancedEventSelectors": [{"FieldSelectors": fields}]}).management == "None"
