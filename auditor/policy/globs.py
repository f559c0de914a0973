"""Which of many patterns can match one text: a lazy product of automata, held as bits of one integer.

A pattern of n tokens has n + 1 positions; a set of positions of all patterns is one integer, and reading a
character is a few masks and a shift. Two facts keep the product small: only characters that some live position
waits for can tell patterns apart, so each state branches on those and on one fresh character; and once a pattern
stands on a star, its earlier positions add nothing (what they accept the star accepts), so they are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product as every
from typing import Any

from auditor.policy.values import folded

STAR, ANY = "**", "??"
NO_COLON_STAR, NO_COLON = "*:", "?:"
"""As `*` and `?`, but never a colon: ARNs are compared part by part."""
DIGIT = "09"

Token = str
Pattern = tuple[tuple[Token, ...], bool]
"""Tokens (one character, or one of the above), and whether ASCII case is ignored."""
Spelled = Iterable[tuple[str, bool]]

STATES = 20_000
"""States after which a product is given up as too complex (about half a second)."""
_TOKENS = 100_000
"""Tokens of all patterns above which it is not begun."""
_BYTES = 100_000_000
"""Of states held at once: with very many patterns fewer states are looked at."""
_FRESH = "xzqwvkjybpgfmcudnhlirtsaeoXZQWVKJY0"


class TooComplex(Exception):  # noqa: N818 - what it is, not what went wrong
    """More states than the cap; `found` are the classes met so far."""

    def __init__(self, found: Sequence[tuple[Any, int]]) -> None:
        super().__init__(f"more than {STATES:,} states")
        self.found = tuple(found)


class Work:
    """Steps that all questions about one document may take together: counted, so that each run ends at the same one."""

    __slots__ = ("known", "left")

    def __init__(self, steps: int = 1 << 62) -> None:
        self.left = steps
        self.known: set[object] = set()
        """Products that were counted: to look one up again costs next to nothing."""

    @property
    def done(self) -> bool:
        """Whether no step is left."""
        return self.left <= 0

    def on(self, steps: int) -> None:
        """Count; raises TooComplex when none is left."""
        self.left -= steps
        if self.left <= 0:
            raise TooComplex([])


def like(spelled: Spelled) -> Pattern:
    """Pattern of StringLike out of characters and whether each is literal."""
    return _collapsed(_token(c, literal, STAR, ANY) for c, literal in spelled), False


def arn(spelled: Spelled) -> Pattern | None:
    """Pattern of ArnLike, whose stars cross no colon in the first five parts; None when it has not six."""
    tokens, colons = [], 0
    for character, literal in spelled:
        inside = colons < 5
        colons += inside and character == ":"
        tokens.append(
            _token(character, literal, NO_COLON_STAR if inside else STAR, NO_COLON if inside else ANY)
        )
    return (_collapsed(tokens), False) if colons == 5 else None


def exactly(text: str, *, ignore_case: bool = False) -> Pattern:
    """Pattern of one text."""
    return tuple(text), ignore_case


def _token(character: str, literal: bool, star: Token, any_: Token) -> Token:
    return character if literal or character not in "*?" else star if character == "*" else any_


def _collapsed(tokens: Iterable[Token]) -> tuple[Token, ...]:
    kept: list[Token] = []
    for token in tokens:
        if not (kept and token == kept[-1] and token in (STAR, NO_COLON_STAR)):
            kept.append(token)
    return tuple(kept)


class Automaton:
    """Several patterns side by side."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        where: dict[Token, list[int]] = {}
        self.awaited: dict[int, tuple[str, ...]] = {}
        self.first: dict[int, int] = {}
        self.ends: list[int] = []
        starts: list[int] = []
        at = 0
        for tokens, ignore_case in patterns:
            starts.append(at)
            for token in tokens:
                self._place(token, at, starts[-1], ignore_case, where)
                at += 1
            self.ends.append(at)
            at += 1
        self.bytes = at // 8 + 1
        placed = {token: positions(ats, self.bytes) for token, ats in where.items()}
        self.star, self.no_colon_star, self.any, self.no_colon, self.digit = (
            placed.pop(token, 0) for token in (STAR, NO_COLON_STAR, ANY, NO_COLON, DIGIT)
        )
        self.moves: Mapping[str, int] = placed
        self.waiting = positions(self.awaited, self.bytes)
        self.numbers = {end: i for i, end in enumerate(self.ends)}
        self.accepting = positions(self.ends, self.bytes)
        self.stars = self.star | self.no_colon_star
        self.start = self._settled(positions(starts, self.bytes), 0)
        self.fresh = next(c for c in _alphabet() if c not in self.moves)
        self.reading = 1 + self.bytes // 800
        """Steps that reading a character takes."""
        self.cost = 2 + self.bytes // 150
        """Steps that it takes to find out whether the state it leads to was met."""

    def _place(
        self, token: Token, at: int, first: int, ignore_case: bool, where: dict[Token, list[int]]
    ) -> None:
        if len(token) > 1:
            if token in (STAR, NO_COLON_STAR):
                self.first[at] = first
            where.setdefault(token, []).append(at)
            return
        both = {token: None, token.lower(): None, token.upper(): None}
        self.awaited[at] = tuple(both) if ignore_case and token.isascii() else (token,)
        for case in self.awaited[at]:
            where.setdefault(case, []).append(at)

    def _settled(self, state: int, before: int) -> int:
        """Step over stars, which may stand for nothing, and drop what each star newly reached makes needless."""
        state |= (state & self.stars) << 1
        standing = state & self.stars & ~before
        while standing:
            highest = standing.bit_length() - 1
            below = (1 << highest) - (1 << self.first[highest])
            state &= ~below
            standing &= ~(below | 1 << highest)
        return state

    def read(self, state: int, character: str) -> int:
        """Return the positions after one more character."""
        if character == ":":
            loops, moves = self.star, self.any
        else:
            loops, moves = self.stars, self.any | self.no_colon
            if "0" <= character <= "9":
                moves |= self.digit
        moves |= self.moves.get(character, 0)
        return self._settled(state & loops | (state & moves) << 1, state)

    def accepted(self, state: int) -> int:
        """Return the mask of the patterns that match what was read."""
        ended, mask = state & self.accepting, 0
        while ended:
            highest = ended.bit_length() - 1
            mask |= 1 << self.numbers[highest]
            ended ^= 1 << highest
        return mask

    def matching(self, text: str) -> int:
        """Return the mask of the patterns that match a text."""
        state = self.start
        stars, known = self.stars, self.moves
        of_any, of_digit, of_colon = self.any | self.no_colon, self.any | self.no_colon | self.digit, self.any
        for character in text:  # as `read` does, without the calls
            if character == ":":
                after = state & self.star | (state & (of_colon | known.get(character, 0))) << 1
            else:
                moves = (of_digit if "0" <= character <= "9" else of_any) | known.get(character, 0)
                after = state & stars | (state & moves) << 1
            stood, state = state, after | (after & stars) << 1
            if state & stars & ~stood:
                state = self._settled(after, stood)
            if not state:
                return 0
        return self.accepted(state)

    def branches(self, state: int) -> Iterator[str]:
        """Yield every character that leads elsewhere than the others do."""
        met: dict[str, None] = {self.fresh: None}  # first, for it makes the examples that read best
        waiting = state & self.waiting
        if waiting.bit_count() > len(self.moves):
            met |= dict.fromkeys(character for character, mask in self.moves.items() if mask & waiting)
            waiting = 0
        while waiting:
            lowest = waiting & -waiting
            waiting ^= lowest
            for case in self.awaited[lowest.bit_length() - 1]:
                met[case] = None
        if state & (self.no_colon_star | self.no_colon):
            met[":"] = None
        if state & self.digit:
            met |= dict.fromkeys([digit for digit in "1234567890" if digit not in met][:1])
        return iter(met)


