"""Trust policies in few words, for tests: who may do what, if."""

from __future__ import annotations

import json
from typing import Any

OWN, OTHER = "111122223333", "999988887777"
GITHUB = "token.actions.githubusercontent.com"
GOOGLE = "accounts.google.com"
EKS = "oidc.eks.eu-west-1.amazonaws.com/id/ABCDEF0123456789ABCDEF0123456789"
ACCOUNT_OF_GOOGLE = "104200000000000000001"


def provider(host: str, account: str = OWN) -> dict[str, str]:
    return {"Federated": f"arn:aws:iam::{account}:oidc-provider/{host}"}


def may(
    principal: Any, action: Any = "sts:AssumeRole", effect: str = "Allow", **tests: Any
) -> dict[str, Any]:
    """One statement; an operator is written `ForAnyValue__StringEquals`."""
    said: dict[str, Any] = {"Effect": effect, "Principal": principal, "Action": action}
    if tests:
        said["Condition"] = {operator.replace("__", ":"): keys for operator, keys in tests.items()}
    return said


def web(principal: Any, **tests: Any) -> dict[str, Any]:
    return may(principal, "sts:AssumeRoleWithWebIdentity", **tests)


def policy(*statements: dict[str, Any], version: str = "2012-10-17") -> dict[str, Any]:
    return {"Version": version, "Statement": list(statements)}


def github(*subjects: str, operator: str = "StringLike", aud: bool = True, **claims: str) -> dict[str, Any]:
    """A role for GitHub Actions."""
    exact = {f"{GITHUB}:{claim}": value for claim, value in claims.items()}
    if aud:
        exact[f"{GITHUB}:aud"] = "sts.amazonaws.com"
    tests: dict[str, dict[str, Any]] = {"StringEquals": exact} if exact else {}
    if subjects:
        tests.setdefault(operator, {})[f"{GITHUB}:sub"] = list(subjects)
    return policy(web(provider(GITHUB), **{key.replace(":", "__"): value for key, value in tests.items()}))


def google(**claims: str) -> dict[str, Any]:
    """A role for a Google service account."""
    keys = {f"{GOOGLE}:{claim}": value for claim, value in claims.items()}
    return policy(web({"Federated": GOOGLE}, **({"StringEquals": keys} if keys else {})))


def export_role() -> dict[str, Any]:
    """The chain's role as it should be."""
    return google(sub=ACCOUNT_OF_GOOGLE, aud=ACCOUNT_OF_GOOGLE, oaud="aws-export")


def eks(subject: str | None) -> dict[str, Any]:
    tests = {"StringEquals": {f"{EKS}:aud": "sts.amazonaws.com"}}
    if subject:
        tests["StringLike"] = {f"{EKS}:sub": subject}
    return policy(web(provider(EKS), **tests))


def ci(host: str, subject: str | None) -> dict[str, Any]:
    tests = {"StringEquals": {f"{host}:aud": "aws"}}
    if subject:
        tests["StringLike"] = {f"{host}:sub": subject}
    return policy(web(provider(host), **tests))


def text(document: dict[str, Any]) -> str:
    return json.dumps(document)
