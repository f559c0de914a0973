"""Buckets, settings, objects and markers, through the real client and a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote_from_bytes

import pytest

from auditor.canonical import stored
from auditor.sandbox.aws.cloud import AwsCloud
from auditor.schema import tables
from auditor.sources import aws_s3
from auditor.sources._s3_objects import decoded
from auditor.sources.ask import Clients
from auditor.sources.clients import Access
from tests.aws_sources import MADE, NOW, A, B, Found, look

pytestmark = pytest.mark.xdist_group("sources_aws_s3")
KEY = "arn:aws:kms:us-east-1:111111111111:key/11111111-1111-1111-1111-111111111111"


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[AwsCloud, str]]:
    cloud = AwsCloud()
    endpoint = cloud.start()
    cloud.clock(NOW)
    cloud.put_bucket(A, "us-east-1", "exports-a", at=MADE, tags={"data-zone": "phi"}, kms_key=KEY)
    cloud.put_bucket(
        A,
        "eu-west-1",
        "plain-b",
        at=MADE,
        versioning="Off",
        eventbridge=False,
        encryption=None,
        public_block=None,
        ownership=None,
    )
    cloud.put_bucket(
        A,
        "us-east-1",
        "locked-c",
        at=MADE,
        lock={"mode": "COMPLIANCE", "days": 30},
        lifecycle=[{"ID": "old", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 400}}],
        policy='{"Version": "2012-10-17", "Statement": []}',
    )
    yield cloud, endpoint
    cloud.faults.clear()
    cloud.stop()


@pytest.fixture
def cloud(running: tuple[AwsCloud, str]) -> Iterator[AwsCloud]:
    running[0].calls.clear()
    yield running[0]
    running[0].faults.clear()


@pytest.fixture
def endpoint(running: tuple[AwsCloud, str]) -> str:
    return running[1]


def test_settings_that_were_never_set_have_their_own_words(cloud: AwsCloud, endpoint: str) -> None:
    found = look(aws_s3, endpoint)
    bucket = found.only("s3_bucket", bucket="plain-b")
    assert bucket["region"] == "eu-west-1"
    del bucket["arn"], bucket["bucket"], bucket["account"], bucket["region"], bucket["created_at"]
    assert bucket == {
        "versioning": "Off",
        "mfa_delete": "Disabled",
        "encryption": "AES256",
        "kms_key_arn": "none",
        "block_public_acls": False,
        "ignore_public_acls": False,
        "block_public_policy": False,
        "restrict_public_buckets": False,
        "ownership": "none",
        "policy": "none",
        "logging_target": "none",
        "eventbridge": False,
        "lock_mode": "Off",
        "lock_d": 0,
        "lifecycle": [],
        "replication": [],
        "tags": {},
    }
    assert found.gaps == []


def test_settings_that_are_set_are_read(cloud: AwsCloud, endpoint: str) -> None:
    found = look(aws_s3, endpoint)
    exports = found.only("s3_bucket", bucket="exports-a")
    assert (exports["versioning"], exports["eventbridge"]) == ("Enabled", True)
    assert (exports["encryption"], exports["kms_key_arn"]) == ("aws:kms", KEY)
    assert exports["tags"] == {"data-zone": "phi"}
    locked = found.only("s3_bucket", bucket="locked-c")
    assert (locked["lock_mode"], locked["lock_d"]) == ("COMPLIANCE", 30)
    assert locked["lifecycle"][0]["Expiration"] == {"Days": 400}
    assert json.loads(locked["policy"])["Statement"] == []


def test_calls_are_as_few_as_the_facts_need(cloud: AwsCloud, endpoint: str) -> None:
    look(aws_s3, endpoint)
    assert sum(cloud.calls.values()) == 3 + 2 + 3 * 10
    assert ("s3", "GetBucketLocation") not in cloud.calls
    assert ("s3", "GetBucketTagging") not in cloud.calls


def test_only_settings_that_rules_read_are_asked(cloud: AwsCloud, endpoint: str) -> None:
    wanted = {"s3_bucket": frozenset({"versioning"}), "aws_account": frozenset({"caller_arn"})}
    found = look(aws_s3, endpoint, wanted=wanted.get)
    assert found.only("s3_bucket", bucket="exports-a").keys() == {
        "arn",
        "bucket",
        "account",
        "region",
        "created_at",
        "versioning",
    }
    assert sum(cloud.calls.values()) == 2 + 3


SETTINGS = [
    ("GetBucketVersioning", {"versioning", "mfa_delete"}),
    ("GetBucketEncryption", {"encryption", "kms_key_arn"}),
    ("GetBucketOwnershipControls", {"ownership"}),
    ("GetBucketPolicy", {"policy"}),
    ("GetBucketLogging", {"logging_target"}),
    ("GetBucketNotificationConfiguration", {"eventbridge"}),
    ("GetObjectLockConfiguration", {"lock_mode", "lock_d"}),
    ("GetBucketLifecycleConfiguration", {"lifecycle"}),
    ("GetBucketReplication", {"replication"}),
    (
        "GetPublicAccessBlock",
        {"block_public_acls", "ignore_public_acls", "block_public_policy", "restrict_public_buckets"},
    ),
]


@pytest.mark.parametrize(("operation", "columns"), SETTINGS)
def test_denied_setting_leaves_only_its_own_columns_unknown(
    cloud: AwsCloud, endpoint: str, operation: str, columns: set[str]
) -> None:
    cloud.faults.set("s3", operation, "deny", resource="exports-a")
    found = look(aws_s3, endpoint)
    everything = {column.name for column in tables()["s3_bucket"].columns}
    assert everything - found.only("s3_bucket", bucket="exports-a").keys() == columns
    assert everything == found.only("s3_bucket", bucket="locked-c").keys()
    assert {gap.resource for gap in found.gaps} == {f"arn:aws:s3:::exports-a#{one}" for one in columns}
    assert {gap.reason for gap in found.gaps} == {"denied"}
    assert ("*", "*") in found.covered("s3_bucket")


@pytest.mark.parametrize(("operation", "columns"), SETTINGS)
@pytest.mark.parametrize("kind", ["empty", "garbage", "cut"])
def test_answer_with_nothing_or_nonsense_in_it_is_never_a_setting(
    cloud: AwsCloud, endpoint: str, operation: str, columns: set[str], kind: str
) -> None:
    cloud.faults.set("s3", operation, kind, resource="exports-a")
    found = look(aws_s3, endpoint)
    assert not columns & found.only("s3_bucket", bucket="exports-a").keys()
    assert {gap.resource for gap in found.gaps} == {f"arn:aws:s3:::exports-a#{one}" for one in columns}
    assert {gap.reason for gap in found.gaps} <= {"suspect", "malformed", "failed"}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("deny", "denied"), ("empty", "suspect"), ("expire", "expired"), ("throttle", "throttled")],
)
def test_account_whose_buckets_cannot_be_listed_is_a_gap_for_all_that_hangs_on_them(
    cloud: AwsCloud, endpoint: str, kind: str, reason: str
) -> None:
    cloud.faults.set("s3", "ListBuckets", kind)
    found = look(aws_s3, endpoint)
    for table in ("s3_bucket", "s3_object_version", "s3_manifest"):
        assert found.missing(table) == [("*", "*", reason)]
        assert found.covered(table) == []


def test_second_account_is_read_though_the_first_is_denied(cloud: AwsCloud, endpoint: str) -> None:
    cloud.put_bucket(B, "us-east-1", "other-account", at=MADE)
    cloud.faults.set("s3", "*", "deny", account=A)
    found = look(aws_s3, endpoint, accounts=(A, B))
    assert [row["bucket"] for row in found.of("s3_bucket")] == ["other-account"]
    assert {gap.account for gap in found.gaps} == {A}


def test_tags_come_bucket_by_bucket_where_the_tagging_api_is_denied(cloud: AwsCloud, endpoint: str) -> None:
    cloud.faults.set("resourcegroupstaggingapi", "GetResources", "deny")
    cloud.faults.set("s3", "GetBucketTagging", "deny", resource="locked-c")
    found = look(aws_s3, endpoint)
    assert found.only("s3_bucket", bucket="exports-a")["tags"] == {"data-zone": "phi"}
    assert found.only("s3_bucket", bucket="plain-b")["tags"] == {}
    assert "tags" not in found.only("s3_bucket", bucket="locked-c")
    assert found.missing("s3_bucket") == [("us-east-1", "arn:aws:s3:::locked-c#tags", "denied")]


def test_empty_answer_of_the_tagging_api_is_not_no_tags(cloud: AwsCloud, endpoint: str) -> None:
    cloud.faults.set("resourcegroupstaggingapi", "GetResources", "empty")
    found = look(aws_s3, endpoint)
    assert not any("tags" in row for row in found.of("s3_bucket"))
    assert {reason for _, _, reason in found.missing("s3_bucket")} == {"suspect"}


def test_tags_of_a_new_bucket_are_asked_of_s3_itself(cloud: AwsCloud, endpoint: str) -> None:
    cloud.faults.set("s3", "GetBucketTagging", "deny")
    found = look(aws_s3, endpoint, now=MADE + timedelta(hours=1))
    assert {gap.resource for gap in found.gaps} >= {"arn:aws:s3:::exports-a#tags"}


def test_denied_account_block_leaves_four_columns_unknown(cloud: AwsCloud, endpoint: str) -> None:
    cloud.faults.set("s3control", "GetPublicAccessBlock", "deny")
    found = look(aws_s3, endpoint)
    assert found.only("aws_account").keys() == {"account", "caller_arn"}
    assert len(found.missing("aws_account")) == 4


def test_account_block_is_read_on_loopback(cloud: AwsCloud, endpoint: str) -> None:
    cloud.set_public_block(A, (True, True, False, True))
    assert look(aws_s3, endpoint).only("aws_account")["block_public_policy"] is False
    cloud.set_public_block(A, None)
    assert look(aws_s3, endpoint).only("aws_account")["block_public_acls"] is False


def test_bucket_out_of_scope_is_not_asked_about(cloud: AwsCloud, endpoint: str) -> None:
    found = look(aws_s3, endpoint, bucket_in=lambda name: name == "exports-a")
    assert [row["bucket"] for row in found.of("s3_bucket")] == ["exports-a"]


# Objects


HOSTILE = [
    "d/<script>alert(1)</script>.parquet",
    "d/line\nbreak\ttab.parquet",
    "d/bidi\u202egnp.exe",
    "d/plus+and space%41&amp;.parquet",
    "d/=HYPERLINK(1)",
    "d/\u00fc\U0001f600",
]


@pytest.fixture(scope="module")
def objects(running: tuple[AwsCloud, str]) -> None:
    cloud, _ = running
    cloud.put_bucket(A, "us-east-1", "objects-d", at=MADE)
    for key in HOSTILE:
        cloud.put_object("objects-d", key, b"x" * 7, at=MADE)
    cloud.put_object("objects-d", "d/gone", b"1", at=MADE)
    cloud.delete_object("objects-d", "d/gone", at=MADE + timedelta(hours=1))
    cloud.put_object("objects-d", "big", b"1", at=MADE, multipart=True)


def list_objects(endpoint: str, bucket: str = "objects-d", **more: Any) -> Found:
    return look(
        aws_s3,
        endpoint,
        bucket_in=lambda name: name == bucket,
        wanted=lambda _table: frozenset(),
        exports=frozenset({bucket}),
        **more,
    )


@pytest.mark.usefixtures("objects")
def test_hostile_keys_survive(endpoint: str) -> None:
    found = list_objects(endpoint)
    keys = {row["key"] for row in found.of("s3_object_version")}
    assert keys == {*HOSTILE, "d/gone", "big"}
    assert {row["dir"] for row in found.of("s3_object_version")} >= {"d/", ""}
    assert found.covered("s3_object_version") == [("us-east-1", "arn:aws:s3:::objects-d")]


@pytest.mark.usefixtures("objects")
def test_delete_marker_is_a_row_of_its_own(endpoint: str) -> None:
    rows = list_objects(endpoint).of("s3_object_version", key="d/gone")
    assert [(row["is_delete_marker"], row["is_latest"], row["bytes"]) for row in rows] == [
        (False, False, 1),
        (True, True, 0),
    ]


@pytest.mark.usefixtures("objects")
@pytest.mark.parametrize(("kind", "reason"), [("empty", "suspect"), ("deny", "denied"), ("cut", None)])
def test_objects_that_cannot_be_listed_are_a_gap_of_their_bucket(
    cloud: AwsCloud, endpoint: str, kind: str, reason: str | None
) -> None:
    cloud.faults.set("s3", "ListObjectVersions", kind)
    found = list_objects(endpoint, read_timeout_s=1)
    for table in ("s3_object_version", "s3_manifest"):
        ((region, resource, why),) = found.missing(table)
        assert (region, resource) == ("us-east-1", "arn:aws:s3:::objects-d")
        assert reason in (why, None)
        assert found.covered(table) == []


@pytest.mark.usefixtures("objects")
def test_listing_cut_in_the_middle_keeps_its_rows_and_leaves_a_gap(cloud: AwsCloud, endpoint: str) -> None:
    cloud.faults.set("s3", "ListObjectVersions", "truncate")
    found = list_objects(endpoint)
    assert found.of("s3_object_version")
    assert found.missing("s3_object_version") == [("us-east-1", "arn:aws:s3:::objects-d", "truncated")]
    assert found.covered("s3_object_version") == []


def encoded_pages(clients: Clients, pages: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Let the client of a bucket be answered with S3's own URL-encoded XML."""
    asked: list[dict[str, str]] = []

    def answer(request: Any, **_: Any) -> Any:
        from botocore.awsrequest import AWSResponse

        asked.append(request.url)
        page = pages[len(asked) - 1]
        versions = "".join(
            f"<Version><Key>{key}</Key><VersionId>v</VersionId><IsLatest>true</IsLatest>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag>"
            "<Size>1</Size><StorageClass>STANDARD</StorageClass></Version>"
            for key in page["keys"]
        )
        body = (
            '<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>objects-d</Name>'
            f"<EncodingType>url</EncodingType><IsTruncated>{page['more']}</IsTruncated>"
            f"{page.get('next', '')}{versions}</ListVersionsResult>"
        ).encode()
        raw = SimpleNamespace(stream=lambda *_args, **_kw: iter([body]), read=lambda *_a: body)
        return AWSResponse(request.url, 200, {"content-type": "application/xml"}, raw)

    client = clients.aws("s3", A, "us-east-1")
    client.meta.events.register("before-send.s3.ListObjectVersions", answer)
    return asked


