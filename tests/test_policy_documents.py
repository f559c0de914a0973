"""Trust policies are found in every file people have, key by key as they stood, and nothing open is guessed."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.policy.documents import Document, documents
from auditor.policy.parse import PolicyError, parse
from tests.trust_case import OTHER, OWN, export_role, may, policy, text

ARN = f"arn:aws:iam::{OWN}:role/app"
TRUST = policy(may({"AWS": f"arn:aws:iam::{OTHER}:root"}))


def read(told: Any, **more: Any) -> tuple[Document, ...]:
    return documents(told if isinstance(told, str) else json.dumps(told), "file.json", **more)


def one(told: Any, **more: Any) -> Document:
    (found,) = read(told, **more)
    return found


def meaning(document: Document) -> Any:
    assert document.policy_text is not None, document.error
    return parse(document.policy_text).statements


@pytest.mark.parametrize(
    "told",
    [
        text(TRUST),
        "\ufeff" + text(TRUST),
        quote(text(TRUST)),
        {"Role": {"Arn": ARN, "AssumeRolePolicyDocument": TRUST}},
        {"Role": {"Arn": ARN, "AssumeRolePolicyDocument": quote(text(TRUST))}},
        {"Arn": ARN, "AssumeRolePolicyDocument": TRUST},
        {"RoleDetailList": [{"Arn": ARN, "AssumeRolePolicyDocument": TRUST}], "UserDetailList": []},
        {"Roles": [{"Arn": ARN, "AssumeRolePolicyDocument": quote(text(TRUST))}]},
        {"Resources": {"App": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}}, "B": {"Type": "AWS::S3::Bucket"}}},
        {"resource_changes": [{"address": "aws_iam_role.app", "type": "aws_iam_role", "change": {"before": None, "after": {"assume_role_policy": text(TRUST)}}}]},
        {"planned_values": {"root_module": {"child_modules": [{"resources": [{"address": "module.a.aws_iam_role.b", "mode": "managed", "type": "aws_iam_role", "values": {"assume_role_policy": text(TRUST)}}]}]}}},
    ],
)  # fmt: skip
def test_the_same_policy_is_found_in_every_kind_of_file(told: Any) -> None:
    assert meaning(one(told)) == parse(TRUST).statements


def test_a_role_brings_its_own_account_along() -> None:
    assert one({"Role": {"Arn": ARN, "AssumeRolePolicyDocument": TRUST}}).account == OWN
    assert one(TRUST).account is None


def test_a_key_that_stands_twice_deep_in_a_file_of_roles_is_still_refused() -> None:
    told = json.dumps({"Role": {"Arn": ARN, "AssumeRolePolicyDocument": TRUST}}).replace(
        '"Principal"', '"Principal": "*", "Principal"'
    )
    document = one(told)
    assert document.policy_text is not None
    with pytest.raises(PolicyError, match="twice"):
        parse(document.policy_text)


def test_one_role_that_cannot_be_read_leaves_the_others_readable() -> None:
    roles = [
        {"Arn": ARN, "AssumeRolePolicyDocument": TRUST},
        {"Arn": f"{ARN}2"},
        {"RoleName": "x", "AssumeRolePolicyDocument": 17},
        5,
    ]
    good, without, odd = read({"RoleDetailList": roles})
    assert meaning(good) and without.error and without.name == f"{ARN}2"
    with pytest.raises(PolicyError):
        parse(odd.policy_text or "")


def template(principal: Any, **tests: Any) -> dict[str, Any]:
    properties = {"AssumeRolePolicyDocument": policy(may(principal, **tests))}
    return {"Resources": {"App": {"Type": "AWS::IAM::Role", "Properties": properties}}}


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"Ref": "Trusted"}, "Ref Trusted"),
        ({"Fn::Sub": "arn:${AWS::Partition}:iam::${Account}:root"}, "${AWS::Partition}"),
        ({"Fn::GetAtt": ["Other", "Arn"]}, "Fn::GetAtt Other.Arn"),
        ({"Fn::GetAtt": "Other.Arn"}, "Fn::GetAtt Other.Arn"),
        ({"Fn::ImportValue": "x"}, "Fn::ImportValue"),
        ({"Fn::If": ["a", "b", "c"]}, "Fn::If"),
        ({"Fn::Join": ["", ["arn:aws:iam::", {"Ref": "A"}, ":root"]]}, "Ref A"),
        ({"Fn::Join": ["", {"Ref": "List"}]}, "Fn::Join"),
        ({"Fn::Sub": 5}, "Fn::Sub"),
        ({"Fn::Sub": ["${X}", {"X": {"Ref": "Y"}}]}, "Ref Y"),
    ],
)
def test_what_a_template_leaves_open_is_named_and_never_guessed(value: Any, named: str) -> None:
    found = one(template({"AWS": value}))
    assert found.policy_text is None
    assert found.error is not None and named in found.error and "Statement[0].Principal.AWS" in found.error


@pytest.mark.parametrize(
    ("value", "values"),
    [
        ({"Ref": "Trusted"}, {"Trusted": f"arn:aws:iam::{OTHER}:root"}),
        (
            {"Fn::Sub": "arn:${AWS::Partition}:iam::${Account}:root"},
            {"AWS::Partition": "aws", "Account": OTHER},
        ),
        ({"Fn::Sub": ["arn:aws:iam::${A}:root", {"A": OTHER}]}, {}),
        ({"Fn::Join": [":", ["arn", "aws", "iam", "", {"Ref": "A"}, "root"]]}, {"A": OTHER}),
        ({"Fn::GetAtt": ["Other", "Arn"]}, {"Other.Arn": f"arn:aws:iam::{OTHER}:root"}),
    ],
)
def test_what_is_given_is_filled_in(value: Any, values: dict[str, str]) -> None:
    assert meaning(one(template({"AWS": value}), values=values)) == parse(TRUST).statements


def test_an_escaped_variable_of_a_template_becomes_a_variable_of_the_policy() -> None:
    found = one(template({"AWS": OWN}, StringLike={"sts:RoleSessionName": {"Fn::Sub": "${!aws:username}"}}))
    assert "${aws:username}" in (found.policy_text or "")


def test_a_plan_tells_both_sides_and_what_is_known_only_later() -> None:
    def change(address: str, before: Any, after: Any) -> dict[str, Any]:
        return {"address": address, "type": "aws_iam_role", "change": {"before": before, "after": after}}

    old = {"arn": ARN, "assume_role_policy": text(export_role())}
    changes = [
        change("aws_iam_role.kept", old, {"assume_role_policy": text(TRUST)}),
        change("aws_iam_role.gone", old, None),
        change("aws_iam_role.later", None, {"name": "x"}),
        {"address": "aws_s3_bucket.b", "type": "aws_s3_bucket", "change": {"before": None, "after": {}}},
    ]
    found = read({"resource_changes": changes})
    assert [(each.role, each.side, each.error is None) for each in found] == [
        ("aws_iam_role.kept", "before", True),
        ("aws_iam_role.kept", "after", True),
        ("aws_iam_role.gone", "before", True),
        ("aws_iam_role.later", "after", False),
    ]
    assert found[0].account == OWN


@pytest.mark.parametrize(
    "told", [{"Resources": {}}, {"RoleDetailList": []}, {"resource_changes": []}, {"values": {}}]
)
def test_a_file_without_any_role_says_so(told: Any) -> None:
    assert "no role" in (one(told).error or "")


@pytest.mark.parametrize(
    "told",
    [
        "",
        "nonsense",
        "[1",
        "null",
        "[]",
        "17",
        '"x"',
        "{}",
        '{"a": ' * 5000,
        '{"Role": []}',
        '{"Version": NaN}',
    ],
)
def test_what_is_no_policy_is_left_for_the_parser_to_refuse(told: str) -> None:
    found = one(told)
    with pytest.raises(PolicyError):
        parse(found.policy_text or "")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["Role", "RoleDetailList", "Resources", "resource_changes", "planned_values", "root_module", "resources", "child_modules",
             "change", "before", "after", "type", "Type", "Properties", "AssumeRolePolicyDocument", "assume_role_policy", "Ref", "Fn::Sub",
             "Fn::Join", "Fn::GetAtt", "Arn", "values", "mode"]
        ),
        inner | st.sampled_from(["AWS::IAM::Role", "aws_iam_role", "%7B"]),
        max_size=4,
    ),
    max_leaves=25,
)  # fmt: skip


@settings(max_examples=300)
@given(_JSON)
def test_no_file_makes_the_readers_raise(told: Any) -> None:
    for document in read(told):
        assert (document.policy_text is None) == (document.error is not None)
