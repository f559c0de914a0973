"""Random policies over few values, and every request that those values make: small enough to look at them all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from typing import Any

from auditor.policy.model import ACTIONS, Request
from tests.policy_case import A, B

Document = dict[str, Any]
STRINGS = (
    "StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase",
)  # fmt: skip
ORDERED = ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
TESTED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "k:s": (
        STRINGS,
        ("a", "b", "aB", "ab", "a*", "?", "*b", "a?", "${*}", "${k:t}", "${k:t}*", "a${k:t}", "${k:t, 'a'}"),
    ),
    "k:t": (STRINGS, ("a", "b", "a*", "*")),
    "k:n": (tuple(f"Numeric{each}" for each in ORDERED), ("1", "2", "2.5")),
    "k:d": (tuple(f"Date{each}" for each in ORDERED), ("2026-01-01T00:00:00Z", "2026-06-01")),
    "k:b": (("Bool",), ("true", "false")),
    "k:i": (("IpAddress", "NotIpAddress"), ("10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32")),
    "k:a": (
        ("ArnLike", "ArnEquals", "ArnNotLike", "StringLike", "StringEquals"),
        ("arn:aws:s3:::a", "arn:aws:s3:::*", "arn:*:s3:*:*:a", "arn:aws:s3*:a"),
    ),
    "aws:TagKeys": (STRINGS, ("a", "b", "a*", "*b")),
    "aws:PrincipalArn": (
        (*STRINGS, "ArnLike", "ArnNotEquals"),
        (
            f"arn:aws:iam::{A}:role/ci",
            f"arn:aws:iam::{A}:role/*",
            "arn:aws:iam::*:user/*",
            "arn:aws:*:*:*:role/c?",
        ),
    ),
    "aws:PrincipalAccount": (STRINGS, (A, B, "1*")),
}
PRESENTED: dict[str, tuple[Any, ...]] = {
    "k:s": (None, "a", "b", "ab", "aB", "*", "x", "aa", "xb", "A"),
    "k:t": (None, "a", "b", "x"),
    "k:n": (None, "0", "1", "1.5", "2", "2.25", "2.5", "3"),
    "k:d": (None, "2025-01-01", "2026-01-01T00:00:00Z", "2026-03-01", "2026-06-01T00:00:00Z", "2027-01-01"),
    "k:b": (None, "true", "false"),
    "k:i": (None, "10.1.0.1", "10.2.0.1", "192.0.2.1", "2001:db8::1", "2001:db9::1"),
    "k:a": (
        None,
        "arn:aws:s3:::a",
        "arn:aws:s3:::b",
        "arn:aws:s3:r:1:a",
        "arn:aws-cn:s3:::a",
        "arn:aws:s3x:::a",
        "x",
    ),
    "aws:TagKeys": (
        None,
        ["a"],
        ["b"],
        ["ab"],
        ["x"],
        ["a", "b"],
        ["a", "x"],
        ["b", "x"],
        ["ax", "xb"],
        ["a", "b", "x"],
    ),
}
NAMED: tuple[Any, ...] = (
    {"AWS": A}, {"AWS": f"arn:aws:iam::{A}:root"}, {"AWS": f"arn:aws:iam::{A}:role/ci"},
    {"AWS": [f"arn:aws:iam::{A}:user/bob", B]}, "*", {"AWS": "*"}, {"Service": "ec2.amazonaws.com"},
    {"Federated": "accounts.google.com"}, {"AWS": f"arn:aws:sts::{A}:assumed-role/ci/x"},
    {"AWS": f"arn:aws:iam::{A}:role/*"}, {"Federated": f"arn:aws:iam::{A}:saml-provider/Okta", "AWS": B},
)  # fmt: skip
CALLERS = (
    ("aws", f"arn:aws:iam::{A}:role/ci", None), ("aws", f"arn:aws:iam::{A}:role/ci", "x"),
    ("aws", f"arn:aws:iam::{A}:role/cj", "x"), ("aws", f"arn:aws:iam::{A}:role/other", None),
    ("aws", f"arn:aws:iam::{A}:user/bob", None), ("aws", f"arn:aws:iam::{A}:root", None),
    ("aws", f"arn:aws:iam::{B}:role/ci", None), ("aws", f"arn:aws:iam::{B}:user/bob", None),
    ("aws", "arn:aws:iam::999999999999:user/z", None), ("aws", "arn:aws:iam::199999999999:role/zz", None),
    ("service", "ec2.amazonaws.com", None), ("service", "x.amazonaws.com", None), ("oidc", "accounts.google.com", None),
    ("oidc", "arn:aws:iam::999999999999:oidc-provider/x", None), ("saml", f"arn:aws:iam::{A}:saml-provider/Okta", None),
    ("saml", f"arn:aws:iam::{A}:saml-provider/X", None),
)  # fmt: skip
ASKED: tuple[Any, ...] = (
    "sts:AssumeRole", "sts:*", "*", ["sts:AssumeRole", "sts:TagSession"], "sts:AssumeRoleWith*", "STS:assumerole*",
)  # fmt: skip


def random_test(rng: random.Random) -> tuple[str, str, Any]:
    """An operator, a key and its values."""
    key = rng.choice(list(TESTED))
    if rng.random() < 0.1:
        return "Null", key, rng.choice(["true", "false"])
    operators, values = TESTED[key]
    operator = rng.choice(operators)
    if rng.random() < (0.85 if key == "aws:TagKeys" else 0.1):
        operator = rng.choice(["ForAllValues:", "ForAnyValue:"]) + operator
    return (
        operator + ("IfExists" if rng.random() < 0.2 else ""),
        key,
        rng.sample(values, rng.choice([1, 1, 2])),
    )


def random_statement(rng: random.Random) -> Document:
    made: Document = {"Effect": rng.choice(["Allow", "Allow", "Allow", "Deny"])}
    made["NotPrincipal" if rng.random() < 0.1 else "Principal"] = rng.choice(NAMED)
    made["NotAction" if rng.random() < 0.1 else "Action"] = rng.choice(ASKED)
    condition: Document = {}
    for _ in range(rng.choice([0, 1, 1, 2, 2, 3])):
        operator, key, values = random_test(rng)
        condition.setdefault(operator, {})[key] = values
    return made | ({"Condition": condition} if condition else {})


def random_policy(rng: random.Random) -> Document:
    version = rng.choice(["2012-10-17"] * 4 + ["2008-10-17"])
    return {"Version": version, "Statement": [random_statement(rng) for _ in range(rng.choice([1, 1, 2, 3]))]}


def keys_of(*documents: Document) -> list[str]:
    """Keys that a request may present to tell the documents apart."""
    found = set()
    for document in documents:
        for each in document["Statement"]:
            for keys in each.get("Condition", {}).values():
                found |= keys.keys()
                found |= {"k:t"} if "${k:t" in str(keys) else set()
    return sorted(found & PRESENTED.keys())


def requests(rng: random.Random, keys: list[str], most: int) -> Iterator[Request]:
    """Every request over the keys, or a sample of `most` where there are more."""
    callers = [(*caller, action) for caller in CALLERS for action in ACTIONS[caller[0]]]
    size = len(callers)
    for key in keys:
        size *= len(PRESENTED[key])
    if size <= most:
        every: Iterator[Any] = product(callers, *(PRESENTED[key] for key in keys))
    else:
        every = ((rng.choice(callers), *(rng.choice(PRESENTED[key]) for key in keys)) for _ in range(most))
    for (kind, principal, session, action), *values in every:
        ctx = {key: value for key, value in zip(keys, values, strict=True) if value is not None}
        yield Request.of(
            {"kind": kind, "principal": principal, "session": session, "action": action, "ctx": ctx}
        )
