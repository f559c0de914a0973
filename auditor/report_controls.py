"""Controls of each framework, and the rules that speak for them: counts that add up, and who needs to look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditor import controls as controls_of
from auditor.controls import STATUS_MEANINGS, STATUSES
from auditor.model import SEVERITIES
from auditor.report_read import Counts, Judged, Past
from auditor.report_words import change, day

if TYPE_CHECKING:
    from auditor.ledger import FindingRow
    from auditor.rulelang.rule import Rule
    from auditor.rulepack import Control, Framework, Pack

__all__ = ("STATUSES", "STATUS_MEANINGS", "Controls", "controls", "worst")
_NUMBERS = ("evidenced", "failing", "unknown", "waived", "partly", "manual")
SHOWN = 10
"""Findings shown of one rule."""


@dataclass(frozen=True, slots=True)
class RuleRow:
    """What one rule said in the last scan."""

    id: str
    code: str
    title: str
    severity: str
    entity: str
    counts: Counts
    digest: str
    where: str
    """File of the rule."""
    error: str
    """Why it did not load; empty when it did."""
    evidences: bool
    """Of the control it is listed under: it may make it evidenced."""


@dataclass(frozen=True, slots=True)
class ControlRow:
    """One control with the sums over the rules that support it."""

    id: str
    name: str
    paraphrase: str
    status: str
    counts: Counts
    trend: str
    """`better`, `worse`, `same` or empty when the week before is not known."""
    was: str
    """Status of the week before; empty when it is not known."""
    rules: tuple[RuleRow, ...]
    since: str
    """The day its oldest open failure was found; a dash for none."""


@dataclass(frozen=True, slots=True)
class FrameworkRows:
    """A framework's controls, and how many have which status."""

    name: str
    title: str
    controls: tuple[ControlRow, ...]
    statuses: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RuleFindings:
    """The open findings of one rule: the first few, and how many there are."""

    rule: RuleRow
    total: int
    waived: int
    remedy: str
    rows: tuple[FindingRow, ...]


@dataclass(frozen=True, slots=True)
class Controls:
    """Part three, and the numbers of part one."""

    frameworks: tuple[FrameworkRows, ...]
    rules: tuple[RuleRow, ...]
    """Every rule, failing ones first."""
    total: Counts
    """Over all rules: every outcome of the scan once."""
    findings: tuple[RuleFindings, ...]
    numbers: Mapping[str, tuple[int, str]]
    """Controls failing, unknown, waived, evidenced: how many, and how that moved."""
    controls: int
    same_rules: bool
    """The rules at hand are those the scan was judged with."""
    orphans: int
    """Outcomes of rules that are not at hand any more."""


def controls(past: Past, pack: Pack) -> Controls:
    """Sum up every control over its rules; a control without a verdict is never good."""
    judged = past.last
    rows = {rule.id: _rule_row(rule, judged) for rule in pack.rules}
    since = _since(past.findings)
    frameworks = tuple(_framework(each, pack, rows, past, since) for each in pack.frameworks)
    every = [control for framework in frameworks for control in framework.controls]
    known = {*rows, *(rule.id for rule in pack.broken_rules)}
    gone = [
        counts.population for rule, counts in (judged.rules if judged else {}).items() if rule not in known
    ]
    broken = tuple(_broken_row(rule) for rule in pack.broken_rules)
    return Controls(
        frameworks=frameworks,
        rules=tuple(sorted((*rows.values(), *broken), key=_worst_rule)),
        total=sum(judged.rules.values(), Counts()) if judged else Counts(),
        findings=_findings(past.findings, rows),
        numbers={word: _number(word, every) for word in _NUMBERS},
        controls=len(every),
        same_rules=judged is None or judged.scan.rule_digest == pack.digest,
        orphans=sum(gone),
    )


def _rule_row(rule: Rule, judged: Judged | None, evidences: bool = False) -> RuleRow:
    return RuleRow(
        id=rule.id,
        code=rule.code,
        title=rule.title,
        severity=rule.severity,
        entity=rule.entity,
        counts=(judged.rules.get(rule.id) if judged else None) or Counts(),
        digest=rule.digest,
        where=rule.path.rsplit("/", 1)[-1],
        error="",
        evidences=evidences,
    )


def _broken_row(rule: object) -> RuleRow:
    from auditor.rulelang.rule import BrokenRule

    assert isinstance(rule, BrokenRule)
    return RuleRow(
        rule.id or "a rule without an id", rule.code, rule.title, rule.severity, rule.entity, Counts(), "",
        rule.path.rsplit("/", 1)[-1], rule.text.rsplit("/", 1)[-1], False,
    )  # fmt: skip


def _worst_rule(row: RuleRow) -> tuple[int, int, int, str, str]:
    counts = row.counts
    rank = SEVERITIES.index(row.severity) if row.severity in SEVERITIES else len(SEVERITIES)
    group = 0 if row.error else 1 if counts.failed else 2 if counts.unknown else 3 if counts.waived else 4
    return (group, rank, -counts.failed - counts.unknown, row.code, row.id)


