"""Policies and requests made short, for the tests of auditor/policy."""

from __future__ import annotations

from typing import Any

from auditor.policy.model import Policy, Request
from auditor.policy.parse import parse

A, B = "111122223333", "222233334444"
ROOT = {"AWS": f"arn:aws:iam::{A}:root"}
GITHUB = "token.actions.githubusercontent.com"
WEB = "sts:AssumeRoleWithWebIdentity"


def statement(
    principal: Any = "*", action: Any = "sts:AssumeRole", effect: str = "Allow", **tests: Any
) -> dict[str, Any]:
    """One statement; `ForAllValues__StringLike={...}` stands for ForAllValues:StringLike."""
    told = {"Effect": effect, "Principal": principal, "Action": action}
    condition = {operator.replace("__", ":"): keys for operator, keys in tests.items()}
    return told | ({"Condition": condition} if condition else {})


def document(*statements: dict[str, Any], version: str = "2012-10-17") -> dict[str, Any]:
    return {"Version": version, "Statement": list(statements)}


def policy(*statements: dict[str, Any], version: str = "2012-10-17") -> Policy:
    return parse(document(*statements, version=version))


def under(version: str = "2012-10-17", **tests: Any) -> Policy:
    """A policy of one statement that trusts everyone under tests."""
    return policy(statement("*", **tests), version=version)


def role(name: str = "ci", account: str = A, session: str | None = None, **ctx: Any) -> Request:
    """A role asks; `k__x` stands for the key k:x."""
    return Request.of(
        {
            "kind": "aws",
            "principal": f"arn:aws:iam::{account}:role/{name}",
            "session": session,
            "action": "sts:AssumeRole",
            "ctx": {key.replace("__", ":"): value for key, value in ctx.items()},
        }
    )
