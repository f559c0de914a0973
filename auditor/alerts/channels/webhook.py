"""A signed webhook, as Standard Webhooks 1.0 describes it (standardwebhooks.com).

Every attempt carries the same `webhook-id`, so that a receiver may know a repetition, and its own
timestamp and signature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from auditor.alerts.deliver import Answer, Send
from auditor.alerts.outgoing import Out, send, target
from auditor.alerts.routes import Wants
from auditor.alerts.secret import reveal
from auditor.alerts.text import wire
from auditor.errors import ConfigError
from auditor.ledger import Sending


@dataclass(frozen=True, slots=True)
class Settings(Wants):
    """A receiver of signed webhooks."""

    url: str = ""
    """Where to send, https://host/path; empty switches the route off."""
    secret: str = ""
    """Signing secret, `whsec_...`, as env:NAME or file:PATH."""
    previous_secret: str = ""
    """The secret before it, while receivers change over: messages are signed with both."""

    @property
    def on(self) -> bool:
        """Say whether it has an address."""
        return bool(self.url)

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Yield what does not fit together."""
        yield from Wants.mistakes(self)
        if self.url:
            try:
                target(self.url)
            except ConfigError as error:
                yield "url", error.what
            if not self.secret:
                yield "secret", "is missing: messages are signed"


def channel(settings: Settings, out: Out) -> Send:
    """Return the function that sends through this webhook."""

    def send_one(sending: Sending, now: datetime) -> Answer:
        body = wire(sending.alert.body)
        secrets = [reveal(ref) for ref in (settings.secret, settings.previous_secret) if ref]
        headers = _headers(secrets, sending.alert.alert_id, now, body)
        return send(settings.url, body, headers, out, now, timeout_s=settings.timeout_s, secrets=secrets)

    return send_one


def sign(secret: str, alert_id: str, timestamp: int, body: bytes) -> str:
    """Return one signature, `v1,BASE64`: HMAC-SHA256 over `id.timestamp.body`."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < 24:
        raise ConfigError(
            "a webhook's signing secret is `whsec_` and at least 24 bytes in base64",
            remedy="openssl rand -base64 32 makes one; write whsec_ before it.",
        )
    signed = f"{alert_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def _headers(secrets: list[str], alert_id: str, now: datetime, body: bytes) -> dict[str, str]:
    if not secrets:
        raise ConfigError("the webhook has no signing secret", remedy="Set secret = env:NAME.")
    timestamp = int(now.timestamp())
    return {
        "content-type": "application/json",
        "webhook-id": alert_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(secret, alert_id, timestamp, body) for secret in secrets),
    }
