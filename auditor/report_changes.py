"""What drifted in the period, what people excepted, and what ends soon."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from auditor.model import SEVERITIES, Drift
from auditor.report_exports import Exports
from auditor.report_read import Past
from auditor.report_words import span, when
from auditor.rulechanges import of_rule
from auditor.watch.late import folded
from auditor.watch.told import labelled, not_decided

if TYPE_CHECKING:
    from auditor.ledger import FindingRow, WaiverRow
    from auditor.rulepack import Pack

CHANGES = 40
"""Changes of settings shown."""
SOON = timedelta(days=30)
_DIRECTION = {
    "worse": ("broken", "weaker"),
    "better": ("proven", "stronger"),
    "neutral": ("not_required", "neutral"),
}
_KINDS = ("appeared", "regressed", "changed", "resolved", "vanished")


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that changed."""

    what: str
    subject: str
    field: str
    before: str
    after: str
    words: str
    """What a changed policy lets in or keeps out now; empty for other settings."""
    mark: str
    direction: str
    severity: str
    actor: str
    actor_reason: str
    changed: str
    detected: str
    looked_before: str
    """When the scan before looked: in between it was made."""
    controls: tuple[str, ...]
    state: str
    """What stands now: still so, or changed again since."""


@dataclass(frozen=True, slots=True)
class Moves:
    """How the findings of one rule moved in the period."""

    code: str
    rule: str
    title: str
    severity: str
    counts: Mapping[str, int]
    example: str


@dataclass(frozen=True, slots=True)
class Waived:
    """One waiver."""

    id: str
    scope: str
    reason: str
    requester: str
    approver: str
    created: str
    expires: str
    left: str
    state: str
    mark: str
    covers: int


@dataclass(frozen=True, slots=True)
class Changes:
    """Parts five and six."""

    settings: tuple[Change, ...]
    settings_total: int
    worse: int
    better: int
    unattributed: int
    """Changes whose author is not known."""
    moves: tuple[Moves, ...]
    kinds: Mapping[str, int]
    waivers: tuple[Waived, ...]
    in_force: int
    idle: int
    """Waivers in force that cover nothing."""
    soon: tuple[tuple[datetime, str, str], ...]
    """Ends within 30 days: when, what, which; soonest first."""


def changes(past: Past, pack: Pack, found: Exports) -> Changes:
    """Gather parts five and six."""
    told = folded(past.drift)
    settings = [each for each in told if each.rule is None]
    settings.sort(key=_worst)
    moved = [
        each for each in told if each.rule is not None and not of_rule(each)
    ]  # these stand with their rule
    controls = _controls(past.findings)
    scans = sorted(row.at for row, _ in past.tallies)
    waivers = tuple(_exception(each, past) for each in sorted(past.waivers, key=lambda each: each.expires_at))
    return Changes(
        settings=tuple(_change(each, controls, settings, scans) for each in settings[:CHANGES]),
        settings_total=len(settings),
        worse=sum(each.direction == "worse" for each in settings),
        better=sum(each.direction == "better" for each in settings),
        unattributed=sum(each.actor is None and not of_rule(each) for each in settings),
        moves=_moves(moved, pack),
        kinds={kind: sum(each.kind == kind for each in moved) for kind in _KINDS},
        waivers=waivers,
        in_force=sum(each.state == "in force" for each in waivers),
        idle=sum(each.state == "in force" and not each.covers for each in waivers),
        soon=tuple(sorted((*_expiring(past), *_due(found), *_ending(found)))),
    )


def _due(found: Exports) -> list[tuple[datetime, str, str]]:
    return [(at, f"{link} is due", export) for at, link, export in found.due]


def _ending(found: Exports) -> list[tuple[datetime, str, str]]:
    return [
        (at, "Recovery point ends", f"{point.rpartition(':')[2]} proves {export}")
        for at, point, export in found.ending
    ]


def _worst(each: Drift) -> tuple[int, int, datetime, str, str]:
    direction = ("worse", "neutral", "better").index(each.direction) if each.direction in _DIRECTION else 1
    severity = SEVERITIES.index(each.severity) if each.severity in SEVERITIES else len(SEVERITIES)
    return (direction, severity, each.changed_at or each.detected_at, each.subject_key, each.field or "")


def _controls(findings: Sequence[FindingRow]) -> dict[str, set[str]]:
    """Return the controls that open findings touch, by what the finding speaks of."""
    found: dict[str, set[str]] = {}
    for row in findings:
        keys = {row.subject_key, *(key for _, key in row.refs)}
        for key in keys:
            found.setdefault(key, set()).update(row.controls)
    return found


