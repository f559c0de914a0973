"""STS's answers: who calls, and temporary credentials that act in the account of the role."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

from auditor.sandbox.aws.books import Here, Params, Record, Refused, Session, derived_id, digest
from auditor.sandbox.aws.moto_world import moto

NEVER = datetime(2099, 1, 1, tzinfo=UTC)
"""When the sandbox's credentials expire: a client compares this with its own clock, which is not the sandbox's."""


def get_caller_identity(here: Here, asked: Params) -> Record:  # noqa: ARG001 - it has no parameters
    """Say who calls: the session of a role, else a user of the account."""
    session = here.books.sessions.get(here.access_key)
    if session is not None:
        return {"UserId": session.user_id, "Account": session.account, "Arn": session.arn}
    user = "auditor"
    for name, keys in _users(here).items():
        if here.access_key in keys:
            user = name
    arn = f"arn:aws:iam::{here.account}:user/{user}"
    return {"UserId": derived_id("AIDA", here.account, user), "Account": here.account, "Arn": arn}


def assume_role(here: Here, asked: Params) -> Record:
    """Issue credentials of a role that exists; the trust policy is not judged here."""
    account = _role_account(asked["RoleArn"])
    return _issued(here, asked, account)


def assume_role_with_web_identity(here: Here, asked: Params) -> Record:
    """Issue credentials for an identity token, read but not verified: this is no identity provider."""
    claims = _claims(asked["WebIdentityToken"])
    return {
        **_issued(here, asked, _role_account(asked["RoleArn"])),
        "SubjectFromWebIdentityToken": str(claims.get("sub", "unknown")),
        "Audience": str(claims.get("aud", "unknown")),
        "Provider": str(claims.get("iss", "accounts.google.com")).removeprefix("https://"),
    }


def _users(here: Here) -> dict[str, list[str]]:
    users = moto("iam.models").iam_backends[here.account]["aws"].users.values()
    return {str(user.name): [key.access_key_id for key in user.access_keys] for user in users}


def _role_account(arn: str) -> str:
    parts = arn.split(":")
    account, name = (parts[4], parts[-1].rsplit("/", 1)[-1]) if len(parts) == 6 else ("", "")
    known = (
        {role.name for role in moto("iam.models").iam_backends[account]["aws"].roles.values()}
        if account.isdigit()
        else set()
    )
    if known and name not in known:
        raise Refused(
            "AccessDenied",
            f"User is not authorized to perform: sts:AssumeRole on resource: {arn}",
            403,
        )
    if not account.isdigit():
        raise Refused("ValidationError", f"{arn} is invalid")
    return account


def _issued(here: Here, asked: Params, account: str) -> Record:
    name, session = asked["RoleArn"].rsplit("/", 1)[-1], asked["RoleSessionName"]
    number = here.books.next_id()
    key = derived_id("ASIA", account, name, session, number)
    role_id = derived_id("AROA", account, name)
    arn = f"arn:aws:sts::{account}:assumed-role/{name}/{session}"
    here.books.sessions[key] = Session(account, arn, f"{role_id}:{session}")
    return {
        "Credentials": {
            "AccessKeyId": key,
            "SecretAccessKey": digest("secret", key)[:40],
            "SessionToken": digest("token", key),
            "Expiration": NEVER,
        },
        "AssumedRoleUser": {"AssumedRoleId": f"{role_id}:{session}", "Arn": arn},
        "PackedPolicySize": 0,
    }


def _claims(web_token: str) -> dict[str, Any]:
    """Return the claims of a JWT, {} of anything else."""
    try:
        body = web_token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}
