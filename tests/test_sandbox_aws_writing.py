"""What the emulated AWS reads and writes by itself is what moto and werkzeug would have read and written."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from auditor.sandbox.aws import AwsCloud
from auditor.sandbox.aws.serializers import serializer

pytest.importorskip("moto")

NOW = datetime(2026, 3, 2, 6, 30, 15, 120000, UTC)
HOSTILE = "a<b>&\"c'd\r\n\te\x0b ✓ \U0001f512 ]]>"
REPLIES: list[tuple[str, str, dict[str, Any]]] = [
    (
        "backup",
        "ListRecoveryPointsByBackupVault",
        {
            "NextToken": HOSTILE,
            "RecoveryPoints": [
                {
                    "RecoveryPointArn": HOSTILE,
                    "CreationDate": NOW,
                    "BackupSizeInBytes": 0,
                    "IsEncrypted": False,
                    "Lifecycle": {"DeleteAfterDays": 35},
                    "CalculatedLifecycle": {},
                    "CreatedBy": None,
                },
                {},
            ],
        },
    ),
    ("backup", "ListBackupPlans", {"BackupPlansList": []}),
    ("backup", "GetBackupVaultAccessPolicy", {}),
    ("s3", "GetBucketVersioning", {}),
    ("s3", "GetBucketLogging", {"LoggingEnabled": {"TargetBucket": HOSTILE, "TargetPrefix": ""}}),
    ("s3", "GetBucketPolicy", {"Policy": HOSTILE}),
    (
        "s3",
        "ListObjectVersions",
        {
            "Name": HOSTILE,
            "IsTruncated": True,
            "MaxKeys": 2,
            "Versions": [
                {"Key": HOSTILE, "Size": 0, "IsLatest": True, "LastModified": NOW, "Owner": {"ID": ""}},
                {"Key": "", "Size": 2**53, "IsLatest": False, "LastModified": NOW},
            ],
            "DeleteMarkers": [],
            "CommonPrefixes": [{"Prefix": "p/"}],
        },
    ),
    ("s3", "GetBucketNotificationConfiguration", {"EventBridgeConfiguration": {}}),
    ("s3", "ListBuckets", {"Buckets": [{"Name": HOSTILE, "CreationDate": NOW}], "Owner": {}}),
    (
        "s3control",
        "GetPublicAccessBlock",
        {"PublicAccessBlockConfiguration": {"BlockPublicAcls": True, "IgnorePublicAcls": False}},
    ),
    (
        "iam",
        "GetAccountAuthorizationDetails",
        {
            "IsTruncated": False,
            "UserDetailList": [],
            "RoleDetailList": [{"RoleName": HOSTILE, "CreateDate": NOW, "Tags": [], "RoleLastUsed": {}}],
        },
    ),
    ("sts", "GetCallerIdentity", {"UserId": "", "Account": "1", "Arn": HOSTILE}),
    ("cloudtrail", "GetTrailStatus", {"IsLogging": True, "LatestDeliveryTime": NOW}),
    ("resourcegroupstaggingapi", "GetResources", {"ResourceTagMappingList": [{"Tags": [{"Key": HOSTILE}]}]}),
]


@pytest.mark.parametrize(("service", "operation", "reply"), REPLIES, ids=[each[1] for each in REPLIES])
def test_a_reply_is_written_as_moto_writes_it_to_the_byte(
    service: str, operation: str, reply: dict[str, Any]
) -> None:
    from moto.core.serialize import get_serializer_class
    from moto.core.utils import get_service_model

    model = get_service_model(service).operation_model(operation)
    json = service in {"cloudtrail", "resourcegroupstaggingapi"}
    protocol = "json" if json else str(model.service_model.protocol)
    theirs = get_serializer_class(service, protocol)(operation_model=model).serialize(reply)
    ours = serializer(service, protocol, model)
    assert ours.serialize(reply) == theirs
    assert ours.serialize(reply) == theirs  # nothing of the first is left in it


@pytest.fixture(scope="module")
def cloud() -> Iterator[AwsCloud]:
    made = AwsCloud()
    made.start()
    made.put_bucket("111111111111", "eu-west-1", "one-bucket", at=NOW)
    made.put_bucket("222222222222", "eu-west-1", "two-bucket", at=NOW)
    yield made
    made.stop()


def _ask(cloud: AwsCloud, head: str) -> tuple[str, str]:
    """Send a request as it stands; returns status line and body."""
    port = int(cloud.endpoint.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode())
        connection.shutdown(socket.SHUT_WR)
        said = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    top, _, body = said.partition("\r\n\r\n")
    return top.splitlines()[0] if top else "", body


def _signed(account: str) -> str:
    scope = f"{account}/20260302/eu-west-1/s3/aws4_request"
    return f"Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"


def test_the_same_request_is_answered_by_what_is_true_each_time_it_comes(cloud: AwsCloud) -> None:
    ask = f"GET /one-bucket?versioning HTTP/1.1\nHost: s3\n{_signed('111111111111')}\n\n"
    assert "Enabled" in _ask(cloud, ask)[1]
    cloud.set_bucket("one-bucket", versioning="Suspended")
    assert "Suspended" in _ask(cloud, ask)[1]
    cloud.set_bucket("one-bucket", versioning="Enabled")


def test_the_same_request_of_another_account_is_another_request(cloud: AwsCloud) -> None:
    ask = "GET /?max-buckets=9 HTTP/1.1\nHost: s3\n{}\n\n"
    for account, mine, theirs in (
        ("111111111111", "one-bucket", "two-bucket"),
        ("222222222222", "two-bucket", "one-bucket"),
    ):
        body = _ask(cloud, ask.format(_signed(account)))[1]
        assert mine in body
        assert theirs not in body


def test_a_header_that_names_what_is_asked_tells_requests_apart(cloud: AwsCloud) -> None:
    cloud.put_object("one-bucket", "some/key", b"0123456789", at=NOW)
    whole = f"GET /one-bucket/some/key HTTP/1.1\nHost: s3\n{_signed('111111111111')}\n\n"
    part = whole.replace("Host: s3", "Host: s3\nRange: bytes=2-4")
    assert [_ask(cloud, each)[1] for each in (whole, part, whole)] == ["0123456789", "234", "0123456789"]


@pytest.mark.parametrize(
    "head",
    [
        "GET /one-bucket?versioning HTTP/1.0\nHost: s3\n{}\n\n",
        "GET //one-bucket?versioning HTTP/1.1\nHost: s3\n{}\n\n",
        "GET http://s3/one-bucket?versioning HTTP/1.1\nHost: other\n{}\n\n",
        "GET /one-bucket?versioning HTTP/1.1\nHost:   s3\nX-Folded: a\n  b\n{}\n\n",
        "GET /one-bucket?versioning HTTP/1.1\nHost: s3\nx_under_score: a\n{}\n\n",
        "GET /one-bucket?versioning HTTP/1.1\nHost: s3\nX-Twice: a\nX-Twice: b\n{}\n\n",
        "GET /one%2Dbucket?versioning#end HTTP/1.1\nHost: s3\n{}\n\n",
    ],
)
def test_a_request_that_no_client_of_ours_would_write_is_still_understood(cloud: AwsCloud, head: str) -> None:
    status, body = _ask(cloud, head.format(_signed("111111111111")))
    assert status.endswith("200 OK")
    assert "<Status>Enabled</Status>" in body


def test_a_head_that_just_ends_is_taken_for_whole(cloud: AwsCloud) -> None:
    for end in ("", "\n"):
        ask = f"GET /one-bucket?versioning HTTP/1.1\nHost: s3\n{_signed('111111111111')}\n{end}"
        assert "Enabled" in _ask(cloud, ask)[1]


def test_a_head_that_is_no_head_is_refused(cloud: AwsCloud) -> None:
    for head in (
        "GET /one bucket HTTP/1.1\nHost: s3\n\n",
        "GET /one-bucket HTTP/1.1\n" + "A: b\n" * 300 + "\n",
        f"GET /one-bucket HTTP/1.1\nA: {'b' * 70_000}\n\n",
    ):
        assert _ask(cloud, head)[0].split()[1].startswith("4")


def test_routes_are_made_by_one_thread_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPython 3.11 counts the depth of all threads' syntax trees as one, and werkzeug compiles routes from such trees."""
    import boto3
    from moto.core import routing

    from auditor.sandbox.aws.wire import MAKING_ROUTES

    real, alone = routing.get_service_router, []

    def watched(service: str) -> Any:
        alone.append(MAKING_ROUTES.locked())
        return real(service)

    monkeypatch.setattr(routing, "get_service_router", watched)
    cloud = AwsCloud()
    endpoint = cloud.start()
    try:
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        client = boto3.client("backup", region_name="eu-west-1", endpoint_url=endpoint, **keys)
        client.list_tags(ResourceArn="arn:aws:backup:eu-west-1:123456789012:backup-vault:routes")
    except client.exceptions.ResourceNotFoundException:
        pass
    finally:
        cloud.stop()
    assert alone
    assert all(alone)
