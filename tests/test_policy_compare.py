"""Two policies compared: what must come out equal, what must not, and what says that it does not know."""

from __future__ import annotations

from typing import Any

import pytest

from auditor.policy import globs
from auditor.policy.compare import compare
from auditor.policy.evaluate import allowed
from auditor.policy.model import Policy
from auditor.policy.parse import parse
from bench.trust_pairs import adversarial
from tests.policy_case import GITHUB, ROOT, WEB, A, B, policy, statement

SWAPPED = {"wider": "narrower", "narrower": "wider"}
CI = f"arn:aws:iam::{A}:role/ci"


def verdict(a: Policy, b: Policy, **how: Any) -> str:
    """Compare both ways round, check both witnesses, and return the verdict."""
    there, back = compare(a, b, **how), compare(b, a, **how)
    assert back.verdict == SWAPPED.get(there.verdict, there.verdict)
    for witness, one, other in ((there.witness_a_only, a, b), (there.witness_b_only, b, a)):
        if witness is not None:
            assert allowed(one, witness).allowed
            assert not allowed(other, witness).allowed
    assert (there.witness_a_only is not None) == (
        there.verdict in ("narrower", "incomparable")
    ) or there.verdict == "undecided"
    assert (there.witness_b_only is not None) == (
        there.verdict in ("wider", "incomparable")
    ) or there.verdict == "undecided"
    return there.verdict


def trusted(*principals: Any) -> Policy:
    return policy(*(statement(each) for each in principals))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([ROOT], [{"AWS": A}], "equivalent"),
        ([ROOT], [ROOT, {"AWS": CI}], "equivalent"),
        ([{"AWS": CI}], [ROOT], "wider"),
        ([ROOT], [{"AWS": f"arn:aws-cn:iam::{A}:root"}], "incomparable"),
        ([{"AWS": A}], [{"AWS": f"arn:aws-us-gov:iam::{A}:root"}], "equivalent"),
        ([{"AWS": f"arn:aws:iam::{A}:role/ci-*"}], [{"AWS": []}], "equivalent"),
        ([{"AWS": "AROAIOSFODNN7EXAMPLE"}], [{"AWS": []}], "equivalent"),
        ([{"AWS": f"arn:aws:iam::{A}:group/devs"}], [{"AWS": []}], "equivalent"),
        ([{"AWS": f"arn:aws:sts::{A}:assumed-role/ci/x"}], [{"AWS": CI}], "wider"),
        ([{"AWS": f"arn:aws:sts::{A}:assumed-role/ci/x"}], [{"AWS": f"arn:aws:sts::{A}:assumed-role/ci/y"}], "incomparable"),
        ([{"AWS": f"arn:aws:sts::{A}:assumed-role/ci/x"}], [{"AWS": f"arn:aws:iam::{A}:role/team/ci"}], "wider"),
        ([{"AWS": f"arn:aws:sts::{A}:federated-user/bob"}], [{"AWS": []}], "narrower"),
        ([{"AWS": f"arn:aws:sts::{A}:federated-user/bob"}, ROOT], [ROOT], "equivalent"),
        (["*"], [{"AWS": "*"}], "equivalent"),
        ([{"AWS": "*"}], [{"Service": "ec2.amazonaws.com"}, {"AWS": "*"}], "equivalent"),
        ([{"Service": "ec2.amazonaws.com"}], ["*"], "wider"),
        ([{"Federated": f"arn:aws:iam::{A}:saml-provider/Okta"}], [ROOT], "incomparable"),
    ],
)  # fmt: skip
def test_principals_are_compared_by_whom_they_let_in(a: list[Any], b: list[Any], expected: str) -> None:
    every = ["sts:AssumeRole", "sts:AssumeRoleWithSAML", WEB]
    assert (
        verdict(
            policy(*(statement(each, every) for each in a)), policy(*(statement(each, every) for each in b))
        )
        == expected
    )


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("sts:AssumeRole", "STS:assumeROLE", "equivalent"),
        ("sts:*", "*", "equivalent"),
        ("sts:AssumeRole", ["sts:AssumeRole", "sts:GetCallerIdentity"], "equivalent"),
        ("sts:AssumeRole", ["sts:AssumeRole", "sts:AssumeRoleWithSAML"], "equivalent"),
        ("sts:AssumeRole", ["sts:AssumeRole", "sts:TagSession"], "wider"),
        ("sts:AssumeRole", "sts:Tag*", "incomparable"),
    ],
)
def test_actions_that_a_user_cannot_ask_for_make_no_difference(a: Any, b: Any, expected: str) -> None:
    assert verdict(policy(statement(ROOT, a)), policy(statement(ROOT, b))) == expected


