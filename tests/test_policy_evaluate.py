"""The evaluator against documented cases, each with its source in the IAM User Guide (file names of its public repository)."""

from __future__ import annotations

from typing import Any

import pytest

from auditor.policy.combined import combined
from auditor.policy.evaluate import allowed
from auditor.policy.model import Request
from auditor.policy.parse import parse
from tests.policy_case import ROOT, WEB, A, B, policy, role, statement, under

OPERATORS = "reference_policies_elements_condition_operators"
MULTI = "reference_policies_multi-value-conditions"
VARIABLES = "reference_policies_variables"
PRINCIPAL = "reference_policies_elements_principal"
LOGIC = "reference_policies_evaluation-logic"
MODEL = "the request model"

CONDITIONS: list[tuple[dict[str, Any], dict[str, Any], bool, str]] = [
    ({"StringEquals": {"k:x": "a"}}, {"k:x": "a"}, True, OPERATORS),
    ({"StringEquals": {"k:x": "a"}}, {"k:x": "A"}, False, OPERATORS),
    ({"StringEquals": {"k:x": "a"}}, {"K:X": "a"}, True, OPERATORS),
    ({"StringEquals": {"k:x": "a"}}, {}, False, OPERATORS),
    ({"StringEquals": {"k:x": ["b", "a"]}}, {"k:x": "a"}, True, OPERATORS),
    ({"StringEquals": {"k:x": "a", "k:y": "b"}}, {"k:x": "a"}, False, OPERATORS),
    ({"StringEquals": {"k:x": "a*"}}, {"k:x": "ab"}, False, OPERATORS),
    ({"StringEqualsIgnoreCase": {"k:x": "aB"}}, {"k:x": "Ab"}, True, OPERATORS),
    ({"StringNotEquals": {"k:x": ["a", "b"]}}, {"k:x": "a"}, False, OPERATORS),
    ({"StringNotEquals": {"k:x": ["a", "b"]}}, {"k:x": "c"}, True, OPERATORS),
    ({"StringNotEquals": {"k:x": "a"}}, {}, True, OPERATORS),
    ({"StringNotEqualsIgnoreCase": {"k:x": "a"}}, {"k:x": "A"}, False, OPERATORS),
    ({"StringLike": {"k:x": "a*"}}, {"k:x": "a"}, True, OPERATORS),
    ({"StringLike": {"k:x": "a?"}}, {"k:x": "a"}, False, OPERATORS),
    ({"StringLike": {"k:x": "a?c"}}, {"k:x": "abc"}, True, OPERATORS),
    ({"StringLike": {"k:x": "*b*c"}}, {"k:x": "abxbc"}, True, OPERATORS),
    ({"StringLike": {"k:x": "A*"}}, {"k:x": "ab"}, False, OPERATORS),
    ({"StringNotLike": {"k:x": "a*"}}, {"k:x": "b"}, True, OPERATORS),
    ({"NumericLessThan": {"k:n": "5"}}, {"k:n": "4.5"}, True, OPERATORS),
    ({"NumericLessThan": {"k:n": "5"}}, {"k:n": "5"}, False, OPERATORS),
    ({"NumericLessThanEquals": {"k:n": "5"}}, {"k:n": "5.0"}, True, OPERATORS),
    ({"NumericGreaterThan": {"k:n": "-1"}}, {"k:n": "0"}, True, OPERATORS),
    ({"NumericGreaterThanEquals": {"k:n": "1e2"}}, {"k:n": "100"}, True, OPERATORS),
    ({"NumericEquals": {"k:n": "1"}}, {"k:n": "one"}, False, OPERATORS),
    ({"NumericNotEquals": {"k:n": "1"}}, {}, True, OPERATORS),
    ({"DateLessThan": {"k:d": "2026-01-01T00:00:00Z"}}, {"k:d": "2025-12-31T23:59:59Z"}, True, OPERATORS),
    ({"DateGreaterThanEquals": {"k:d": "1767225600"}}, {"k:d": "2026-01-01T00:00:00Z"}, True, OPERATORS),
    ({"DateEquals": {"k:d": "2026-01-01T01:00:00+01:00"}}, {"k:d": "2026-01-01T00:00:00Z"}, True, OPERATORS),
    ({"Bool": {"k:b": "True"}}, {"k:b": "true"}, True, OPERATORS),
    ({"Bool": {"k:b": "false"}}, {}, False, OPERATORS),
    ({"BoolIfExists": {"k:b": "true"}}, {}, True, OPERATORS),
    ({"Bool": {"k:b": "yes"}}, {"k:b": "yes"}, False, OPERATORS),
    ({"BinaryEquals": {"k:y": "QmluYXJ5"}}, {"k:y": "QmluYXJ5"}, True, OPERATORS),
    ({"BinaryEquals": {"k:y": "QmluYXJ5"}}, {"k:y": "qmluYXJ5"}, False, OPERATORS),
    ({"IpAddress": {"k:i": "203.0.113.0/24"}}, {"k:i": "203.0.113.9"}, True, OPERATORS),
    ({"IpAddress": {"k:i": "203.0.113.9"}}, {"k:i": "203.0.113.9"}, True, OPERATORS),
    ({"IpAddress": {"k:i": "2001:db8::/32"}}, {"k:i": "2001:db8:1::5"}, True, OPERATORS),
    ({"NotIpAddress": {"k:i": "203.0.113.0/24"}}, {}, True, OPERATORS),
    ({"IpAddress": {"k:i": "0.0.0.0/0"}}, {"k:i": "2001:db8::1"}, False, OPERATORS),
    ({"ArnEquals": {"k:a": "arn:aws:sns:*:1:t"}}, {"k:a": "arn:aws:sns:eu-west-1:1:t"}, True, OPERATORS),
    ({"ArnLike": {"k:a": "arn:aws:sns:*:t"}}, {"k:a": "arn:aws:sns:eu-west-1:1:t"}, False, OPERATORS),
    ({"ArnLike": {"k:a": "arn:aws:s3:::b/*"}}, {"k:a": "arn:aws:s3:::b/c:d"}, True, OPERATORS),
    ({"ArnLike": {"k:a": "*"}}, {"k:a": "arn:aws:s3:::b"}, False, OPERATORS),
    ({"ArnNotLike": {"k:a": "arn:aws:s3:::b"}}, {"k:a": "arn:aws:s3:::c"}, True, OPERATORS),
    ({"Null": {"k:x": "true"}}, {}, True, OPERATORS),
    ({"Null": {"k:x": "false"}}, {}, False, OPERATORS),
    ({"Null": {"k:x": "false"}}, {"k:x": "a"}, True, OPERATORS),
    ({"StringEqualsIfExists": {"k:x": "a"}}, {"k:x": "b"}, False, OPERATORS),
    ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}, {"aws:TagKeys": ["a"]}, True, MULTI),
    ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}, {"aws:TagKeys": ["a", "c"]}, False, MULTI),
    ({"ForAllValues:StringEquals": {"aws:TagKeys": "a"}}, {}, True, MULTI),
    ({"ForAllValues:StringEquals": {"aws:TagKeys": "a"}}, {"aws:TagKeys": []}, True, MULTI),
    ({"ForAnyValue:StringEquals": {"aws:TagKeys": "a"}}, {"aws:TagKeys": ["c", "a"]}, True, MULTI),
    ({"ForAnyValue:StringEquals": {"aws:TagKeys": "a"}}, {}, False, MULTI),
    ({"ForAnyValue:StringNotEquals": {"aws:TagKeys": "a"}}, {"aws:TagKeys": ["a", "c"]}, True, MULTI),
    ({"ForAllValues:StringNotEquals": {"aws:TagKeys": "a"}}, {"aws:TagKeys": ["a", "c"]}, False, MULTI),
    ({"ForAnyValue:StringLike": {"k:x": "a*"}}, {"k:x": "ab"}, True, MULTI),
    ({"ForAllValues:StringLike": {"k:x": "a*"}}, {}, True, MULTI),
    ({"StringEquals": {"aws:TagKeys": "a"}}, {"aws:TagKeys": ["a"]}, False, "iam-simulate condition.ts"),
    ({"ForAnyValue:StringEqualsIfExists": {"aws:TagKeys": "a"}}, {}, False, "iam-simulate condition.ts"),
    ({"StringEquals": {"k:x": "${k:y}"}}, {"k:x": "a", "k:y": "a"}, True, VARIABLES),
    ({"StringEquals": {"k:x": "${K:Y}"}}, {"k:x": "a", "k:y": "b"}, False, VARIABLES),
    ({"StringEquals": {"k:x": "${k:y}"}}, {"k:x": "${k:y}"}, False, VARIABLES),
    ({"StringNotEquals": {"k:x": "${k:y}"}}, {"k:x": "a"}, True, VARIABLES),
    ({"StringEquals": {"k:x": "${k:y, 'd'}"}}, {"k:x": "d"}, True, VARIABLES),
    ({"StringEquals": {"k:x": "${aws:TagKeys}"}}, {"k:x": "a", "aws:TagKeys": ["a"]}, False, VARIABLES),
    ({"StringLike": {"k:x": "home/${k:y}/*"}}, {"k:x": "home/bob/x", "k:y": "bob"}, True, VARIABLES),
    ({"StringLike": {"k:x": "${k:y}"}}, {"k:x": "ab", "k:y": "a*"}, False, VARIABLES),
    ({"StringLike": {"k:x": "a${*}"}}, {"k:x": "ab"}, False, VARIABLES),
    ({"StringLike": {"k:x": "a${*}${?}${$}"}}, {"k:x": "a*?$"}, True, VARIABLES),
    ({"StringEquals": {"aws:PrincipalArn": f"arn:aws:iam::{A}:role/ci"}}, {}, True, MODEL),
    ({"StringEquals": {"aws:PrincipalAccount": A}}, {"aws:PrincipalAccount": B}, True, MODEL),
]


