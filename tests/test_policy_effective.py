"""What the policies of a role or user let through together, the hostile cases first, and against brute force."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from auditor.policy.effective import Guard, Region, lets, stands
from auditor.policy.grown import grown
from auditor.policy.model import NEW_VERSION, Policy, Request
from auditor.policy.narrowed import Holder
from auditor.policy.parse import parse
from auditor.policy.powers import beyond, changes, escalations, fences, object_writes, on_prefixes

HOME, AWAY = "111111111111", "222222222222"
ROLE, USER = f"arn:aws:iam::{HOME}:role/exporter", f"arn:aws:iam::{HOME}:user/ana"
BUCKET = "arn:aws:s3:::exports"
INSIDE = f"{BUCKET}/claims/*"
PLACES = [("exports", "claims/")]
OBJECT = Region((INSIDE,))


def stated(effect: str, action: Any, resource: Any = "*", **condition: Any) -> dict[str, Any]:
    found = {"Effect": effect, "Action": action, "Resource": resource}
    return found | ({"Condition": condition} if condition else {})


def allow(action: Any, resource: Any = "*", **condition: Any) -> dict[str, Any]:
    return stated("Allow", action, resource, **condition)


def deny(action: Any, resource: Any = "*", **condition: Any) -> dict[str, Any]:
    return stated("Deny", action, resource, **condition)


def policy(*statements: dict[str, Any], version: str = NEW_VERSION) -> Policy:
    return parse(json.dumps({"Version": version, "Statement": list(statements)}))


def role(*statements: dict[str, Any], boundary: Policy | None = None) -> Holder:
    return Holder(ROLE, (policy(*statements),), boundary, (("aws:username", None),))


def user(*statements: dict[str, Any], name: str = "ana") -> Holder:
    return Holder(f"arn:aws:iam::{HOME}:user/{name}", (policy(*statements),), None, (("aws:username", name),))


def put(holder: Holder, region: Region = OBJECT, guard: Guard | None = None) -> bool | None:
    return lets(holder, "s3:PutObject", region, guard).yes


# Deny, boundary, Not… ----------------------------------------------------------------------------------------------------


def test_deny_beats_every_allow_of_every_policy() -> None:
    split = Holder(ROLE, (policy(allow("*")), policy(deny("s3:Put*"))), policy(allow("*")))
    assert put(split) is False


def test_deny_in_the_boundary_beats_the_identity() -> None:
    assert put(role(allow("*"), boundary=policy(allow("*"), deny("*", INSIDE)))) is False


def test_deny_of_a_part_leaves_the_rest_and_the_witness_lies_in_it() -> None:
    found = lets(role(allow("s3:*"), deny("s3:*", f"{BUCKET}/claims/a*")), "s3:PutObject", OBJECT)
    assert found.yes is True
    assert found.witness is not None and found.witness.resource is not None
    assert found.witness.resource.startswith(f"{BUCKET}/claims/")
    assert not found.witness.resource.startswith(f"{BUCKET}/claims/a")


@pytest.mark.parametrize(
    ("boundary", "expected"),
    [
        (None, True),
        (policy(allow("*")), True),
        (policy(allow("s3:Get*")), False),
        (policy(allow("s3:*", "arn:aws:s3:::other/*")), False),
        (policy(deny("iam:*")), False),
        (policy(), False),
    ],
)
def test_boundary_must_allow_too(boundary: Policy | None, expected: bool) -> None:
    assert put(role(allow("s3:*"), boundary=boundary)) is expected


def test_boundary_alone_allows_nothing() -> None:
    assert put(role(boundary=policy(allow("*")))) is False


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, True),
        ({"Effect": "Allow", "NotAction": ["s3:P*"], "Resource": "*"}, False),
        ({"Effect": "Allow", "Action": "s3:*", "NotResource": INSIDE}, False),
        ({"Effect": "Allow", "Action": "s3:*", "NotResource": f"{BUCKET}/claims/a*"}, True),
        (allow("s3:Put?bject", "arn:aws:s3:::*/claims/*"), True),
        (allow("s3:*Object", "arn:aws:s3:::ex*s/c*s/*"), True),
        (allow("S3:PUTOBJECT", INSIDE), True),
        (allow("s3:PutObject", BUCKET), False),
        (allow("s3:PutObject", "arn:aws:s3:::exports/CLAIMS/*"), False),
        (allow("s3:PutObject", f"{BUCKET}*"), True),
    ],
)
def test_not_elements_and_wildcards_in_the_middle_mean_what_they_say(
    statement: dict[str, Any], expected: bool
) -> None:
    assert put(role(statement)) is expected


def test_deny_with_not_resource_shuts_everything_else_out() -> None:
    fenced = role(allow("s3:*"), {"Effect": "Deny", "Action": "s3:*", "NotResource": [BUCKET, INSIDE]})
    assert put(fenced) is True
    assert beyond(fenced, PLACES).may == ()


# Conditions are never read as absent -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, None),
        ({"StringEquals": {"aws:PrincipalTag/team": "claims"}}, None),
        ({"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}, None),
        ({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, None),
        ({"Bool": {"aws:MultiFactorAuthPresent": "true"}}, None),
        ({"StringEquals": {"s3:x-amz-acl": "private"}}, True),  # the caller chooses it
        ({"Bool": {"aws:SecureTransport": "true"}}, True),
        ({"StringLike": {"s3:prefix": "claims/*"}}, False),  # a PutObject carries no prefix
        ({"StringEquals": {"aws:PrincipalAccount": HOME}}, True),
        ({"StringEquals": {"aws:PrincipalAccount": AWAY}}, False),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/exp*"}}, True),
        ({"ArnNotLike": {"aws:PrincipalArn": ROLE}}, False),
        ({"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}, False),  # a key of another service
        (
            {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}, "StringEquals": {"aws:PrincipalAccount": AWAY}},
            False,
        ),
    ],
)
def test_allow_under_a_condition_is_open_unless_what_is_known_decides_it(
    condition: Any, expected: bool | None
) -> None:
    found = lets(role(allow("s3:PutObject", INSIDE, **condition)), "s3:PutObject", OBJECT)
    assert found.yes is expected
    if expected is None:
        assert found.witness is not None and "condition" in found.cause


def test_open_answer_shows_the_context_it_takes() -> None:
    fenced = role(allow("s3:*", "*", StringEquals={"aws:SourceVpce": "vpce-1"}))
    found = lets(fenced, "s3:PutObject", OBJECT)
    assert found.witness is not None
    assert found.witness.ctx["aws:sourcevpce"] == "vpce-1"
    assert stands(fenced, found.witness)


def test_deny_under_a_condition_leaves_the_answer_open_too() -> None:
    assert put(role(allow("s3:*"), deny("s3:*", "*", NotIpAddress={"aws:SourceIp": "10.0.0.0/8"}))) is None


def test_allow_and_deny_that_exclude_each_other_are_a_no() -> None:
    both = role(
        allow("s3:*", "*", IpAddress={"aws:SourceIp": "10.0.0.0/8"}),
        deny("s3:*", "*", IpAddress={"aws:SourceIp": "10.0.0.0/7"}),
    )
    assert put(both) is False


def test_deny_that_the_caller_can_avoid_holds_nothing_back() -> None:
    assert put(role(allow("s3:*"), deny("s3:*", "*", Bool={"aws:SecureTransport": "false"}))) is True


# Variables ---------------------------------------------------------------------------------------------------------------


def test_policy_variable_that_is_known_is_put_in() -> None:
    own = allow("s3:*", "arn:aws:s3:::exports/${aws:username}/*")
    assert put(user(own, name="claims")) is True
    assert put(user(own, name="ana")) is False


def test_variable_that_is_not_known_is_neither_yes_nor_no() -> None:
    tagged = "arn:aws:s3:::exports/${aws:PrincipalTag/team}/*"
    assert put(role(allow("s3:*", tagged))) is None
    assert put(role(allow("s3:*"), deny("s3:*", tagged))) is None


def test_variable_of_the_older_version_is_no_variable() -> None:
    old = Holder(USER, (policy(allow("s3:*", f"{BUCKET}/${{aws:username}}/*"), version="2008-10-17"),), None)
    assert put(old) is not True


def test_role_has_no_user_name() -> None:
    assert put(role(allow("s3:*", INSIDE, StringEquals={"aws:username": "ana"}))) is False


# The bucket's policy -----------------------------------------------------------------------------------------------------


def bucket(*statements: dict[str, Any], own: bool = True) -> Guard:
    return Guard(policy(*statements), own)


def test_bucket_policy_lets_a_user_of_the_account_in_by_name_whatever_its_own_policies_say() -> None:
    named = {**allow("s3:PutObject", f"{BUCKET}/*"), "Principal": {"AWS": USER}}
    assert put(user(), guard=bucket(named)) is True
    assert put(user(), guard=bucket({**named, "Principal": {"AWS": f"{USER}-else"}})) is False


def test_bucket_policy_that_names_the_account_leaves_it_to_the_user_s_policies() -> None:
    root = {**allow("s3:PutObject", f"{BUCKET}/*"), "Principal": {"AWS": HOME}}
    assert put(user(), guard=bucket(root)) is False
    assert put(user(allow("s3:*")), guard=bucket(root)) is True


def test_deny_of_the_bucket_beats_the_user_s_policies() -> None:
    shut = {**deny("s3:*", [BUCKET, f"{BUCKET}/*"]), "Principal": "*"}
    assert put(user(allow("*")), guard=bucket(shut)) is False
    but = {**shut, "Condition": {"ArnNotEquals": {"aws:PrincipalArn": [ROLE]}}}
    assert put(user(allow("*")), guard=bucket(but)) is False
    assert put(role(allow("*")), guard=bucket(but)) is True


def test_bucket_of_another_account_needs_both_sides() -> None:
    theirs = {**allow("s3:PutObject", f"{BUCKET}/*"), "Principal": {"AWS": USER}}
    assert put(user(), guard=bucket(theirs, own=False)) is False
    assert put(user(allow("s3:*")), guard=bucket(own=False)) is False
    assert put(user(allow("s3:*")), guard=bucket(theirs, own=False)) is True


def test_writes_are_told_with_the_first_of_them() -> None:
    found = object_writes(user(allow("s3:DeleteObject*", f"{BUCKET}/*")), "exports", ["claims/"], bucket())
    assert found.may == ("s3:DeleteObject", "s3:DeleteObjectVersion")
    assert "ana" in found.says and "s3:DeleteObject on arn:aws:s3:::exports/claims/" in found.says


# Lists of powers ---------------------------------------------------------------------------------------------------------

SOUND = (
    allow(["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"], INSIDE),
    allow(["s3:ListBucket", "s3:GetBucketLocation"], BUCKET),
    allow(["kms:Decrypt", "kms:GenerateDataKey"], f"arn:aws:kms:eu-west-1:{HOME}:key/k1"),
)


def test_sound_export_role_has_what_an_export_takes_and_nothing_else() -> None:
    assert set(on_prefixes(role(*SOUND), PLACES).may) == {
        "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListBucket",
        "s3:GetBucketLocation", "kms:Decrypt", "kms:GenerateDataKey",
    }  # fmt: skip
    assert beyond(role(*SOUND), PLACES).may == ()
    assert escalations(role(*SOUND)).may == ()


def test_wildcard_stands_for_the_actions_that_no_list_has() -> None:
    found = on_prefixes(role(allow("s3:*", [BUCKET, INSIDE])), PLACES).may
    assert {"s3:*", "s3:DeleteObjectVersion", "s3:PutBucketPolicy"} <= set(found)
    assert "s3:ListAllMyBuckets" not in found  # asked of no bucket


def test_action_of_another_service_is_told_as_it_is_written() -> None:
    found = on_prefixes(role(*SOUND, allow(["dynamodb:Put*", "sts:GetCallerIdentity"])), PLACES).may
    assert {"dynamodb:Put*", "sts:GetCallerIdentity"} <= set(found)


@pytest.mark.parametrize(
    "wider",
    [f"{BUCKET}/*", f"{BUCKET}/c*", "arn:aws:s3:::*/claims/*", "*", "arn:aws:s3:::exports-2/claims/*"],
)
def test_resource_wider_than_the_prefix_is_beyond_it(wider: str) -> None:
    found = beyond(role(*SOUND, allow("s3:GetObject", wider)), PLACES)
    assert found.may == ("s3:GetObject",)


@pytest.mark.parametrize("inside", [INSIDE, f"{BUCKET}/claims/date=*/part-*", f"{BUCKET}/claims/?"])
def test_resource_within_the_prefix_is_not(inside: str) -> None:
    assert beyond(role(allow("s3:*", inside)), PLACES).may == ()


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (allow("iam:PassRole"), ("iam:PassRole",)),
        (allow("iam:PassRole", f"arn:aws:iam::{HOME}:role/*"), ("iam:PassRole",)),
        (allow("iam:PassRole", f"arn:aws:iam::{HOME}:role/backup"), ()),
        (allow("iam:PutRolePolicy", ROLE), ("iam:PutRolePolicy",)),
        (allow("iam:PutRolePolicy", f"arn:aws:iam::{HOME}:role/ex*"), ("iam:PutRolePolicy",)),
        (allow("sts:AssumeRole", f"arn:aws:iam::{AWAY}:role/*"), ("sts:AssumeRole",)),
        (allow("sts:AssumeRole", f"arn:aws:iam::{AWAY}:role/reader"), ()),
        (allow("iam:CreateAccessKey", f"arn:aws:iam::{HOME}:user/${{aws:username}}"), ()),
        (allow("iam:CreatePolicyVersion", f"arn:aws:iam::{HOME}:policy/mine"), ("iam:CreatePolicyVersion",)),
        (allow("iam:CreatePolicyVersion", f"arn:aws:iam::{HOME}:policy/other"), ()),
        (allow(["iam:Get*", "iam:List*"]), ()),
        ({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, ("sts:AssumeRole",)),
    ],
)
def test_escalation_is_on_anything_on_itself_or_on_its_own_policies(
    statement: Any, expected: tuple[str, ...]
) -> None:
    found = escalations(role(statement), [f"arn:aws:iam::{HOME}:policy/mine"])
    assert (found.may, found.open) == (expected, ())


def test_delegated_administration_within_a_boundary_is_open() -> None:
    fence = {"iam:PermissionsBoundary": f"arn:aws:iam::{HOME}:policy/fence"}
    found = escalations(role(allow("iam:PutRolePolicy", "*", StringEquals=fence)))
    assert (found.may, found.open) == ((), ("iam:PutRolePolicy",))


def test_reader_changes_nothing() -> None:
    reading = role(
        allow(
            ["s3:Get*", "s3:List*", "iam:Get*", "backup:Describe*", "cloudtrail:LookupEvents", "kms:Decrypt"]
        )
    )
    assert changes(reading).may == ()


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("s3:PutObject", "s3:PutObject"),
        ("backup:*", "backup:DeleteRecoveryPoint"),
        ("s3:G*", None),
        ("lambda:Invoke*", "lambda:Invoke*"),
        ("lambda:*", "lambda:*"),
        ("ssm:G*", "ssm:G*"),
        ("*", "*"),
        ("sts:AssumeRole", "sts:AssumeRole"),
    ],
)
def test_what_changes_something_is_found_behind_a_wildcard(action: str, expected: str | None) -> None:
    found = changes(role(allow(action))).may
    assert expected in found if expected else found == ()


def test_denied_writes_make_a_reader_only_where_every_one_is_denied() -> None:
    assert changes(role(allow("s3:*"), deny(["s3:Put*", "s3:Delete*"]))).may != ()
    everything = {"Effect": "Deny", "NotAction": ["s3:Get*", "s3:List*"], "Resource": "*"}
    assert changes(role(allow("*"), everything)).may == ()


@pytest.mark.parametrize(
    ("boundary", "expected"),
    [
        (policy(allow("*")), False),
        (policy(allow("*:*")), False),
        (policy(allow(["a*", "*"]), deny("iam:*")), True),
        (policy(allow("s3:*")), True),
        (policy(), True),
    ],
)
def test_boundary_that_refuses_nothing_is_no_fence(boundary: Policy, expected: bool) -> None:
    assert fences(boundary).yes is expected


# Drift -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (SOUND, SOUND, False),
        (SOUND, SOUND[::-1], False),
        ((allow("s3:*", INSIDE),), (allow("s3:Get*", INSIDE), allow("s3:Put*", INSIDE)), False),
        ((allow("s3:Get*", INSIDE), allow("s3:Put*", INSIDE)), (allow(["s3:Put*", "s3:GetObject"], INSIDE),), False),
        ((allow("s3:Get*", INSIDE),), (allow("s3:Get*", f"{BUCKET}/*"),), True),
        ((allow("s3:*"), deny("s3:Delete*")), (allow("s3:*"),), True),
        ((allow("s3:Get*"),), (allow("s3:Get*"), deny("s3:GetObject")), False),
        ((allow("s3:*"),), ({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"},), True),
        (({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"},), (allow("s3:*"),), False),
        ((allow("s3:*", "*", Bool={"aws:SecureTransport": "true"}),), (allow("s3:*"),), True),
        ((allow("s3:*"),), (allow("s3:*", "*", Bool={"aws:SecureTransport": "true"}),), False),
        ((allow("s3:*"),), (allow("s3:*", "*", StringEquals={"aws:PrincipalAccount": HOME}),), False),
        ((), (allow("s3:*", "*", StringEquals={"aws:PrincipalAccount": AWAY}),), False),
        ((), (allow("ec2:RunInstances"),), True),
    ],
)  # fmt: skip
def test_growth_is_told_by_meaning(before: Any, now: Any, expected: bool) -> None:
    found = grown(role(*before), role(*now))
    assert found.yes is expected
    assert (found.witness is not None) is expected


def test_growth_sees_a_boundary_that_went_or_opened() -> None:
    fence = policy(allow("s3:Get*"))
    assert grown(role(allow("s3:*"), boundary=fence), role(allow("s3:*"))).yes is True
    assert (
        grown(role(allow("s3:*"), boundary=fence), role(allow("s3:*"), boundary=policy(allow("s3:*")))).yes
        is True
    )
    assert grown(role(allow("s3:*")), role(allow("s3:*"), boundary=fence)).yes is False
    assert grown(role(allow("s3:Get*"), boundary=fence), role(allow("s3:Get*"))).yes is False


# Brute force -------------------------------------------------------------------------------------------------------------

ACTIONS = ("s3:PutObject", "s3:GetObject", "iam:PassRole")
RESOURCES = (
    f"{BUCKET}/claims/a",
    f"{BUCKET}/claims/b",
    f"{BUCKET}/other",
    "arn:aws:s3:::two/claims/a",
    BUCKET,
)
CONTEXTS = [
    {key: value for key, value in (("aws:SourceVpce", vpce), ("aws:SecureTransport", tls)) if value}
    for vpce, tls in product((None, "v1", "v2"), ("true", "false"))
]


def some(rng: random.Random, effects: str) -> dict[str, Any]:
    action = rng.choice(["*", "s3:*", "s3:P*", "s3:?etObject", "iam:*", ["s3:GetObject", "iam:PassRole"]])
    resource = rng.choice(
        ["*", INSIDE, f"{BUCKET}/*", "arn:aws:s3:::*/claims/a", f"{BUCKET}/claims/a", [BUCKET]]
    )
    found = {
        "Effect": "Allow" if rng.random() < 0.6 or effects == "Allow" else "Deny",
        rng.choice(["Action"] * 4 + ["NotAction"]): action,
        rng.choice(["Resource"] * 4 + ["NotResource"]): resource,
    }
    if rng.random() < 0.4:
        found["Condition"] = rng.choice(
            [
                {"StringEquals": {"aws:SourceVpce": "v1"}},
                {"StringNotEquals": {"aws:SourceVpce": "v1"}},
                {"StringEqualsIfExists": {"aws:SourceVpce": ["v1", "v2"]}},
                {"Null": {"aws:SourceVpce": "true"}},
                {"Bool": {"aws:SecureTransport": "true"}},
                {"StringEquals": {"aws:PrincipalAccount": HOME}},
                {"ArnNotLike": {"aws:PrincipalArn": f"arn:aws:iam::{HOME}:role/e*"}},
            ]
        )
    return found


def drawn(rng: random.Random) -> Holder:
    identity = tuple(
        policy(*(some(rng, "") for _ in range(rng.randint(1, 3)))) for _ in range(rng.randint(1, 2))
    )
    boundary = policy(*(some(rng, "Allow") for _ in range(rng.randint(1, 2)))) if rng.random() < 0.4 else None
    return Holder(ROLE, identity, boundary, (("aws:username", None),))


def requests() -> list[Request]:
    return [Request("aws", ROLE, None, a, ctx, r) for a, r, ctx in product(ACTIONS, RESOURCES, CONTEXTS)]


@pytest.mark.parametrize("seed", range(8))
def test_no_request_that_brute_force_finds_is_missed(seed: int) -> None:
    rng = random.Random(seed)
    every = requests()
    for _ in range(60):
        before, now = drawn(rng), drawn(rng)
        through = [each for each in every if stands(now, each)]
        for action, resource in product(ACTIONS, RESOURCES):
            met = [each for each in through if each.action == action and each.resource == resource]
            found = lets(now, action, Region((resource,)))
            assert found.yes is not False or not met
            if found.yes:
                # whatever the network: it is let through from each of them
                assert {each.ctx.get("aws:SourceVpce") for each in met} == {None, "v1", "v2"}
            if found.witness:
                assert stands(now, found.witness)
        growth = grown(before, now)
        assert growth.yes is not False or not [each for each in through if not stands(before, each)]
        if growth.yes and growth.witness:
            assert stands(now, growth.witness) and not stands(before, growth.witness)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_bucket_policy_beside_the_user_s_own_agrees_with_brute_force(seed: int, own: bool) -> None:
    rng = random.Random(1000 + seed)
    named = ["*", {"AWS": "*"}, {"AWS": USER}, {"AWS": HOME}, {"AWS": f"{USER}-2"}, {"AWS": AWAY}]
    every = [replace(each, principal=USER) for each in requests() if each.action.startswith("s3:")]
    for _ in range(60):
        one = replace(drawn(rng), arn=USER, context=(("aws:username", "ana"),))
        guard = Guard(policy(*({**some(rng, ""), "Principal": rng.choice(named)} for _ in range(2))), own)
        for action, resource in product(ACTIONS[:2], RESOURCES):
            met = [
                e for e in every if e.action == action and e.resource == resource and stands(one, e, guard)
            ]
            found = lets(one, action, Region((resource,)), guard)
            assert found.yes is not False or not met
            if found.yes:
                assert {each.ctx.get("aws:SourceVpce") for each in met} == {None, "v1", "v2"}
