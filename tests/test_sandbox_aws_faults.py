"""What goes wrong in production, at one operation of every protocol: the caller sees what botocore shows there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError, HTTPClientError, ReadTimeoutError
from botocore.parsers import ResponseParserError
from sandbox_aws_clients import A, B, R, client

from auditor.sandbox.aws import AwsCloud
from auditor.sandbox.aws.judge import Lie
from auditor.sandbox.faults import Faults

NOW = datetime(2026, 3, 30, 6, tzinfo=UTC)
ASKED: dict[tuple[str, str], dict[str, Any]] = {
    ("s3", "ListBuckets"): {},
    ("s3control", "GetPublicAccessBlock"): {"AccountId": A},
    ("iam", "GetAccountAuthorizationDetails"): {},
    ("sts", "GetCallerIdentity"): {},
    ("cloudtrail", "DescribeTrails"): {},
    ("backup", "ListBackupVaults"): {},
    ("resourcegroupstaggingapi", "GetResources"): {},
}
"""One operation of each service: rest-xml twice, query twice, json twice, rest-json."""
EVERYWHERE = pytest.mark.parametrize(("service", "operation"), list(ASKED))


@pytest.fixture(scope="module")
def world() -> Iterator[AwsCloud]:
    cloud = AwsCloud(Faults(hang_s=3))
    cloud.clock(NOW)
    cloud.start()
    for n in range(3):
        cloud.put_bucket(A, R, f"exports-{n}", at=NOW)
        cloud.put_object("exports-0", f"k{n}", b"x" * 100, at=NOW)
        cloud.put_vault(A, R, f"v{n}", at=NOW, tags={"zone": "phi"})
        cloud.put_role(A, f"r{n}", trust={"Version": "2012-10-17", "Statement": []}, at=NOW)
        cloud.put_trail(A, R, f"trail-{n}", bucket="exports-0", at=NOW)
    cloud.set_public_block(A, (True,) * 4)
    yield cloud
    cloud.stop()


@pytest.fixture
def cloud(world: AwsCloud) -> Iterator[AwsCloud]:
    world.faults.clear()
    yield world
    world.faults.clear()


def ask(cloud: AwsCloud, service: str, operation: str, **more: Any) -> dict[str, Any]:
    from botocore import xform_name

    made = client(cloud, service, **more)
    return dict(getattr(made, xform_name(operation))(**ASKED[service, operation]))


def refused(cloud: AwsCloud, service: str, operation: str) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        ask(cloud, service, operation)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_a_fault_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="no fault is called 'explode'"):
        Faults().set("s3", "ListBuckets", "explode")


@EVERYWHERE
def test_denied_is_the_services_own_access_denied(cloud: AwsCloud, service: str, operation: str) -> None:
    cloud.faults.set(service, operation, "deny")
    code, status = refused(cloud, service, operation)
    assert code in {"AccessDenied", "AccessDeniedException"}
    assert status == (400 if service in {"cloudtrail", "resourcegroupstaggingapi"} else 403)


@EVERYWHERE
def test_throttled_is_a_code_that_the_sdk_retries(cloud: AwsCloud, service: str, operation: str) -> None:
    cloud.faults.set(service, operation, "throttle", times=1)
    before = cloud.calls[service, operation]
    ask(cloud, service, operation, attempts=2)
    assert cloud.calls[service, operation] == before + 2
    cloud.faults.set(service, operation, "throttle")
    code, _ = refused(cloud, service, operation)
    assert code in {"SlowDown", "Throttling", "ThrottlingException", "ThrottledException"}


@EVERYWHERE
def test_failed_is_a_server_error(cloud: AwsCloud, service: str, operation: str) -> None:
    cloud.faults.set(service, operation, "fail")
    assert refused(cloud, service, operation)[1] in {500, 503}


@EVERYWHERE
def test_expired_says_so_and_is_not_retried(cloud: AwsCloud, service: str, operation: str) -> None:
    cloud.faults.set(service, operation, "expire")
    before = cloud.calls[service, operation]
    with pytest.raises(ClientError, match="ExpiredToken"):
        ask(cloud, service, operation, attempts=4)
    assert cloud.calls[service, operation] == before + 1


@EVERYWHERE
def test_empty_looks_like_success_with_nothing_in_it(cloud: AwsCloud, service: str, operation: str) -> None:
    cloud.faults.set(service, operation, "empty")
    reply = ask(cloud, service, operation)
    assert reply.pop("ResponseMetadata")["HTTPStatusCode"] == 200
    assert not any(reply.values())


@EVERYWHERE
def test_garbage_cannot_be_parsed(cloud: AwsCloud, service: str, operation: str) -> None:
    cloud.faults.set(service, operation, "garbage")
    if service == "s3":  # botocore takes a body of S3 that is no XML for a failure of S3
        assert refused(cloud, service, operation) == ("500", 500)
        return
    with pytest.raises((UnicodeDecodeError, ResponseParserError)):
        ask(cloud, service, operation)


@EVERYWHERE
def test_a_cut_body_is_noticed_in_xml_and_passes_for_an_empty_success_in_json(
    cloud: AwsCloud, service: str, operation: str
) -> None:
    """botocore does not hold a body to its Content-Length: cut JSON is a success without a list."""
    cloud.faults.set(service, operation, "cut")
    if service == "s3":
        assert refused(cloud, service, operation) == ("500", 500)
    elif service in {"backup", "cloudtrail", "resourcegroupstaggingapi"}:
        assert ask(cloud, service, operation).keys() == {"ResponseMetadata"}
    else:
        with pytest.raises(ResponseParserError):
            ask(cloud, service, operation)


@pytest.mark.parametrize(("service", "operation"), [("backup", "ListBackupVaults"), ("s3", "ListBuckets")])
def test_a_hang_lasts_until_the_caller_gives_up(cloud: AwsCloud, service: str, operation: str) -> None:
    cloud.faults.set(service, operation, "hang")
    with pytest.raises(ReadTimeoutError):
        ask(cloud, service, operation, read_s=0.2)


def test_a_hang_ends_when_it_is_released(cloud: AwsCloud) -> None:
    cloud.faults.set("backup", "ListBackupVaults", "hang")
    cloud.faults.release()
    with pytest.raises(HTTPClientError):
        ask(cloud, "backup", "ListBackupVaults")


@pytest.mark.parametrize(
    ("service", "listing", "asked", "key"),
    [
        ("backup", "list_backup_vaults", {}, "BackupVaultList"),
        ("s3", "list_object_versions", {"Bucket": "exports-0"}, "Versions"),
        ("s3", "list_buckets", {}, "Buckets"),
        ("iam", "get_account_authorization_details", {}, "RoleDetailList"),
        ("resourcegroupstaggingapi", "get_resources", {}, "ResourceTagMappingList"),
        ("backup", "list_backup_jobs", {}, "BackupJobs"),
    ],
)
def test_truncated_gives_a_first_page_and_fails_the_second(
    cloud: AwsCloud, service: str, listing: str, asked: dict[str, Any], key: str
) -> None:
    made = client(cloud, service)
    cloud.faults.set(service, made.meta.method_to_api_mapping[listing], "truncate")
    pages = iter(made.get_paginator(listing).paginate(**asked))
    assert len(next(pages)[key]) <= 1
    with pytest.raises(ClientError) as caught:
        next(pages)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] in {500, 503}


def test_a_fault_meets_only_the_account_region_and_resource_it_names(cloud: AwsCloud) -> None:
    cloud.faults.set("backup", "*", "deny", account=A, region=R, resource="v1")
    backup = client(cloud, "backup")
    backup.list_recovery_points_by_backup_vault(BackupVaultName="v0")
    with pytest.raises(ClientError, match="AccessDenied"):
        backup.list_recovery_points_by_backup_vault(BackupVaultName="v1")
    cloud.faults.set("s3", "GetBucketVersioning", "deny", account=B)
    client(cloud, "s3").get_bucket_versioning(Bucket="exports-0")


def test_a_denied_head_has_a_status_and_no_words(cloud: AwsCloud) -> None:
    cloud.faults.set("s3", "HeadObject", "deny")
    with pytest.raises(ClientError, match="403"):
        client(cloud, "s3").head_object(Bucket="exports-0", Key="k0")


def test_an_object_cut_while_it_is_read_is_noticed(cloud: AwsCloud) -> None:
    from botocore.exceptions import IncompleteReadError, ResponseStreamingError

    cloud.faults.set("s3", "GetObject", "cut")
    body = client(cloud, "s3").get_object(Bucket="exports-0", Key="k0")["Body"]
    with pytest.raises((IncompleteReadError, ResponseStreamingError)):
        body.read()


def test_a_crash_of_the_sandbox_does_not_pass_for_a_failure_of_aws() -> None:
    cloud = AwsCloud()
    cloud.start()
    cloud.put_vault(A, R, "broken", at=NOW)
    del cloud.books.backup_of(A, R).vaults["broken"]["VaultType"]
    with pytest.raises(ClientError):
        client(cloud, "backup").list_backup_vaults()
    with pytest.raises(Lie, match="KeyError"):
        cloud.stop()


def test_a_client_that_is_killed_while_it_asks_is_no_lie_of_the_sandbox(cloud: AwsCloud) -> None:
    where = urlsplit(cloud.endpoint)
    for _ in range(3):
        with socket.create_connection((where.hostname, where.port), 10) as half:
            half.sendall(b"PUT /exports-0 HTTP/1.1\r\nHost: s3\r\nContent-Length: 100\r\n\r\n<Bucket")
            half.shutdown(socket.SHUT_WR)
            half.settimeout(10)
            with suppress(OSError):
                half.recv(1000)
    assert cloud.books.lies == []
