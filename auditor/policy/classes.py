"""What the tests on one condition key can tell apart: a class of values is an example and the tests it passes.

Complete for one key whose tests are of one type and name no variable. Absent is a class of its own.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, localcontext
from functools import lru_cache
from itertools import pairwise

from auditor.policy.globs import STATES, Pattern, TooComplex, Work, arn, exactly, like
from auditor.policy.globs import classes as texts
from auditor.policy.model import MULTIVALUED, NEW_VERSION, VARIABLE, Test
from auditor.policy.values import EPOCH, Spelled, binary, moment, number, plain, spell

Value = str | tuple[str, ...] | None
"""A value presented, several of a multivalued key, or none."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A test as one of a compared pair's statements asks it."""

    bit: int
    """Of the statement."""
    test: Test
    version: str
    names: frozenset[str]
    """Keys that its values name as variables."""


def variables_of(test: Test, version: str) -> frozenset[str]:
    """Return the keys that a test's values name, escapes apart."""
    if version != NEW_VERSION or not test.base.startswith(("String", "Arn")):
        return frozenset()
    return frozenset(
        found[1].partition(",")[0].strip().lower()
        for value in test.values
        if "${" in value
        for found in VARIABLE.finditer(value)
        if found[1] not in ("*", "?", "$")
    )


def type_of(test: Test) -> str | None:
    """Return the type of values a test is about; None for a test of presence."""
    base = test.base.removeprefix("Not")
    if base == "Null":
        return None
    for type_ in ("Numeric", "Date", "Bool", "Binary", "Ip"):
        if base.startswith(type_):
            return type_.lower()
    return "string"


def key_classes(
    key: str,
    asked: Sequence[Asked],
    known: Mapping[str, str] | None = None,
    forms: Sequence[str] = (),
    work: Work | None = None,
) -> list[tuple[Value, int]]:
    """Return examples with the mask of the statements whose tests on this key fail; absent (None) comes first.

    `known` holds the values of other keys that variables stand for; `forms` are patterns of the values that can be.
    Raises TooComplex with the classes found so far.
    """
    work = work or Work()
    given = [each for each in asked if each.test.base != "Null"]
    present = 0
    absent = 0
    for each in asked:
        if not each.test.passes_absent:
            absent |= each.bit
        if each.test.base == "Null" and not any(value.lower() == "false" for value in each.test.values):
            present |= each.bit
    result: dict[int, Value] = {}
    complex_: TooComplex | None = None
    try:
        work.on(20 + 2 * len(asked) + sum(len(each.test.values) for each in given))
        values = _values(given, known or {}, forms, work)
    except TooComplex as error:
        values, complex_ = list(error.found), error
    negated = sum(1 << i for i, each in enumerate(given) if each.test.negated)
    several = key in MULTIVALUED
    passed = [(value, mask ^ negated) for value, mask in values]
    for value, some, each_ in _together(passed) if several else ((v, m, m) for v, m in passed):
        fails = present
        for i, each in enumerate(given):
            modifier = each.test.modifier
            passes = (each_ if modifier == "all" else some) >> i & 1
            if not passes or (several and modifier is None):
                fails |= each.bit
        result.setdefault(fails, value)
    found: list[tuple[Value, int]] = [(None, absent), *((value, fails) for fails, value in result.items())]
    if complex_ is not None:
        raise TooComplex(found)
    return found


def _together(passed: list[tuple[str, int]]) -> Iterable[tuple[tuple[str, ...], int, int]]:
    """Sets of elements by what some element passes and what every element passes."""
    by_mask: dict[int, str] = {}
    for value, mask in passed:
        by_mask.setdefault(mask, value)
    met: dict[tuple[int, int], tuple[str, ...]] = {(m, m): (v,) for m, v in by_mask.items()}
    work = list(met)
    for some, each in work:  # grows while it is read
        for mask, value in by_mask.items():
            joined = (some | mask, each & mask)
            if joined not in met:
                met[joined] = (*met[some, each], value)
                work.append(joined)
                if len(met) > STATES:
                    raise TooComplex([])
    return [(values, some, each) for (some, each), values in met.items()]


def _values(
    given: Sequence[Asked], known: Mapping[str, str], forms: Sequence[str], work: Work
) -> list[tuple[str, int]]:
    """Examples of present values, and the mask of the tests one of whose values each matches."""
    type_ = next((type_of(each.test) for each in given), None)
    if type_ in (None, "string"):
        shapes = tuple(like((c, False) for c in form) for form in forms)
        return texts(_patterns(given, known), shapes, work)
    tests = [each.test for each in given]
    work.on(20 * sum(len(test.values) for test in tests))
    if type_ == "numeric":
        found = _ordered(tests, "Numeric", number, _as_number)
    elif type_ == "date":
        found = _ordered(tests, "Date", moment, _as_moment)
    else:
        found = {"bool": _bools, "binary": _binaries}.get(type_ or "", _addresses)(tests)
    if forms:
        shapes = tuple(like((c, False) for c in form) for form in forms)
        allowed = {
            value for value, mask in texts(dict.fromkeys([exactly(v) for v, _ in found], 1), shapes) if mask
        }
        found = [(value, mask) for value, mask in found if value in allowed]
    return found


