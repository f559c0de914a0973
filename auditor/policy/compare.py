"""Two policies compared by the requests they admit. docs/trust-procedure.md tells how, with a verdict checked by hand.

For each Allow statement of one policy: is there a request that it matches, that no Deny of its own policy matches,
and that the other policy refuses? The other refuses when none of its Allow statements matches, or one of its Deny
statements does. So each question is: keep these statements, fail those (search.py), over classes of values in
independent dimensions (classes*.py). Whatever is found is checked by `admits` before it is returned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from auditor.policy.evaluate import allowed, only_first
from auditor.policy.globs import TooComplex, Work
from auditor.policy.meaning import meaning
from auditor.policy.model import Policy, Principal, Request, Statement
from auditor.policy.pair import Pair
from auditor.policy.search import Goal, Spent, best, choose

Level = Literal["language", "feasible"]
"""`language`: what the texts admit, any key with any caller; `feasible`: only what a real caller can present."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What B is against A: `equivalent`, `narrower`, `wider`, `incomparable` or `undecided`."""

    verdict: str
    witness_a_only: Request | None
    """A request that A admits and B refuses."""
    witness_b_only: Request | None
    """A request that B admits and A refuses."""
    because: str


_VERDICTS = {
    (False, False): "equivalent",
    (True, False): "narrower",
    (False, True): "wider",
    (True, True): "incomparable",
}


def compare(
    a: Policy,
    b: Policy,
    *,
    level: Level = "language",
    work: Work | None = None,
    among: tuple[Principal, ...] | None = None,
    words: bool = True,
) -> Comparison:
    """Say what B is against A, with a request for each side that has one; every request was checked by `admits`.

    `work` is shared by the questions about one document: once it is done, the rest is undecided. `among` are the only
    principals that can tell the two apart, where they are known: users, roles, services and providers. Without `words`
    nothing says why, where it is decided.
    """
    pair = Pair(a, b, feasible=level == "feasible", work=work, among=among)
    if pair.same:
        return Comparison("equivalent", None, None, "both have the same statements")
    a_only, b_only, doubt = _apart(pair, a, b)
    verdict = "undecided" if doubt else _VERDICTS[a_only is not None, b_only is not None]
    because = _because(a, b, a_only, b_only, doubt) if words or doubt else ""
    return Comparison(verdict, a_only, b_only, because)


def _apart(pair: Pair, a: Policy, b: Policy) -> tuple[Request | None, Request | None, str]:
    """Return a request that only A admits, one that only B does, and what could not be decided."""
    a_only, doubt_a = _admitted(pair, a, b, pair.a, pair.b)
    b_only, doubt_b = _admitted(pair, b, a, pair.b, pair.a)
    return a_only, b_only, doubt_a or doubt_b


def _because(a: Policy, b: Policy, a_only: Request | None, b_only: Request | None, doubt: str) -> str:
    because = [doubt] if doubt else []
    if b_only is not None:
        because.append(
            f"B admits what A refuses: {allowed(b, b_only).because}; in A {allowed(a, b_only).because}"
        )
    if a_only is not None:
        because.append(
            f"A admits what B refuses: {allowed(a, a_only).because}; in B {allowed(b, a_only).because}"
        )
    return ". ".join(because) or "no request tells them apart"


def _admitted(
    pair: Pair, ours: Policy, theirs: Policy, own: tuple[int, int], other: tuple[int, int]
) -> tuple[Request | None, str]:
    """Find a request that one policy admits and the other refuses; else say why it may be there all the same."""
    goals = list(_goals(own, other))
    doubt = ""
    for goal in goals:
        try:
            pair.work.on(20)
            for request in pair_requests(pair, goal):
                if only_first(ours, theirs, request):
                    return request, ""
                doubt = (
                    doubt
                    or pair.doubt(goal)
                    or "too complex: a request that was found did not stand the check"
                )
        except TooComplex:
            doubt = "too complex: too many combinations of statements"
            break
    if doubt or not pair.doubts:
        return None, doubt
    for goal in goals:
        if (doubt := pair.doubt(goal)) and possible(pair, goal):
            return None, doubt
    return None, ""


def examples(
    policy: Policy, apart: Sequence[Statement], *, level: Level = "language", work: Work | None = None
) -> Iterator[tuple[Request | None, str]]:
    """For each Allow statement, find a request that it and none of the policy's Deny statements matches.

    Without one, the text says why there may be one all the same, or is empty. The statements may be parts of the
    policy's own: the whole policy tells which values a key holds, and which roles there are.
    """
    denying = tuple(each for each in policy.statements if each.effect == "Deny")
    nothing = replace(policy, statements=())
    pair = Pair(
        policy, replace(policy, statements=(*apart, *denying)), feasible=level == "feasible", work=work
    )
    for statement in apart:
        pair.spent = Spent(pair.work)
        bit = pair.bits[meaning(statement, policy.version)]
        alone = replace(policy, statements=(statement, *denying))
        yield _admitted(pair, alone, nothing, (bit, pair.b[1]), (0, 0))


def _goals(own: tuple[int, int], other: tuple[int, int]) -> Iterator[Goal]:
    allow, deny = own
    for bit in _bits(allow):
        if not bit & other[0]:
            yield Goal(bit, other[0] | deny)
    for bit in _bits(allow):
        for denied in _bits(other[1] & ~deny):
            yield Goal(bit | denied, deny)


def _bits(mask: int) -> Iterator[int]:
    while mask:
        yield mask & -mask
        mask &= mask - 1


def pair_requests(pair: Pair, goal: Goal) -> Iterator[Request]:
    """Requests that meet a goal: at most one a kind of caller."""
    for scene in pair.scenes(goal):
        chosen = choose(
            [best(options, goal.keep, goal.bad) for options in scene.dimensions], goal.bad, pair.spent
        )
        if chosen is not None:
            yield scene.request(chosen)


def possible(pair: Pair, goal: Goal) -> bool:
    """Say whether a goal could be met if what cannot be decided went the way that suits it."""
    try:
        return any(
            choose([best(options, goal.keep, goal.bad) for options in scene.dimensions], goal.bad, pair.spent)
            is not None
            for scene in pair.scenes(goal, hopeful=True)
        )
    except TooComplex:
        return True
