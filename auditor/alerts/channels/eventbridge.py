"""Amazon EventBridge: one event of source `auditor` an alert, for rules to match on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auditor.alerts.aws_client import attempted, client, ended
from auditor.alerts.deliver import Answer, Send
from auditor.alerts.outgoing import Out, quoted, target
from auditor.alerts.routes import Wants
from auditor.alerts.text import wire
from auditor.errors import ConfigError
from auditor.ledger import Sending

ACTIONS = ("events:PutEvents",)
_BUS = re.compile(r"arn:aws[a-z-]*:events:([a-z0-9-]+):[0-9]{12}:event-bus/[/.\-_A-Za-z0-9]{1,256}\Z")
_RESOURCES = 10


@dataclass(frozen=True, slots=True)
class Settings(Wants):
    """A bus of Amazon EventBridge; credentials are those at hand."""

    bus: str = ""
    """ARN of the bus; empty switches the route off."""
    source: str = "auditor"
    """The source that its events name; aws. at its beginning is AWS's own."""
    endpoint: str = ""
    """Another endpoint than the region's own, https://HOST; empty: the region's."""

    @property
    def on(self) -> bool:
        """Say whether it has a bus."""
        return bool(self.bus)

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Yield what does not fit together."""
        yield from Wants.mistakes(self)
        if self.bus and not _BUS.match(self.bus):
            yield "bus", f"{self.bus!r} is not the ARN of a bus: arn:aws:events:REGION:ACCOUNT:event-bus/NAME"
        if not self.source or self.source.startswith("aws."):
            yield "source", "must be a word of yours: aws. is AWS's own"
        if self.endpoint:
            try:
                target(self.endpoint)
            except ConfigError as error:
                yield "endpoint", error.what


def channel(settings: Settings, out: Out) -> Send:
    """Return the function that puts an event on this bus."""

    def send_one(sending: Sending, _now: datetime) -> Answer:
        events = client("events", settings.bus.split(":")[3], settings.endpoint, out, settings.timeout_s)
        got = attempted(lambda: events.put_events(Entries=[entry(settings, sending)]))
        return got if isinstance(got, Answer) else _answered(got)

    return send_one


def entry(settings: Settings, sending: Sending) -> dict[str, Any]:
    """Return the one entry of PutEvents."""
    alert = sending.alert
    items = (alert.body.get("data") or {}).get("items") or ()
    arns = sorted(
        {str(item.get("resource")) for item in items if str(item.get("resource")).startswith("arn:")}
    )
    return {
        "Source": settings.source,
        "DetailType": f"auditor.{alert.event}",
        "Detail": wire({**alert.body, "alert_id": alert.alert_id}).decode(),
        "EventBusName": settings.bus,
        "Time": sending.created_at,
        "Resources": [arn[:2048] for arn in arns[:_RESOURCES]],
    }


def _answered(got: dict[str, Any]) -> Answer:
    """Read the answer: an entry may have failed though the call did not."""
    found: list[dict[str, Any]] = got.get("Entries") or [{}]
    entry_ = found[0]
    if entry_.get("EventId") and not got.get("FailedEntryCount"):
        return Answer("delivered", f"event {entry_['EventId']}")
    code = str(entry_.get("ErrorCode") or "InternalFailure")
    return Answer(ended(code), quoted(f"{code}: {entry_.get('ErrorMessage') or 'no event id'}"))
