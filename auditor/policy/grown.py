"""Whether the policies of a role let a request through that those of the scan before did not.

Asked of each statement that allows now: is there a request that it matches, that the boundary allows and nothing denies, and that
was refused then: because nothing allowed it, the boundary did not, or something denied it? Only statements about the same actions
are laid beside it, so that a change in one corner of a long document stays a small question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from auditor.policy.compare import pair_requests, possible
from auditor.policy.effective import stands
from auditor.policy.globs import TooComplex, Work
from auditor.policy.meaning import meaning
from auditor.policy.model import NEW_VERSION, Policy, Principal, Request, Statement
from auditor.policy.narrowed import Holder, settled
from auditor.policy.pair import Pair
from auditor.policy.search import Goal
from auditor.policy.values import folded

STEPS = 400_000
"""Steps that one comparison may take together; past them it is undecided (under half a second)."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Whether more is let through than before: yes with a request that proves it, no, or None with the cause."""

    yes: bool | None
    witness: Request | None = None
    cause: str = ""


@dataclass(frozen=True, slots=True)
class _Side:
    allows: tuple[Statement, ...]
    bounds: tuple[Statement, ...] | None
    denies: tuple[Statement, ...]

    @classmethod
    def of(cls, holder: Holder) -> _Side:
        every = settled(holder, holder.identity)
        fence = settled(holder, [holder.boundary]) if holder.boundary else ()
        return cls(
            tuple(each for each in every if each.effect == "Allow"),
            tuple(each for each in fence if each.effect == "Allow") if holder.boundary else None,
            tuple(dict.fromkeys(each for each in (*every, *fence) if each.effect == "Deny")),
        )


def grown(before: Holder, now: Holder) -> Growth:
    """Compare what a role's policies let through now with what they let through then."""
    old, new = _Side.of(before), _Side.of(now)
    if (
        set(new.allows) <= set(old.allows)
        and set(old.denies) <= set(new.denies)
        and (old.bounds is None or (new.bounds is not None and set(new.bounds) <= set(old.bounds)))
    ):
        return Growth(yes=False)
    work, doubt = Work(STEPS), ""
    for statement in new.allows:
        for bound in new.bounds if new.bounds is not None else (None,):
            found, cause = _beyond(statement, bound, old, new, work)
            for request in found:
                named = replace(request, principal=now.arn, ctx={**_carried(now), **request.ctx})
                if stands(now, named) and not stands(before, named):
                    return Growth(yes=True, witness=named)
                cause = cause or "a request that was found could not be confirmed"
            doubt = doubt or cause
    return Growth(None, cause=doubt) if doubt else Growth(yes=False)


def _carried(holder: Holder) -> dict[str, str]:
    derived = ("aws:principalarn", "aws:principalaccount")
    return {key: value for key, value in holder.known.items() if value is not None and key not in derived}


def _beyond(
    allow: Statement, bound: Statement | None, old: _Side, new: _Side, work: Work
) -> tuple[list[Request], str]:
    """Return requests that this statement lets through now and that were refused then, and what is in doubt."""
    near = [each for each in (allow, bound) if each is not None]

    def beside(held: Sequence[Statement]) -> list[Statement]:
        return [each for each in held if all(_meet(each, other) for other in near)]

    denied, was, was_denied = beside(new.denies), beside(old.allows), beside(old.denies)
    fence = None if old.bounds is None else beside(old.bounds)
    every = dict.fromkeys([*near, *denied, *was, *was_denied, *(fence or ())])
    policy = Policy(NEW_VERSION, None, tuple(every))
    pair = Pair(policy, replace(policy, statements=()), feasible=False, work=work, among=_SOMEBODY)
    bit = {each: pair.bits[meaning(each, NEW_VERSION)] for each in every}

    def union(held: Sequence[Statement]) -> int:
        whole = 0
        for each in held:
            whole |= bit[each]
        return whole

    keep, bad = union(near), union(denied)
    goals = [Goal(keep, bad | union(was))]
    if fence is not None:
        goals.append(Goal(keep, bad | union(fence)))
    goals += [Goal(keep | bit[each], bad) for each in was_denied if each not in denied]
    goals = [goal for goal in goals if not goal.keep & goal.bad]
    found: list[Request] = []
    try:
        for goal in goals:
            work.on(20)
            found += pair_requests(pair, goal)
    except TooComplex:
        return found, "too complex: too many combinations of statements"
    for goal in goals if pair.doubts and not found else ():
        if (doubt := pair.doubt(goal)) and possible(pair, goal):
            return found, doubt
    return found, ""


_SOMEBODY = (Principal("aws", "arn:aws:iam::111111111111:role/holder"),)


def _meet(one: Statement, other: Statement) -> bool:
    """Say whether two statements may be about the same action; wrongly yes at times, never wrongly no."""
    if one.actions is None or other.actions is None:
        return True
    return any(_may_fit(a, b) for a in one.actions for b in other.actions)


@lru_cache(maxsize=65536)
def _may_fit(one: str, other: str) -> bool:
    heads = [re.split(r"[*?]", folded(each), maxsplit=1) for each in (one, other)]
    (a, *more_a), (b, *more_b) = heads
    if not more_a and not more_b:
        return a == b
    if not more_a or not more_b:
        exact, head = (a, b) if not more_a else (b, a)
        return exact.startswith(head)
    return a.startswith(b) or b.startswith(a)
