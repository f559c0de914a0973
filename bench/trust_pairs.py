"""Pairs of trust policies as they occur: one to five statements of many kinds, and the same after small edits."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

ACCOUNTS = ("111122223333", "222233334444", "333344445555", "444455556666")
WEB_IDENTITY = "sts:AssumeRoleWithWebIdentity"
GITHUB = "token.actions.githubusercontent.com"
EKS = "oidc.eks.us-east-1.amazonaws.com/id/ABCDEF0123456789"
Document = dict[str, Any]


def pairs(count: int, seed: int) -> Iterator[tuple[Document, Document]]:
    """Yield pairs; the same seed gives the same pairs."""
    rng = random.Random(seed)
    for _ in range(count):
        statements = [_statement(rng) for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 4, 5]))]
        policy = {"Version": "2012-10-17", "Statement": statements}
        yield policy, _edited(rng, policy)


def _statement(rng: random.Random) -> Document:
    account = rng.choice(ACCOUNTS)
    make = rng.choice(
        [_github, _github, _google, _account, _account, _service, _saml, _pod, _everyone, _typed, _named]
    )
    return make(rng, account)


def _github(rng: random.Random, account: str) -> Document:
    repository = f"repo:{rng.choice(['acme', 'acme-corp'])}/{rng.choice(['app', 'infra', 'data-*', '*'])}"
    ends = ["*", "ref:refs/heads/main", "environment:prod", "ref:refs/heads/*", "pull_request"]
    subjects = [f"{repository}:{rng.choice(ends)}" for _ in range(rng.choice([1, 1, 2]))]
    operator = rng.choice(
        ["StringLike", "StringLike", "StringEquals", "ForAllValues:StringLike", "StringLikeIfExists"]
    )
    return {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{account}:oidc-provider/{GITHUB}"},
        "Action": WEB_IDENTITY,
        "Condition": {operator: {f"{GITHUB}:sub": subjects}}
        | ({"StringEquals": {f"{GITHUB}:aud": "sts.amazonaws.com"}} if operator != "StringEquals" else {}),
    }


def _google(rng: random.Random, _account: str) -> Document:
    tests = {
        "accounts.google.com:aud": rng.choice(["100000000000000000007", "100000000000000000008"]),
        "accounts.google.com:oaud": rng.choice(["aws-export", "sts.amazonaws.com"]),
    }
    if rng.random() < 0.6:
        tests["accounts.google.com:sub"] = rng.choice(["100000000000000000007", "100000000000000000008"])
    return {
        "Effect": "Allow",
        "Principal": {"Federated": "accounts.google.com"},
        "Action": WEB_IDENTITY,
        "Condition": {"StringEquals": tests},
    }


def _account(rng: random.Random, account: str) -> Document:
    begin = f"arn:aws:iam::{account}"
    principal = rng.choice(
        [f"{begin}:root", account, f"{begin}:role/ci", [f"{begin}:role/a", f"{begin}:user/b"]]
    )
    statement: Document = {
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": rng.choice(["sts:AssumeRole", ["sts:AssumeRole", "sts:TagSession"]]),
    }
    condition: Document = {}
    if rng.random() < 0.5:
        condition["StringEquals"] = {"sts:ExternalId": rng.choice(["x1", "x2"])}
    if rng.random() < 0.3:
        condition[rng.choice(["Bool", "BoolIfExists"])] = {"aws:MultiFactorAuthPresent": "true"}
    if rng.random() < 0.3:
        condition["ArnLike"] = {"aws:PrincipalArn": f"{begin}:role/{rng.choice(['ci-*', 'app-*', '*'])}"}
    return statement | ({"Condition": condition} if condition else {})


def _service(rng: random.Random, account: str) -> Document:
    name = rng.choice(
        ["ec2.amazonaws.com", "lambda.amazonaws.com", ["backup.amazonaws.com", "s3.amazonaws.com"]]
    )
    statement: Document = {"Effect": "Allow", "Principal": {"Service": name}, "Action": "sts:AssumeRole"}
    if rng.random() < 0.4:
        source = f"arn:aws:{rng.choice(['backup', 'lambda'])}:*:{account}:*"
        statement["Condition"] = {
            "StringEquals": {"aws:SourceAccount": account},
            "ArnLike": {"aws:SourceArn": source},
        }
    return statement


def _saml(rng: random.Random, account: str) -> Document:
    tests = {"SAML:aud": "https://signin.aws.amazon.com/saml"}
    if rng.random() < 0.3:
        tests["SAML:sub_type"] = rng.choice(["persistent", "transient"])
    return {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{account}:saml-provider/Okta"},
        "Action": rng.choice(["sts:AssumeRoleWithSAML", ["sts:AssumeRoleWithSAML", "sts:TagSession"]]),
        "Condition": {"StringEquals": tests},
    }


def _pod(rng: random.Random, account: str) -> Document:
    subject = f"system:serviceaccount:{rng.choice(['prod', 'dev', '*'])}:{rng.choice(['etl', '*', 'etl-*'])}"
    return {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{account}:oidc-provider/{EKS}"},
        "Action": WEB_IDENTITY,
        "Condition": {
            rng.choice(["StringEquals", "StringLike"]): {
                f"{EKS}:sub": subject,
                f"{EKS}:aud": "sts.amazonaws.com",
            }
        },
    }


def _everyone(rng: random.Random, _account: str) -> Document:
    return {
        "Effect": rng.choice(["Allow", "Deny"]),
        "Principal": {"AWS": "*"},
        "Action": rng.choice(["sts:AssumeRole", "sts:*"]),
        "Condition": {rng.choice(["StringEquals", "StringNotEquals"]): {"aws:PrincipalOrgID": "o-abc123"}},
    }


def _typed(rng: random.Random, account: str) -> Document:
    condition = rng.choice(
        [
            {"IpAddress": {"aws:SourceIp": rng.sample(["10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24"], 2)}},
            {"NotIpAddress": {"aws:SourceIp": rng.choice(["10.0.0.0/8", "10.1.0.0/16"])}},
            {
                "DateLessThan": {
                    "aws:CurrentTime": rng.choice(["2026-01-01T00:00:00Z", "2026-06-30T12:00:00Z"])
                }
            },
            {"NumericLessThanEquals": {"aws:MultiFactorAuthAge": rng.choice(["3600", "900"])}},
            {"Null": {"aws:MultiFactorAuthAge": rng.choice(["true", "false"])}},
            {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}},
            {"StringNotLike": {"sts:RoleSessionName": rng.choice(["admin*", "*-admin", "root"])}},
        ]
    )
    return {
        "Effect": rng.choice(["Allow", "Allow", "Allow", "Deny"]),
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": "sts:AssumeRole",
        "Condition": condition,
    }


def _named(rng: random.Random, account: str) -> Document:
    begin = f"arn:aws:iam::{account}:role"
    test = rng.choice(
        [
            {"StringEquals": {"aws:PrincipalAccount": account}},
            {"ArnEquals": {"aws:PrincipalArn": f"{begin}/ci"}},
            {"StringLike": {"aws:PrincipalArn": [f"{begin}/ci-*", f"{begin}/*-deploy"]}},
            {"ArnNotLike": {"aws:PrincipalArn": f"{begin}/ci-*"}},
        ]
    )
    return {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole", "Condition": test}


def _edited(rng: random.Random, policy: Document) -> Document:
    edited = copy.deepcopy(policy)
    statements = edited["Statement"]
    for _ in range(rng.choice([0, 1, 1, 2])):
        at = rng.randrange(len(statements))
        statement, chance = statements[at], rng.random()
        if chance < 0.25:
            statements.append(_statement(rng))
        elif chance < 0.4 and len(statements) > 1:
            statements.pop(at)
        elif chance < 0.55:
            statement.pop("Condition", None)
        elif chance < 0.8 and statement.get("Condition"):
            operator = rng.choice(list(statement["Condition"]))
            if operator.startswith(("String", "Arn", "For")):
                keys = statement["Condition"][operator]
                key = rng.choice(list(keys))
                values = keys[key] if isinstance(keys[key], list) else [keys[key]]
                keys[key] = [*values, values[0].replace("main", "*") + rng.choice(["", "-x", "*"])]
        else:
            rng.shuffle(statements)
    return edited


def adversarial() -> Iterator[tuple[str, Document, Document]]:
    """Yield the worst cases the contract names: stars, statements, values."""
    rng = random.Random(11)

    def starred(letters: str, run: int) -> list[str]:
        return [
            "*".join("".join(rng.choice(letters) for _ in range(run)) for _ in range(10)) for _ in range(8)
        ]

    for letters, run in (("abc", 1), ("ab", 3), ("ab?", 6)):
        few, more = starred(letters, run), starred(letters, run)
        yield (
            f"8 patterns with 9 stars of {run} of {letters!r}",
            _one("StringLike", few),
            _one("StringLike", more),
        )
    yield (
        "20 statements, 20 keys",
        _many([{"StringLike": {f"k:{i}": f"*{i}*", f"k:{(i + 1) % 20}": f"a{i}*"}} for i in range(20)]),
        _many([{"StringNotLike": {f"k:{i}": f"*{i}*", f"k:{(i + 1) % 20}": f"b{i}*"}} for i in range(20)]),
    )
    yield (
        "20 statements on one key",
        _many([{"StringLike": {"k:x": f"*{i}*b*"}} for i in range(20)]),
        _many([{"StringLike": {"k:x": f"a*{i}*"}} for i in range(20)]),
    )
    names = [f"repo:acme/service-{i:04d}-of-some-team:ref:refs/heads/main" for i in range(500)]
    yield "500 values", _one("StringEquals", names), _one("StringLike", ["repo:acme/*"])
    yield (
        "500 patterns",
        _one("StringLike", [f"{name}*" for name in names]),
        _one("StringLike", ["repo:acme/*"]),
    )
    yield (
        "500 patterns in each of 20 statements",
        _many([{"StringLike": {"k:x": [f"{name}{i}*" for name in names]}} for i in range(20)]),
        _many([{"StringLike": {"k:x": [f"{name}{i}*" for name in names[1:]]}} for i in range(20)]),
    )
    accounts = [f"{i * 7919:012d}" for i in range(500)]
    yield "500 accounts", _principal({"AWS": accounts}), _principal({"AWS": accounts[1:]})


def _principal(principal: Any, condition: Document | None = None) -> Document:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return {
        "Version": "2012-10-17",
        "Statement": [statement | ({"Condition": condition} if condition else {})],
    }


def _one(operator: str, values: list[str]) -> Document:
    return _principal({"AWS": ACCOUNTS[0]}, {operator: {"k:x": values}})


def _many(conditions: list[Document]) -> Document:
    statements = [_principal({"AWS": ACCOUNTS[0]}, each)["Statement"][0] for each in conditions]
    return {"Version": "2012-10-17", "Statement": statements}
