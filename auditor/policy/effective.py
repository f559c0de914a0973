"""What the policies of a user or role let through in the end: is there a request for this action on one of these resources?

Identity policies allow, a permissions boundary must allow too, any Deny wins; the policy of a bucket may allow beside them.
Organisations' policies (SCPs, RCPs) and session policies are out of sight: they only take away, so a yes says what the policies
here allow, and a no stands. Every request that is returned was put to `allowed` of each policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

from auditor.policy.combined import combined
from auditor.policy.compare import pair_requests, possible
from auditor.policy.evaluate import allowed, matches, principal_matches
from auditor.policy.globs import TooComplex, Work
from auditor.policy.meaning import meaning
from auditor.policy.model import NEW_VERSION, Policy, Principal, Request, Statement
from auditor.policy.narrowed import Holder, Narrow, about, narrowed
from auditor.policy.pair import Pair
from auditor.policy.search import Goal

STEPS = 200_000
"""Steps that one question may take; past them it is undecided (about a fifth of a second)."""
_SOMEBODY = (Principal("aws", "arn:aws:iam::111111111111:role/holder"),)
_NOTHING = Policy(NEW_VERSION, None, ())
_CONDITION = "only under a condition, and whether its requests meet it is not known here"
Given = tuple[tuple[str, str | tuple[str, ...]], ...]
"""Keys and values that a request must carry."""
Way = tuple[tuple[Statement, ...], ...]
"""One statement of each group must match for a request to be let through this way."""


@dataclass(frozen=True, slots=True)
class Let:
    """Whether a request is let through: yes; no; or None: under a condition that may not hold, or undecided."""

    yes: bool | None
    witness: Request | None = None
    """Of a None: it takes these keys."""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Region:
    """Resources asked about: those that fit a pattern, and none of the others."""

    resources: tuple[str, ...]
    beside: tuple[str, ...] = ()

    def statements(self) -> tuple[Statement, ...]:
        """Return what must match for a request to lie in it."""
        found = [_place(self.resources, None)]
        return tuple(found + ([_place(None, self.beside)] if self.beside else []))


@dataclass(frozen=True, slots=True)
class Guard:
    """The policy of the resource asked about."""

    policy: Policy
    own: bool
    """It is of the holder's account: then either side may allow; else both must."""


def lets(holder: Holder, action: str, region: Region, guard: Guard | None = None) -> Let:
    """Say whether a holder gets an action on some resource of a region, and by which request."""
    doubt = ""
    for sure in (True, False):
        narrow = narrowed(holder, action, sure=sure)
        certain = narrow.certain
        ways: list[Way] = [(narrow.allows,) if narrow.bounds is None else (narrow.allows, narrow.bounds)]
        denies = narrow.denies
        if guard is not None:
            theirs = Narrow(holder, action, sure=sure)
            ways = _beside(guard, holder, theirs, ways[0])
            denies += tuple(one for _, one in _of(guard, holder, theirs, "Deny"))
            certain = certain and theirs.certain
        found, doubt = _found(tuple(ways), denies, region)
        if found is not None:
            witness = _request(holder, action, *found)
            if not stands(holder, witness, guard):
                return Let(None, cause="undecided: a request that was found could not be confirmed")
            return Let(yes=True if sure else None, witness=witness, cause="" if sure else _CONDITION)
        if certain or (not sure and not doubt):
            break
    return Let(None, cause=doubt) if doubt else Let(yes=False)


def stands(holder: Holder, request: Request, guard: Guard | None = None) -> bool:
    """Say whether the policies as they were written let a request through."""
    if guard is not None and guard.own:
        return combined(holder.identity, holder.boundary, guard.policy, request).allowed
    verdicts = [allowed(each, request) for each in holder.identity]
    fence = [allowed(holder.boundary, request)] if holder.boundary else []
    theirs = [allowed(guard.policy, request)] if guard else []
    if any(each.statements and not each.allowed for each in (*verdicts, *fence, *theirs)):
        return False
    return any(each.allowed for each in verdicts) and all(each.allowed for each in (*fence, *theirs))


def _beside(guard: Guard, holder: Holder, narrow: Narrow, own: Way) -> list[Way]:
    """Return the ways through when the resource has a policy.

    In one account, who is named by a user's ARN needs nothing else, who is named by a role's or as anyone must be let by his
    boundary, and naming the account leaves it to the identity's policies, which are a way already.
    """
    theirs = _of(guard, holder, narrow, "Allow")
    if not guard.own:
        return [(*own, tuple(one for _, one in theirs))]
    direct, open_ = [], []
    for statement, one in theirs:
        named = statement.principals or ()
        if any(each.value == holder.arn for each in named) and ":user/" in holder.arn:
            direct.append(one)
        elif any(each.kind == "any" or each.value == holder.arn for each in named):
            open_.append(one)
    return [own, (tuple(direct),), (tuple(open_), *own[1:])]


