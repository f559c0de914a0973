"""Whom a question is about: of thousands of principals only those can matter whom its regions leave in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from auditor.policy.findings_values import MANY
from auditor.policy.model import Policy, Principal, Statement

EVERYONE = (Principal("any", "*"),)
ACCOUNT = re.compile(r"(?<!\d)\d{12}(?!\d)")


def named(statement: Statement) -> tuple[Principal, ...]:
    """Return the principals of a statement; `NotPrincipal` names everyone else."""
    if statement.principals is not None:
        return statement.principals
    return EVERYONE


Names = Mapping[tuple[str, str], Sequence[int]]
"""Where a statement names each principal."""


def about(
    policy: Policy, regions: tuple[Statement, ...], known: dict[int, tuple[Statement, Names]]
) -> Policy:
    """Return what a policy says of the principals of some regions; the rest cannot matter to the question."""
    many = any(len(each.principals or ()) > MANY for each in policy.statements)
    everyone = [one for one in regions if any(each.kind == "any" for each in named(one))]
    if everyone and not many:
        return policy
    ours = {(each.kind, _key(each)) for one in regions for each in named(one)} | {("any", "*")}
    kept = []
    for statement in policy.statements:
        if statement.principals is not None:
            names = _names(statement, known)
            those = {at for name in ours for at in names.get(name, ())}
            for one in everyone:
                those |= {at for name, found in names.items() if _may_lie_in(one, name) for at in found}
            if not those:
                continue
            if len(those) < len(statement.principals):
                told = tuple(statement.principals[at] for at in sorted(those))
                statement = replace(statement, principals=told)  # noqa: PLW2901
        kept.append(statement)
    return replace(policy, statements=tuple(kept))


def _may_lie_in(everyone: Statement, name: tuple[str, str]) -> bool:
    """Say whether a region about everyone leaves a principal in: by its kind, and by its account."""
    kind, account = name
    for each in everyone.tests:
        if each.key == "aws:principalarn" and each.base == "Null" and each.values == ("false",):
            if kind not in ("aws", "any"):
                return False
        elif (
            kind == "aws"
            and each.key == "aws:principalaccount"
            and each.operator == "StringNotEquals"
            and account in each.values
        ):
            return False
    return True


def _names(statement: Statement, known: dict[int, tuple[Statement, Names]]) -> Names:
    """Return where a statement names whom; looked up by its identity, for it may name thousands."""
    if id(statement) not in known:
        found: dict[tuple[str, str], list[int]] = {}
        for at, each in enumerate(statement.principals or ()):
            found.setdefault((each.kind, _key(each)), []).append(at)
        known[id(statement)] = (statement, found)
    return known[id(statement)][1]


def spelled_out(regions: Iterable[Statement]) -> tuple[Principal, ...] | None:
    """Return all who can lie in one of the regions, when they are spelled out."""
    asked = [each for one in regions for each in named(one)]
    exact = all(
        each.kind in ("service", "federated") or (each.kind == "aws" and ("/" in each.value))
        for each in asked
    )
    return tuple(dict.fromkeys(asked)) if exact else None


def _key(each: Principal) -> str:
    """Return the account of an AWS principal, which is all that tells it apart here; the name of another."""
    found = ACCOUNT.search(each.value) if each.kind == "aws" else None
    return found[0] if found else each.value
