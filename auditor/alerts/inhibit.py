"""What follows from something else that is told: children of what is gone, and what rests on what cannot be read. Pure.

It is counted in the message of its cause; the end of what a channel was told of is told there too.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from auditor.alerts.items import ENDS, Item, gone
from auditor.ledger.matters import Restraints
from auditor.model import Drift

_LOOK = "auditor drift --state vanished"


@dataclass(frozen=True, slots=True)
class Hides:
    """How much each part that cannot be read keeps from being judged."""

    counts: Mapping[str, int] = field(default_factory=dict)
    """By the key of its matter."""

    def said(self, group: Sequence[Item]) -> dict[str, Any]:
        """Return what a message of these says of it."""
        count = sum(self.counts.get(item.key, 0) for item in group)
        return {"hides": {"count": count, "look": "auditor findings --state unknown"}} if count else {}


@dataclass(frozen=True, slots=True)
class Under:
    """What is gone with something else."""

    children: Mapping[str, Sequence[Item]] = field(default_factory=dict)
    """By the key of the matter they are gone with."""

    def closing(self, item: Item) -> list[str]:
        """Return the matters that are over with it, of those the channel was told of."""
        return [child.key for child in self.children.get(item.key, ()) if child.event in ENDS]

    def said(self, group: Sequence[Item]) -> dict[str, Any]:
        """Return what a message of these says of it."""
        count = sum(len(self.children.get(item.key, ())) for item in group)
        return {"inhibited": {"count": count, "look": _LOOK}} if count else {}


def blinded(
    items: Sequence[Item], lost: Sequence[tuple[str, str, Sequence[str]]]
) -> tuple[list[Item], Hides]:
    """Leave out what went unknown for what is told as unreadable now, and count it there, each once."""
    blind = [item for item in items if item.event == "scanner_blind"]
    counts: dict[str, int] = {}
    under: set[str] = set()
    for key, account, gaps in lost:
        for item in blind:
            if _rests(item, account, gaps):
                counts[item.key] = counts.get(item.key, 0) + 1
                under.add(key)
                break
    return [item for item in items if item.event != "went_unknown" or item.key not in under], Hides(counts)


def _rests(blind: Item, account: str, gaps: Sequence[str]) -> bool:
    """Say whether a finding rests on what cannot be read: one of its gaps names it."""
    table, place = str(blind.said["resource_type"]), str(blind.said["account"])
    named = re.compile(rf"(?<!\w){re.escape(table)}(?!\w)")
    return any(named.search(text) and (place in text or place in {"*", account}) for text in gaps)


def orphaned(
    items: Sequence[Item], drift: Collection[Drift], parents: Mapping[str, str]
) -> tuple[list[Item], Under]:
    """Leave out what is gone with its parent, where that is told, and count it there."""
    vanished = [
        item
        for item in items
        if not item.said.get("rule")
        and item.said.get("change") == "vanished"
        and item.said.get("field") is None
    ]
    lost = gone(drift) if vanished else {}
    heads = {
        item.resource: item
        for item in sorted(
            vanished, key=lambda item: (item.resource, str(item.said.get("resource_type")), item.key)
        )
        if (str(item.said.get("resource_type")), item.resource) in lost
    }
    if not heads:
        return list(items), Under()
    children: dict[str, list[Item]] = {}
    left = []
    for item in items:
        head = _head(item, heads, parents)
        if head is None:
            left.append(item)
        else:
            children.setdefault(head.key, []).append(item)
    return left, Under(children)


def _head(item: Item, heads: Mapping[str, Item], parents: Mapping[str, str]) -> Item | None:
    """Return the outermost thing that an item is gone with; None where it stands for itself."""
    if item.said.get("change") != "vanished" and item.event not in ENDS:
        return None
    names = [item.resource, *_above(item.resource)]
    if item.resource in parents:
        names += [parents[item.resource], *_above(parents[item.resource])]
    found = [heads[name] for name in names if name in heads and heads[name].key != item.key]
    return min(found, key=lambda head: (len(head.resource), head.resource), default=None)


def _above(resource: str) -> Iterable[str]:
    """Yield what a key may lie under: all that is before one of its separators."""
    for at, char in enumerate(resource):
        if char in "/#":
            yield resource[:at]


def with_settings_of_the_gone(
    items: Iterable[Item], drift: Collection[Drift], restraints: Restraints
) -> Iterable[Item]:
    """Yield items, and the end of what was told of the settings of resources that are gone."""
    yield from items
    settings = [
        (key, said)
        for (_, key), said in sorted(restraints.matters.items())
        if said.get("field") and not said.get("rule")
    ]
    lost = gone(drift) if settings else {}
    if not lost:
        return
    told = {
        key: said
        for key, said in settings
        if (str(said.get("resource_type")), str(said.get("resource"))) in lost
    }
    for key, said in sorted(told.items()):
        one = lost[str(said["resource_type"]), str(said["resource"])]
        group = ("of", str(said.get("account") or ""), f"{said['resource_type']}.vanished")
        more = {
            "change": "vanished",
            "because": one.because,
            "who": one.actor,
            "who_because": one.actor_reason,
        }
        severity = str(said.get("severity") or "medium")
        yield Item("vanished", key, group, severity, str(said["resource"]), {**said, **more})
