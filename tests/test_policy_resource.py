"""What the policies of buckets and vaults let in and hold back is answered by requests, not by how they are written."""

from __future__ import annotations

from typing import Any

import pytest

from auditor.policy.evaluate import allowed
from auditor.policy.model import Policy
from auditor.policy.parse import parse
from auditor.policy.resource import deletion, held_back, outsiders, public, without_tls

OWN, OTHER = "111111111111", "999988887777"
BUCKET = "arn:aws:s3:::exports"
OBJECTS = f"{BUCKET}/*"
VAULT = f"arn:aws:backup:eu-west-1:{OWN}:backup-vault:main"
GUARDS = [
    "backup:DeleteRecoveryPoint", "backup:UpdateRecoveryPointLifecycle", "backup:DisassociateRecoveryPoint",
    "backup:PutBackupVaultAccessPolicy", "backup:DeleteBackupVaultAccessPolicy",
]  # fmt: skip
ADMIN = f"arn:aws:iam::{OWN}:role/break-glass"


def policy(*statements: dict[str, Any]) -> Policy:
    return parse({"Version": "2012-10-17", "Statement": list(statements)})


def reads(principal: Any = "*", **condition: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": principal,
        "Action": "s3:GetObject",
        "Resource": OBJECTS,
        "Condition": condition,
    }


def denies(action: Any, resource: Any = "*", **condition: Any) -> dict[str, Any]:
    return {
        "Effect": "Deny",
        "Principal": "*",
        "Action": action,
        "Resource": resource,
        "Condition": condition,
    }


MIXED = {"StringLike": {"aws:Referer": "x*"}, "IpAddress": {"aws:Referer": "10.0.0.0/8"}}


@pytest.mark.parametrize(
    ("statement", "yes"),
    [
        (reads(), True),
        (reads({"AWS": "*"}), True),
        (reads(StringLike={"aws:Referer": "https://acme.example/*"}), True),
        (reads(StringEquals={"s3:x-amz-acl": "private"}), True),
        (reads(StringNotEquals={"aws:PrincipalAccount": OTHER}), True),
        (reads(StringEqualsIfExists={"aws:SourceVpce": "vpce-1"}), True),
        (reads(StringEquals={"aws:SourceVpce": "vpce-1"}), False),
        (reads(StringEquals={"aws:PrincipalOrgID": "o-acme"}), False),
        (reads(IpAddress={"aws:SourceIp": "203.0.113.0/24"}), False),
        (reads({"AWS": OTHER}), False),
        (reads({"Service": "cloudtrail.amazonaws.com"}), False),
        (reads(ArnLike={"aws:SourceArn": f"arn:aws:cloudtrail:*:{OWN}:*"}), False),
        (reads(Bool={"aws:PrincipalIsAWSService": "true"}), False),
        (reads(StringEquals={"s3:DataAccessPointAccount": OWN}), False),
        (reads(**MIXED), None),
    ],
)
def test_public_is_whoever_nothing_ties_to_an_account_a_network_or_an_organisation(
    statement: dict[str, Any], yes: bool | None
) -> None:
    answer = public(policy(statement), OWN)
    assert answer.yes is yes
    assert bool(answer.cause) is (yes is None)
    if answer.witness:
        assert allowed(policy(statement), answer.witness).allowed


def test_a_deny_closes_what_a_star_opens() -> None:
    closing = denies("s3:*", OBJECTS, StringNotEquals={"aws:PrincipalAccount": OWN})
    assert public(policy(reads(), closing), OWN).yes is False
    assert outsiders(policy(reads(), closing), OWN).names == ()


