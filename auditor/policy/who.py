"""Everyone who may assume the role, and who of them is outside an allow-list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from auditor.policy import keys
from auditor.policy.compare import Comparison, Level, compare, examples
from auditor.policy.evaluate import admits
from auditor.policy.findings_ask import STEPS
from auditor.policy.globs import Work
from auditor.policy.model import ACTIONS, MULTIVALUED, Policy, Principal, Request, Statement, Test
from auditor.policy.values import like, plain


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


@lru_cache(maxsize=4096)
def who(policy: Policy) -> tuple[Who, ...]:
    """Name everyone the policy admits, one row a principal and statement.

    A principal that no request brings in has no row: a deleted one, or one whose tests contradict each other or a Deny.
    """
    denying = tuple(each for each in policy.statements if each.effect == "Deny")
    allowing = [each for each in policy.statements if each.effect == "Allow"]
    rows = [row for statement in allowing for row in _apart(statement)]
    left = list(range(len(rows)))
    shown: dict[int, Request] = {}
    doubts: dict[int, str] = {}
    work = Work(STEPS)
    levels: tuple[Level, ...] = ("feasible", "language")
    for (
        level
    ) in levels:  # a real request before one that only the text admits, a plain one before one that is sought
        for i in left:
            guessed = _guess(replace(policy, statements=(rows[i][2], *denying)), level)
            if guessed is not None:
                shown[i] = guessed
        left = [i for i in left if i not in shown]
        if left:
            sought = examples(policy, [rows[i][2] for i in left], level=level, work=work)
            for i, (found, doubt) in zip(left, sought, strict=True):
                if found is not None:
                    shown[i] = found
                doubts[i] = doubt
        left = [i for i in left if i not in shown]
    return tuple(
        Who(kind, name, statement.tests, shown.get(i))
        for i, (kind, name, statement) in enumerate(rows)
        if i in shown or doubts.get(i)
    )


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


def _guess(policy: Policy, level: Level) -> Request | None:
    """Try the plainest request: the first principal and action, and of each test the first value without its wildcards."""
    statement = policy.statements[0]
    if not statement.principals or not statement.actions:
        return None
    named = statement.principals[0]
    kind = (
        "saml"
        if ":saml-provider/" in named.value
        else {"federated": "oidc", "any": "aws"}.get(named.kind, named.kind)
    )
    ctx: dict[str, str | tuple[str, ...]] = {}
    for test in statement.tests:
        if (
            not test.passes_absent
            and test.base in ("StringEquals", "StringLike", "ArnLike", "Bool")
            and test.values
        ):
            value = test.values[0].replace("*", "x").replace("?", "x")
            ctx[test.key] = (value,) if test.key in MULTIVALUED else value
    for action in ACTIONS.get(kind, ())[:1]:
        principal = f"arn:aws:iam::{named.value}:root" if named.value.isdigit() else named.value
        request = Request(kind, principal, None, action, dict(sorted(ctx.items())))
        if (level == "language" or _real(request, statement)) and admits(policy, request):
            return request
    return None


def _real(request: Request, statement: Statement) -> bool:
    """Say whether a caller can present these keys, and leave out the others that are tested."""
    for test in statement.tests:
        there = keys.presence(request.kind, request.principal, request.action, test.key)
        value = request.ctx.get(test.key)
        forms = keys.forms(request.kind, request.principal, test.key)
        if there == ("always" if value is None else "never"):
            return False
        if isinstance(value, str) and forms and not any(like(plain(form), value) for form in forms):
            return False
    return True


def outside(policy: Policy, allowlist: Policy, *, level: Level = "language") -> Comparison:
    """Compare the policy with an allow-list: `witness_b_only` is someone it admits outside of it."""
    return compare(allowlist, policy, level=level)
