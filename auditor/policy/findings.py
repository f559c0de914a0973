"""What a trust policy should be known for: every finding of the vocabulary, each an answered question."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from auditor.policy.findings_ask import Inquiry
from auditor.policy.findings_callers import callers
from auditor.policy.findings_github import github
from auditor.policy.findings_limits import limits
from auditor.policy.findings_meaning import SEVERITY, Finding, finding
from auditor.policy.findings_oidc import providers
from auditor.policy.findings_open import dead, open_tests
from auditor.policy.findings_text import texts
from auditor.policy.model import Policy
from auditor.policy.parse import PolicyError

__all__ = ["SEVERITY", "Finding", "findings", "refused"]

_EXPLAINS_DEAD = frozenset(
    (
        "dead-principal",
        "literal-wildcard",
        "variable-in-2008",
        "unknown-condition-key",
        "invalid-principal",
        "invalid-action",
    )
)
_EXPLAINS_OPEN = {
    "missing-external-id": ("sts:externalid",),
    "confused-deputy": ("aws:sourceaccount", "aws:sourcearn", "aws:sourceorgid", "aws:sourceorgpaths"),
}
"""Keys whose open test is the very reason of another finding."""


def findings(
    policy: Policy, *, account: str | None = None, trusted_accounts: Collection[str] = frozenset()
) -> tuple[Finding, ...]:
    """Judge a role's trust policy, the worst first; a sound policy has none.

    `account` is the role's own, `trusted_accounts` those that are not external. What cannot be decided is the finding
    `undecided`, with its cause.
    """
    q = Inquiry.of(policy, account, frozenset(trusted_accounts))
    found = [*texts(q), *callers(q), *github(q), *providers(q), *limits(q), *open_tests(q), *dead(q)]
    found += [
        finding("undecided", f"Not everything could be decided: {cause}.", ()) for cause in q.causes.said
    ]
    order = {name: at for at, name in enumerate(SEVERITY)}
    kept = {(each.name, each.because): each for each in reversed(_without_the_implied(found))}.values()
    return tuple(sorted(kept, key=lambda each: (order[each.name], each.statements, each.because)))


def refused(error: PolicyError) -> tuple[Finding, ...]:
    """Return the finding that a document's mistake amounts to, if any: IAM would refuse it, or keep half of it."""
    return (finding(error.finding, f"{error.args[0]}.", ()),) if error.finding in SEVERITY else ()


def _without_the_implied(found: Iterable[Finding]) -> list[Finding]:
    """Leave out what another finding already says."""
    held = list(found)
    explained = {at for each in held if each.name in _EXPLAINS_DEAD for at in each.statements}
    anyone = {at for each in held if each.name.startswith("public") for at in each.statements}
    open_keys = [
        key
        for name, keys in _EXPLAINS_OPEN.items()
        if any(each.name == name for each in held)
        for key in keys
    ]
    return [
        each
        for each in held
        if not (each.name == "dead-statement" and each.statements and set(each.statements) <= explained)
        and not (each.name == "confused-deputy" and set(each.statements) <= anyone)
        and not (
            each.name.startswith("fail-open-")
            and any(f" {key} " in f"{each.because} ".lower() for key in open_keys)
        )
    ]
