"""Keys that a variable links: `StringEquals sts:RoleSessionName ${aws:username}`.

A value of the variable is tried for every state that it can bring the automata of the linked keys' patterns into.
Once it is fixed the variable stands for a text, and the linked key has classes as any other. That is complete when a
value is a text, the variable and a text, or such a beginning and one star (equality and prefix): two texts that
reach the same state can be continued in the same ways, and at most one of a state is a prefix that a class cannot avoid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from auditor.policy.classes import Asked, Value, key_classes, patterns_of, type_of
from auditor.policy.evaluate import holds
from auditor.policy.globs import Automaton, Pattern, TooComplex, Work
from auditor.policy.model import DERIVED, MULTIVALUED, VARIABLE

_TEXTS = 2_000
"""Texts tried for a variable, at most."""
_JOINED = 500
"""Classes of several linked keys at once that are kept for each text."""
_FOUND = 2_000
"""Classes of linked keys, at most."""
_STEPS = 100_000
"""Classes joined, at most."""
_WORK = 100_000
"""Tokens of the patterns that the linked keys have, times the combinations of texts that are tried."""
_ESCAPES = {"${*}": "\ue000", "${?}": "\ue001", "${$}": "\ue002"}
"""Stand-ins that are no wildcards while a value is looked at."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """How a value uses its variable: text before it, and whether it is of a kind that is decided exactly."""

    before: str
    exact: bool
    prefix: bool
    alone: bool
    """There is nothing beside it."""


def linked_classes(
    group: Sequence[str],
    by_key: Mapping[str, Sequence[Asked]],
    known: Mapping[str, str],
    work: Work | None = None,
) -> tuple[list[tuple[Mapping[str, Value], int]], bool]:
    """Classes of several keys at once, and whether these are all. `known` holds keys that follow from the caller."""
    work = work or Work()
    tested = {key: by_key.get(key, ()) for key in group}
    named = {name for asked in tested.values() for each in asked for name in each.names}
    variables = sorted(name for name in named if name not in DERIVED and name not in MULTIVALUED)
    targets = [key for key in group if tested[key] and key not in variables]
    complete = _decidable(tested, variables, targets)
    try:
        texts = _texts(tested, variables, targets, work)
    except TooComplex as error:
        texts, complete = [text for text, _ in error.found], False
    found: dict[tuple[int, tuple[bool, ...]], Mapping[str, Value]] = {}
    size = 1 + sum(len(value) for asked in tested.values() for each in asked for value in each.test.values)
    steps = 0
    for tried, assigned in enumerate(_assignments(variables, [None, *texts])):
        if work.done or tried * size > _WORK or steps > _STEPS or len(found) > _FOUND:
            return [(each, fails) for (fails, _), each in found.items()], False
        given = {**known, **{name: value for name, value in assigned.items() if value is not None}}
        fails = 0
        for name in variables:
            for each in tested[name]:
                if not holds(each.test, given, each.version):
                    fails |= each.bit
        joined: dict[tuple[int, tuple[bool, ...]], Mapping[str, Value]] = {
            (fails, tuple(value is None for value in assigned.values())): assigned
        }
        for key in targets:
            try:
                classes = key_classes(key, tested[key], given, work=work)
            except TooComplex as error:
                classes, complete = list(error.found), False
            wider: dict[tuple[int, tuple[bool, ...]], Mapping[str, Value]] = {}
            for (failed, absent), chosen in joined.items():
                for value, more in classes:
                    wider.setdefault((failed | more, (*absent, value is None)), {**chosen, key: value})
            steps += len(joined) * len(classes)
            work.left -= 2 * len(joined) * len(classes)
            complete = complete and len(wider) <= _JOINED
            joined = dict(islice(wider.items(), _JOINED))
        for signature, chosen in joined.items():
            found.setdefault(signature, chosen)
    return [(each, fails) for (fails, _), each in found.items()], complete


def _assignments(variables: Sequence[str], values: Sequence[str | None]) -> Iterator[dict[str, str | None]]:
    if not variables:
        yield {}
        return
    for rest in _assignments(variables[1:], values):
        for value in values:
            yield {variables[0]: value, **rest}


def _decidable(
    tested: Mapping[str, Sequence[Asked]], variables: Sequence[str], targets: Sequence[str]
) -> bool:
    """Say whether every value is a beginning, one variable and an end, and no chain of variables is there."""
    for name in variables:
        if any(each.names or type_of(each.test) not in (None, "string") for each in tested[name]):
            return False
    for key in targets:
        shapes = list(_shapes(tested[key]))
        if not all(shape.exact for _, shape in shapes):
            return False
        if any(name in DERIVED and not shape.alone for name, shape in shapes):
            return False
        befores = sorted({shape.before for _, shape in shapes})
        if any(other.startswith(before) for before, other in pairwise(befores)):
            return False  # the texts may overlap, as x in x…x
        if len({name for name, _ in shapes}) > 1 and any(shape.prefix for _, shape in shapes):
            return False
    return True


def _shapes(asked: Sequence[Asked]) -> Iterator[tuple[str, _Shape]]:
    """Yield the variable of each value and the way it stands there."""
    for each in asked:
        if not each.names:
            continue
        base = each.test.positive
        for value in each.test.values:
            text = value
            for escape, sign in _ESCAPES.items():
                text = text.replace(escape, sign)
            found = list(VARIABLE.finditer(text))
            for variable in found:
                before, after = text[: variable.start()], text[variable.end() :]
                prefix = base == "StringLike" and after.endswith("*")
                rest = before + (after[:-1] if prefix else after)
                exact = len(found) == 1 and base in ("StringEquals", "StringLike")
                if base == "StringLike":
                    exact = exact and not any(sign in rest for sign in "*?")
                name = variable[1].partition(",")[0].strip().lower()
                for sign, escape in zip("*?$", _ESCAPES.values(), strict=True):
                    before = before.replace(escape, sign)
                yield name, _Shape(before, exact, prefix, variable[0] == text)


def _texts(
    tested: Mapping[str, Sequence[Asked]], variables: Sequence[str], targets: Sequence[str], work: Work
) -> list[str]:
    """Texts for the variables: some of every state of the automata they can run into. Raises TooComplex."""
    blocks: list[tuple[str, list[Pattern]]] = []
    for name in variables:
        plain = [each for each in tested[name] if not each.names and type_of(each.test) == "string"]
        blocks.append(
            ("", [pattern for each in plain for pattern in patterns_of(each.test, each.version, {})])
        )
    relations = 0
    for key in targets:
        patterns = [
            pattern
            for each in tested[key]
            if type_of(each.test) == "string"
            for pattern in patterns_of(each.test, each.version, {})
        ]
        befores = {shape.before for _, shape in _shapes(tested[key])}
        relations += len(befores)
        blocks += [(before, patterns) for before in sorted(befores)]
    if sum(len(tokens) for _, patterns in blocks for tokens, _ in patterns) * (relations + 1) > _WORK // 4:
        raise TooComplex([("x", 0)])
    automaton = Automaton([pattern for _, patterns in blocks for pattern in patterns])
    start, first = 0, 0
    for before, patterns in blocks:
        width = sum(len(tokens) + 1 for tokens, _ in patterns)
        state = automaton.start & ((1 << width) - 1) << first
        for character in before:
            state = automaton.read(state, character)
        start |= state
        first += width
    return _reaching(automaton, start, max(2, relations + 1), work)


def _reaching(automaton: Automaton, start: int, each: int, work: Work) -> list[str]:
    """Return up to `each` texts that reach every state."""
    met: dict[int, list[str]] = {}
    frontier = [(start, "")]
    while frontier:
        following = []
        for state, text in frontier:
            for character in automaton.branches(state):
                after = automaton.read(state, character)
                work.left -= automaton.cost
                texts = met.setdefault(after, [])
                if len(texts) < each:
                    texts.append(text + character)
                    following.append((after, text + character))
                if work.done or len(met) * each > _TEXTS:
                    raise TooComplex([(found, 0) for texts in met.values() for found in texts[:1]])
        frontier = following
    return [text for texts in met.values() for text in texts]
