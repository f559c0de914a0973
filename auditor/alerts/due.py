"""What time alone makes due: reminders, the calm after flapping, the ends of silences and of waivers.

Written by a function of the ledger alone, in one transaction: two senders at once write it once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from auditor.alerts.items import Item, rank
from auditor.alerts.message import message
from auditor.alerts.routes import Route
from auditor.alerts.text import clean, iso, minute
from auditor.alerts.waived import over_or_expiring
from auditor.ledger import Alert, Ledger
from auditor.ledger.matters import FLAPS, Due, Held, Matter, Restraints, Told
from auditor.ledger.silences import Silence
from auditor.model import SEVERITIES

_SOON = timedelta(hours=1)
"""What is due so soon goes into a reminder that is written anyway."""


def remind(ledger: Ledger, routes: Sequence[Route], now: datetime) -> int:
    """Write what time alone made due by now for these routes; return how many messages that is."""
    if not routes:
        return 0
    return ledger.tell_due(lambda due: due_now(due, routes, now), now)


def due_now(due: Due, routes: Sequence[Route], now: datetime) -> Told:
    """Return what is due: each matter at most once, whatever makes it so."""
    restraints = Restraints(
        silences=[each for each in due.silences if each.at(now)],
        waivers=[
            each for each in due.waivers if min(each.expires_at, each.revoked_at or each.expires_at) > now
        ],
    )
    by_name = {route.channel: route for route in routes}
    mine = [each for each in due.matters if each.channel in by_name]
    told = [
        _settled(mine, now),
        _silences(due, mine, by_name, restraints, now),
        over_or_expiring(due, routes, restraints, now),
    ]
    said = {(alert.channel, key) for each in told for alert in each.alerts for key in alert.keys}
    left = [each for each in mine if (each.channel, each.key) not in said]
    told.append(_reminders(due, left, by_name, restraints, now))
    return Told(*(tuple(part for each in told for part in getattr(each, name)) for name in _PARTS))


_PARTS = ("alerts", "notices", "released", "passed_on")


def _settled(matters: Sequence[Matter], now: datetime) -> Told:
    """Say how it stands of what flapped and was calm for a day; and the end of what is over and was not told so."""
    groups: dict[tuple[str, str], list[Item]] = {}
    for each in matters:
        flap = each.flap
        if flap is None:
            if each.stands == "over":
                because = "it is over; nobody could be told when it ended"
                groups.setdefault((each.channel, "recovered"), []).append(_item(each, "recovered", because))
        elif now - flap.moved_at >= FLAPS:
            over = each.stands == "over" or (each.stands == "open" and flap.over)
            event = "recovered" if over else "opened"
            calm = f"it came and went, and has been as it is since {minute(flap.moved_at)}"
            because = calm if over else f"{calm}: {_state(each)}"
            groups.setdefault((each.channel, event), []).append(_item(each, event, because))
    return Told([message(channel, event, items, now) for (channel, event), items in sorted(groups.items())])


def _state(each: Matter) -> str:
    words = {"unknown": "it cannot be judged now", "fail": "it fails"}.get(each.stands, "it is open")
    return f"{words}; {each.because}" if each.because else words


def _item(each: Matter, event: str, because: str, **more: Any) -> Item:
    """Return a matter as it stands."""
    change = {"unknown": "cannot be judged now", "fail": "still fails", "over": "is over"}
    said: dict[str, Any] = {
        **each.said,
        "change": change.get(each.stands, "still open"),
        "severity": each.severity,
        "because": clean(because, 600),
        "since": iso(each.since),
        "evidence": {"finding_id": each.said.get("finding_id"), "drift_id": None},
        **more,
    }
    group = ("due", event)
    return Item(event, each.key, group, each.severity, str(each.said.get("resource") or each.key), said)


def _silences(
    due: Due, matters: Sequence[Matter], routes: Mapping[str, Route], restraints: Restraints, now: datetime
) -> Told:
    """Say, when a silence is over, what it kept back and is still open."""
    alerts: list[Alert] = []
    notices, released, passed_on = [], [], []
    for silence in due.silences:
        kept = due.held.get(silence.silence_id, ())
        first = (notice := f"silence/{silence.silence_id}") not in due.done
        if silence.end > now or not (first or kept):
            continue  # what a scan found that began before it ended may come after it was told
        notices.append(notice)
        still: dict[str, dict[str, Item]] = {}
        within: dict[str, set[str]] = {}
        for held in kept:
            if held.stands == "over" or _waived(held.said, restraints, now):
                continue
            if (other := restraints.silence(held.said)) is not None:
                passed_on.append((held.alert_id, other.silence_id))
            elif held.said.get("rule") or held.event != "changed":
                still.setdefault(held.channel, {})[held.key] = _kept(held)
                within.setdefault(held.channel, set()).add(held.alert_id)
        for each in matters if first else ():
            if _stands_silenced(each, silence) and not _kept_back(each, restraints, now):
                still.setdefault(each.channel, {}).setdefault(
                    each.key, _item(each, "silence_over", each.because)
                )
        for channel, items in sorted(still.items()):
            if channel in routes:
                ids = sorted(within.get(channel, ()))
                alert = _over(silence, channel, list(items.values()), kept, ids, now)
                alerts.append(alert)
                released += [(each, alert.alert_id) for each in ids]
    return Told(alerts, notices, released, sorted(set(passed_on)))


def _stands_silenced(each: Matter, silence: Silence) -> bool:
    """Say whether it is open, and a silence covered it: blindness none does."""
    return (
        each.stands != "over" and each.flap is None and not _sight(each) and silence.covers(dict(each.said))
    )


def _setting(each: Matter) -> bool:
    """Say whether it is a setting: it is told once, for whether it fails is a rule's to say."""
    return bool(each.said.get("field")) and not each.said.get("rule")


