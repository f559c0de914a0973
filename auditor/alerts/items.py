"""What a scan found, as matters to tell: each with what it is known by, its cause and all there is to say. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from auditor.alerts.fresh import NOTHING, Fresh
from auditor.alerts.text import clean, iso
from auditor.baselines import is_back
from auditor.drift import finding_id
from auditor.ledger import RuleNote
from auditor.ledger.matters import OpenFinding
from auditor.ledger.stands import SCAN
from auditor.model import SEVERITIES, Drift, Gap, Outcome, Seen, Verdict
from auditor.watch.authors import is_late, trace
from auditor.watch.gcp import TABLES as GOOGLE
from auditor.watch.gcp import project_of
from auditor.watch.undo import undo

ENDS = frozenset({"recovered", "vanished"})
_SHORT = (
    "resource", "resource_type", "rule", "code", "field", "severity", "zone", "owner", "account", "controls",
    "because", "finding_id", "remedy",
)  # fmt: skip
"""What is kept of a matter for its reminders."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to tell, before it is grouped."""

    event: str
    key: str
    group: tuple[str, ...]
    severity: str
    resource: str
    said: Mapping[str, Any]
    fresh: str = ""
    """Why it is no news but the beginning of looking, a word of `auditor.alerts.fresh`; empty: it is news."""

    @property
    def sight(self) -> bool:
        """Say whether it is about what can be read, which nothing keeps from being told."""
        return self.group[0] == "sight"

    @property
    def begins(self) -> bool:
        """Say whether it is an opening, which may be the third of a day: a setting opens when it gets worse."""
        if self.event == "worsened":
            return not self.said.get("rule")
        return self.event in {"opened", "regressed", "scanner_blind"}

    @property
    def finding_id(self) -> str:
        return str((self.said.get("evidence") or {}).get("finding_id") or "")

    def short(self) -> dict[str, Any]:
        """Return what is kept of it."""
        cut = {"finding_id": self.finding_id, "because": clean(self.said.get("because"), 200)}
        said = ((name, cut[name] if name in cut else self.said.get(name)) for name in _SHORT)
        return {name: value for name, value in said if value}


def dedup_key(kind: str, resource: str, drift_class: str) -> str:
    """Return what a matter is known by, whatever the words, the scan or the rule's version."""
    return hashlib.sha256(_as_json([kind, resource, drift_class]).encode()).hexdigest()


_as_json = json.JSONEncoder(separators=(",", ":")).encode


def finding_key(found: OpenFinding) -> str:
    """Return what a finding is known by."""
    return dedup_key("finding", about(found.subject_table, found.subject_key), found.rule)


def about(table: str, key: str) -> str:
    """Return what a matter is of: a scan as such, whichever it is, for each is a subject of its own."""
    return SCAN if table == SCAN else f"{table}/{key}"


