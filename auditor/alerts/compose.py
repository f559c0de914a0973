"""Drift made into messages: grouped by cause, one a channel, small enough to read. Pure.

Unknown never closes and never re-opens: a failure that could not be seen for a while and fails again
says nothing new, and only those who were told of a failure are told of its end.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from auditor.alerts.routes import Route
from auditor.drift import finding_id
from auditor.ledger import Alert, RuleNote
from auditor.model import SEVERITIES, Drift, Gap, Outcome, Seen

LARGEST_BYTES = 20_000
"""Standard Webhooks asks for payloads under 20 kB."""
_ITEMS = 25
_TOP = 5
_SECRET = re.compile(
    r"(?i)((?:password|passwd|secret|token|api[_-]?key|authorization)[\"']?\s*[=:]\s*[\"']?)"
    r"[^\s\"',;&]{4,}|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
    re.DOTALL,
)
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Control and direction characters: a title is one line that reads as it is written."""


@dataclass(frozen=True, slots=True)
class _Item:
    """One thing to tell, before it is grouped."""

    event: str
    key: str
    group: tuple[str, ...]
    severity: str
    resource: str
    said: Mapping[str, Any]


def compose(
    drift: Iterable[Drift],
    outcomes: Iterable[Outcome] = (),
    exports: Iterable[Mapping[str, Any]] = (),
    routes: Sequence[Route] = (),
    *,
    now: datetime,
    rules: Mapping[str, RuleNote] | None = None,
    coverage: Sequence[Seen | Gap] = (),
    alerting: AbstractSet[tuple[str, str]] = frozenset(),
    previous_at: datetime | None = None,
) -> list[Alert]:
    """Return the messages each route is due, in a fixed order.

    `exports` are rows of the table `export`; `alerting` is `Before.alerting`: what each channel was
    told of and not yet told the end of; `previous_at` is when the scan before this one looked.
    """
    if not routes:
        return []
    wanted = _Wanted(routes, alerting)
    items = [*_drifted(drift, outcomes, rules or {}, wanted, previous_at), *_sight(coverage)]
    reached = list(exports) if items else []
    alerts = []
    for route in routes:
        groups: dict[tuple[str, ...], list[_Item]] = {}
        for item in items:
            if wanted.of(route, item):
                groups.setdefault((item.event, *item.group), []).append(item)
        alerts += [_alert(route, group, reached, now) for _, group in sorted(groups.items())]
    return alerts


