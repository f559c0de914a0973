"""Google Pub/Sub by its REST API: one message a topic; attributes are for subscriptions' filters."""

from __future__ import annotations

import base64
import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auditor.alerts.address import RefusedAddressError
from auditor.alerts.deliver import Answer, Send
from auditor.alerts.outgoing import Out, answer, post, quoted, target
from auditor.alerts.routes import Wants
from auditor.alerts.secret import reveal
from auditor.alerts.text import wire
from auditor.config_sections import Secret
from auditor.errors import ConfigError
from auditor.ledger import Sending

ACTIONS = ("pubsub.topics.publish",)
_SCOPES = ("https://www.googleapis.com/auth/pubsub",)
_TOPIC = re.compile(r"projects/[a-z0-9.:-]{1,100}/topics/[A-Za-z][A-Za-z0-9._~+%-]{2,254}\Z")


@dataclass(frozen=True, slots=True)
class Settings(Wants):
    """A topic of Google Pub/Sub."""

    topic: str = ""
    """The topic, projects/PROJECT/topics/NAME; empty switches the route off."""
    token: Secret = ""
    """Access token, as env:NAME or file:PATH; empty: Application Default Credentials."""
    endpoint: str = "https://pubsub.googleapis.com"
    """Where the API is; a regional endpoint keeps messages in their region."""

    @property
    def on(self) -> bool:
        """Say whether it has a topic."""
        return bool(self.topic)

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Yield what does not fit together."""
        yield from Wants.mistakes(self)
        if self.topic and not _TOPIC.match(self.topic):
            yield "topic", f"{self.topic!r} is not projects/PROJECT/topics/NAME"
        try:
            target(self.endpoint)
        except ConfigError as error:
            yield "endpoint", error.what


def channel(settings: Settings, out: Out) -> Send:
    """Return the function that publishes to this topic."""

    def send_one(sending: Sending, now: datetime) -> Answer:
        token = _token(settings)
        if isinstance(token, Answer):
            return token
        url = f"{settings.endpoint.rstrip('/')}/v1/{settings.topic}:publish"
        headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
        try:
            reply = post(url, message(sending), headers, out, timeout_s=settings.timeout_s)
        except RefusedAddressError as error:
            return Answer("dead", f"refused: {error}")
        except (OSError, http.client.HTTPException) as error:
            return Answer("retry", quoted(f"{target(url).host}: {type(error).__name__}: {error}", [token]))
        if reply.status == http.client.UNAUTHORIZED:  # a token is renewed: the next attempt has another
            return Answer("retry", "HTTP 401: the token is not, or no longer, good")
        return answer(reply, now, [token])

    return send_one


def message(sending: Sending) -> bytes:
    """Return the body of projects.topics.publish; an attribute's value is at most 1,024 bytes."""
    alert = sending.alert
    data: dict[str, Any] = alert.body.get("data") or {}
    attributes = {
        "alert_id": alert.alert_id,
        "event": alert.event,
        "severity": str(data.get("severity") or "low"),
    }
    one = {"data": base64.b64encode(wire(alert.body)).decode(), "attributes": attributes}
    return json.dumps({"messages": [one]}, separators=(",", ":")).encode()


def _token(settings: Settings) -> str | Answer:
    if settings.token:
        return reveal(settings.token)
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request

    try:
        credentials, _ = google.auth.default(scopes=list(_SCOPES))
        credentials.refresh(Request())  # type: ignore[no-untyped-call]
    except GoogleAuthError as error:
        return Answer("retry", quoted(f"{type(error).__name__}: {error}"))
    return str(credentials.token)
