"""One question: can every statement to keep match while every bad one fails? A class is chosen in each dimension.

A class fails some statements. A choice is a proof when nothing to keep fails and every bad statement fails somewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auditor.policy.globs import STATES, TooComplex

Option = tuple[Any, int]
"""A class (what it stands for) and the mask of the statements it fails."""
_MINIMAL_UP_TO = 256
"""Sets of remaining statements among which those that contain another are dropped; above it costs more than it saves."""


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


def choose(dimensions: Sequence[Sequence[Option]], bad: int) -> list[Any] | None:
    """Choose one option of each dimension, of those that `best` left, so that all bad fails; None when none does.

    Raises TooComplex when more than STATES sets remain.
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
        for left in remaining:
            for what, fails in dimensions[i]:
                following.setdefault(left & ~fails, (left, what))
        if 0 in following:
            following = {0: following[0]}
        elif 1 < len(following) <= _MINIMAL_UP_TO:
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