def rank(severity: str) -> int:
    """Return where a severity stands, 0 the worst."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def drifted(
    drift: Collection[Drift],
    outcomes: Iterable[Outcome],
    rules: Mapping[str, RuleNote],
    wanted: Callable[[str, str, str], bool],
    previous_at: datetime | None,
    homes: Callable[[], Mapping[str, str]],
    fresh: Fresh = NOTHING,
) -> Iterator[Item]:
    """Yield what moved and somebody wants to hear, asked by event, key and severity: most of what moves nobody asked for.

    `homes` tells the bucket of each export: what follows of a change is told with it.
    """
    causes: dict[str, str] = {}
    told: list[tuple[Drift, str, str]] = []
    of_scans = [one for one in drift if one.subject_table == SCAN and one.rule]
    lasts = {_key(one) for one in of_scans if one.after is not None}
    unknown = {_key(one) for one in of_scans if (one.before, one.after) == ("unknown", None)}
    for one in drift:
        if one.rule is None and one.actor:
            causes[one.subject_key] = one.actor
        key = _key(one)
        event = _finding_event(one) if one.rule else _setting_event(one)
        if (
            one.rule is None
            and (one.kind != "changed" or (is_back(one) and not is_late(one)))
            and event == "changed"
            and wanted("recovered", key, one.severity)
        ):
            event = "vanished" if one.kind == "vanished" and one.direction == "neutral" else "recovered"
        if one.subject_table == SCAN and event == "went_unknown" and key in unknown:
            event = None
        if one.subject_table == SCAN and event == "vanished":  # the scan before, as a subject
            event = None if key in lasts else "recovered"
            one = replace(one, kind="resolved", because="the last scan does not fail it")  # noqa: PLW2901
        if event is not None and wanted(event, key, one.severity):
            told.append((one, event, key))
    subjects = {(one.rule, one.subject_key) for one, _, _ in told if one.rule}
    judged = {(o.rule, o.subject_key): o for o in outcomes if (o.rule, o.subject_key) in subjects}
    places = {one.subject_key: one.account or one.project for one in judged.values()}
    near = homes() if causes and any(one.subject_table == "export" for one, _, _ in told) else {}
    for one, moved, key in told:
        outcome = judged.get((one.rule or "", one.subject_key))
        event = moved
        if moved == "worsened" and outcome is not None and outcome.verdict is Verdict.UNKNOWN:
            event = (
                "went_unknown"  # what cannot be judged is no worse for being more severe, or for more reasons
            )
            if not wanted(event, key, one.severity):
                continue
        account = (
            outcome.account or outcome.project if outcome else places.get(one.subject_key)
        ) or _account(one)
        actor = one.actor or causes.get(one.subject_key) or causes.get(near.get(one.subject_key, ""))
        account = account or (_place(actor, 4) if actor else "")
        group = ("by", actor, account) if actor else ("of", account, one.rule or _setting(one))
        said = _said(one, outcome, account, rules.get(one.rule or "", RuleNote()), previous_at)
        why = "" if actor else fresh.why(one, outcome)
        yield Item(event, key, group, one.severity, one.subject_key, said, why)


def hidden(drift: Iterable[Drift], outcomes: Iterable[Outcome]) -> list[tuple[str, str, Sequence[str]]]:
    """Return what could no longer be judged in this scan: its key, its account, and the gaps behind it."""
    lost = {
        (one.rule, one.subject_key): one
        for one in drift
        if one.rule and one.after == "unknown" and _finding_event(one) == "went_unknown"
    }
    if not lost:
        return []
    found: dict[tuple[str | None, str], tuple[str, Sequence[str]]] = {}
    for outcome in outcomes:
        if (outcome.rule, outcome.subject_key) in lost:
            account = outcome.account or outcome.project or ""
            found[outcome.rule, outcome.subject_key] = (account, (*outcome.gaps, outcome.because))
    return [
        (_key(one), *found.get(name, (_account(one), (one.because,))))
        for name, one in sorted(lost.items(), key=str)
    ]


def sight(coverage: Sequence[Seen | Gap]) -> Iterator[Item]:
    """Tell once when a source cannot be read, and once when it can again."""
    gaps: dict[tuple[str, str, str], list[Gap]] = {}
    seen = set()
    for part in coverage:
        scope = (part.table, part.account, part.region)
        if isinstance(part, Gap):
            gaps.setdefault(scope, []).append(part)
        else:
            seen.add(scope)
    for scope in sorted({*gaps, *seen}):
        table, account, region = scope
        blind = gaps.get(scope)
        why = sorted({clean(gap.detail or gap.reason, 300) or "" for gap in blind or ()})
        yield Item(
            "scanner_blind" if blind else "recovered",
            dedup_key("coverage", f"{table}/{account}/{region}", "blind"),
            ("sight", account),
            "high",
            f"{table} in {account}/{region}",
            {
                "resource": f"{account}/{region}",
                "resource_type": table,
                "account": account,
                "severity": "high",
                "because": "; ".join(why[:5]) if blind else "it can be read again",
                "remedy": "Grant the permission, or wait for the service; until then what rests "
                "on it is unknown."
                if blind
                else None,
            },
        )


def gone(drift: Iterable[Drift]) -> dict[tuple[str, str], Drift]:
    """Return the resources that are gone, by table and key."""
    return {
        (one.subject_table, one.subject_key): one
        for one in drift
        if one.rule is None and one.kind == "vanished"
    }


def _key(one: Drift) -> str:
    kind = "finding" if one.rule else "setting"
    return dedup_key(kind, about(one.subject_table, one.subject_key), one.rule or str(one.field))


def _finding_event(one: Drift) -> str | None:
    if one.kind in {"appeared", "regressed"}:
        opened = "regressed" if one.kind == "regressed" else "opened"
        return opened if one.after == "fail" else "went_unknown"
    if one.kind in {"resolved", "vanished"}:
        return "recovered" if one.kind == "resolved" else "vanished"
    if one.field == "verdict":
        if one.after == "unknown":
            return "went_unknown"
        return "opened" if one.direction == "worse" else None
    return {"worse": "worsened", "neutral": "changed"}.get(one.direction)


def _setting_event(one: Drift) -> str | None:
    """Return what is told of a setting; a row that came or went ends what was told as it went or came, if anything was."""
    if one.kind != "changed" and one.direction == "better":
        return "changed"
    return {"worse": "worsened", "neutral": "changed", "better": "recovered"}[one.direction]


def _setting(one: Drift) -> str:
    return f"{one.subject_table}.{one.field or one.kind}"


def _account(one: Drift) -> str:
    """Return the account or the project that a key names."""
    if one.subject_table in GOOGLE:
        return project_of(one.subject_key)
    return _place(one.subject_key, 4)


def _place(arn: str, part: int) -> str:
    """Return the region (3) or the account (4) that an ARN names; empty where it names none."""
    parts = arn.split(":", 5)
    return parts[part] if len(parts) > 5 and parts[0] == "arn" else ""


def _trace(one: Drift) -> dict[str, Any]:
    found = trace(one)
    return {"event_id": found.event_id, "address": found.address, "session": found.session}


def _said(
    one: Drift, outcome: Outcome | None, account: str, note: RuleNote, previous_at: datetime | None
) -> dict[str, Any]:
    return {
        "change": one.kind,
        "resource": one.subject_key,
        "resource_type": one.subject_table,
        "account": account or None,
        "region": _place(one.subject_key, 3) or None,
        "owner": outcome.owner if outcome else None,
        "zone": outcome.zone if outcome else None,
        "rule": one.rule,
        "code": outcome.code if outcome else None,
        "severity": one.severity,
        "field": one.field,
        "before": clean(one.before, 1000),
        "after": clean(one.after, 1000),
        "direction": None if is_late(one) else one.direction,
        "because": clean(one.because, 600),
        "changed_at": iso(one.changed_at) if one.changed_at else None,
        "detected_at": iso(one.detected_at),
        "looked_before_at": iso(previous_at) if previous_at else None,
        "who": one.actor,
        "who_because": clean(one.actor_reason, 400),
        **_trace(one),
        "controls": sorted(note.controls),
        "remedy": clean(note.remedy, 600) or undo(one),
        "evidence": {
            "drift_id": one.drift_id,
            "finding_id": finding_id(one.rule, one.subject_table, one.subject_key) if one.rule else None,
        },
    }
