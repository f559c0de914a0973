"""Findings about the text: what IAM would refuse, ignore, never match or take literally."""

from __future__ import annotations

import re
from collections.abc import Iterator

from auditor.policy.findings_about import named
from auditor.policy.findings_ask import Inquiry, matching
from auditor.policy.findings_meaning import Finding, finding
from auditor.policy.keys import BUILT_IN, known
from auditor.policy.model import ACTIONS, NEW_VERSION, VARIABLE, Principal, Statement
from auditor.policy.parse import UNIQUE_ID, refused
from auditor.policy.words import told

_ASSUMABLE = re.compile(
    r"arn:aws[a-z-]*:(iam::\d{12}:(root|user/.+|role/.+)|sts::\d{12}:(assumed-role/[^/]+/.+|federated-user/.+))",
    re.DOTALL,
)
_PROVIDER = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:(oidc-provider|saml-provider)/.+", re.DOTALL)
_SERVICE = re.compile(
    r"[a-z0-9][a-z0-9.-]*\.(amazonaws\.com(\.cn)?|amazon\.com|aws\.internal|aws\.com|amazonaws\.eu)"
)
_ASSUME_ACTIONS = tuple(sorted({action for actions in ACTIONS.values() for action in actions}))


def texts(q: Inquiry) -> Iterator[Finding]:
    """Read every statement for what is not what it seems."""
    for statement in q.policy.statements:
        yield from _principals(statement)
        yield from _actions(statement)
        yield from _values(statement, q.policy.version)
    for key in sorted(q.keys):
        if known(key) is None:
            about = [each for each in q.tests if each.key == key]
            where = [one.index for one in q.policy.statements if any(each.key == key for each in one.tests)]
            passes = {each.passes_absent for each in about}
            tail = " The test never passes." if passes == {False} else ""
            tail = " The test always passes and holds nobody back." if passes == {True} else tail
            yield finding("unknown-condition-key", _unknown(key) + tail, where)


def _principals(statement: Statement) -> Iterator[Finding]:
    at = (statement.index,)
    if statement.not_principals is not None:
        because = f"{statement.name} has a NotPrincipal, which IAM does not accept in a role's trust policy."
        yield finding("invalid-notprincipal", because, at)
    for each in named(statement):
        if wrong := _refused(each):
            yield finding("invalid-principal", f"{statement.name} names {each.value!r}: {wrong}.", at)
        elif each.kind == "aws" and UNIQUE_ID.fullmatch(each.value) and statement.effect == "Allow":
            because = f"{statement.name} trusts {each.value}, the id of a principal that was deleted: it admits nobody."
            yield finding("dead-principal", because, at)


def _refused(each: Principal) -> str:
    """Say why a principal is none that may assume a role; empty when it is one."""
    value = each.value
    if each.kind == "any":
        return ""
    if each.kind == "canonical":
        return "a canonical user is a principal of buckets only"
    if each.kind == "service":
        return (
            ""
            if _SERVICE.fullmatch(value)
            else "it is not the name of an AWS service, such as ec2.amazonaws.com"
        )
    if each.kind == "federated":
        fits = value in BUILT_IN or _PROVIDER.fullmatch(value)
        return (
            ""
            if fits and "*" not in value
            else "it is neither the ARN of an identity provider nor a provider that AWS knows"
        )
    if "*" in value or "?" in value:
        return "a wildcard is no part of a principal, so it matches nobody"
    if wrong := refused("aws", value):
        return wrong
    if value.startswith("arn:") and not _ASSUMABLE.fullmatch(value):
        return "it is none of a root, user, role or session"
    return ""


def _actions(statement: Statement) -> Iterator[Finding]:
    for action in statement.actions or ():
        if not any(matching((action.lower(),), each.lower()) for each in _ASSUME_ACTIONS):
            because = f"{statement.name} is about {action!r}, which nobody asks of a role: that is sts:AssumeRole and its kin."
            yield finding("invalid-action", because, (statement.index,))


def _values(statement: Statement, version: str) -> Iterator[Finding]:
    for each in statement.tests:
        variables = each.base.startswith(("String", "Arn"))
        if variables and version != NEW_VERSION and any(VARIABLE.search(value) for value in each.values):
            because = f"{told(each)}: variables are taken literally without Version {NEW_VERSION}."
            yield finding("variable-in-2008", because, (statement.index,))
        if not each.base.startswith("String") or each.base.endswith("Like"):
            continue
        plain = [VARIABLE.sub("", value) if version == NEW_VERSION else value for value in each.values]
        if any("*" in value for value in plain):
            effect = "so it excludes nobody" if each.negated else "so it matches no pattern, only a star"
            because = (
                f"{told(each)}: a star is taken literally outside StringLike and the Arn operators, {effect}."
            )
            yield finding("literal-wildcard", because, (statement.index,))


def _unknown(key: str) -> str:
    provider, _, claim = key.partition(":")
    if "." in provider:
        return f"{key} is no condition key: STS passes no {claim!r} of this provider's tokens on, so no request ever carries it."
    return f"{key} is no condition key that a request to assume a role can carry."
