"""Which way a parameter makes its rule easier to pass, read off its checks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from auditor.rulelang.rule import Rule

Way = Literal["up", "down", ""]
_SIDE = re.compile(r"(<=|>=|<>|<|>|=)")


def looser(rule: Rule) -> dict[str, Way]:
    """Return for each parameter whether more (`up`) or less (`down`) of it lets more pass; empty when that is not plain.

    Plain is a bound on the right of a comparison that stands for itself: `lag_s <= :limit`, `got * 100 >= due * :target`.
    """
    ways: dict[str, set[str]] = {name: set() for name in rule.params}
    for check in rule.checks:
        text = " ".join(check.text.split())
        plain = not re.search(r"\bNOT\b", text, re.IGNORECASE)
        for part in re.split(r"\bAND\b|\bOR\b", text, flags=re.IGNORECASE):
            sides = _SIDE.split(part)
            for name, found in ways.items():
                if f":{name}" not in re.findall(r":\w+", part):
                    continue
                right = len(sides) == 3 and f":{name}" in re.findall(r":\w+", sides[2])
                bound = right and plain and "-" not in sides[2]
                found.add(
                    {"<": "up", "<=": "up", ">": "down", ">=": "down"}.get(sides[1], "?") if bound else "?"
                )
    for clause in (rule.when, rule.due):
        if clause is not None:
            for name in clause.params:
                ways[name].add("?")
    return {name: _way(found) for name, found in ways.items()}


def _way(found: set[str]) -> Way:
    return "up" if found == {"up"} else "down" if found == {"down"} else ""