@pytest.mark.usefixtures("objects")
def test_url_encoded_keys_with_nul_and_lone_surrogates_can_be_stored(endpoint: str) -> None:
    clients = Clients(Access(aws_endpoint=endpoint))
    marker = "<NextKeyMarker>d%2Fa+b%2Bc</NextKeyMarker><NextVersionIdMarker>v</NextVersionIdMarker>"
    asked = encoded_pages(
        clients,
        [
            {"keys": ["d%2Fa+b%2Bc", "d%2Fnul%00"], "more": "true", "next": marker},
            {"keys": ["d%2F%ED%A0%80", "d%2F%FF", "d%2F%0A%1B"], "more": "false"},
        ],
    )
    found = list_objects(endpoint, clients=clients)
    rows = found.of("s3_object_version")
    keys = sorted(row["key"] for row in rows)
    assert keys == ["d/\n\x1b", "d/a b+c", "d/nul\0", "d/\ud800", "d/\udcff"]
    kept = {stored(tables()["s3_object_version"], row)["key"] for row in rows}
    assert {"d/nul\\u0000", "d/\\ud800"} <= kept
    assert "key-marker=d%2Fa%20b%2Bc" in asked[1]
    assert found.gaps == []


@pytest.mark.parametrize("text", ["plain", "a b", "\u00fc", "\0\n", "\ud800", "%+&="])
def test_keys_are_decoded_as_s3_encodes_them(text: str) -> None:
    sent = quote_from_bytes(text.encode("utf-8", "surrogatepass"), safe="").replace("%20", "+")
    assert decoded(sent) == text