def _sight(each: Matter) -> bool:
    return not each.said.get("rule") and not each.said.get("field")


def _over(
    silence: Silence,
    channel: str,
    items: list[Item],
    kept: Sequence[Held],
    released: Sequence[str],
    now: datetime,
) -> Alert:
    mine = [each for each in kept if each.channel == channel]
    events = Counter(each.event for each in mine)
    matters = "matter is" if len(items) == 1 else "matters are"
    return message(
        channel,
        "silence_over",
        items,
        now,
        title=f"Silence over, still failing: {len(items)} {matters} open",
        more={
            "silence": {
                "silence_id": silence.silence_id,
                "reason": clean(silence.reason, 300),
                "author": clean(silence.author, 100),
                "from": iso(silence.created_at),
                "until": iso(silence.end),
                "held": dict(sorted(events.items())),
                "look": f"auditor alerts list --within {silence.silence_id}",
            }
        },
        known_by=["silence_over", channel, silence.silence_id, *released],
    )


def _kept(held: Held) -> Item:
    change = {"unknown": "cannot be judged now", "fail": "still fails"}.get(held.stands, "still open")
    event = held.event if held.event == "went_unknown" else "silence_over"
    severity = str(held.said.get("severity") or "medium")
    said = {
        **held.said,
        "change": change,
        "because": clean(held.because, 600),
        "since": iso(held.at),
        "evidence": {"finding_id": held.said.get("finding_id"), "drift_id": None},
    }
    return Item(
        event, held.key, ("due", "silence"), severity, str(held.said.get("resource") or held.key), said
    )


def _waived(said: Mapping[str, Any], restraints: Restraints, now: datetime) -> bool:
    if not said.get("rule"):
        return False
    finding, rule, key = str(said.get("finding_id")), str(said["rule"]), str(said.get("resource"))
    return restraints.waiver(finding, rule, key, now) is not None


def _kept_back(each: Matter, restraints: Restraints, now: datetime) -> bool:
    """Say whether nothing is said of it for now: somebody works on it, it is waived, silenced or flapping."""
    if each.acked or each.flap is not None or _waived(each.said, restraints, now):
        return True
    return not _sight(each) and restraints.silence(each.said) is not None


def _reminders(
    due: Due,
    matters: Sequence[Matter],
    routes: Mapping[str, Route],
    restraints: Restraints,
    now: datetime,
) -> Told:
    """Write one reminder a route of all that is due, and none while one is on its way."""
    alerts = []
    for channel, route in sorted(routes.items()):
        if "reminder" not in route.events or channel in due.reminding:
            continue
        waits = [
            (each.told_at + timedelta(seconds=route.remind[each.severity]), each)
            for each in matters
            if each.channel == channel
            and route.remind.get(each.severity)
            and rank(each.severity) <= rank(route.severity)
            and each.stands != "over"
            and not _setting(each)
            and not _kept_back(each, restraints, now)
        ]
        first = min((at for at, _ in waits), default=None)
        if first is not None and first <= now:
            chosen = [each for at, each in waits if at <= now + _SOON]
            alerts.append(_reminder(channel, chosen, first, now))
    return Told(alerts)


def _reminder(channel: str, matters: Sequence[Matter], slot: datetime, now: datetime) -> Alert:
    items = [replace(_item(each, "reminder", _state(each), told=each.told), key=each.key) for each in matters]
    counts = Counter(each.severity for each in matters)
    told = ", ".join(f"{counts[each]} {each}" for each in SEVERITIES if counts[each])
    hidden = sum(each.stands == "unknown" for each in matters)
    title = f"Reminder: {told} open since {minute(min(each.since for each in matters))}"
    if hidden:
        title += f"; {hidden} cannot be judged now"
    return message(
        channel,
        "reminder",
        items,
        now,
        title=title,
        more={
            "counts": {"fail": 0} | dict(sorted(Counter(each.stands for each in matters).items())),
            "since": iso(min(each.since for each in matters)),
            "told": max(each.told for each in matters),
            "look": "auditor findings",
            "acknowledge": "auditor alerts ack FINDING --reason … --by …",
        },
        known_by=["reminder", channel, iso(slot), *sorted(each.key for each in matters)],
    )


def acknowledged(channel: str, named: Mapping[str, str], reason: str, author: str, now: datetime) -> Alert:
    """Return what those who heard of matters, dedup key to resource, are told when somebody works on them."""
    items = [
        Item(
            "acknowledged",
            key,
            ("due", "acknowledged"),
            "low",
            resource,
            {
                "resource": resource,
                "change": "is worked on",
                "because": clean(reason, 300),
                "who": clean(author, 100),
            },
        )
        for key, resource in sorted(named.items())
    ]
    more = f" and {len(items) - 1} more" if len(items) > 1 else ""
    title = f"{author} works on {min(named.values())}{more}: {reason}"
    return message(channel, "acknowledged", items, now, title=title)