def _of(guard: Guard, holder: Holder, narrow: Narrow, effect: str) -> list[tuple[Statement, Statement]]:
    """Return the statements of the resource's policy about this holder: as written, and narrowed."""
    me = _asking(holder)
    return [
        (each, one)
        for each in guard.policy.statements
        if each.effect == effect
        and about(each, narrow.action)
        and _concerns(each, me)
        and (one := narrow.one(each, guard.policy.version)) is not None
    ]


def _asking(holder: Holder) -> Request:
    return Request("aws", holder.arn, None, "")


def _concerns(statement: Statement, who: Request) -> bool:
    if statement.not_principals is not None:
        return not any(principal_matches(each, who) for each in statement.not_principals)
    return any(principal_matches(each, who) for each in statement.principals or ())


def _request(holder: Holder, action: str, resource: str | None, ctx: Given) -> Request:
    known = {key: value for key, value in holder.known.items() if value is not None}
    derived = ("aws:principalarn", "aws:principalaccount")
    carried = {key: value for key, value in known.items() if key not in derived}
    return Request("aws", holder.arn, None, action, {**carried, **dict(ctx)}, resource)


def shown(witness: Request, holder: Holder) -> Request:
    """Return a witness without the keys that every request of the holder carries: what is left must be added to it."""
    return replace(witness, ctx={key: value for key, value in witness.ctx.items() if key not in holder.known})


def _place(resources: tuple[str, ...] | None, beside: tuple[str, ...] | None) -> Statement:
    return Statement(
        index=-1, sid=None, effect="Allow", principals=None, not_principals=None, actions=("*",), not_actions=None,
        resources=resources, not_resources=beside, tests=(), place="the resources asked about",
    )  # fmt: skip


@lru_cache(maxsize=16384)
def _found(
    ways: tuple[Way, ...], denies: tuple[Statement, ...], region: Region
) -> tuple[tuple[str | None, Given] | None, str]:
    """Return resource and keys of a request that one of the ways lets through, else what is in doubt.

    Whose request it is has been put in already, so holders whose statements are equal share the answer.
    """
    ways = tuple(way for way in ways if all(way))
    if not ways:
        return None, ""
    if (plainly := _plainly(ways, denies, region)) is not None:
        return plainly
    places = region.statements()
    every = dict.fromkeys([*(each for way in ways for group in way for each in group), *denies, *places])
    policy = Policy(NEW_VERSION, None, tuple(every))
    pair = Pair(policy, _NOTHING, feasible=False, work=Work(STEPS), among=_SOMEBODY)
    bits = {each: pair.bits[meaning(each, NEW_VERSION)] for each in every}
    bad = _union(bits[each] for each in denies)
    inside = _union(bits[each] for each in places)
    goals = [Goal(inside | _union(bits[e] for e in chosen), bad) for way in ways for chosen in product(*way)]
    return _first(pair, [goal for goal in goals if not goal.keep & goal.bad])


def _plainly(
    ways: tuple[Way, ...], denies: tuple[Statement, ...], region: Region
) -> tuple[tuple[str | None, Given] | None, str] | None:
    """Answer without a search where resources are spelled out and nothing is tested; None where it takes one."""
    every = [*denies, *(each for way in ways for group in way for each in group)]
    if (
        region.beside
        or any(set("*?") & set(each) for each in region.resources)
        or any(e.tests for e in every)
    ):
        return None
    for resource in region.resources:
        request = Request("aws", _SOMEBODY[0].value, None, "x:x", {}, resource)

        def fits(each: Statement, request: Request = request) -> bool:
            return matches(each, request, {})

        if any(all(any(map(fits, group)) for group in way) for way in ways) and not any(map(fits, denies)):
            return (resource, ()), ""
    return None, ""


def _first(pair: Pair, goals: list[Goal]) -> tuple[tuple[str | None, Given] | None, str]:
    try:
        for request in _requests(pair, goals):
            return (request.resource, tuple(sorted(request.ctx.items()))), ""
    except TooComplex:
        return None, "too complex: too many combinations of statements"
    for goal in goals if pair.doubts else ():
        if (doubt := pair.doubt(goal)) and possible(pair, goal):
            return None, doubt
    return None, ""


def _requests(pair: Pair, goals: Iterable[Goal]) -> Iterator[Request]:
    for goal in goals:
        pair.work.on(20)
        yield from pair_requests(pair, goal)


def _union(bits: Iterable[int]) -> int:
    whole = 0
    for bit in bits:
        whole |= bit
    return whole