@pytest.mark.usefixtures("objects")
def test_page_that_promises_more_and_does_not_say_where_is_truncated(endpoint: str) -> None:
    clients = Clients(Access(aws_endpoint=endpoint))
    encoded_pages(clients, [{"keys": ["a"], "more": "true"}])
    found = list_objects(endpoint, clients=clients)
    assert [row["key"] for row in found.of("s3_object_version")] == ["a"]
    assert found.missing("s3_object_version")[0][2] == "truncated"


def test_export_bucket_in_no_account_is_a_gap_that_tells_gone_from_foreign(
    cloud: AwsCloud, endpoint: str
) -> None:
    cloud.put_bucket("999999999999", "us-east-1", "foreign-e", at=MADE)
    cloud.faults.set("s3", "HeadBucket", "deny", resource="foreign-e")
    found = look(aws_s3, endpoint, exports=frozenset({"foreign-e", "never-made-f"}))
    gaps = {gap.resource: gap for gap in found.gaps if gap.table == "s3_object_version"}
    assert gaps["arn:aws:s3:::foreign-e"].reason == "denied"
    assert gaps["arn:aws:s3:::never-made-f"].detail == "never-made-f: S3 knows no such bucket"


# Markers


def success(names: int, **more: Any) -> bytes:
    marker = {
        "name": "org.apache.hadoop.fs.s3a.commit.files.SuccessData/1",
        "jobId": "spark-7",
        "committer": "magic",
        "filenames": [f"/m/part-{n:05d}" for n in range(names)],
    }
    return json.dumps(marker | more).encode()


