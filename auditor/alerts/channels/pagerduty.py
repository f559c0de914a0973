"""PagerDuty by its Events API v2: what opened is triggered, and resolved when the last of it is over.

An incident is known by the id of the alert that opened it (`dedup_key`), so that repeating an event changes nothing.
What opens nothing is a change event, which notifies nobody (developer.pagerduty.com, Events API v2).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auditor.alerts.deliver import Answer, Send
from auditor.alerts.outgoing import Out, send, target
from auditor.alerts.routes import Wants
from auditor.alerts.secret import reveal
from auditor.alerts.words import Words, fitted, said
from auditor.config_sections import Secret
from auditor.errors import ConfigError
from auditor.ledger import Sending

_SEVERITIES = {"critical": "critical", "high": "error", "medium": "warning", "low": "info"}
_SUMMARY = 1024
_OVER = {"recovered", "vanished"}
_ACKNOWLEDGED = "acknowledged"
_TOLD = {"changed", "waiver_expiring", "summary"}
"""What wakes nobody."""


@dataclass(frozen=True, slots=True)
class Settings(Wants):
    """A service of PagerDuty with an integration of its Events API v2."""

    routing_key: Secret = ""
    """The integration key, as env:NAME or file:PATH; empty switches the route off."""
    url: str = "https://events.pagerduty.com"
    """Where events go; in the EU https://events.eu.pagerduty.com."""

    @property
    def on(self) -> bool:
        """Say whether it has a key."""
        return bool(self.routing_key)

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Yield what does not fit together."""
        yield from Wants.mistakes(self)
        try:
            target(self.url)
        except ConfigError as error:
            yield "url", error.what


def channel(settings: Settings, out: Out) -> Send:
    """Return the function that sends to this service; an alert may be several events, each safe to repeat."""

    def send_one(sending: Sending, now: datetime) -> Answer:
        key = reveal(settings.routing_key)
        answer = Answer("delivered", "of what it opened something is still open: there is no event for it")
        for path, event in events(sending):
            body = _wire({"routing_key": key, **event})
            url = settings.url.rstrip("/") + path
            headers = {"content-type": "application/json"}
            answer = send(url, body, headers, out, now, timeout_s=settings.timeout_s, secrets=[key])
            if answer.ended != "delivered":
                return answer
        return answer

    return send_one


def events(sending: Sending) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of an alert, as (path, event without its routing key)."""
    alert, words = sending.alert, said(sending)
    enqueue = "/v2/enqueue"
    known = sending.incidents
    if alert.event == _ACKNOWLEDGED:
        return [(enqueue, {"event_action": "acknowledge", "dedup_key": each}) for each in known]
    resolved = [(enqueue, {"event_action": "resolve", "dedup_key": each}) for each in sending.closes]
    if alert.event in _OVER:
        return resolved
    if alert.event in _TOLD:
        return [*resolved, ("/v2/change/enqueue", {"payload": _payload(words, change=True)})]
    if alert.event == "digest" and not known:
        return [*resolved, ("/v2/change/enqueue", {"payload": _payload(words, change=True)})]
    payload = _payload(words)
    opened = [
        (enqueue, {"event_action": "trigger", "dedup_key": each, "client": "auditor", "payload": payload})
        for each in known or (alert.alert_id,)
    ]
    if alert.event == "test":
        opened.append((enqueue, {"event_action": "resolve", "dedup_key": alert.alert_id}))
    return [*opened, *resolved]


def _payload(words: Words, *, change: bool = False) -> dict[str, Any]:
    def made(shown: Words) -> dict[str, Any]:
        details: dict[str, Any] = dict(shown.facts)
        for number, part in enumerate(shown.parts, 1):
            details[f"{number:03d} {part.title}"[:200]] = dict(part.facts)
        if shown.more:
            details["more"] = shown.more
        first = dict(words.parts[0].facts) if words.parts else {}
        common = {
            "summary": shown.title[:_SUMMARY],
            "source": first.get("Resource") or "auditor",
            "timestamp": shown.at or None,
            "custom_details": details,
        }
        if change:
            return {k: v for k, v in common.items() if v}
        more = {
            "severity": _SEVERITIES.get(shown.severity, "warning"),
            "component": first.get("Kind"),
            "group": first.get("Account"),
            "class": shown.event,
        }
        return {k: v for k, v in (common | more).items() if v}

    return fitted(words, made, lambda payload: len(_wire(payload)), 18_000)


def _wire(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
