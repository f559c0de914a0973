"""Messages about messages: many in one, and one that could not be delivered. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from auditor.alerts.items import rank
from auditor.alerts.text import LARGEST_BYTES, iso, line, wire
from auditor.ledger import Alert, Sending

_NAMED = 100


def digest(sendings: Sequence[Sending], now: datetime) -> Alert:
    """Return one message in the place of many of one route; it counts all, names the worst, and says where the rest is."""
    ordered = sorted(sendings, key=lambda each: (rank(severity(each)), each.created_at, each.alert.alert_id))
    ids = [each.alert.alert_id for each in ordered]
    channel, worst = ordered[0].alert.channel, severity(ordered[0])
    counts = Counter(each.alert.event for each in ordered)
    told = ", ".join(f"{counts[event]} {event}" for event in sorted(counts))
    keys = tuple(sorted({key for each in ordered for key in each.alert.keys}))
    alert_id = _id("digest", channel, *sorted(ids), iso(now))
    data: dict[str, Any] = {
        "title": line(f"[{worst.upper()}] {len(ids)} alerts in one message: {told}"),
        "event": "digest",
        "severity": worst,
        "count": sum(int(_data(each).get("count") or 0) for each in ordered),
        "alerts": [
            {
                "alert_id": each.alert.alert_id,
                "event": each.alert.event,
                "severity": severity(each),
                "title": title(each),
            }
            for each in ordered[:_NAMED]
        ],
        "alerts_left_out": max(0, len(ids) - _NAMED),
        "items": [],
        "look": f"auditor alerts list --within {alert_id}",
    }
    body = {"type": "auditor.digest", "timestamp": iso(now), "data": data}
    while len(wire(body)) > LARGEST_BYTES and data["alerts"]:
        data["alerts"].pop()
        data["alerts_left_out"] += 1
    return Alert(alert_id, channel, "digest", keys, body)


def undelivered(sending: Sending, channel: str, because: str, now: datetime) -> Alert:
    """Return what another route is told when one gives up: the matter itself, and that it was not told where it should be."""
    alert, data = sending.alert, dict(_data(sending))
    lost = {
        "alert_id": alert.alert_id,
        "route": alert.channel,
        "because": line(because),
        "tried": [*tried(alert), alert.channel],
        "look": f"auditor alerts replay {alert.alert_id}",
    }
    data |= {
        "title": line(f"[{severity(sending).upper()}] Not delivered by {alert.channel}: {title(sending)}"),
        "event": "undelivered",
        "severity": severity(sending),
        "undelivered": lost,
        "items": list(data.get("items") or ()),
    }
    data.setdefault("items_left_out", 0)
    body = {"type": "auditor.undelivered", "timestamp": iso(now), "data": data}
    while len(wire(body)) > LARGEST_BYTES and data["items"]:
        data["items"].pop()
        data["items_left_out"] += 1
    if len(wire(body)) > LARGEST_BYTES:
        data["alerts"] = []
    return Alert(_id("undelivered", alert.alert_id, channel, iso(now)), channel, "undelivered", (), body)


def tried(alert: Alert) -> list[str]:
    """Return the routes that did not deliver what this alert tells of."""
    lost = alert.body.get("data", {}).get("undelivered") or {}
    return [str(route) for route in lost.get("tried") or ()]


def severity(sending: Sending) -> str:
    """Return how severe an alert says it is."""
    return str(_data(sending).get("severity") or "medium")


def title(sending: Sending) -> str:
    """Return an alert's title."""
    return str(_data(sending).get("title") or sending.alert.event)


def _data(sending: Sending) -> dict[str, Any]:
    found = sending.alert.body.get("data")
    return found if isinstance(found, dict) else {}


def _id(*parts: str) -> str:
    return f"msg_{hashlib.sha256('/'.join(parts).encode()).hexdigest()[:32]}"
