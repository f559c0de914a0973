"""Everyone who may assume the role, and who of them is outside an allow-list."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.policy.compare import Comparison, Level, compare
from auditor.policy.model import Policy, Request, Test


@dataclass(frozen=True, slots=True)
class Who:
    """One principal that may assume the role, under which tests."""

    kind: str
    """Of the one who asks: `aws`, `service`, `oidc` or `saml`; `any` for everyone."""
    principal: str
    """As the policy names it."""
    tests: tuple[Test, ...]
    """All must hold."""
    example: Request
    """A request that is admitted."""


def who(policy: Policy) -> tuple[Who, ...]:
    """Name everyone the policy admits, one row a principal and statement; dead statements name nobody."""
    raise NotImplementedError


def outside(policy: Policy, allowlist: Policy, *, level: Level = "language") -> Comparison:
    """Compare the policy with an allow-list: `witness_b_only` is someone it admits outside of it."""
    return compare(allowlist, policy, level=level)
