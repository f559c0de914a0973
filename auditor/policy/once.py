"""JSON in which no key may stand twice: a parser would keep the last without a word, and a policy may mean the first."""

from __future__ import annotations

from typing import Any


class TwiceError(ValueError):
    """An object holds a key twice."""


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of the pairs of a JSON text, for `object_pairs_hook`; TwiceError where a key stands twice."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise TwiceError(f"key {key!r} stands twice in one object")
        found[key] = value
    return found
