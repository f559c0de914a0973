"""Policies of several types judged together: those of the identity, its permissions boundary and the resource's.

Rules: IAM User Guide, "Policy evaluation logic" and "Cross-account policy evaluation logic". Out of sight here:
service control, resource control and session policies.
"""

from __future__ import annotations

from collections.abc import Sequence

from auditor.policy.evaluate import Verdict, admits, allowed, context_of, matches, principal_matches
from auditor.policy.model import Policy, Request, Statement

NEEDS_ITS_OWN = ("sts:", "kms:")
"""Services whose resources admit nobody whom their own policy does not admit, in the same account too."""


def combined(
    identity: Sequence[Policy], boundary: Policy | None, resource: Policy | None, request: Request
) -> Verdict:
    """Judge a request by all of them: any Deny wins; then who must allow depends on the accounts and on who is named.

    The resource's account is read from its ARN; one that names none, as a bucket's, counts as the caller's own.
    """
    every = [*identity, *([boundary] if boundary else []), *([resource] if resource else [])]
    for policy in every:
        denied = _matching(policy, request, "Deny")
        if denied:
            return Verdict(False, allowed(policy, request).because, tuple(each.index for each in denied))
    by_resource = (
        allowed(resource, request) if resource else Verdict(False, "there is no resource policy", ())
    )
    if request.kind != "aws":
        return by_resource  # services and federated callers have no policies of their own here
    by_identity = [
        verdict for verdict in (allowed(policy, request) for policy in identity) if verdict.allowed
    ]
    bounded = boundary is None or admits(boundary, request)
    of_identity = bool(by_identity) and bounded
    refused = (
        "no policy of the identity allows it"
        if not by_identity
        else "the permissions boundary does not allow it"
    )
    if _account(request.resource) not in ("", request.principal.split(":")[4]):
        if by_resource.allowed and not of_identity:
            return Verdict(False, f"it crosses accounts, and {refused}", ())
        return by_resource
    if by_resource.allowed and resource is not None:
        named = _most_direct(resource, request)
        if named == "session" or (named == "role" and bounded) or of_identity:
            return by_resource
        return Verdict(False, f"the resource's policy leaves it to the account, and {refused}", ())
    if of_identity and not request.action.lower().startswith(NEEDS_ITS_OWN):
        return by_identity[0]
    return by_resource if by_identity and bounded else Verdict(False, refused, ())


def _matching(policy: Policy, request: Request, effect: str) -> list[Statement]:
    context = context_of(request)
    return [
        each
        for each in policy.statements
        if each.effect == effect and matches(each, request, context, policy.version)
    ]


def _account(resource: str | None) -> str:
    parts = (resource or "").split(":")
    return parts[4] if len(parts) > 5 else ""


def _most_direct(resource: Policy, request: Request) -> str:
    """Say how the statements that allow it name the caller: a user or session, a role, or only the account.

    A user or a role session that is named needs nothing else; a role that is named is held back by its boundary.
    """
    found = "account"
    for statement in _matching(resource, request, "Allow"):
        for named in statement.principals or ():
            if (
                not principal_matches(named, request)
                or named.value.endswith(":root")
                or named.value.isdigit()
            ):
                continue
            if named.kind == "any" or ":role/" in named.value:
                found = "role" if found == "account" else found
            else:
                return "session"
    return found
