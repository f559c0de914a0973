"""What is told for the first time because somebody began to look, and not because it happened: one summary of it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from auditor.model import Drift, Gap, Outcome, Seen
from auditor.rulechanges import of_rule

if TYPE_CHECKING:
    from auditor.rulelang.rule import Rule

FIRST, RULES, READ = "first", "rules", "read"
"""The first scan; rules that are new or changed; what is read for the first time."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """What this scan looked at, or by, for the first time."""

    first: bool = False
    """It is the first scan."""
    read: Collection[tuple[str, str]] = ()
    """(table, account or project) that no scan before tried to read."""
    rests: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Rule to the tables that it rests on."""

    def why(self, one: Drift, outcome: Outcome | None) -> str:
        """Say why a drift is no news of what it is about; empty where it is."""
        if self.first:
            return FIRST
        if of_rule(one):
            return RULES
        if one.actor is not None or outcome is None or one.kind == "regressed":
            return ""
        homes = {"*", outcome.account, outcome.project} - {None}
        on = self.rests.get(outcome.rule, frozenset())
        return (
            READ if any(table in on and (len(homes) == 1 or at in homes) for table, at in self.read) else ""
        )


NOTHING = Fresh()


def fresh(before: Iterable[Seen | Gap] | None, now: Iterable[Seen | Gap], rules: Iterable[Rule]) -> Fresh:
    """Compare what the scan before tried to read with what this one did; None before: there was none."""
    if before is None:
        return Fresh(first=True)
    known = _tried(before)
    read = {(table, at) for table, at in _tried(now) if not {(table, at), (table, "*")} & known}
    if not read:
        return NOTHING
    tables = {table for table, _ in read}
    rests = {
        rule.id: frozenset(
            {*(table for table, _ in rule.reads), *(name for name, _ in rule.table.listed_by)} & tables
        )
        for rule in rules
    }
    return Fresh(read=frozenset(read), rests=rests)


def _tried(coverage: Iterable[Seen | Gap]) -> set[tuple[str, str]]:
    return {
        (part.table, part.account)
        for part in coverage
        if not (isinstance(part, Gap) and part.reason == "not_configured")
    }


def title(why: str, items: Collection[tuple[str, str]]) -> str:
    """Return the title of a summary of these, (rule or empty, table) each."""
    count = len(items)
    some = "1 matter" if count == 1 else f"{count} matters"
    if why == FIRST:
        return f"The first scan: {some} to begin with"
    if why == READ:
        return f"Read for the first time: {some} to begin with"
    rules = sorted({rule for rule, _ in items if rule})
    named = rules[0] if len(rules) == 1 else f"{len(rules)} rules"
    return f"{named} changed or new: {some} of them, and not of what they judge"
