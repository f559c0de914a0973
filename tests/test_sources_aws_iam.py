"""Roles, users, keys and providers, through the real client and a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from auditor.canonical import stored
from auditor.sandbox.aws.cloud import AwsCloud
from auditor.schema import tables
from auditor.sources import aws_iam
from auditor.sources._iam_documents import parsed, text_of
from tests.aws_sources import MADE, NOW, A, B, look

pytestmark = pytest.mark.xdist_group("sources_aws_iam")
TRUST: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Federated": "accounts.google.com"},
            "Action": "sts:AssumeRoleWithWebIdentity",
        }
    ],
}
TWICE = (
    '{ "Version": "2012-10-17",\n "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"},'
    ' "Principal": {"Federated": "100%25"}, "Action": "sts:AssumeRole"}]}'
)
KEY = "AKIA1234567890123456"


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[AwsCloud, str]]:
    cloud = AwsCloud()
    endpoint = cloud.start()
    cloud.clock(NOW)
    cloud.put_role(
        A,
        "exporter",
        trust=TRUST,
        at=MADE,
        max_session_s=7200,
        inline={"write": {"Statement": []}, "twice": '{"Statement": [], "Statement": [1]}'},
        tags={"owner": "<b>data</b>"},
    )
    cloud.put_role(A, "twice", trust=TWICE, at=MADE)
    cloud.put_user(A, "ada", at=MADE, keys=((KEY, "Active", MADE),), inline={"p": {"Statement": []}})
    cloud.put_user(A, "bob", at=MADE)
    cloud.put_provider(
        A, "https://accounts.google.com", client_ids=["b", "a"], thumbprints=["0" * 40], at=MADE
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


def test_duplicate_key_in_a_trust_policy_is_kept_byte_for_byte_and_named(
    cloud: AwsCloud, endpoint: str
) -> None:
    role = look(aws_iam, endpoint).only("iam_role", name="twice")
    assert role["trust_policy"] == TWICE
    assert role["trust_error"] == "key 'Principal' stands twice in one object"


def test_duplicate_key_in_another_document_leaves_its_text(cloud: AwsCloud, endpoint: str) -> None:
    inline = look(aws_iam, endpoint).only("iam_role", name="exporter")["inline_policies"]
    assert inline == {"write": {"Statement": []}, "twice": '{"Statement": [], "Statement": [1]}'}


def test_role_comes_with_everything_the_bulk_listing_has(cloud: AwsCloud, endpoint: str) -> None:
    found = look(aws_iam, endpoint)
    role = found.only("iam_role", name="exporter")
    assert role["trust_error"] == ""
    assert (role["max_session_s"], role["boundary_arn"]) == (7200, "none")
    assert role["tags"] == {"owner": "<b>data</b>"}
    assert found.gaps == []
    for table in aws_iam.TABLES:
        assert ("*", "*") in found.covered(table)


def test_calls_do_not_grow_with_roles(cloud: AwsCloud, endpoint: str) -> None:
    wanted = {"iam_role": frozenset({"trust_policy"}), "iam_access_key": frozenset({"status"})}
    look(aws_iam, endpoint, wanted=wanted.get)
    assert dict(cloud.calls) == {
        ("iam", "GetAccountAuthorizationDetails"): 1,
        ("iam", "GetAccountSummary"): 1,
        ("iam", "ListAccessKeys"): 2,
        ("iam", "ListOpenIDConnectProviders"): 1,
        ("iam", "GetOpenIDConnectProvider"): 1,
        ("iam", "ListSAMLProviders"): 1,
    }


def test_provider_has_its_issuer_without_scheme_and_sorted_lists(cloud: AwsCloud, endpoint: str) -> None:
    provider = look(aws_iam, endpoint).only("iam_provider")
    assert (provider["url"], provider["client_ids"]) == ("accounts.google.com", ["a", "b"])


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("deny", "denied"), ("empty", "suspect"), ("expire", "expired"), ("garbage", "malformed")],
)
def test_bulk_listing_that_fails_leaves_a_gap_for_every_table_it_feeds(
    cloud: AwsCloud, endpoint: str, kind: str, reason: str
) -> None:
    cloud.faults.set("iam", "GetAccountAuthorizationDetails", kind)
    found = look(aws_iam, endpoint)
    for table in ("iam_role", "iam_user", "iam_policy", "iam_access_key"):
        assert found.missing(table) == [("*", "*", reason)]
        assert found.covered(table) == []
    assert found.of("iam_provider")


def test_listing_cut_in_the_middle_keeps_its_rows_and_leaves_a_gap(cloud: AwsCloud, endpoint: str) -> None:
    cloud.faults.set("iam", "GetAccountAuthorizationDetails", "truncate")
    found = look(aws_iam, endpoint)
    assert found.of("iam_user") or found.of("iam_role")
    assert found.missing("iam_role") == [("*", "*", "truncated")]
    assert found.covered("iam_access_key") == []
    assert found.missing("iam_access_key") == [("*", "*", "truncated")]


def test_denied_key_listing_leaves_only_that_user_unknown(cloud: AwsCloud, endpoint: str) -> None:
    cloud.faults.set("iam", "ListAccessKeys", "deny", times=1)
    found = look(aws_iam, endpoint)
    (gap,) = found.missing("iam_access_key")
    users = {f"arn:aws:iam::{A}:user/{name}" for name in ("ada", "bob")}
    assert gap[1] in users
    assert gap[2] == "denied"
    assert found.covered("iam_access_key") == [("*", "*")]


def test_denied_last_use_keeps_the_key(cloud: AwsCloud, endpoint: str) -> None:
    cloud.faults.set("iam", "GetAccessKeyLastUsed", "deny")
    found = look(aws_iam, endpoint)
    assert found.only("iam_access_key")["status"] == "Active"
    assert "last_used_at" not in found.only("iam_access_key")
    assert found.missing("iam_access_key") == [("*", f"{KEY}#last_used_at", "denied")]


def test_denied_session_lengths_keep_the_roles(cloud: AwsCloud, endpoint: str) -> None:
    cloud.faults.set("iam", "ListRoles", "deny")
    found = look(aws_iam, endpoint)
    assert [role["max_session_s"] for role in found.of("iam_role")] == [None, None]
    arns = [f"arn:aws:iam::{A}:role/{name}#max_session_s" for name in ("exporter", "twice")]
    assert found.missing("iam_role") == [("*", arn, "denied") for arn in arns]
    assert found.covered("iam_role") == [("*", "*")]


def test_denied_provider_is_known_by_its_arn_alone(cloud: AwsCloud, endpoint: str) -> None:
    cloud.faults.set("iam", "GetOpenIDConnectProvider", "deny")
    found = look(aws_iam, endpoint)
    provider = found.only("iam_provider")
    assert provider.keys() == {"arn", "account", "kind", "url"}
    assert found.missing("iam_provider") == [("*", provider["arn"], "denied")]


@pytest.mark.parametrize("operation", ["ListOpenIDConnectProviders", "ListSAMLProviders"])
def test_either_kind_of_provider_unlisted_is_a_gap(cloud: AwsCloud, endpoint: str, operation: str) -> None:
    cloud.faults.set("iam", operation, "empty")
    assert look(aws_iam, endpoint).missing("iam_provider") == [("*", "*", "suspect")]


def test_expired_account_does_not_stop_the_next(cloud: AwsCloud, endpoint: str) -> None:
    cloud.put_role(B, "auditor", trust=TRUST, at=MADE)
    cloud.faults.set("iam", "*", "expire", account=A)
    found = look(aws_iam, endpoint, accounts=(A, B))
    assert [role["account"] for role in found.of("iam_role")] == [B]
    assert {gap.account for gap in found.gaps} == {A}


# Documents


def test_url_encoded_document_is_decoded_once() -> None:
    assert text_of("%7B%22a%22%3A%20%22100%2525%22%7D") == '{"a": "100%25"}'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": 1, "a": 1}', "key 'a' stands twice in one object"),
        ('{"a": [{"b": 1, "b": 2}]}', "key 'b' stands twice in one object"),
        ("[1]", "not a JSON object"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": 1e999}', "Out of range float values are not JSON compliant: inf"),
        ("", "Expecting value: line 1 column 1 (char 0)"),
    ],
)
def test_document_that_says_two_things_or_nothing_says_why(text: str, why: str) -> None:
    document, error = parsed(text)
    assert document is None
    assert error.startswith(why[:40])


def test_document_with_a_broken_byte_can_be_stored() -> None:
    trust = text_of("%7B%22Sid%22%3A%22%FF%00%22%7D")
    kept = stored(tables()["iam_role"], {"arn": "a", "trust_policy": trust})
    assert kept["trust_policy"] == '{"Sid":"\\udcff\\u0000"}'


def test_documents_of_aws_s_own_policies_groups_and_boundaries_come_in_the_bulk_listing() -> None:
    reading = {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"},
    }
    with_everything = AwsCloud()
    endpoint = with_everything.start()
    try:
        with_everything.clock(NOW)
        own = with_everything.put_aws_policy("ReadOnlyAccess", document=reading)
        fence = with_everything.put_policy(A, "fence", document=reading, at=MADE)
        with_everything.put_role(A, "reader", trust=TRUST, at=MADE, attached=(own,))
        with_everything.put_user(A, "ada", at=MADE, boundary=fence)
        with_everything.put_group(
            A, "readers", at=MADE, users=("ada",), inline={"p": reading}, attached=(own,)
        )
        found = look(aws_iam, endpoint)
        named = {row.values["arn"]: row.values for row in found.rows if row.table == "iam_policy"}
        assert set(named) == {own, fence}
        assert parsed(named[own]["document"]) == (reading, "")
        ada = found.only("iam_user", name="ada")
        assert (ada["boundary_arn"], ada["attached_policies"]) == (fence, [own])
        assert ada["inline_policies"] == {"group/readers/p": reading}
    finally:
        with_everything.stop()
