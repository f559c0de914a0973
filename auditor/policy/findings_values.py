"""Of the many values of a test, those that can make a difference to a question: one of each sort.

A value is a beginning without wildcards and a rest. Two values with the same rest, whose beginnings bring every other
pattern on the key into the same state, are continued alike: whoever passes by the one has a twin that passes by the
other. So one of them is enough to ask whether somebody passes, and one that no request in the regions has is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from auditor.policy.classes import patterns_of, type_of
from auditor.policy.globs import STAR, Pattern, Work, beside, like, positions
from auditor.policy.keys import forms
from auditor.policy.model import DERIVED, MULTIVALUED, Policy, Statement, Test

MANY = 32
"""Values of a test up to which all are kept."""


def one_by_one(policy: Policy, regions: Sequence[Statement], work: Work, *, real: bool) -> Iterator[Policy]:
    """Yield policies that together admit somebody in the regions (anybody, without one) when this one does.

    That is the policy itself, or where tests have many values each Allow statement with every Deny. `real` is for
    requests that callers can make.
    """
    if not any(_many(each) for one in policy.statements if one.effect == "Allow" for each in one.tests):
        yield policy
        return
    denying = tuple(each for each in policy.statements if each.effect == "Deny")
    for statement in policy.statements:
        if statement.effect == "Allow" and not work.done:
            fewer = _fewer(statement, denying, regions, policy.version, work, real=real)
            if fewer is not None:
                yield replace(policy, statements=(fewer, *denying))


def _many(test: Test) -> bool:
    return (
        len(test.values) > MANY
        and test.base in ("StringEquals", "StringLike")
        and test.modifier is None
        and test.key not in DERIVED
        and test.key not in MULTIVALUED
    )


def _fewer(
    statement: Statement,
    denying: Sequence[Statement],
    regions: Sequence[Statement],
    version: str,
    work: Work,
    *,
    real: bool,
) -> Statement | None:
    """Return the statement with fewer values; None when it matches no request in the regions."""
    tests = list(statement.tests)
    for at, test in enumerate(tests):
        if not _many(test):
            continue
        others = [*tests[:at], *tests[at + 1 :], *(each for one in denying for each in one.tests)]
        asked = [each for one in regions for each in one.tests]
        if any("${" in value for each in (test, *others, *asked) for value in each.values):
            continue
        about = [each for each in (*others, *asked) if each.key == test.key]
        if any(type_of(each) not in (None, "string") for each in about):
            continue
        kept = _sorts(test, about, regions, version, work, real=real)
        if not kept and not test.if_exists:
            return None
        tests[at] = replace(test, values=kept or test.values[:1])
    return replace(statement, tests=tuple(tests))


@dataclass(frozen=True, slots=True)
class _Region:
    """The positions by which one region asks for a key."""

    asked: tuple[int, ...]
    """Of each test that a pattern must match: one of these positions must be alive."""
    ended: int
    """Patterns that must not match, at a star that takes everything."""
    accepted: int
    """The same patterns, by their numbers."""


def _sorts(
    test: Test, about: Sequence[Test], regions: Sequence[Statement], version: str, work: Work, *, real: bool
) -> tuple[str, ...]:
    patterns: dict[Pattern, int] = {}

    def numbered(each: Test) -> list[int]:
        found = patterns_of(each, version, {})
        return [patterns.setdefault(pattern, len(patterns)) for pattern in found]

    for each in about:
        numbered(each)
    held = [[(each, numbered(each)) for each in one.tests if each.key == test.key] for one in regions]
    shapes = [like((c, False) for c in form) for form in (forms("oidc", "", test.key) if real else ())]
    possible = [patterns.setdefault(shape, len(patterns)) for shape in shapes]
    automaton = beside(tuple(patterns))
    lengths = [len(tokens) for tokens, _ in patterns]
    stars = [bool(tokens) and tokens[-1] == STAR for tokens, _ in patterns]

    def spans(numbers: Sequence[int]) -> int:
        """Return every position of these patterns."""
        found = 0
        for i in set(numbers):
            found |= (2 << automaton.ends[i]) - (1 << (automaton.ends[i] - lengths[i]))
        return found

    def lasting(numbers: Sequence[int]) -> int:
        """Return the positions from which these patterns take everything."""
        return positions((automaton.ends[i] - 1 for i in numbers if stars[i]), automaton.bytes)

    asked = []
    for found in held:
        never = [i for each, own in found if each.negated for i in own]
        must = tuple(spans(own) for each, own in found if not each.negated and each.base != "Null")
        asked.append(_Region(must, lasting(never), positions(never, len(patterns) // 8 + 1)))
    presentable = spans(possible)
    work.left -= 20 + sum(lengths) // 4 + 2 * len(patterns)
    kept: dict[object, str] = {}
    before, states = "", [automaton.start]
    for value in dict.fromkeys(test.values):
        begin = value if test.base == "StringEquals" else value[: _plain(value)]
        same = next(
            (at for at, (x, y) in enumerate(zip(before, begin, strict=False)) if x != y),
            min(len(before), len(begin)),
        )
        del states[same + 1 :]
        for character in begin[same:]:
            states.append(automaton.read(states[-1], character))
        before, state = begin, states[-1]
        work.left -= 4 + (len(begin) - same) * automaton.reading
        ended = len(begin) == len(value)
        matched = automaton.accepted(state) if ended else 0
        if presentable and not state & presentable:
            continue
        if asked and not any(_open(each, state, matched) for each in asked):
            continue
        kept.setdefault((state, value[len(begin) :], ended), value)
    return tuple(kept.values())


def _open(region: _Region, state: int, matched: int) -> bool:
    """Say whether a text that began so may still lie in a region."""
    return (
        all(state & positions for positions in region.asked)
        and not state & region.ended
        and not matched & region.accepted
    )


def _plain(value: str) -> int:
    """Return how long a value goes on without a wildcard."""
    return min(at if (at := value.find(sign)) >= 0 else len(value) for sign in "*?")
