"""KMS keys that buckets and vaults name, through the real client and a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from auditor.sandbox.aws.cloud import AwsCloud
from auditor.sources import aws_kms
from tests.aws_sources import MADE, NOW, A, B, Found, look

pytestmark = pytest.mark.xdist_group("sources_aws_kms")
HERE = "us-east-1"


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[AwsCloud, str]]:
    cloud = AwsCloud()
    endpoint = cloud.start()
    cloud.clock(NOW)
    yield cloud, endpoint
    cloud.stop()


@pytest.fixture
def cloud(running: tuple[AwsCloud, str]) -> Iterator[AwsCloud]:
    running[0].calls.clear()
    yield running[0]
    running[0].faults.clear()


@pytest.fixture
def endpoint(running: tuple[AwsCloud, str]) -> str:
    return running[1]


def asked(endpoint: str, *names: str | dict[str, Any], accounts: tuple[str, ...] = (A,)) -> Found:
    """Look at the keys that vaults (a text) or buckets (a row) name."""
    vaults = [{"kms_key_arn": name, "account": A, "region": HERE} for name in names if isinstance(name, str)]
    buckets = [name for name in names if isinstance(name, dict)]
    tables = {"backup_vault": vaults, "s3_bucket": buckets}
    return look(aws_kms, endpoint, accounts=accounts, collected=lambda table: tables.get(table, ()))


def test_a_customers_key_is_described_with_its_rotation_and_its_policy(
    cloud: AwsCloud, endpoint: str
) -> None:
    arn = cloud.put_key(A, HERE, "data", rotation=False)
    found = asked(endpoint, arn)
    key = found.only("kms_key")
    assert (key["arn"], key["manager"], key["state"], key["rotation"]) == (arn, "CUSTOMER", "Enabled", False)
    assert json.loads(key["policy"])["Statement"][0]["Principal"] == {"AWS": f"arn:aws:iam::{A}:root"}
    assert found.gaps == []
    assert dict(cloud.calls) == {
        ("kms", "DescribeKey"): 1, ("kms", "GetKeyRotationStatus"): 1, ("kms", "GetKeyPolicy"): 1,
    }  # fmt: skip


def test_one_key_of_many_names_is_one_row_that_holds_them_all(cloud: AwsCloud, endpoint: str) -> None:
    arn = cloud.put_key(A, HERE, "named", aliases=["exports"])
    short = arn.rpartition("/")[2]
    found = asked(endpoint, arn, short, "alias/exports", f"arn:aws:kms:{HERE}:{A}:alias/exports")
    assert {short, "alias/exports", arn} <= set(found.only("kms_key")["named_as"])
    assert cloud.calls["kms", "DescribeKey"] == 2, "the key by its ARN, and by its alias"


def test_a_key_of_aws_is_told_from_a_customers_by_more_than_its_name(cloud: AwsCloud, endpoint: str) -> None:
    cloud.put_vault(A, HERE, "plain", at=MADE)
    own = cloud.books.backup_of(A, HERE).vaults["plain"]["EncryptionKeyArn"]
    found = asked(endpoint, own)
    assert ":key/" in own
    assert found.only("kms_key")["manager"] == "AWS"
    assert cloud.calls.keys() == {("kms", "DescribeKey")}, "its policy and rotation are AWS's own"


def test_a_bucket_of_kms_that_names_no_key_has_the_key_of_s3(cloud: AwsCloud, endpoint: str) -> None:
    cloud.put_bucket(A, HERE, "keyless", at=MADE)
    bucket = {"kms_key_arn": "none", "encryption": "aws:kms", "account": A, "region": HERE}
    found = asked(endpoint, bucket)
    assert found.only("kms_key")["manager"] == "AWS"
    assert "alias/aws/s3" in found.only("kms_key")["named_as"]


def test_a_bucket_that_kms_has_no_part_in_names_no_key(cloud: AwsCloud, endpoint: str) -> None:
    found = asked(endpoint, {"kms_key_arn": "none", "encryption": "AES256", "account": A, "region": HERE})
    assert found.rows == []
    assert not cloud.calls


def test_a_bucket_whose_encryption_could_not_be_read_leaves_a_gap_where_its_key_may_be(
    cloud: AwsCloud, endpoint: str
) -> None:
    arn = cloud.put_key(A, HERE, "beside")
    unread = {"arn": "arn:aws:s3:::x", "account": A, "region": HERE, "encryption": None, "kms_key_arn": None}
    found = asked(endpoint, arn, unread)
    (gap,) = found.gaps
    assert (gap.table, gap.account, gap.region, gap.resource) == ("kms_key", A, HERE, "*")
    assert "is not known of arn:aws:s3:::x" in gap.detail
    assert found.only("kms_key")["arn"] == arn
    assert not [seen for seen in found.seen if (seen.account, seen.region, seen.resource) == (A, HERE, "*")]


def test_a_key_that_kms_knows_no_more_is_gone_and_no_gap(cloud: AwsCloud, endpoint: str) -> None:
    arn = cloud.put_key(A, HERE, "lost")
    cloud.drop_key(arn)
    found = asked(endpoint, arn)
    assert found.only("kms_key")["state"] == "gone"
    assert found.gaps == []


def test_a_key_of_aws_that_was_never_used_is_no_lost_key_and_a_lost_alias_is(endpoint: str) -> None:
    found = asked(endpoint, "alias/aws/ebs", "alias/mine")
    assert found.only("kms_key")["arn"].endswith(":alias/mine")
    assert found.only("kms_key")["state"] == "gone"


def test_a_key_that_is_to_be_deleted_says_when(cloud: AwsCloud, endpoint: str) -> None:
    arn = cloud.put_key(A, HERE, "going", state="PendingDeletion", deletion_at=NOW + timedelta(days=7))
    key = asked(endpoint, arn).only("kms_key")
    assert (key["state"], key["deletion_at"]) == ("PendingDeletion", NOW + timedelta(days=7))
    assert cloud.calls["kms", "GetKeyRotationStatus"] == 0, "KMS refuses to say that of a key in this state"


def test_a_key_of_an_account_out_of_scope_is_named_and_not_asked(cloud: AwsCloud, endpoint: str) -> None:
    arn = cloud.put_key(B, HERE, "theirs")
    found = asked(endpoint, arn)
    assert found.only("kms_key") == {
        "arn": arn, "account": B, "region": HERE, "named_as": [arn],
    }  # fmt: skip
    assert found.missing("kms_key") == [(HERE, arn, "not_configured")]
    assert not cloud.calls


@pytest.mark.parametrize("kind", ["deny", "throttle", "fail", "empty", "garbage", "expire"])
def test_a_key_that_cannot_be_described_is_a_row_of_which_nothing_is_known(
    cloud: AwsCloud, endpoint: str, kind: str
) -> None:
    arn = cloud.put_key(A, HERE, "hidden")
    cloud.faults.set("kms", "DescribeKey", kind)
    found = asked(endpoint, arn)
    assert found.only("kms_key").keys() == {"arn", "account", "region", "named_as"}
    assert [place[1] for place in found.missing("kms_key")] == [arn]


@pytest.mark.parametrize(
    ("operation", "column"), [("GetKeyPolicy", "policy"), ("GetKeyRotationStatus", "rotation")]
)
@pytest.mark.parametrize("kind", ["deny", "empty", "garbage"])
def test_a_refused_setting_costs_that_setting_alone(
    cloud: AwsCloud, endpoint: str, operation: str, column: str, kind: str
) -> None:
    arn = cloud.put_key(A, HERE, "half")
    cloud.faults.set("kms", operation, kind)
    found = asked(endpoint, arn)
    assert found.only("kms_key")["state"] == "Enabled"
    assert column not in found.only("kms_key")
    assert [place[1] for place in found.missing("kms_key")] == [f"{arn}#{column}"]
    assert (HERE, "*") in found.covered("kms_key")
