"""Everyone who may assume the role, and who of them is outside an allow-list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from auditor.policy.compare import Comparison, Level, admitted, compare
from auditor.policy.model import Policy, Principal, Request, Statement, Test


@dataclass(frozen=True, slots=True)
class Who:
    """One principal that may assume the role, under which tests."""

    kind: str
    """Of the one who asks: `aws`, `service`, `oidc` or `saml`; `any` for everyone."""
    principal: str
    """As the policy names it; everyone but those named is `not …`."""
    tests: tuple[Test, ...]
    """All must hold."""
    example: Request | None
    """A request that is admitted, one that a real caller can make where there is one; None when that is undecided."""


def who(policy: Policy) -> tuple[Who, ...]:
    """Name everyone the policy admits, one row a principal and statement.

    A principal that no request brings in has no row: a deleted one, or one whose tests contradict each other or a Deny.
    """
    denying = tuple(each for each in policy.statements if each.effect == "Deny")
    found = []
    for statement in policy.statements:
        if statement.effect == "Deny":
            continue
        for kind, name, alone in _apart(statement):
            example, doubt = _example(replace(policy, statements=(alone, *denying)))
            if example is not None or doubt:
                found.append(Who(kind, name, statement.tests, example))
    return tuple(found)


def _apart(statement: Statement) -> Iterator[tuple[str, str, Statement]]:
    """Yield the statement once for each principal it names, with kind and name of that one."""
    if statement.principals is None:
        names = ", ".join(each.value for each in statement.not_principals or ())
        yield "any", f"not {names}" if names else "*", statement
        return
    if any(each.kind == "any" for each in statement.principals):
        yield "any", "*", replace(statement, principals=(Principal("any", "*"),))
        return
    for each in dict.fromkeys(statement.principals):
        kind = (
            each.kind if each.kind != "federated" else "saml" if ":saml-provider/" in each.value else "oidc"
        )
        yield kind, each.value, replace(statement, principals=(each,))


def _example(policy: Policy) -> tuple[Request | None, str]:
    feasible, _ = admitted(policy, level="feasible")
    return (feasible, "") if feasible is not None else admitted(policy)


def outside(policy: Policy, allowlist: Policy, *, level: Level = "language") -> Comparison:
    """Compare the policy with an allow-list: `witness_b_only` is someone it admits outside of it."""
    return compare(allowlist, policy, level=level)