def _framework(
    framework: Framework, pack: Pack, rows: Mapping[str, RuleRow], past: Past, since: Mapping[str, str]
) -> FrameworkRows:
    found = tuple(_control(control, pack, rows, past, since) for control in framework.controls)
    statuses = {word: sum(row.status == word for row in found) for word in STATUSES}
    return FrameworkRows(framework.name, framework.title, found, statuses)


def _control(
    control: Control, pack: Pack, rows: Mapping[str, RuleRow], past: Past, since: Mapping[str, str]
) -> ControlRow:
    supporting = [rule for rule in pack.rules if control.name in rule.controls]
    broken = [rule for rule in pack.broken_rules if control.name in rule.controls]
    evidencing = {rule.id for rule in supporting if control.name in rule.evidences}
    counts = sum((rows[rule.id].counts for rule in supporting), Counts())
    status = controls_of.status(
        control,
        {r.id: rows[r.id].counts for r in supporting},
        evidencing,
        broken=bool(broken),
        judged=past.last is not None and past.last.judgement is not None,
    )
    was = ""
    if past.before is not None and past.before.judgement is not None:
        then = {rule.id: past.before.rules.get(rule.id, Counts()) for rule in supporting}
        was = controls_of.status(control, then, evidencing, broken=bool(broken), judged=True)
    listed = [_rule_row(rule, past.last, rule.id in evidencing) for rule in supporting]
    return ControlRow(
        id=control.id,
        name=control.name,
        paraphrase=control.paraphrase,
        status=status,
        counts=counts,
        trend=_trend(status, was),
        was=was,
        rules=tuple(sorted((*listed, *map(_broken_row, broken)), key=_worst_rule)),
        since=since.get(control.name, "–"),
    )


_GOODNESS = {"failing": 0, "unknown": 1, "waived": 2, "partly": 3, "evidenced": 4}


def _trend(now: str, was: str) -> str:
    if not was:
        return ""
    if now == was or now not in _GOODNESS or was not in _GOODNESS:
        return "same" if now == was else "changed"
    return "better" if _GOODNESS[now] > _GOODNESS[was] else "worse"


def _since(findings: Sequence[FindingRow]) -> dict[str, str]:
    """Return since when each control has an open failure that nobody waived."""
    oldest: dict[str, str] = {}
    for row in findings:
        if row.verdict == "fail" and row.waiver is None:
            at = day(row.last_fail_at and row.opened_at)
            for name in row.controls:
                oldest[name] = min(at, oldest.get(name, at))
    return oldest


def _findings(findings: Sequence[FindingRow], rows: Mapping[str, RuleRow]) -> tuple[RuleFindings, ...]:
    by_rule: dict[str, list[FindingRow]] = {}
    for row in findings:
        by_rule.setdefault(row.rule, []).append(row)
    shown = max(3, min(SHOWN, 200 // max(1, len(by_rule))))
    listed = [
        RuleFindings(
            rule=rows.get(rule) or _gone(found[0]),
            total=len(found),
            waived=sum(row.waiver is not None for row in found),
            remedy=found[0].remedy,
            rows=tuple(_varied(found)[:shown]),
        )
        for rule, found in by_rule.items()
    ]
    return tuple(sorted(listed, key=lambda each: _worst_rule(each.rule)))


def _varied(findings: Sequence[FindingRow]) -> list[FindingRow]:
    """Sort findings so that no reason is told again before every other was told once."""
    told: Counter[str] = Counter()
    ordered: list[tuple[bool, bool, int, int]] = []
    found = sorted(findings, key=worst)
    for at, row in enumerate(found):
        ordered.append((row.waiver is not None, row.verdict != "fail", told[row.because], at))
        told[row.because] += 1
    return [found[at] for _, _, _, at in sorted(ordered)]


def _gone(row: FindingRow) -> RuleRow:
    return RuleRow(row.rule, row.code, "This rule is not at hand any more", row.severity, row.subject_table,
                   Counts(), "", "", "", False)  # fmt: skip


def worst(row: FindingRow) -> tuple[bool, bool, int, float, str, str]:
    """Sort findings: waived last, what fails before what is unknown, the severe first, then the newest."""
    rank = SEVERITIES.index(row.severity) if row.severity in SEVERITIES else len(SEVERITIES)
    return (
        row.waiver is not None,
        row.verdict != "fail",
        rank,
        -row.opened_at.timestamp(),
        row.rule,
        row.subject_key,
    )


def _number(word: str, rows: Sequence[ControlRow]) -> tuple[int, str]:
    now = sum(row.status == word for row in rows)
    known = any(row.was for row in rows)
    return now, change(now, sum(row.was == word for row in rows) if known else None)
