"""What may be said of a control: one computation for the command line and the reports.

A control is never well without evidence: `evidenced` needs a pass of a rule that evidences it, and nothing that fails or is
unknown. The parts of a population always add up to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditor.report_read import Counts

if TYPE_CHECKING:
    from auditor.rulepack import Control, Pack

STATUSES = {
    "failing": ("broken", "failing"),
    "unknown": ("unknown", "unknown"),
    "waived": ("waived", "waived"),
    "evidenced": ("proven", "evidenced"),
    "partly": ("partly", "partly evidenced"),
    "not_due": ("pending", "nothing due"),
    "nothing": ("not_required", "nothing to judge"),
    "manual": ("manual", "manual evidence needed"),
}
"""Status of a control: the mark it is shown with, and its words; worst first."""
STATUS_MEANINGS = {
    "failing": "At least one rule that supports it fails on at least one subject, and no waiver covers that.",
    "unknown": "Nothing fails, but something could not be seen, or a rule that supports it did not load.",
    "waived": "All that fails or is unknown is covered by a waiver in force.",
    "evidenced": "Everything that was judged passes, among it a rule that can evidence the control.",
    "partly": "Everything that was judged passes, but no rule among it evidences the whole control.",
    "not_due": "All there is to judge is not due yet.",
    "nothing": "Rules support it, and nothing in scope is theirs to judge.",
    "manual": "No rule evidences it: a person has to.",
}
COVERAGE = ("evidenced", "partly", "manual", "not_in_scope")
"""What evidence of a control there is, whatever it says: by rules alone, in part, by a person, or nothing in scope."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One control over the rules that support it."""

    control: Control
    status: str
    """A key of STATUSES."""
    coverage: str
    """One of COVERAGE."""
    rules: tuple[str, ...]
    """Ids of the rules that support it and loaded."""
    not_loaded: tuple[str, ...]
    counts: Counts


def standings(
    pack: Pack, counts: Mapping[str, Counts], *, judged: bool, framework: str = ""
) -> list[Standing]:
    """Return every control of a framework, or of all. `counts`: outcomes by rule id; `judged`: there are any to speak of."""
    return [
        standing(control, pack, counts, judged=judged)
        for each in pack.frameworks
        if framework in ("", each.name)
        for control in each.controls
    ]


def standing(control: Control, pack: Pack, counts: Mapping[str, Counts], *, judged: bool) -> Standing:
    """Return what may be said of one control."""
    supporting = [rule for rule in pack.rules if control.name in rule.controls]
    broken = sorted(
        one.code or one.id or one.path for one in pack.broken_rules if control.name in one.controls
    )
    mine = {rule.id: counts.get(rule.id, Counts()) for rule in supporting}
    evidencing = {rule.id for rule in supporting if control.name in rule.evidences}
    found = status(control, mine, evidencing, broken=bool(broken), judged=judged)
    total = sum(mine.values(), Counts())
    return Standing(control, found, coverage(control, found, total), tuple(mine), tuple(broken), total)


def status(
    control: Control, rules: Mapping[str, Counts], evidencing: set[str], *, broken: bool, judged: bool
) -> str:
    """Return a control's status by the outcomes of the rules that support it, the worst that holds."""
    counts = sum(rules.values(), Counts())
    if counts.failed:
        return "failing"
    if counts.unknown or broken:
        return "unknown"
    if not rules:
        return "manual"
    if not judged:
        return "unknown"
    if counts.waived:
        return "waived"
    if counts.passed:
        passing = any(rules[rule].passed for rule in evidencing)
        return "manual" if control.manual else "evidenced" if passing else "partly"
    if control.manual:
        return "manual"
    return "not_due" if counts.not_due else "nothing"


def coverage(control: Control, found: str, counts: Counts) -> str:
    """Return what evidence there is: `evidenced` is said only of what is evidenced, never of what could be."""
    if found == "evidenced":
        return "evidenced"
    if control.manual or found == "manual":
        return "manual"
    if found in ("nothing", "not_due") or not counts.population - counts.not_applicable - counts.not_due:
        return "manual" if found == "unknown" else "not_in_scope"
    return "partly"
