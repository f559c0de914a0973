"""One question: can every statement to keep match while every bad one fails? A class is chosen in each dimension.

A class fails some statements. A choice is a proof when nothing to keep fails and every bad statement fails somewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auditor.policy.classes_callers import Caller
from auditor.policy.globs import STATES, TooComplex, Work
from auditor.policy.model import DERIVED, Request

Option = tuple[Any, int]
"""A class (what it stands for) and the mask of the statements it fails."""
COMBINATIONS = 1_000_000
"""Combinations of classes after which a comparison is given up as too complex (about half a second)."""
_MINIMAL_UP_TO = 256
"""Sets of remaining statements among which those that contain another are dropped; above it costs more than it saves."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Statements (bits) that must all match, and statements that must all fail."""

    keep: int
    bad: int


@dataclass(frozen=True, slots=True)
class Scene:
    """The dimensions of the requests of one kind of caller."""

    kind: str
    dimensions: tuple[Sequence[Option], ...]
    """Callers, actions, resources, then one a group of keys."""

    def request(self, chosen: Sequence[object]) -> Request:
        """Put what was chosen in each dimension together."""
        caller, action, resource, *assigned = chosen
        assert isinstance(caller, Caller)
        assert isinstance(action, str)
        ctx = {
            key: value
            for each in assigned
            if isinstance(each, Mapping)
            for key, value in each.items()
            if value is not None and key not in DERIVED
        }
        resource = resource if isinstance(resource, str) else None
        return Request(
            self.kind, caller.principal, caller.session, action, dict(sorted(ctx.items())), resource
        )


class Spent:
    """What one comparison has looked at so far, in all its questions together."""

    def __init__(self, work: Work | None = None) -> None:
        self.combinations = 0
        self.work = work or Work()

    def on(self, combinations: int) -> None:
        """Count; raises TooComplex above COMBINATIONS."""
        self.combinations += combinations
        self.work.on(combinations // 2)
        if self.combinations > COMBINATIONS:
            raise TooComplex([])


def best(options: Sequence[Option], keep: int, bad: int) -> list[Option]:
    """Return the options that fail nothing to keep, without those that fail less of the bad than another."""
    least: dict[int, Any] = {}
    for what, fails in options:
        if not fails & keep:
            least.setdefault(fails & bad, what)
    if len(least) == 1:
        return [(what, fails) for fails, what in least.items()]
    kept: list[Option] = []
    for fails in sorted(least, key=int.bit_count, reverse=True):
        if not any(fails & other == fails for _, other in kept):
            kept.append((least[fails], fails))
    return kept


def choose(dimensions: Sequence[Sequence[Option]], bad: int, spent: Spent) -> list[Any] | None:
    """Choose one option of each dimension, of those that `best` left, so that all bad fails; None when none does.

    Raises TooComplex when more than STATES sets remain, or all is spent.
    """
    union = 0
    for options in dimensions:
        if not options:
            return None
        for _, fails in options:
            union |= fails
    if bad & ~union:
        return None
    order = sorted(range(len(dimensions)), key=lambda i: len(dimensions[i]))
    layers: list[dict[int, tuple[int, Any]]] = []
    remaining = {bad: (bad, None)}
    for i in order:
        if 0 in remaining:
            break
        following: dict[int, tuple[int, Any]] = {}
        spent.on(len(remaining) * len(dimensions[i]))
        for left in remaining:
            for what, fails in dimensions[i]:
                following.setdefault(left & ~fails, (left, what))
        if 0 in following:
            following = {0: following[0]}
        elif 1 < len(following) <= _MINIMAL_UP_TO:
            spent.on(len(following) ** 2 // 8)
            following = _minimal(following)
        elif len(following) > STATES:
            raise TooComplex([])
        layers.append(following)
        remaining = {left: (left, None) for left in following}
    if 0 not in remaining:
        return None
    chosen: list[Any] = [options[0][0] for options in dimensions]
    left = 0
    for i, layer in reversed(list(zip(order, layers, strict=False))):
        left, chosen[i] = layer[left]
    return chosen


def _minimal(following: dict[int, tuple[int, Any]]) -> dict[int, tuple[int, Any]]:
    kept: list[int] = []
    for left in sorted(following, key=int.bit_count):
        if not any(left & other == other for other in kept):
            kept.append(left)
    return {left: following[left] for left in kept}
