"""What changed rules of a bucket come to: how long its objects are kept, and where they are replicated to.

By what the enabled rules do together: their ids and their order say nothing, and one that another takes in adds nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auditor.watch.told import TORN, UNREADABLE, Told, only, weighed

Rule = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scope:
    """The objects that a rule takes."""

    prefix: str
    tags: frozenset[tuple[str, str]]
    above: int
    """Bytes that an object must be larger than; -1: any."""
    below: int | None
    """Bytes that it must be smaller than."""

    def holds(self, other: Scope) -> bool:
        """Say whether it takes all that another takes."""
        return (
            other.prefix.startswith(self.prefix)
            and self.tags <= other.tags
            and self.above <= other.above
            and (self.below is None or (other.below is not None and other.below <= self.below))
        )

    def __str__(self) -> str:
        said = f"under {self.prefix}" if self.prefix else "of the whole bucket"
        said += f" with the tags {', '.join('='.join(tag) for tag in sorted(self.tags))}" if self.tags else ""
        said += f" larger than {self.above} B" if self.above >= 0 else ""
        return said + (f" smaller than {self.below} B" if self.below is not None else "")


@dataclass(frozen=True, slots=True)
class _End:
    """One way in which objects end."""

    scope: Scope
    what: str
    dated: str
    """A day; empty: by age."""
    days: int
    spared: int
    """Newer versions that are spared."""

    def takes(self, other: _End) -> bool:
        """Say whether whatever ends by another ends by this one, and no later."""
        return (
            self._comparable(other)
            and self.dated <= other.dated
            and self.days <= other.days
            and self.spared <= other.spared
        )

    def _comparable(self, other: _End) -> bool:
        return (
            self.what == other.what
            and bool(self.dated) == bool(other.dated)
            and self.scope.holds(other.scope)
        )

    def beside(self, other: _End) -> bool:
        """Say whether the two end the same objects by clocks that cannot be compared."""
        return (
            self.what == other.what
            and bool(self.dated) != bool(other.dated)
            and (self.scope.holds(other.scope) or other.scope.holds(self.scope))
        )

    def when(self) -> str:
        at = f"on {self.dated[:10]}" if self.dated else f"after {self.days} d"
        return at + (f" but for the {self.spared} newest" if self.spared else "")


def lifecycle(was: str, has: str) -> Told | None:
    """Tell of lifecycle rules: what ends sooner is weaker, what is kept longer is stronger."""
    return _rules(was, has, _ends_told, "Transition, abort or another part of its rules differs")


def replication(was: str, has: str) -> Told | None:
    """Tell of replication rules: what goes nowhere any more is weaker."""
    return _rules(was, has, _replicas_told, "how they replicate differs, not what")


def _rules(
    was: str,
    has: str,
    told: Callable[[Sequence[Rule], Sequence[Rule]], tuple[list[str], list[str], list[str]]],
    else_: str,
) -> Told | None:
    try:
        old, new = ([_plain(rule) for rule in json.loads(text)] for text in (was, has))
        sides = only(old, new), only(new, old)
        if not any(sides):
            return None
        on = [[rule for rule in rules if rule.get("Status") == "Enabled"] for rules in (old, new)]
        weaker, stronger, unsure = told(*on)
    except TORN:
        return UNREADABLE
    if not (weaker or stronger or unsure):
        else_ = (
            else_ if only(on[0], on[1]) or only(on[1], on[0]) else "only rules that are not enabled differ"
        )
        return Told(says=else_, before=_text(sides[0]), after=_text(sides[1]))
    return weighed(weaker, stronger, unsure, sides=sides)


def _text(rules: Sequence[Rule]) -> str:
    return json.dumps(rules, sort_keys=True, ensure_ascii=False)


def _plain(rule: Rule) -> dict[str, Any]:
    """Return a rule without its id, its scope in one form."""
    scope = _scope(rule)
    rest = {key: value for key, value in rule.items() if key not in ("ID", "Filter", "Prefix")}
    where: dict[str, Any] = {"Prefix": scope.prefix}
    if scope.tags:
        where["Tags"] = [{"Key": key, "Value": value} for key, value in sorted(scope.tags)]
    if scope.above >= 0:
        where["ObjectSizeGreaterThan"] = scope.above
    if scope.below is not None:
        where["ObjectSizeLessThan"] = scope.below
    return {**rest, "Filter": where}


def _scope(rule: Rule) -> Scope:
    where = rule.get("Filter") or {}
    inner = {**where, **(where.get("And") or {})}
    tags = [*(inner.get("Tags") or ()), *([inner["Tag"]] if inner.get("Tag") else ())]
    below = inner.get("ObjectSizeLessThan")
    return Scope(
        str(rule.get("Prefix") or inner.get("Prefix") or ""),
        frozenset((str(tag["Key"]), str(tag["Value"])) for tag in tags),
        int(inner.get("ObjectSizeGreaterThan", -1)),
        None if below is None else int(below),
    )


# What ends.


def _ends(rules: Sequence[Rule]) -> list[_End]:
    return list(dict.fromkeys(end for rule in rules for end in _of(rule)))


def _of(rule: Rule) -> Iterator[_End]:
    scope, now, then = (
        _scope(rule),
        rule.get("Expiration") or {},
        rule.get("NoncurrentVersionExpiration") or {},
    )
    if now.get("Date"):
        yield _End(scope, "objects", str(now["Date"]), 0, 0)
    elif now.get("Days") is not None:
        yield _End(scope, "objects", "", int(now["Days"]), 0)
    if then:
        spared = int(then.get("NewerNoncurrentVersions") or 0)
        yield _End(scope, "versions that are not current", "", int(then.get("NoncurrentDays") or 0), spared)


def _ends_told(old: Sequence[Rule], new: Sequence[Rule]) -> tuple[list[str], list[str], list[str]]:
    before, after = _ends(old), _ends(new)
    sooner = [end for end in after if not any(one.takes(end) for one in before)]
    later = [end for end in before if not any(one.takes(end) for one in after)]
    unsure = [end for end in sooner if any(end.beside(one) for one in later)]
    weaker = [_became(end, before) for end in sooner if end not in unsure]
    stronger = []
    for end in later:
        if any(end.beside(one) for one in sooner):
            continue
        now = [one for one in after if one.scope == end.scope and one.what == end.what and one not in sooner]
        stronger += [_became(one, [end]) for one in now] or [
            f"{end.what} {end.scope} no longer end {end.when()}"
        ]
    said = [f"{end.what} {end.scope} now end {end.when()}, by another clock than before" for end in unsure]
    return weaker, stronger, said


def _became(end: _End, before: Sequence[_End]) -> str:
    """Say when something ends now, and when it did."""
    then = [one.when() for one in before if one.scope == end.scope and one.what == end.what]
    return f"{end.what} {end.scope} now end {end.when()}{f' instead of {then[0]}' if then else ''}"


# What is replicated.


@dataclass(frozen=True, slots=True)
class _Copy:
    scope: Scope
    to: str
    encrypted: bool
    """What KMS encrypts too."""

    def takes(self, other: _Copy, *, anywhere: bool = False) -> bool:
        return (
            (anywhere or self.to == other.to)
            and self.scope.holds(other.scope)
            and (self.encrypted or not other.encrypted)
        )

    def __str__(self) -> str:
        return f"objects {self.scope}{' (what KMS encrypts too)' if self.encrypted else ''}"


def _replicas(rules: Sequence[Rule]) -> list[_Copy]:
    found = []
    for rule in rules:
        chosen = (rule.get("SourceSelectionCriteria") or {}).get("SseKmsEncryptedObjects") or {}
        to = str((rule.get("Destination") or {}).get("Bucket", ""))
        found.append(_Copy(_scope(rule), to, chosen.get("Status") == "Enabled"))
    return list(dict.fromkeys(found))


def _replicas_told(old: Sequence[Rule], new: Sequence[Rule]) -> tuple[list[str], list[str], list[str]]:
    before, after = _replicas(old), _replicas(new)
    gone = [one for one in before if not any(each.takes(one) for each in after)]
    come = [one for one in after if not any(each.takes(one) for each in before)]
    moved = [one for one in gone if any(each.takes(one, anywhere=True) for each in come)]
    weaker = [f"{one} are no longer replicated to {one.to}" for one in gone if one not in moved]
    unsure = [f"{one} go to another bucket than {one.to}" for one in moved]
    stronger = [
        f"{one} are now replicated to {one.to}"
        for one in come
        if not any(one.takes(each, anywhere=True) for each in moved)
    ]
    return weaker, stronger, unsure
