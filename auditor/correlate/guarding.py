"""What the policies of buckets and vaults let in and hold back, as facts; what cannot be decided is NULL, with why."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from auditor.policy.change import NO_POLICY
from auditor.policy.model import NEW_VERSION, Policy
from auditor.policy.parse import PolicyError, parse
from auditor.policy.resource import Held, deletion, held_back, outsiders, public, without_tls
from auditor.policy.words import sentence

_LONGEST = 600


def opened(text: str | None, account: str, trusted: frozenset[str]) -> dict[str, Any]:
    """Return whom a policy lets in from elsewhere."""
    return _facts(text, lambda: _opened(text or "", account, trusted), "policy_unknown")


def guarded_from_deletion(text: str | None, arn: str, account: str) -> dict[str, Any]:
    """Return whether a vault's policy denies deletion, and everything that leads to it."""
    return _facts(text, lambda: _held(text or "", arn, account, "deletion"), "deletion_says")


def guarded_by_tls(text: str | None, arn: str, account: str) -> dict[str, Any]:
    """Return whether a bucket's policy denies requests without TLS."""
    return _facts(text, lambda: _held(text or "", arn, account, "tls"), "tls_says")


def _facts(text: str | None, judged: Callable[[], dict[str, Any]], says: str) -> dict[str, Any]:
    """Return the facts, or under `says` why there are none."""
    if text is None:
        return {says: "its policy was not read"}
    try:
        return dict(judged())
    except PolicyError as error:
        return {says: f"its policy cannot be read: {error.args[0]}"}


def _parsed(text: str) -> Policy:
    return Policy(NEW_VERSION, None, ()) if text == NO_POLICY else parse(text, strict=False)


@lru_cache(maxsize=4096)
def _opened(text: str, account: str, trusted: frozenset[str]) -> dict[str, Any]:
    policy = _parsed(text)
    anyone, others = public(policy, account), outsiders(policy, account, trusted)
    return {
        "policy_public": anyone.yes,
        "policy_says": sentence(anyone.witness)[:_LONGEST] if anyone.witness else "",
        "policy_accounts": list(others.names),
        "policy_accounts_known": True if others.complete else None,
        "policy_unknown": anyone.cause or others.cause,
    }


@lru_cache(maxsize=4096)
def _held(text: str, arn: str, account: str, what: str) -> dict[str, Any]:
    asked = deletion(arn) if what == "deletion" else without_tls(arn)
    held: Held = held_back(_parsed(text), account, asked)
    name = "deletion" if what == "deletion" else "tls"
    return {
        f"{name}_denied": held.yes,
        f"{name}_exempt": list(held.exempt) if held.yes is not None else None,
        f"{name}_says": sentence(held.witness)[:_LONGEST] if held.witness else held.cause,
    }