CONDITIONS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"StringLike": {"k:x": "*"}}, {"Null": {"k:x": "false"}}, "equivalent"),
    ({"StringNotLike": {"k:x": "*"}}, {"Null": {"k:x": "true"}}, "equivalent"),
    ({"StringLike": {"k:x": "a*"}}, {"StringLike": {"k:x": ["a*", "ab*"]}}, "equivalent"),
    ({"StringLike": {"k:x": "a*"}}, {"StringLike": {"k:x": ["a", "a?*"]}}, "equivalent"),
    ({"StringLike": {"k:x": "a*b"}}, {"StringLike": {"k:x": "*b"}}, "wider"),
    ({"StringLike": {"k:x": "a*"}}, {"StringLike": {"k:x": "*b"}}, "incomparable"),
    ({"StringLike": {"k:x": "a${*}"}}, {"StringEquals": {"k:x": "a*"}}, "equivalent"),
    ({"StringLike": {"k:x": "repo:acme/*:*"}}, {"StringLike": {"k:x": "repo:acme/*"}}, "wider"),
    ({"StringEqualsIgnoreCase": {"k:x": "aB"}}, {"StringEquals": {"k:x": ["ab", "aB", "Ab", "AB"]}}, "equivalent"),
    ({"StringEqualsIgnoreCase": {"k:x": "aB"}}, {"StringLike": {"k:x": ["a?", "A?"]}}, "wider"),
    ({"StringEquals": {"k:x": "a"}}, {"StringEqualsIfExists": {"k:x": "a"}}, "wider"),
    ({"StringEquals": {"k:x": "a"}}, {"StringNotEquals": {"k:x": "b"}}, "wider"),
    ({"StringEquals": {"k:x": "a"}}, {"ForAnyValue:StringEquals": {"k:x": "a"}}, "equivalent"),
    ({"StringEqualsIfExists": {"k:x": "a"}}, {"ForAllValues:StringEquals": {"k:x": "a"}}, "equivalent"),
    ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}}, {"ForAllValues:StringLike": {"aws:TagKeys": ["?"]}}, "wider"),
    ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["a"]}}, {"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}}, "incomparable"),
    ({"StringEquals": {"aws:TagKeys": "a"}}, {"Null": {"aws:TagKeys": ["true", "false"]}}, "wider"),
    ({"NumericLessThan": {"k:n": "5"}}, {"NumericLessThanEquals": {"k:n": "5"}}, "wider"),
    ({"NumericLessThan": {"k:n": ["5", "3"]}}, {"NumericLessThan": {"k:n": "5.0"}}, "equivalent"),
    ({"NumericEquals": {"k:n": "5"}}, {"NumericGreaterThan": {"k:n": "4"}}, "wider"),
    ({"DateLessThan": {"k:d": "2026-01-01T00:00:00Z"}}, {"DateLessThan": {"k:d": "1767225600"}}, "equivalent"),
    ({"DateLessThan": {"k:d": "2026-01-01T00:00:00Z"}}, {"DateLessThan": {"k:d": "2026-01-01T00:00:01Z"}}, "wider"),
    ({"IpAddress": {"k:i": "10.0.0.0/8"}}, {"IpAddress": {"k:i": ["10.0.0.0/9", "10.128.0.0/9"]}}, "equivalent"),
    ({"IpAddress": {"k:i": "10.0.0.0/8"}}, {"IpAddress": {"k:i": ["10.0.0.0/8", "2001:db8::/32"]}}, "wider"),
    ({"IpAddress": {"k:i": ["0.0.0.0/0", "::/0"]}}, {"Null": {"k:i": "false"}}, "equivalent"),
    ({"Bool": {"k:b": "TRUE"}}, {"Bool": {"k:b": "true"}}, "equivalent"),
    ({"Bool": {"k:b": ["true", "false"]}}, {"Null": {"k:b": "false"}}, "equivalent"),
    ({"BinaryEquals": {"k:y": "QUI="}}, {"BinaryEquals": {"k:y": ["QUI=", "QUM="]}}, "wider"),
    ({"ArnLike": {"k:a": "arn:aws:s3:::*"}}, {"ArnEquals": {"k:a": "arn:aws:s3:::*"}}, "equivalent"),
    ({"ArnLike": {"k:a": "arn:aws:s3:*:b"}}, {"StringLike": {"k:a": "arn:aws:s3:*:b"}}, "wider"),
    ({"StringEquals": {"aws:PrincipalAccount": A}}, {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{A}:*"}}, "equivalent"),
    ({"StringEquals": {"k:x": "${k:y}"}}, {"StringLike": {"k:x": "${k:y}*"}}, "wider"),
    ({"StringEquals": {"k:x": "${k:y}", "k:y": "a"}}, {"StringEquals": {"k:x": "a", "k:y": "a"}}, "equivalent"),
    ({"StringEquals": {"k:x": "${k:y}", "k:y": ["a", "b"]}}, {"StringEquals": {"k:x": ["a", "b"], "k:y": ["a", "b"]}}, "wider"),
    ({"StringLike": {"k:x": "a-${k:y}*", "k:y": "b*"}}, {"StringLike": {"k:x": "a-b*", "k:y": "b*"}}, "wider"),
    ({"StringEquals": {"k:x": "${k:y, 'd'}"}}, {"StringEquals": {"k:x": ["${k:y}", "d"]}}, "wider"),
    ({"StringEquals": {"k:x": "${aws:TagKeys}"}}, {"Null": {"k:x": ["true", "false"]}}, "wider"),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b", "expected"), CONDITIONS)
def test_conditions_are_compared_by_what_they_let_through(
    a: dict[str, Any], b: dict[str, Any], expected: str
) -> None:
    assert verdict(policy(statement(ROOT, **a)), policy(statement(ROOT, **b))) == expected


def test_everyone_of_an_account_by_a_test_is_the_account_principal() -> None:
    by_test = policy(statement("*", StringEquals={"aws:PrincipalAccount": A}))
    assert verdict(by_test, trusted(ROOT)) == "equivalent"


def test_the_account_that_a_variable_names_is_the_account_of_the_caller() -> None:
    by_variable = policy(statement(ROOT, StringEquals={"aws:SourceAccount": "${aws:PrincipalAccount}"}))
    assert (
        verdict(by_variable, policy(statement(ROOT, StringEquals={"aws:SourceAccount": A}))) == "equivalent"
    )
    assert (
        verdict(by_variable, policy(statement(ROOT, StringEquals={"aws:SourceAccount": [A, B]}))) == "wider"
    )


def test_a_deny_takes_away_and_a_request_proves_it() -> None:
    mfa = statement("*", "*", "Deny", Bool={"aws:MultiFactorAuthPresent": "false"})
    found = compare(trusted(ROOT), policy(statement(ROOT), mfa))
    assert found.verdict == "narrower"
    assert found.witness_a_only is not None
    assert found.witness_a_only.ctx == {"aws:multifactorauthpresent": "false"}
    absent = statement("*", "*", "Deny", BoolIfExists={"aws:MultiFactorAuthPresent": "false"})
    assert verdict(policy(statement(ROOT), mfa), policy(statement(ROOT), absent)) == "narrower"


def test_the_reason_names_the_statements_of_both_sides() -> None:
    found = compare(trusted({"AWS": CI}), trusted({"AWS": CI}, {"AWS": B}))
    assert found.because == (
        "B admits what A refuses: Statement[1] allows it without any test;"
        f" in A no statement allows it: Statement[0] is not about aws principal arn:aws:iam::{B}:root"
    )


@pytest.mark.parametrize(
    ("a", "b", "cause"),
    [
        ({"StringEquals": {"k:x": "5"}}, {"NumericEquals": {"k:x": "5"}}, "mixed types: k:x is tested as numeric and as string"),
        ({"NumericEquals": {"aws:PrincipalAccount": A}}, {}, "mixed types: aws:principalaccount is a text and tested as numeric"),
        ({"StringLike": {"k:x": "${k:y}*${k:z}"}}, {"StringLike": {"k:x": "${k:y}*"}}, "variables beyond equality and prefix"),
        ({"ArnLike": {"k:x": "arn:aws:iam::${k:y}:role/x"}}, {"ArnLike": {"k:x": "arn:aws:iam::*:role/x"}}, ""),
    ],
)  # fmt: skip
def test_what_cannot_be_decided_says_why(a: dict[str, Any], b: dict[str, Any], cause: str) -> None:
    found = compare(policy(statement(ROOT, **a)), policy(statement(ROOT, **b)))
    assert found.verdict == "undecided" or not cause
    assert found.because.startswith(cause)


def test_a_doubt_that_touches_no_difference_keeps_nothing_from_being_decided() -> None:
    mixed = statement(ROOT, StringEquals={"k:x": "5"}, NumericEquals={"k:x": "5"})
    assert verdict(policy(mixed), policy(mixed)) == "equivalent"
    assert verdict(policy(mixed), policy(mixed, statement({"Service": "ec2.amazonaws.com"}))) == "wider"
    assert verdict(policy(mixed), policy(mixed, statement({"AWS": []}))) == "equivalent"


def test_too_many_states_are_undecided_and_never_equivalent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(globs, "STATES", 100)
    long = "abcdefghij" * 20
    a, b = (policy(statement(ROOT, StringLike={"k:x": f"a*{long}{end}"})) for end in "xy")
    found = compare(a, b)
    assert found.verdict == "undecided"
    assert found.because.startswith("too complex: the patterns on k:x")


@pytest.mark.parametrize("case", list(adversarial()), ids=lambda case: case[0])
def test_the_worst_cases_end_decided_or_undecided_for_a_named_cause(case: Any) -> None:
    _, a, b = case
    found = compare(parse(a), parse(b))
    assert found.verdict in ("narrower", "wider", "incomparable") or found.because.startswith("too complex")


def repository(subject: str, principal: Any = None) -> Policy:
    provider = {"Federated": f"arn:aws:iam::{A}:oidc-provider/{GITHUB}"}
    return policy(statement(principal or provider, WEB, StringLike={f"{GITHUB}:sub": subject}))


def test_what_no_caller_can_present_is_no_difference_at_the_feasible_level() -> None:
    a, b = repository("repo:acme/*:*"), repository("repo:acme/*")
    assert verdict(a, b) == "wider"
    assert verdict(a, b, level="feasible") == "equivalent"
    spoofed = policy(statement(ROOT, StringEquals={"accounts.google.com:oaud": "x"}))
    assert verdict(spoofed, trusted({"AWS": []})) == "narrower"
    assert verdict(spoofed, trusted({"AWS": []}), level="feasible") == "equivalent"
    google = statement(
        {"Federated": "accounts.google.com"}, WEB, StringNotEquals={"accounts.google.com:sub": "1"}
    )
    absent = statement({"Federated": "accounts.google.com"}, WEB, Null={"accounts.google.com:sub": "true"})
    assert verdict(policy(google), policy(google, absent), level="feasible") == "equivalent"


def test_a_bucket_policy_is_compared_by_action_and_resource() -> None:
    def on(action: Any, resource: Any, effect: str = "Allow") -> dict[str, Any]:
        return statement(ROOT, action, effect) | {"Resource": resource}

    assert (
        verdict(policy(on("s3:Get*", "arn:aws:s3:::b/*")), policy(on("s3:GetObject", "arn:aws:s3:::b/*")))
        == "narrower"
    )
    assert verdict(policy(on("s3:*", "arn:aws:s3:::b/*")), policy(on("s3:*", "arn:aws:s3:::*"))) == "wider"
    assert (
        verdict(policy(on("*", "*")), policy(on("*", "*"), on("s3:DeleteObject", "arn:aws:s3:::b/*", "Deny")))
        == "narrower"
    )
    assert (
        verdict(policy(on("S3:getobject", "*")), policy(on("s3:GetObject", ["*", "arn:aws:s3:::b"])))
        == "equivalent"
    )
    variable = policy(on("s3:*", "arn:aws:s3:::b/${aws:username}/*"))
    assert compare(variable, policy(on("s3:*", "arn:aws:s3:::b/*"))).verdict == "undecided"