@pytest.fixture(scope="module")
def markers(running: tuple[AwsCloud, str]) -> None:
    cloud, _ = running
    cloud.put_bucket(A, "us-east-1", "markers-g", at=MADE)
    bodies = {
        "empty": b"",
        "full": success(99),
        "cut": success(100),
        "uri": success(0, filenames=["s3a://markers-g/uri/part-0", "s3a://else/part-1"]),
        "odd": b'{"filenames": [1, 2]}',
        "deep": b"[" * 100_000,
        "html": b"<html>",
        "huge": b" " * ((1 << 20) + 1),
    }
    for name, body in bodies.items():
        cloud.put_object("markers-g", f"{name}/_SUCCESS", body, at=MADE)
    cloud.put_object("markers-g", "full/_SUCCESS.bak", b"{}", at=MADE)
    cloud.put_object("markers-g", "gone/_SUCCESS", success(1), at=MADE)
    cloud.delete_object("markers-g", "gone/_SUCCESS", at=MADE + timedelta(hours=1))


@pytest.mark.usefixtures("markers")
def test_markers_are_read_by_the_form_hadoop_writes(cloud: AwsCloud, endpoint: str) -> None:
    found = list_objects(endpoint, "markers-g")
    by_dir = {row["dir"]: row for row in found.of("s3_manifest")}
    assert {name: row["form"] for name, row in by_dir.items()} == {
        "empty/": "empty",
        "full/": "json",
        "cut/": "json",
        "uri/": "json",
        "odd/": "unreadable",
        "deep/": "unreadable",
        "html/": "unreadable",
        "huge/": "unreadable",
        "gone/": "json",  # overwritten and deleted markers still attest what was there
    }
    assert (by_dir["full/"]["cut"], by_dir["cut/"]["cut"]) == (False, True)
    assert by_dir["full/"]["filenames"][0] == "m/part-00000"
    assert by_dir["full/"]["spark_job_id"] == "spark-7"
    assert by_dir["uri/"]["filenames"] == ["uri/part-0", "s3a://else/part-1"]
    assert by_dir["empty/"]["filenames"] == []
    assert cloud.calls["s3", "GetObject"] == 7  # neither the empty one nor the huge one


