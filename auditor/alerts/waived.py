"""Waivers that will end, and those that ended while what they covered is still open. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from auditor.alerts.items import Item, finding_key, rank
from auditor.alerts.message import message
from auditor.alerts.restrain import Held, silenced
from auditor.alerts.routes import Route
from auditor.alerts.text import clean, iso, minute
from auditor.ledger import Alert, WaiverRow
from auditor.ledger.matters import EXPIRES, Due, OpenFinding, Restraints, Told

_STAGES = (("1d", timedelta(days=1)), ("7d", EXPIRES))
"""How long before its end a waiver is told of, the nearest first."""
_MOMENT = timedelta(microseconds=1)


def over_or_expiring(due: Due, routes: Sequence[Route], restraints: Restraints, now: datetime) -> Told:
    """Tell of waivers that end soon and of those that ended, where they cover open findings."""
    alerts: list[Alert] = []
    notices: list[str] = []
    told: set[tuple[str, str]] = set()
    for waiver in sorted(due.waivers, key=lambda each: (_end(each), each.waiver_id), reverse=True):
        end = _end(waiver)
        if end <= now:
            if (notice := f"waiver/{waiver.waiver_id}") not in due.done:
                alerts += _over(waiver, due, routes, restraints, told, now)
                if due.looked_at is not None and due.looked_at >= end:
                    notices.append(notice)  # a scan that began before it ended may still find what it covered
            continue
        reached = [
            f"waiver/{name}/{waiver.waiver_id}"
            for name, before in _STAGES
            if end - now <= before < end - waiver.created_at
        ]
        if not reached or reached[0] in due.done:
            continue
        covered = [each for each in due.findings if _covers(waiver, each, now)]
        if covered:
            notices += reached
            alerts += _expiring(waiver, end, covered, routes, reached[0], now)
    return Told(alerts, notices)


def _end(waiver: WaiverRow) -> datetime:
    return min(waiver.expires_at, waiver.revoked_at or waiver.expires_at)


def _covers(waiver: WaiverRow, finding: OpenFinding, at: datetime) -> bool:
    return waiver.covers(finding.finding_id, finding.rule, finding.subject_key, at)


def _over(
    waiver: WaiverRow,
    due: Due,
    routes: Sequence[Route],
    restraints: Restraints,
    told: set[tuple[str, str]],
    now: datetime,
) -> list[Alert]:
    """Open again what a waiver covered to its end and nothing covers now; unknown too, where it failed before."""
    end = _end(waiver)
    how = f"was revoked by {waiver.revoked_by}" if waiver.revoked_at == end else "ended"
    items = [
        _item("opened", each, f"its waiver {waiver.waiver_id} {how} at {minute(end)}: {each.because}")
        for each in due.findings
        if each.failed
        and each.opened_at < end
        and _covers(waiver, each, end - _MOMENT)
        and restraints.waiver(each.finding_id, each.rule, each.subject_key, now) is None
    ]
    since = {(each.channel, each.key) for each in due.matters if each.raised_at >= end}
    since |= {(each.channel, each.key) for held in due.held.values() for each in held if each.at >= end}
    alerts = []
    for route in routes:
        groups: dict[Held | None, list[Item]] = {}
        for item in _wanted(route, "opened", items):
            if (route.channel, item.key) in since | told:
                continue
            told.add((route.channel, item.key))
            silence = restraints.silence(item.said)
            groups.setdefault(silenced(silence) if silence else None, []).append(item)
        for held, group in sorted(groups.items(), key=lambda each: each[0].by if each[0] else ""):
            alerts.append(
                message(
                    route.channel,
                    "opened",
                    group,
                    now,
                    title=_title(group, f"no longer waived: {waiver.waiver_id} {how}"),
                    held=held.said() if held else None,
                    more={"waiver": _said(waiver, end)},
                    known_by=["waiver", waiver.waiver_id, route.channel, *sorted(item.key for item in group)],
                )
            )
    return alerts


def _expiring(
    waiver: WaiverRow,
    end: datetime,
    covered: Sequence[OpenFinding],
    routes: Sequence[Route],
    notice: str,
    now: datetime,
) -> list[Alert]:
    because = f"waived until {minute(end)}"
    items = [_item("waiver_expiring", each, f"{because}: {each.because}") for each in covered]
    return [
        message(
            route.channel,
            "waiver_expiring",
            group,
            now,
            title=_title(group, f"waiver {waiver.waiver_id} ends at {minute(end)}, and then it counts"),
            more={"waiver": _said(waiver, end)},
            known_by=[notice, route.channel],
        )
        for route in routes
        if (group := _wanted(route, "waiver_expiring", items))
    ]


def _wanted(route: Route, event: str, items: Sequence[Item]) -> list[Item]:
    if event not in route.events:
        return []
    return [
        item
        for item in items
        if rank(item.severity) <= rank(route.severity)
        and route.concerns(item.said.get("zone"), tuple(item.said["controls"]), item.said.get("owner"))
    ]


def _title(group: Sequence[Item], words: str) -> str:
    first = min(group, key=lambda item: (rank(item.severity), item.resource, item.key))
    more = f" and {len(group) - 1} more" if len(group) > 1 else ""
    return f"{first.said['rule']} on {first.resource}{more}: {words}"


def _said(waiver: WaiverRow, end: datetime) -> dict[str, Any]:
    return {
        "waiver_id": waiver.waiver_id,
        "ends_at": iso(end),
        "reason": clean(waiver.reason, 300),
        "requester": clean(waiver.requester, 100),
        "approver": clean(waiver.approver, 100),
        "look": "auditor waivers",
        "renew": "auditor waivers add FINDING --reason … --requester … --approver … --expires 30d",
    }


def _item(event: str, each: OpenFinding, because: str) -> Item:
    said: dict[str, Any] = {
        "change": {"fail": "fails", "unknown": "cannot be judged now"}[each.verdict],
        "resource": each.subject_key,
        "resource_type": each.subject_table,
        "account": each.account,
        "owner": each.owner,
        "zone": each.zone,
        "rule": each.rule,
        "code": each.code,
        "severity": each.severity,
        "because": clean(because, 600),
        "since": iso(each.opened_at),
        "controls": sorted(each.controls),
        "remedy": clean(each.remedy, 600),
        "evidence": {"drift_id": None, "finding_id": each.finding_id},
    }
    return Item(
        event, finding_key(each), ("of", each.account or "", each.rule), each.severity, each.subject_key, said
    )