def _patterns(given: Sequence[Asked], known: Mapping[str, str]) -> dict[Pattern, int]:
    owners: dict[Pattern, int] = {}
    for i, each in enumerate(given):
        for pattern in patterns_of(each.test, each.version, known):
            owners[pattern] = owners.get(pattern, 0) | 1 << i
    return owners


def patterns_of(test: Test, version: str, known: Mapping[str, str]) -> Iterable[Pattern]:
    """Yield the patterns of a String or Arn test; a value with a variable that has no value matches nothing."""
    base = test.positive
    for value in test.values:
        if "$" not in value or version != NEW_VERSION:
            pattern = _plain_pattern(base, value)
        else:
            spelled = spell(value, known, version)
            pattern = None if spelled is None else _pattern(base, spelled)
        if pattern is not None:
            yield pattern


@lru_cache(16384)
def _plain_pattern(base: str, value: str) -> Pattern | None:
    return exactly(value) if base == "StringEquals" else _pattern(base, plain(value))


def _pattern(base: str, spelled: Spelled) -> Pattern | None:
    if base == "StringLike":
        return like(spelled)
    if base.startswith("Arn"):
        return arn(spelled)
    return exactly("".join(c for c, _ in spelled), ignore_case=base.endswith("Case"))


def _bools(tests: Sequence[Test]) -> list[tuple[str, int]]:
    return [
        (
            each,
            sum(
                1 << i for i, test in enumerate(tests) if any(value.lower() == each for value in test.values)
            ),
        )
        for each in ("true", "false")
    ]


def _binaries(tests: Sequence[Test]) -> list[tuple[str, int]]:
    owners: dict[bytes, int] = {}
    for i, test in enumerate(tests):
        for value in test.values:
            if (content := binary(value)) is not None:
                owners[content] = owners.get(content, 0) | 1 << i
    other = b"other"
    while other in owners:
        other += b"x"
    return [(base64.b64encode(each).decode(), mask) for each, mask in (owners | {other: 0}).items() if each]


def _ordered(
    tests: Sequence[Test],
    prefix: str,
    read: Callable[[str], Decimal | None],
    write: Callable[[Decimal], str],
) -> list[tuple[str, int]]:
    """Numbers or moments: every point that a test names, and one between any two and beyond the ends."""
    equal: dict[Decimal, int] = {}
    bounds: list[tuple[str, Decimal, int]] = []
    for i, test in enumerate(tests):
        points = [point for point in map(read, test.values) if point is not None]
        relation = test.positive.removeprefix(prefix)
        if relation == "Equals":
            for point in points:
                equal[point] = equal.get(point, 0) | 1 << i
        elif points:  # of several bounds only the loosest counts, for values are ORed
            bounds.append((relation, (max if relation.startswith("Less") else min)(points), 1 << i))
    marks = sorted(equal.keys() | {bound for _, bound, _ in bounds})
    if not marks:
        return [(write(Decimal(1)), 0)]
    with localcontext() as context:
        context.prec = 4000
        between = [(low + high) / 2 for low, high in pairwise(marks)]
        candidates = [*marks, marks[0] - 1, *between, marks[-1] + 1]
    found: dict[int, Decimal] = {}
    for point in candidates:
        mask = equal.get(point, 0)
        for relation, bound, bit in bounds:
            below, equals = point < bound, point == bound
            if (below if relation.startswith("Less") else not (below or equals)) or (
                equals and relation.endswith("Equals")
            ):
                mask |= bit
        found.setdefault(mask, point)
    return [(write(point), mask) for mask, point in found.items()]


def _as_number(point: Decimal) -> str:
    return format(point, "f")


def _as_moment(point: Decimal) -> str:
    """ISO 8601 where it is a whole second of the calendar, else seconds since 1970."""
    if abs(point) < 60_000_000_000 and point == int(point):
        return (EPOCH + timedelta(seconds=int(point))).isoformat().replace("+00:00", "Z")
    return format(point, "f")


_TYPICAL = (int(ipaddress.ip_address("198.51.100.7")), int(ipaddress.ip_address("2001:db8::7")))


def _addresses(tests: Sequence[Test]) -> list[tuple[str, int]]:
    """Addresses of either family: one out of every run between the ends of blocks."""
    edges: dict[int, dict[int, list[tuple[int, int]]]] = {4: {0: []}, 6: {0: []}}
    for i, test in enumerate(tests):
        for value in test.values:
            try:
                block = ipaddress.ip_network(value, strict=False)
            except ValueError:
                continue
            first, last = int(block.network_address), int(block.broadcast_address)
            edges[block.version].setdefault(first, []).append((i, 1))
            edges[block.version].setdefault(last + 1, []).append((i, -1))
    found: dict[int, str] = {}
    for make, version, typical, end in (
        (ipaddress.IPv4Address, 4, _TYPICAL[0], 2**32), (ipaddress.IPv6Address, 6, _TYPICAL[1], 2**128),
    ):  # fmt: skip
        held = [0] * len(tests)
        starts = sorted(edges[version])
        for start, following in zip(starts, [*starts[1:], end], strict=True):
            for i, change in edges[version][start]:
                held[i] += change
            if start < following:
                mask = sum(1 << i for i, count in enumerate(held) if count)
                example = typical if start <= typical < following else start
                if mask not in found or example == typical:
                    found[mask] = str(make(example))
    return [(address, mask) for mask, address in found.items()]
