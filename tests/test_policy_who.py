"""Everyone who may assume a role, with an example that is admitted."""

from __future__ import annotations

import pytest

from auditor.policy.evaluate import allowed
from auditor.policy.who import outside, who
from tests.policy_case import GITHUB, ROOT, WEB, A, B, policy, statement

PROVIDER = f"arn:aws:iam::{A}:oidc-provider/{GITHUB}"


def test_each_principal_of_each_statement_is_named_with_its_tests_and_an_example() -> None:
    trust = policy(
        statement(
            {"AWS": [f"arn:aws:iam::{A}:root", f"arn:aws:iam::{B}:role/ci"]},
            StringEquals={"sts:ExternalId": "x"},
        ),
        statement({"Federated": PROVIDER}, WEB, StringLike={f"{GITHUB}:sub": "repo:acme/app:*"}),
        statement({"Service": "ec2.amazonaws.com"}),
    )
    found = who(trust)
    assert [(each.kind, each.principal) for each in found] == [
        ("aws", f"arn:aws:iam::{A}:root"),
        ("aws", f"arn:aws:iam::{B}:role/ci"),
        ("oidc", PROVIDER),
        ("service", "ec2.amazonaws.com"),
    ]
    assert [test.key for test in found[0].tests] == ["sts:externalid"]
    for each in found:
        assert each.example is not None
        assert allowed(trust, each.example).allowed


@pytest.mark.parametrize(
    "dead",
    [
        statement({"AWS": "AROAIOSFODNN7EXAMPLE"}),
        statement({"AWS": f"arn:aws:iam::{A}:role/*"}),
        statement(ROOT, WEB),
        statement(ROOT, StringEquals={"k:x": "a"}, StringLike={"k:x": "b*"}),
        statement(ROOT, StringEquals={"aws:TagKeys": "a"}),
        statement(
            {"AWS": f"arn:aws:iam::{A}:role/ci"}, ArnLike={"aws:PrincipalArn": f"arn:aws:iam::{A}:user/*"}
        ),
    ],
)
def test_a_statement_that_lets_nobody_in_names_nobody(dead: dict[str, object]) -> None:
    assert who(policy(dead)) == ()


def test_a_deny_leaves_out_those_whom_it_refuses() -> None:
    trust = policy(statement({"AWS": [A, B]}), statement({"AWS": A}, "*", "Deny"))
    assert [each.principal for each in who(trust)] == [B]


def test_everyone_is_one_row() -> None:
    [row] = who(policy(statement({"AWS": ["*", A]})))
    assert (row.kind, row.principal) == ("any", "*")


def test_everyone_is_shown_by_a_caller_that_can_present_the_keys() -> None:
    [row] = who(policy(statement("*", WEB, StringLike={f"{GITHUB}:sub": "repo:acme/*"})))
    assert row.example is not None
    assert (row.example.kind, row.example.principal.partition("oidc-provider/")[2]) == ("oidc", GITHUB)


def test_what_cannot_be_decided_is_named_without_an_example() -> None:
    [row] = who(policy(statement(ROOT, StringEquals={"k:x": "5"}, NumericEquals={"k:x": "5", "k:n": "1"})))
    assert row.principal == f"arn:aws:iam::{A}:root"


def test_someone_outside_an_allow_list_is_shown() -> None:
    ours = policy(statement({"AWS": A}, "sts:*"))
    assert outside(policy(statement({"AWS": f"arn:aws:iam::{A}:role/ci"})), ours).witness_b_only is None
    found = outside(policy(statement({"AWS": [A, f"arn:aws:iam::{B}:role/ci"]})), ours)
    assert found.witness_b_only is not None
    assert found.witness_b_only.principal == f"arn:aws:iam::{B}:role/ci"