@pytest.mark.parametrize(
    ("statement", "names", "complete"),
    [
        (reads(), ("*",), True),
        (reads({"AWS": OTHER}), (OTHER,), True),
        (reads({"AWS": f"arn:aws:iam::{OTHER}:role/x"}), (OTHER,), True),
        (reads({"AWS": [OWN, f"arn:aws:iam::{OWN}:user/ann"]}), (), True),
        (reads(StringEquals={"aws:PrincipalOrgID": "o-acme"}), ("o-acme",), True),
        (reads(StringEquals={"aws:PrincipalAccount": OTHER}), (OTHER,), True),
        (reads({"AWS": "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity E1"}), ("cloudfront",), True),
        (reads({"Service": "cloudtrail.amazonaws.com"}), (), True),
        (reads({"CanonicalUser": "79a59df900b949e55d96a1e698fbaced"}), (), False),
        (reads(**MIXED), (), False),
    ],
)  # fmt: skip
def test_accounts_are_named_when_somebody_of_them_gets_in(
    statement: dict[str, Any], names: tuple[str, ...], complete: bool
) -> None:
    found = outsiders(policy(statement), OWN)
    assert (found.names, found.complete) == (names, complete)


def test_an_account_that_is_trusted_is_no_outsider() -> None:
    assert outsiders(policy(reads({"AWS": OTHER})), OWN, {OTHER}).names == ()


def test_deletion_is_denied_only_when_everything_that_leads_to_it_is() -> None:
    asked = deletion(VAULT)
    whole = policy(denies(GUARDS))
    assert held_back(whole, OWN, asked).yes is True
    for missing in GUARDS:
        held = held_back(policy(denies([each for each in GUARDS if each != missing])), OWN, asked)
        assert held.yes is False
        assert held.witness is not None
        assert held.witness.action == missing
    assert held_back(policy(denies(GUARDS, VAULT)), OWN, asked).yes is False  # a point is no vault
    assert held_back(policy(denies("backup:*")), OWN, asked).yes is True
    assert held_back(policy(), OWN, asked).yes is False


def test_whoever_a_deny_exempts_by_name_is_named_when_it_gets_through() -> None:
    asked = deletion(VAULT)
    but = {"ArnNotEquals": {"aws:PrincipalArn": ADMIN}}
    held = held_back(policy(denies(GUARDS, **but)), OWN, asked)
    assert (held.yes, held.exempt) == (True, (ADMIN,))
    closed = held_back(policy(denies(GUARDS, **but), denies(GUARDS)), OWN, asked)
    assert (closed.yes, closed.exempt) == (True, ())
    tagged = held_back(policy(denies(GUARDS, StringNotEquals={"aws:PrincipalTag/may": "delete"})), OWN, asked)
    assert tagged.yes is False  # whoever may tag, may delete


def test_a_deny_that_leaves_out_the_whole_account_is_not_decided() -> None:
    left_out = {
        "Effect": "Deny",
        "NotPrincipal": {"AWS": [f"arn:aws:iam::{OWN}:root", ADMIN]},
        "Action": GUARDS,
        "Resource": "*",
    }
    held = held_back(policy(left_out), OWN, deletion(VAULT))
    assert held.yes is None
    assert "NotPrincipal" in held.cause


@pytest.mark.parametrize(
    ("statement", "yes"),
    [
        (denies("s3:*", [BUCKET, OBJECTS], Bool={"aws:SecureTransport": "false"}), True),
        (denies("*", "*", Bool={"aws:SecureTransport": False}), True),
        (denies("s3:*", [BUCKET, OBJECTS], Bool={"aws:SecureTransport": "false", "aws:PrincipalIsAWSService": "false"}), True),
        (denies("s3:*", [BUCKET, OBJECTS], BoolIfExists={"aws:SecureTransport": "false"}), True),
        (denies("s3:*", OBJECTS, Bool={"aws:SecureTransport": "false"}), False),
        (denies(["s3:GetObject", "s3:PutObject"], [BUCKET, OBJECTS], Bool={"aws:SecureTransport": "false"}), False),
        (denies("s3:*", [BUCKET, OBJECTS], Bool={"aws:SecureTransport": "true"}), False),
        (denies("s3:*", ["arn:aws:s3:::other", "arn:aws:s3:::other/*"], Bool={"aws:SecureTransport": "false"}), False),
        (denies("s3:*", [BUCKET, OBJECTS], NumericLessThan={"s3:TlsVersion": "1.2"}), False),
    ],
)  # fmt: skip
def test_tls_is_demanded_only_when_every_request_without_it_is_denied(
    statement: dict[str, Any], yes: bool
) -> None:
    assert held_back(policy(statement), OWN, without_tls(BUCKET)).yes is yes