def positions(held: Iterable[int], width: int) -> int:
    """Return the integer of so many bytes with these bits set: one by one it would take the square of the time."""
    laid = bytearray(width)
    for at in held:
        laid[at >> 3] |= 1 << (at & 7)
    return int.from_bytes(laid, "little")


def _alphabet() -> Iterator[str]:
    yield from _FRESH
    yield from map(chr, range(0x100, 0x20000))


@lru_cache(4096)
def beside(patterns: tuple[Pattern, ...]) -> Automaton:
    """Return the automaton of patterns side by side."""
    return Automaton(patterns)


def product(
    patterns: tuple[Pattern, ...], shapes: tuple[Pattern, ...] = (), work: Work | None = None
) -> tuple[tuple[str, int], ...]:
    """Classes of the non-empty texts that match one of the shapes (all, when none is given).

    A class is the shortest example and the mask of the patterns that match. Complete; raises TooComplex.
    """
    work = work or Work()
    tokens = sum(len(tokens) for tokens, _ in patterns)
    work.on(tokens)
    if tokens > _TOKENS:
        raise TooComplex([])
    asked = (patterns, shapes, STATES)
    held = _EXPLORED.get(asked)
    explored = held or _explored(patterns, shapes, work.left)
    counted = asked in work.known
    if explored is None or (explored.steps >= work.left and not counted):
        work.left = 0
        raise TooComplex([])
    if held is None:
        if len(_EXPLORED) >= _KEPT:
            _EXPLORED.clear()
        _EXPLORED[asked] = explored
    if not counted:
        work.known.add(asked)
        work.on(explored.steps)
    if not explored.complete:
        raise TooComplex(explored.found)
    return explored.found