@pytest.mark.parametrize(("condition", "ctx", "expected", "source"), CONDITIONS)
def test_a_documented_condition_holds_or_not(
    condition: dict[str, Any], ctx: dict[str, Any], expected: bool, source: str
) -> None:
    verdict = allowed(policy(statement("*", **condition)), role(**ctx))
    assert verdict.allowed is expected, (source, verdict.because)


def test_variables_are_plain_text_in_the_old_version() -> None:
    old = under(version="2008-10-17", StringLike={"k:x": "${k:y}${*}"})
    assert allowed(old, role(k__x="${k:y}${anything}", k__y="a")).allowed


PRINCIPALS: list[tuple[Any, Request, bool]] = [
    (ROOT, role(), True),
    ({"AWS": A}, role("team/ci"), True),
    ({"AWS": A}, role(account=B), False),
    ({"AWS": f"arn:aws-cn:iam::{A}:root"}, role(), False),
    ({"AWS": f"arn:aws:iam::{A}:role/ci"}, role(session="any"), True),
    ({"AWS": f"arn:aws:iam::{A}:role/CI"}, role(), False),
    ({"AWS": f"arn:aws:iam::{A}:role/c*"}, role(), False),
    ({"AWS": "AROAIOSFODNN7EXAMPLE"}, role(), False),
    ({"AWS": f"arn:aws:sts::{A}:assumed-role/ci/deploy"}, role(session="deploy"), True),
    ({"AWS": f"arn:aws:sts::{A}:assumed-role/ci/deploy"}, role("team/ci", session="deploy"), True),
    ({"AWS": f"arn:aws:sts::{A}:assumed-role/ci/deploy"}, role(session="other"), False),
    ({"AWS": f"arn:aws:sts::{A}:assumed-role/ci/deploy"}, role(), False),
    ("*", role(), True),
    ({"AWS": "*"}, Request("service", "ec2.amazonaws.com", None, "sts:AssumeRole"), True),
    ({"Service": "ec2.amazonaws.com"}, Request("service", "ec2.amazonaws.com", None, "sts:AssumeRole"), True),
    ({"Service": "ec2.amazonaws.com"}, Request("oidc", "ec2.amazonaws.com", None, "sts:AssumeRole"), False),
    (
        {"Federated": "accounts.google.com"},
        Request("oidc", "accounts.google.com", None, "sts:AssumeRole"),
        True,
    ),
    (ROOT, Request("saml", f"arn:aws:iam::{A}:saml-provider/Okta", None, "sts:AssumeRole"), False),
    ({"CanonicalUser": "a" * 64}, role(), False),
]