def _change(
    each: Drift, controls: Mapping[str, set[str]], every: Sequence[Drift], scans: Sequence[datetime]
) -> Change:
    before = bisect_left(scans, each.detected_at)
    mark, direction = _DIRECTION.get(each.direction, _DIRECTION["neutral"])
    if each.direction == "worse" and not_decided(each.because):
        direction = "may be weaker"
    limit = (each.field or "").endswith(("_d", "_s"))
    was, has = _sides(*("none" if limit and side == "-1" else side for side in (each.before, each.after)))
    at = each.changed_at or each.detected_at
    again = any(
        other.subject_key == each.subject_key and other.field == each.field
        and (other.changed_at or other.detected_at) > at
        for other in every
    )  # fmt: skip
    gone = {"appeared": "is new", "vanished": "is gone"}
    return Change(
        what=each.subject_table.replace("_", " "),
        subject=labelled(each)[0],
        field=each.field or gone.get(each.kind, each.kind),
        before=was,
        after=has,
        words=_words(each),
        mark=mark,
        direction=direction,
        severity=each.severity,
        actor=each.actor or "",
        actor_reason=each.actor_reason.removeprefix("not found, "),
        changed=when(each.changed_at) if each.changed_at else "not known",
        detected=when(each.detected_at),
        looked_before=when(scans[before - 1]) if before else "",
        controls=tuple(sorted(controls.get(each.subject_key, ()))),
        state="changed again since" if again else "stands",
    )


def _words(each: Drift) -> str:
    said = labelled(each)[1]
    if each.kind != "changed":
        return said.removeprefix("is new").removeprefix("is gone").lstrip("; :")
    return said if ": " in said else ""


def _sides(before: str | None, after: str | None) -> tuple[str, str]:
    """Return both sides of a change; of long ones only the stretch that differs, members of lists as sets."""
    if before is None or after is None:
        return before or "–", after or "–"
    try:
        old, new = json.loads(before), json.loads(after)
    except ValueError:
        old, new = None, None
    if isinstance(old, list) and isinstance(new, list):
        gone = [each for each in old if each not in new]
        come = [each for each in new if each not in old]
        if gone or come:
            return (_told(gone, "without: ") or "–"), (_told(come, "with: ") or "–")
    if len(before) + len(after) <= 240:
        return before, after
    parts = [
        each
        for each in SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
        if each[0] != "equal"
    ]
    if not parts or len(before) + len(after) > 20_000:
        return before, after
    _, start, _, other, _ = parts[0]
    _, _, end, _, until = parts[-1]
    return f"…{before[max(0, start - 24) : end + 24]}…", f"…{after[max(0, other - 24) : until + 24]}…"


def _told(parts: Sequence[object], word: str) -> str:
    texts = [each if isinstance(each, str) else json.dumps(each, sort_keys=True) for each in parts]
    return word + ", ".join(texts) if texts else ""


def _moves(drift: Sequence[Drift], pack: Pack) -> tuple[Moves, ...]:
    rules = {rule.id: rule for rule in pack.rules}
    by_rule: dict[str, list[Drift]] = {}
    for each in drift:
        by_rule.setdefault(str(each.rule), []).append(each)
    found = []
    for name, moved in by_rule.items():
        rule = rules.get(name)
        first = min(moved, key=lambda each: (each.direction != "worse", each.subject_key))
        counts = Counter(each.kind for each in moved)
        found.append(
            Moves(
                code=rule.code if rule else "–",
                rule=name,
                title=rule.title if rule else "This rule is not at hand any more",
                severity=rule.severity if rule else "low",
                counts={kind: counts.get(kind, 0) for kind in _KINDS},
                example=first.subject_key,
            )
        )
    return tuple(sorted(found, key=lambda m: (SEVERITIES.index(m.severity), -m.counts["appeared"], m.code)))


def _exception(each: WaiverRow, past: Past) -> Waived:
    end = min(each.expires_at, each.revoked_at or each.expires_at)
    if each.revoked_at is not None and each.revoked_at <= past.as_of:
        state, mark = "revoked", "not_required"
    elif end <= past.as_of:
        state, mark = "expired", "broken"
    else:
        state, mark = "in force", "waived"
    return Waived(
        id=each.waiver_id,
        scope=f"finding {each.finding_id[:12]}" if each.finding_id else f"{each.rule} on {each.subject}",
        reason=each.reason,
        requester=each.requester,
        approver=each.approver,
        created=when(each.created_at),
        expires=when(each.expires_at),
        left=f"{span(end - past.as_of)} left" if end > past.as_of else f"{span(past.as_of - end)} ago",
        state=state,
        mark=mark,
        covers=sum(row.waiver == each.waiver_id for row in past.findings),
    )


def _expiring(past: Past) -> list[tuple[datetime, str, str]]:
    return [
        (each.expires_at, "Waiver", f"{each.waiver_id}: {each.reason}")
        for each in past.waivers
        if each.revoked_at is None and timedelta(0) < each.expires_at - past.as_of <= SOON
    ]
