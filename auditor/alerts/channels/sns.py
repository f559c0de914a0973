"""Amazon SNS: one message a topic, in the form each kind of subscriber reads; attributes are for filter policies."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auditor.alerts.aws_client import attempted, client
from auditor.alerts.deliver import Answer, Send
from auditor.alerts.outgoing import Out, target
from auditor.alerts.routes import Wants
from auditor.alerts.text import wire
from auditor.alerts.words import Words, fitted, said
from auditor.errors import ConfigError
from auditor.ledger import Sending

ACTIONS = ("sns:Publish",)
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?\Z")
_SUBJECT = 99
"""Subjects are shorter than 100 characters."""


@dataclass(frozen=True, slots=True)
class Settings(Wants):
    """A topic of Amazon SNS; credentials are those at hand."""

    topic: str = ""
    """ARN of the topic, standard or FIFO; empty switches the route off."""
    endpoint: str = ""
    """Another endpoint than the region's own, https://HOST; empty: the region's."""

    @property
    def on(self) -> bool:
        """Say whether it has a topic."""
        return bool(self.topic)

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Yield what does not fit together."""
        yield from Wants.mistakes(self)
        if self.topic and not _TOPIC.match(self.topic):
            yield "topic", f"{self.topic!r} is not the ARN of a topic: arn:aws:sns:REGION:ACCOUNT:NAME"
        if self.endpoint:
            try:
                target(self.endpoint)
            except ConfigError as error:
                yield "endpoint", error.what


def channel(settings: Settings, out: Out) -> Send:
    """Return the function that publishes to this topic."""

    def send_one(sending: Sending, _now: datetime) -> Answer:
        region = settings.topic.split(":")[3]
        sns = client("sns", region, settings.endpoint, out, settings.timeout_s)
        got = attempted(lambda: sns.publish(TopicArn=settings.topic, **message(sending, settings.topic)))
        return got if isinstance(got, Answer) else Answer("delivered", f"message {got['MessageId']}")

    return send_one


def message(sending: Sending, topic: str) -> dict[str, Any]:
    """Return the parameters of Publish beside the topic."""
    words, alert = said(sending), sending.alert
    kept = {"alert_id": alert.alert_id, "event": alert.event, "severity": words.severity}
    given: dict[str, Any] = {
        "Subject": words.title[:_SUBJECT],
        "MessageStructure": "json",
        "Message": json.dumps(
            {
                "default": wire(alert.body).decode(),
                "email": fitted(words, _text, _size),
                "sms": words.title[:140],
            },
            sort_keys=True,
        ),
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value} for name, value in sorted(kept.items())
        },
    }
    if topic.endswith(".fifo"):
        given |= {"MessageGroupId": "auditor", "MessageDeduplicationId": alert.alert_id}
    return given


def _text(words: Words) -> str:
    return "\n".join(words.lines())


def _size(text: str) -> int:
    return len(text.encode())