@pytest.mark.parametrize(("element", "request_", "expected"), PRINCIPALS)
def test_a_principal_element_stands_for_whom_the_guide_says(
    element: Any, request_: Request, expected: bool
) -> None:
    assert allowed(policy(statement(element)), request_).allowed is expected
    inverted = {key: value for key, value in statement(element).items() if key != "Principal"}
    assert (
        allowed(parse({"Statement": inverted | {"NotPrincipal": element}}), request_).allowed is not expected
    )


@pytest.mark.parametrize(
    ("action", "expected"),
    [("sts:AssumeRole", True), ("STS:assumerole", True), ("sts:Assume*", True), ("*", True), ("sts:AssumeRole?", False),
     ("sts:TagSession", False), ("AssumeRole", False), ([], False)],
)  # fmt: skip
def test_actions_ignore_case_and_take_wildcards(action: Any, expected: bool) -> None:
    assert allowed(policy(statement("*", action)), role()).allowed is expected
    inverted = {key: value for key, value in statement("*").items() if key != "Action"}
    assert allowed(parse({"Statement": inverted | {"NotAction": action}}), role()).allowed is not expected


def test_a_deny_wins_and_names_its_statement_and_test() -> None:
    both = policy(
        statement(ROOT), statement("*", effect="Deny", Bool={"aws:MultiFactorAuthPresent": "false"})
    )
    verdict = allowed(both, role(aws__MultiFactorAuthPresent="false"))
    assert (verdict.allowed, verdict.statements) == (False, (1,))
    assert verdict.because == 'Statement[1] denies it: Bool aws:multifactorauthpresent "false"'
    assert allowed(both, role()).because == "Statement[0] allows it without any test"


