"""Rules that changed between two scans: told as changes of rules, and not as drift of what they judge. Pure."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from auditor.model import Drift

TABLE = "rule"
"""In `Drift.subject_table`: what changed is a rule."""
_OF_RULE = "not asked, because its rule "
_ROW = "not asked, because a rule is changed in a file, which no trail records"

Definition = Mapping[str, Any]
"""How a rule was defined: `text`, a digest, and `params`, its values by zone and name."""


class _Rule(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def digest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class RuleChange:
    """What became of one rule since the scan before."""

    kind: str
    """`appeared`, `changed` or `vanished`."""
    field: str | None
    """`definition`, `params` or, of a rule that came or went, None."""
    before: str | None
    after: str | None
    words: str


def definitions(
    rules: Iterable[_Rule], broken: Iterable[str], params: Iterable[Mapping[str, Any]]
) -> dict[str, Definition | None]:
    """Return how each rule is defined, None for one that does not load; `params` are rows of that table."""
    values: dict[str, dict[str, str]] = {}
    for row in params:
        said = row["value"] if isinstance(row["value"], str) else json.dumps(row["value"], sort_keys=True)
        values.setdefault(str(row["rule"]), {})[f"{row['name']} of {row['zone']}"] = said
    found: dict[str, Definition | None] = {each: None for each in broken if each}
    return found | {rule.id: {"text": rule.digest, "params": values.get(rule.id, {})} for rule in rules}


def changes(
    before: Mapping[str, Definition | None] | None, after: Mapping[str, Definition | None]
) -> dict[str, RuleChange]:
    """Return what changed, by rule; nothing where it is not known how they were. One that no longer loads is no change."""
    found: dict[str, RuleChange] = {}
    for rule in sorted({*(before or ()), *after}) if before is not None else ():
        old, new = (before or {}).get(rule), after.get(rule)
        if rule not in after:
            found[rule] = RuleChange("vanished", None, None, None, "is no longer in the rule set")
        elif new is not None and rule not in (before or {}):
            found[rule] = RuleChange("appeared", None, None, None, "is new")
        elif new is not None and old != new:
            found[rule] = _changed(old, new)
    return found


def _changed(old: Definition | None, new: Definition) -> RuleChange:
    if old is None:
        return RuleChange("changed", "definition", None, new["text"][:12], "it loads again")
    was, has = dict(old["params"]), dict(new["params"])
    moved = sorted(name for name in {*was, *has} if was.get(name) != has.get(name))
    said = [f"{name}: {was.get(name, 'none')} → {has.get(name, 'none')}" for name in moved]
    if old["text"] != new["text"]:
        return RuleChange(
            "changed",
            "definition",
            old["text"][:12],
            new["text"][:12],
            "; ".join(["its text changed", *said]),
        )
    before, after = (
        json.dumps({name: each.get(name) for name in moved}, sort_keys=True) for each in (was, has)
    )
    return RuleChange("changed", "params", before, after, "; ".join(said))


@dataclass(slots=True)
class Changed:
    """What changed of rules, and how many findings moved with each: rows are told after the findings."""

    changes: Mapping[str, RuleChange]
    _moved: Counter[str] = field(default_factory=Counter)

    def marked(self, one: Drift) -> Drift:
        """Say of a finding that moved that its rule changed, unless somebody is known to have changed what it is about."""
        change = self.changes.get(one.rule or "")
        if change is None or one.rule is None:
            return one
        self._moved[one.rule] += 1
        how = {"appeared": "is new", "vanished": "is gone"}.get(change.kind, "changed")
        reason = f"{_OF_RULE}{how} since the scan before"
        return one if one.actor is not None else replace(one, actor_reason=reason)

    def rows(self, now: datetime) -> Iterator[Drift]:
        """Yield the changes of rules themselves."""
        for rule, change in sorted(self.changes.items()):
            yield _row(rule, change, self._moved[rule], now)


def _row(rule: str, change: RuleChange, moved: int, now: datetime) -> Drift:
    parts = [TABLE, change.kind, rule, change.field, change.before, change.after, now.isoformat()]
    said = f"{change.field} changed: " if change.field else ""
    with_it = f"; {moved} {'finding' if moved == 1 else 'findings'} moved with it" if moved else ""
    return Drift(
        drift_id=hashlib.sha256(json.dumps(parts).encode()).hexdigest(),
        kind=change.kind,
        rule=None,
        subject_table=TABLE,
        subject_key=rule,
        field=change.field,
        before=change.before,
        after=change.after,
        direction="neutral",
        changed_at=None,
        detected_at=now,
        actor=None,
        actor_reason=_ROW,
        severity="medium",
        because=f"{rule}: {said}{change.words}{with_it}",
    )


def of_rule(one: Drift) -> bool:
    """Say whether this is a change of a rule, or a finding that moved when its rule changed."""
    return one.actor is None and (
        one.actor_reason.startswith(_OF_RULE) if one.rule else one.subject_table == TABLE
    )


def why(one: Drift) -> str:
    """Say in short what became of the rule of such a finding."""
    return "its rule " + one.actor_reason.removeprefix(_OF_RULE).removesuffix(" since the scan before")


def count(drift: Collection[Drift]) -> int:
    """Return how many of these are findings that moved when their rule changed."""
    return sum(one.rule is not None and of_rule(one) for one in drift)