@pytest.mark.usefixtures("markers")
def test_markers_read_in_the_scan_before_are_not_read_again(cloud: AwsCloud, endpoint: str) -> None:
    before = list_objects(endpoint, "markers-g").of("s3_manifest")
    cloud.calls.clear()
    again = list_objects(endpoint, "markers-g", before=lambda table: before if table == "s3_manifest" else ())
    assert again.of("s3_manifest") == before
    assert cloud.calls["s3", "GetObject"] == 0


@pytest.mark.usefixtures("markers")
@pytest.mark.parametrize("kind", ["empty", "garbage", "cut"])
def test_marker_whose_body_is_not_as_long_as_listed_is_not_believed(
    cloud: AwsCloud, endpoint: str, kind: str
) -> None:
    cloud.faults.set("s3", "GetObject", kind)
    found = list_objects(endpoint, "markers-g")
    assert {row["dir"] for row in found.of("s3_manifest")} == {"empty/", "huge/"}
    assert found.missing("s3_manifest")


@pytest.mark.usefixtures("markers")
def test_marker_that_cannot_be_fetched_is_a_gap_of_its_bucket(cloud: AwsCloud, endpoint: str) -> None:
    cloud.faults.set("s3", "GetObject", "deny")
    found = list_objects(endpoint, "markers-g")
    assert found.missing("s3_manifest") == [("us-east-1", "arn:aws:s3:::markers-g", "denied")]
    assert found.covered("s3_manifest") == []
    (gap,) = [gap for gap in found.gaps if gap.table == "s3_manifest"]
    assert "s3:GetObjectVersion" in gap.detail
    assert {row["dir"] for row in found.of("s3_manifest")} == {"empty/", "huge/"}