@dataclass(frozen=True, slots=True)
class _Explored:
    """The classes of a product as far as the states go, the steps it took, and whether these are all."""

    found: tuple[tuple[str, int], ...]
    steps: int
    complete: bool


_EXPLORED: dict[object, _Explored] = {}
_KEPT = 4096


def _explored(patterns: tuple[Pattern, ...], shapes: tuple[Pattern, ...], steps: int) -> _Explored | None:
    """Go through the states; None when that takes more steps than there are."""
    automaton = beside(patterns + shapes)
    own = (1 << len(patterns)) - 1
    alive = sum(
        (2 << end) - (1 << (end - len(tokens)))
        for (tokens, _), end in zip(shapes, automaton.ends[len(patterns) :], strict=True)
    )
    # as bytes, for integers with few of many bits set hash alike; without the start, for texts are not empty
    seen: set[bytes] = set()
    width = automaton.bytes
    most = min(STATES, _BYTES // width)
    spent = 0
    found: dict[int, str] = {}
    frontier = [(automaton.start, "")]
    while frontier:
        following = []
        for state, text in frontier:
            for character in automaton.branches(state):
                spent += automaton.cost
                after = automaton.read(state, character)
                met = after.to_bytes(width, "little")
                if met in seen or (shapes and not after & alive):
                    continue
                seen.add(met)
                accepted = automaton.accepted(after)
                if not shapes or accepted > own:
                    found.setdefault(accepted & own, text + character)
                if len(seen) > most:
                    return _Explored(_met(found), spent, complete=False)
                following.append((after, text + character))
            if spent >= steps:
                return None
        frontier = following
    return _Explored(_met(found), spent, complete=True)


def _met(found: Mapping[int, str]) -> tuple[tuple[str, int], ...]:
    return tuple((example, mask) for mask, example in found.items())


def classes(
    owners: Mapping[Pattern, int], shapes: tuple[Pattern, ...] = (), work: Work | None = None
) -> list[tuple[str, int]]:
    """Classes of texts by the OR of the owners of the patterns that match each; see `product`.

    Texts that patterns spell out are points, looked at one by one: five hundred values need no automaton.
    """
    work = work or Work()
    work.on(len(owners))
    points: dict[str, int] = {}
    apart: list[Pattern] = []
    for pattern, mask in owners.items():
        if _is_point(*pattern):
            points["".join(pattern[0])] = mask
        else:
            apart.append(pattern)
    globs = tuple(apart)
    if not shapes and all(len(token) == 1 for tokens, _ in globs for token in tokens):
        return _without_wildcards(points, {"".join(tokens): owners[tokens, ci] for tokens, ci in globs})
    if sum(len(tokens) for tokens, _ in globs) > _TOKENS:
        raise TooComplex([])
    automaton = beside(globs + shapes)
    work.on(sum(map(len, points)) * automaton.reading)
    own = (1 << len(globs)) - 1

    def owned(mask: int) -> int:
        total = 0
        while mask:
            highest = mask.bit_length() - 1
            total |= owners[globs[highest]]
            mask ^= 1 << highest
        return total

    found = []
    for text, mask in points.items():
        matching = automaton.matching(text)
        if text and (not shapes or matching > own):
            found.append((text, mask | owned(matching & own)))
    taken: dict[str, None] = {}
    while (
        True
    ):  # an example that is a point is no example of what is no point: ask again with that point excluded
        try:
            found_apart = product(globs + tuple(exactly(text) for text in taken), shapes, work)
        except TooComplex as error:
            met = [(text, owned(mask)) for text, mask in error.found if mask <= own and text not in points]
            raise TooComplex(found + met) from None
        clear = [(text, mask) for text, mask in found_apart if mask <= own]
        hit = [text for text, _ in clear if text in points]
        if not hit:
            return found + [(text, owned(mask)) for text, mask in clear]
        taken |= dict.fromkeys(hit)


def _is_point(tokens: tuple[Token, ...], ignore_case: bool) -> bool:
    return not ignore_case and len("".join(tokens)) == len(tokens)


def _without_wildcards(points: dict[str, int], folds: dict[str, int]) -> list[tuple[str, int]]:
    """Texts spelled out, some in any case: each point, each fold in a case that is no point, and one other."""
    by_fold: dict[str, int] = {}
    for text, mask in folds.items():
        by_fold[folded(text)] = by_fold.get(folded(text), 0) | mask
    found = [(text, mask | by_fold.get(folded(text), 0)) for text, mask in points.items() if text]
    for text, mask in by_fold.items():
        cases = (
            "".join(each)
            for each in every(*(dict.fromkeys((c, c.upper() if c.isascii() else c)) for c in text))
        )
        other = next((case for case in cases if case not in points), None)
        if other:
            found.append((other, mask))
    taken = points.keys() | by_fold.keys()
    fresh = "other"
    while fresh in taken:
        fresh += "x"
    return [*found, (fresh, 0)]