def test_a_refusal_names_the_test_that_the_nearest_statement_missed() -> None:
    google = statement(
        {"Federated": "accounts.google.com"}, WEB, StringEquals={"accounts.google.com:sub": "104"}
    )
    request = Request("oidc", "accounts.google.com", None, WEB, {"accounts.google.com:sub": "105"})
    assert allowed(policy(statement(ROOT), google), request).because == (
        'no statement allows it: Statement[1] asks StringEquals accounts.google.com:sub "104",'
        " but accounts.google.com:sub is '105'"
    )


IDENTITY = parse({"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}})
NOTHING = parse({"Statement": []})
TARGET = f"arn:aws:iam::{A}:role/target"


@pytest.mark.parametrize(
    ("identity", "boundary", "trust", "account", "expected"),
    [
        ([IDENTITY], None, policy(statement(ROOT)), A, True),
        ([], None, policy(statement(ROOT)), A, False),
        ([], None, policy(statement({"AWS": f"arn:aws:iam::{A}:role/ci"})), A, True),
        ([], NOTHING, policy(statement({"AWS": f"arn:aws:iam::{A}:role/ci"})), A, False),
        ([IDENTITY], NOTHING, policy(statement(ROOT)), A, False),
        ([IDENTITY], None, NOTHING, A, False),
        ([IDENTITY], None, policy(statement({"AWS": B})), B, True),
        ([], None, policy(statement({"AWS": f"arn:aws:iam::{B}:role/ci"})), B, False),
    ],
)
def test_a_role_is_assumed_when_its_trust_and_what_the_caller_has_agree(
    identity: Any, boundary: Any, trust: Any, account: str, expected: bool
) -> None:
    """Source: reference_policies_evaluation-logic, same account and cross-account."""
    caller = Request("aws", f"arn:aws:iam::{account}:role/ci", None, "sts:AssumeRole", {}, TARGET)
    assert combined(identity, boundary, trust, caller).allowed is expected


def test_an_identity_policy_alone_is_enough_for_a_bucket_of_the_same_account() -> None:
    identity = parse({"Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::b/*"}})
    asked = Request("aws", f"arn:aws:iam::{A}:user/ann", None, "s3:GetObject", {}, "arn:aws:s3:::b/key")
    assert combined([identity], None, None, asked).allowed
    assert not combined([identity], NOTHING, None, asked).allowed
    deny = parse(
        {"Statement": {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::b/*"}}
    )
    assert not combined([identity], None, deny, asked).allowed