def dedup_key(kind: str, resource: str, drift_class: str) -> str:
    """Return what a matter is known by, whatever the words, the scan or the rule's version."""
    text = json.dumps([kind, resource, drift_class], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class _Wanted:
    """What the routes want to hear, asked before a message is made of it: most of what moves nobody asked for."""

    def __init__(self, routes: Sequence[Route], alerting: AbstractSet[tuple[str, str]]) -> None:
        self._routes = routes
        self._alerting = alerting

    def by_any(self, event: str, key: str, severity: str) -> bool:
        return any(self.by(route, event, key, severity) for route in self._routes)

    def of(self, route: Route, item: _Item) -> bool:
        if not self.by(route, item.event, item.key, item.severity):
            return False
        said = item.said
        concerned = route.concerns(said.get("zone"), tuple(said.get("controls") or ()), said.get("owner"))
        return concerned or item.event in {"recovered", "vanished"}

    def by(self, route: Route, event: str, key: str, severity: str) -> bool:
        told = (route.channel, key) in self._alerting
        if event in {"recovered", "vanished"}:
            return told  # whoever heard of it hears of its end, whatever else they want
        if told and event in {"opened", "scanner_blind"}:
            return False
        return event in route.events and rank(severity) <= rank(route.severity)


def rank(severity: str) -> int:
    """Return where a severity stands, 0 the worst."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def _drifted(
    drift: Iterable[Drift],
    outcomes: Iterable[Outcome],
    rules: Mapping[str, RuleNote],
    wanted: _Wanted,
    previous_at: datetime | None,
) -> Iterable[_Item]:
    causes: dict[str, str] = {}
    told: list[tuple[Drift, str, str]] = []
    for one in drift:
        if one.rule is None and one.actor:
            causes[one.subject_key] = one.actor
        event = _finding_event(one) if one.rule else _setting_event(one)
        key = _key(one)
        if event is not None and wanted.by_any(event, key, one.severity):
            told.append((one, event, key))
    subjects = {(one.rule, one.subject_key) for one, _, _ in told if one.rule}
    judged = {(o.rule, o.subject_key): o for o in outcomes if (o.rule, o.subject_key) in subjects}
    for one, event, key in told:
        outcome = judged.get((one.rule or "", one.subject_key))
        account = (outcome.account or outcome.project if outcome else None) or _account(one)
        actor = one.actor or causes.get(one.subject_key)
        group = ("by", actor, account) if actor else ("of", account, one.rule or _setting(one))
        said = _said(one, outcome, account, rules.get(one.rule or "", RuleNote()), previous_at)
        yield _Item(event, key, group, one.severity, one.subject_key, said)


def _key(one: Drift) -> str:
    kind = "finding" if one.rule else "setting"
    return dedup_key(kind, f"{one.subject_table}/{one.subject_key}", one.rule or str(one.field))


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
    if one.kind != "changed":
        return "changed"
    return {"worse": "worsened", "neutral": "changed", "better": "recovered"}[one.direction]


def _setting(one: Drift) -> str:
    return f"{one.subject_table}.{one.field or one.kind}"


def _account(one: Drift) -> str:
    parts = one.subject_key.split(":", 5)
    return parts[4] if len(parts) > 5 and parts[0] == "arn" else ""


def _region(one: Drift) -> str:
    parts = one.subject_key.split(":", 5)
    return parts[3] if len(parts) > 5 and parts[0] == "arn" else ""


def _said(
    one: Drift, outcome: Outcome | None, account: str, note: RuleNote, previous_at: datetime | None
) -> dict[str, Any]:
    return {
        "change": one.kind,
        "resource": one.subject_key,
        "resource_type": one.subject_table,
        "account": account or None,
        "region": _region(one) or None,
        "owner": outcome.owner if outcome else None,
        "zone": outcome.zone if outcome else None,
        "rule": one.rule,
        "code": outcome.code if outcome else None,
        "severity": one.severity,
        "field": one.field,
        "before": clean(one.before, 1000),
        "after": clean(one.after, 1000),
        "direction": one.direction,
        "because": clean(one.because, 600),
        "changed_at": iso(one.changed_at) if one.changed_at else None,
        "detected_at": iso(one.detected_at),
        "looked_before_at": iso(previous_at) if previous_at else None,
        "who": one.actor,
        "who_because": clean(one.actor_reason, 400),
        "controls": sorted(note.controls),
        "remedy": clean(note.remedy, 600) or _undo(one),
        "evidence": {
            "drift_id": one.drift_id,
            "finding_id": finding_id(one.rule, one.subject_table, one.subject_key) if one.rule else None,
        },
    }


def _undo(one: Drift) -> str | None:
    if one.rule is None and one.kind == "changed":
        return f"If nobody meant this, set {one.field} back to what it was before."
    return None


def _sight(coverage: Sequence[Seen | Gap]) -> Iterable[_Item]:
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
        yield _Item(
            "scanner_blind" if blind else "recovered",
            dedup_key("coverage", f"{table}/{account}/{region}", "blind"),
            ("sight", account),
            "high",
            f"{table} in {account}/{region}",
            {
                "resource": f"{account}/{region}",
                "resource_type": table,
                "account": account,
                "because": "; ".join(why[:5]) if blind else "it can be read again",
                "remedy": "Grant the permission, or wait for the service; until then what rests "
                "on it is unknown."
                if blind
                else None,
            },
        )


_TITLES = {
    "opened": "{what} fails",
    "regressed": "{what} fails again",
    "worsened": "{what} got worse",
    "changed": "{what} changed",
    "recovered": "{what} is well again",
    "vanished": "{what} is gone; nobody saw it fixed",
    "went_unknown": "{what} cannot be judged",
    "scanner_blind": "{what} cannot be read",
}


def _alert(
    route: Route, group: Sequence[_Item], exports: Sequence[Mapping[str, Any]], now: datetime
) -> Alert:
    group = sorted(group, key=lambda item: (rank(item.severity), item.resource, item.key))
    first, keys = group[0], tuple(sorted({item.key for item in group}))
    what = str(first.said.get("rule") or first.said.get("field") or "").strip()
    subject = f"{what} on {first.resource}" if what else first.resource
    title = _TITLES[first.event].format(what=subject)
    if len(group) > 1:
        title += f", and {len(group) - 1} more"
    affected = _affected(group, exports)
    data: dict[str, Any] = {
        "title": line(f"[{first.severity.upper()}] {title}"),
        "event": first.event,
        "severity": first.severity,
        "count": len(group),
        "exports": {"count": len(affected), "top": affected[:_TOP]},
        "items": [dict(item.said) for item in group[:_ITEMS]],
        "items_left_out": max(0, len(group) - _ITEMS),
    }
    body = {"type": f"auditor.{first.event}", "timestamp": iso(now), "data": data}
    _shrink(body, data)
    parts = [route.channel, first.event, *first.group, *keys, iso(now)]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return Alert(f"msg_{digest[:32]}", route.channel, first.event, keys, body)


def _affected(group: Sequence[_Item], exports: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the exports a group concerns, those in trouble first."""
    resources = {item.resource for item in group}
    found = [
        (str(row.get("state")) == "proven", str(row.get("export_id")))
        for row in exports
        if {row.get("export_id"), row.get("bucket_arn"), row.get("proving_point")} & resources
    ]
    return [line(export) for _, export in sorted(found)]


def _shrink(body: Mapping[str, Any], data: dict[str, Any]) -> None:
    """Leave items out, then words, until the message is small enough; it says how many."""
    while len(wire(body)) > LARGEST_BYTES and len(data["items"]) > 1:
        data["items"].pop()
        data["items_left_out"] += 1
    if len(wire(body)) > LARGEST_BYTES:
        data["items"] = [
            {name: clean(v, 200) if isinstance(v, str) else v for name, v in item.items()}
            for item in data["items"]
        ]
        data["exports"]["top"] = [clean(name, 200) for name in data["exports"]["top"]]


def wire(body: Mapping[str, Any]) -> bytes:
    """Return the bytes that are sent and signed: always the same for the same message."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return text.encode()


def clean(text: str | None, longest: int) -> str | None:
    """Cut a text to a length and leave out what looks like a secret."""
    if text is None:
        return None
    text = _SECRET.sub(lambda found: f"{found[1] or ''}[left out]", text[: longest * 4])
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def line(text: str) -> str:
    """Return a text as one short line that reads as it is written, without secrets."""
    return clean(visible(text), 300) or ""


def visible(text: str) -> str:
    """Write out what cannot be seen: control characters, and those that turn a line round."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def iso(at: datetime) -> str:
    """Write a time in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
