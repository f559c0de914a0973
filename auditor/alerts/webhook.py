"""A signed webhook, as Standard Webhooks 1.0 describes it (standardwebhooks.com).

Every attempt carries the same `webhook-id`, so that a receiver may know a repetition, and its own
timestamp and signature. Redirects are not followed and inner addresses are refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urlsplit

from auditor.alerts.address import Limits, Lookup, RefusedAddressError, choose, look_up
from auditor.alerts.compose import EVENTS, Route, wire
from auditor.alerts.deliver import Answer, Send
from auditor.alerts.secret import reveal
from auditor.errors import ConfigError
from auditor.ledger import Sending

_LATER = {408, 409, 425, 429}
"""4xx answers that ask to try again; every other one is final."""
_HEARD_BYTES = 4096
"""As much of an answer as is read."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One receiver of alerts."""

    url: str = ""
    """Where to send; empty switches the channel off."""
    secret: str = ""
    """Signing secret, `whsec_...`, as env:NAME or file:PATH."""
    previous_secret: str = ""
    """The secret before it, while receivers change over: messages are signed with both."""
    timeout_s: int = 20
    """An attempt takes this long at most."""
    severity: str = "medium"
    """The least severe matter it is told of."""
    events: tuple[str, ...] = Route("").events
    """What it is told of: any of opened, regressed, worsened, changed, recovered, vanished,
    scanner_blind, went_unknown. The end of a matter is told to whoever heard of it."""
    allow_hosts: tuple[str, ...] = ()
    """Hosts that may have private addresses, and may be reached by plain http."""
    allow_loopback: bool = False
    """This machine itself may be the receiver, by plain http too."""

    def route(self, channel: str = "webhook") -> Route:
        """Return what this receiver wants to hear."""
        if unknown := sorted(set(self.events) - set(EVENTS)):
            raise ConfigError(f"there is no event {unknown[0]}; there are {', '.join(EVENTS)}")
        return Route(channel, self.severity, self.events)


def channel(settings: Settings, *, lookup: Lookup = look_up) -> Send:
    """Return the function that sends through this webhook."""

    def send_one(sending: Sending, now: datetime) -> Answer:
        return send(settings, sending, now, lookup=lookup)

    return send_one


def send(settings: Settings, sending: Sending, now: datetime, *, lookup: Lookup = look_up) -> Answer:
    """Make one attempt. ConfigError for settings that cannot work; everything else is an answer."""
    limits = Limits(tuple(host.lower() for host in settings.allow_hosts), settings.allow_loopback)
    url = urlsplit(settings.url)
    host, port = _target(url)
    body = wire(sending.alert.body)
    headers = _headers(settings, sending.alert.alert_id, now, body)
    try:
        address = choose(host, port, limits, lookup)
        _check_scheme(url, address, limits)
        return _post(_Connection(url, address, settings.timeout_s), url, body, headers, now)
    except RefusedAddressError as error:
        return Answer("dead", f"refused: {error}")
    except (OSError, http.client.HTTPException) as error:
        return Answer("retry", f"{host}: {type(error).__name__}: {error}")


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


def _headers(settings: Settings, alert_id: str, now: datetime, body: bytes) -> dict[str, str]:
    timestamp = int(now.timestamp())
    references = [ref for ref in (settings.secret, settings.previous_secret) if ref]
    if not references:
        raise ConfigError("the webhook has no signing secret", remedy="Set secret = env:NAME.")
    return {
        "content-type": "application/json",
        "user-agent": "auditor",
        "webhook-id": alert_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            sign(reveal(reference), alert_id, timestamp, body) for reference in references
        ),
    }


def _target(url: SplitResult) -> tuple[str, int]:
    try:
        port = url.port or (443 if url.scheme == "https" else 80)
    except ValueError as error:
        raise ConfigError(f"the webhook's address has no valid port: {error}") from error
    if url.scheme not in {"https", "http"} or not url.hostname:
        raise ConfigError("a webhook's address is https://host/path")
    if url.username is not None or url.password is not None:
        raise ConfigError("a webhook's address holds no user name and no password")
    return url.hostname, port


def _check_scheme(url: SplitResult, address: str, limits: Limits) -> None:
    """Allow plain http only where the settings name the receiver as their own."""
    if url.scheme == "https" or (url.hostname or "").lower() in limits.allow_hosts:
        return
    if limits.allow_loopback and (address == "::1" or address.startswith("127.")):
        return
    raise RefusedAddressError("plain http; use https, or name the host in allow_hosts")


class _Connection(http.client.HTTPConnection):
    """A connection to an address that was judged, under the name it was asked for by."""

    def __init__(self, url: SplitResult, address: str, timeout_s: int) -> None:
        host, port = _target(url)
        super().__init__(host, port, timeout=timeout_s)
        self._address = address
        self._secure = url.scheme == "https"

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), timeout=self.timeout)
        if self._secure:
            context = ssl.create_default_context()
            secured = context.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self.sock = secured  # before the handshake, so that `cut` can end that too
            secured.do_handshake()

    def cut(self) -> None:
        """End an attempt whose time is up, however slowly the receiver still talks."""
        if self.sock is not None:
            with suppress(OSError):
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


def _post(
    connection: _Connection, url: SplitResult, body: bytes, headers: dict[str, str], now: datetime
) -> Answer:
    path = f"{url.path or '/'}{f'?{url.query}' if url.query else ''}"
    timer = threading.Timer(float(connection.timeout or 20), connection.cut)
    timer.daemon = True
    timer.start()
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        heard = response.read(_HEARD_BYTES).decode("utf-8", "replace")
        return _answer(response.status, response.getheader("retry-after"), heard, now)
    finally:
        timer.cancel()
        connection.close()


def _answer(status: int, retry_after: str | None, heard: str, now: datetime) -> Answer:
    words = " ".join(heard.split())[:200]
    detail = f"HTTP {status}{f': {words}' if words else ''}"
    if 200 <= status < 300:
        return Answer("delivered", detail)
    if 300 <= status < 400:
        return Answer("dead", f"HTTP {status}: a redirect, which is not followed")
    if status == http.client.GONE:
        return Answer("gone", f"HTTP {status}: the receiver wants no more messages")
    if status in _LATER or status >= 500:
        return Answer("retry", detail, _seconds(retry_after, now))
    return Answer("dead", detail)


def _seconds(retry_after: str | None, now: datetime) -> int | None:
    """Read Retry-After: seconds, or a date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return min(int(retry_after.strip()[:10]), 86_400)
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return max(0, int((at - now).total_seconds()))
