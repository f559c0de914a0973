"""Documents are read strictly, and every mistake is named with its place."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.policy.model import Principal, Request
from auditor.policy.parse import LARGEST, PolicyError, parse
from tests.policy_case import A, document, policy, statement

ONE = statement({"AWS": A})


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("", "", "not JSON"),
        ("{", "", "not JSON"),
        ("[]", "", "a policy is a JSON object"),
        ("7", "", "a policy is a JSON object"),
        ("null", "", "a policy is a JSON object, not null"),
        ("{}", "", "there is no Statement"),
        (b"\xff\xfe\x00", "", "not UTF-8"),
        ('{"Statement": NaN}', "", "no JSON value"),
        ("[" * 200_000, "", "nested too deeply"),
        ('{"Statement": [], "Statement": []}', "", "twice"),
        ('{"Statement": [{"Effect": "Allow", "Effect": "Deny"}]}', "Statement[0]", "twice"),
        ('{"Version": "2012", "Statement": []}', "Version", "2012-10-17"),
        ('{"Statement": [], "Foo": 1}', "", "no element"),
        ('{"Statement": 7}', "Statement[0]", "a statement is an object"),
        (" " * (LARGEST + 1), "", "at most 1,000,000"),
    ],
)
def test_a_document_that_is_no_policy_is_refused_with_its_place(text: Any, place: str, says: str) -> None:
    with pytest.raises(PolicyError, match=says) as caught:
        parse(text)
    assert caught.value.place == place


@pytest.mark.parametrize(
    ("changed", "place", "says"),
    [
        ({"Effect": "allow"}, "Statement[1].Effect", "Allow or Deny"),
        ({"Effect": None}, "Statement[1].Effect", "Allow or Deny"),
        ({"Action": 5}, "Statement[1].Action", "a text"),
        ({"Action": [["sts:*"]]}, "Statement[1].Action", "a text"),
        ({"NotAction": "sts:*"}, "Statement[1]", "both Action and NotAction"),
        ({"NotPrincipal": "*"}, "Statement[1]", "both Principal and NotPrincipal"),
        ({"Principal": "arn:aws:iam::111122223333:root"}, "Statement[1].Principal", "a principal is"),
        ({"Principal": {"Aws": "*"}}, "Statement[1].Principal", "no kind of principal"),
        ({"Principal": {"AWS": "12345"}}, "Statement[1].Principal.AWS", "5 digits, not 12"),
        ({"Principal": {"AWS": "arn:aws:iam::12:root"}}, "Statement[1].Principal.AWS", "12 digits"),
        ({"Principal": {"AWS": "arn:aws:iam"}}, "Statement[1].Principal.AWS", "six parts"),
        (
            {"Principal": {"AWS": "arn:aws:s3:::bucket"}},
            "Statement[1].Principal.AWS",
            "no ARN of a principal",
        ),
        (
            {"Principal": {"Federated": "arn:aws:iam::1:saml-provider/x"}},
            "Statement[1].Principal.Federated",
            "12 digits",
        ),
        ({"Condition": []}, "Statement[1].Condition", "an object of operators"),
        ({"Condition": {"StringIs": {"a:b": "c"}}}, "Statement[1].Condition", "no condition operator"),
        ({"Condition": {"NullIfExists": {"a:b": "true"}}}, "Statement[1].Condition", "no condition operator"),
        ({"Condition": {"StringLike": "x"}}, "Statement[1].Condition.StringLike", "an object of keys"),
        ({"Condition": {"StringLike": {"a:b": {}}}}, "Statement[1].Condition.StringLike.a:b", "a text"),
        (
            {"Condition": {"StringLike": {"a:b": "\ud800"}}},
            "Statement[1].Condition.StringLike.a:b",
            "surrogate",
        ),
        ({"Sid": 5}, "Statement[1].Sid", "a text"),
        ({"Conditions": {}}, "Statement[1]", "no element"),
    ],
)
def test_a_mistake_in_a_statement_is_named_with_its_place(
    changed: dict[str, Any], place: str, says: str
) -> None:
    with pytest.raises(PolicyError, match=says) as caught:
        parse(json.dumps(document(ONE, ONE | changed)))
    assert caught.value.place == place


def test_a_key_repeated_in_a_condition_is_refused_and_named_as_a_finding() -> None:
    text = '{"Statement":{"Effect":"Allow","Action":"*","Condition":{"StringLike":{"a:b":"x","a:b":"y"}}}}'
    with pytest.raises(PolicyError, match="'a:b' stands there twice") as caught:
        parse(text)
    assert (caught.value.place, caught.value.finding) == (
        "Statement[0].Condition.StringLike",
        "duplicate-key",
    )


def test_a_mistake_of_json_tells_its_line() -> None:
    with pytest.raises(PolicyError, match="line 3") as caught:
        parse('{"Version": "2012-10-17",\n"Statement": [\n}')
    assert caught.value.line == 3


def test_documents_larger_than_iam_takes_are_still_read() -> None:
    values = [f"repo:acme/repository-{n:05d}:ref:refs/heads/main" for n in range(10_000)]
    assert (
        len(
            parse(json.dumps(document(statement("*", StringEquals={"a:b": values}))))
            .statements[0]
            .tests[0]
            .values
        )
        == 10_000
    )


def test_values_keep_the_spelling_of_numbers_and_say_booleans_in_lower_case() -> None:
    text = '{"Statement":{"Effect":"Allow","Action":"*","Condition":{"NumericEquals":{"a:b":[1.50,2e1]},"Bool":{"a:c":true}}}}'
    assert [test.values for test in parse(text).statements[0].tests] == [("1.50", "2e1"), ("true",)]


def test_keys_lose_their_case_and_operators_keep_theirs() -> None:
    [test] = policy(statement("*", ForAnyValue__stringlikeIfExists={"AWS:TagKeys": "x"})).statements[0].tests
    assert (test.operator, test.base, test.modifier, test.if_exists, test.key) == (
        "ForAnyValue:stringlikeIfExists", "StringLike", "any", True, "aws:tagkeys",
    )  # fmt: skip


def test_principals_that_iam_would_refuse_can_be_kept_for_the_findings() -> None:
    kept = parse(document(statement({"AWS": ["12345", "*"]})), strict=False)
    assert kept.statements[0].principals == (Principal("aws", "12345"), Principal("any", "*"))


def test_a_request_reads_back_what_it_tells() -> None:
    told = {
        "kind": "oidc", "principal": "accounts.google.com", "session": None, "action": "sts:AssumeRoleWithWebIdentity",
        "ctx": {"accounts.google.com:sub": "104", "aws:TagKeys": ["a", "b"]},
    }  # fmt: skip
    assert Request.of(told).as_dict() == told


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"kind": "x"},
        {"kind": "aws", "principal": 5},
        {"kind": "aws", "principal": "a", "action": "b", "ctx": []},
    ],
)
def test_a_request_that_is_none_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a request's"):
        Request.of(told)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "Statement",
                    "Effect",
                    "Action",
                    "Principal",
                    "Condition",
                    "StringLike",
                    "AWS",
                    "a:b",
                    "Version",
                    "Resource",
                ]
            )
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300)
@given(JSON)
def test_no_value_makes_the_parser_raise_anything_but_its_own_error(told: Any) -> None:
    for given_ in (
        told,
        json.dumps(told),
        {"Statement": told},
        {"Statement": {**ONE, "Condition": told}},
        {"Statement": {**ONE, "Principal": told}},
    ):
        with suppress(PolicyError):
            parse(given_)


@settings(max_examples=300)
@given(st.binary(max_size=60) | st.text(max_size=60))
def test_no_text_makes_the_parser_raise_anything_but_its_own_error(text: str | bytes) -> None:
    with pytest.raises(PolicyError):
        parse(text)


@settings(max_examples=200)
@given(st.integers(0, 400), st.sampled_from([*'{}[]",:0x\\', "\x00", "é"]))
def test_a_policy_with_one_character_changed_is_read_or_refused(at: int, character: str) -> None:
    text = json.dumps(
        document(statement({"AWS": A}, StringLike={"a:b": ["x*", "y"]}), statement("*", effect="Deny"))
    )
    with suppress(PolicyError):
        parse(text[: at % len(text)] + character + text[at % len(text) + 1 :])
