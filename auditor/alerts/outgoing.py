"""The one way out over HTTP: https only, a name resolved once and that address connected to, nothing followed.

A receiver's address comes from a file that people edit, its name from a name server, its answer from a
stranger: none of the three may turn a request against the network it is made in.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from auditor.alerts.address import Limits, Lookup, RefusedAddressError, canonical_host, choose, look_up
from auditor.alerts.deliver import Answer
from auditor.config_alerts import Outgoing
from auditor.errors import ConfigError

_LATER = {408, 425, 429}
"""4xx answers that ask to try again; every other one is final."""
_HEARD_BYTES = 65_536
"""As much of an answer as is read."""
_SAID = 200
_URL = re.compile(r"[\x21-\x7e]+\Z")
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes, as its URL says it."""

    host: str
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What a receiver answered, as much as is read of it."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name; of a name that comes twice the first."""
    heard: bytes


@dataclass(frozen=True, slots=True)
class Out:
    """The way out: what may be reached, and how names are looked up."""

    outgoing: Outgoing = field(default_factory=Outgoing)
    lookup: Lookup = look_up


def target(url: str) -> Target:
    """Read an address; ConfigError says what is wrong with it, and never shows its path, which may be a secret."""
    if not _URL.match(url) or "\\" in url:
        raise ConfigError(
            "an address holds printable ASCII alone, and no backslash: write a host's xn-- form"
        )
    try:
        parts = urlsplit(url)
        port = 443 if parts.port is None else parts.port
    except ValueError as error:
        raise ConfigError(f"the address is none: {error}") from None
    if parts.scheme != "https" or not parts.hostname:
        raise ConfigError("an address is https://host/path, and nothing is sent without TLS")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise ConfigError("an address holds no user name and no password")
    if not 0 < port < 65_536:
        raise ConfigError("the address has no valid port")
    try:
        host = canonical_host(parts.hostname)
    except RefusedAddressError as error:
        raise ConfigError(str(error)) from None
    path = parts.path or "/"
    return Target(host, port, f"{path}?{parts.query}" if parts.query else path)


def post(
    url: str, body: bytes, headers: Mapping[str, str], out: Out, *, timeout_s: float, method: str = "POST"
) -> Reply:
    """Make one request within so many seconds, all in all.

    Raises ConfigError for an address that is none, RefusedAddressError for one that may not be sent to,
    OSError and http.client.HTTPException for a network or a receiver that fails.
    """
    where = target(url)
    connection = _Connection(where, out, timeout_s)
    try:
        connection.request(method, where.path, body, _with_agent(headers))
        response = connection.getresponse()
        connection.in_time()  # or a head that was cut off would count as whole
        got: dict[str, str] = {}
        for name, value in response.getheaders():
            got.setdefault(name.lower(), value)
        return Reply(response.status, got, response.read(_HEARD_BYTES))
    finally:
        connection.done()


def _with_agent(headers: Mapping[str, str]) -> dict[str, str]:
    named = any(name.lower() == "user-agent" for name in headers)
    return dict(headers) if named else {"user-agent": "auditor", **headers}


def send(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    out: Out,
    now: datetime,
    *,
    timeout_s: float,
    secrets: Collection[str] = (),
) -> Answer:
    """Make one attempt and say how it ended; ConfigError for an address that cannot be.

    `secrets` are left out of what the answer quotes of the receiver.
    """
    try:
        reply = post(url, body, headers, out, timeout_s=timeout_s)
    except RefusedAddressError as error:
        return Answer("dead", f"refused: {error}")
    except (OSError, http.client.HTTPException) as error:
        said = f"{target(url).host}: {type(error).__name__}: {error}"
        return Answer("retry", quoted(said, secrets))
    return answer(reply, now, secrets)


def answer(reply: Reply, now: datetime, secrets: Collection[str] = ()) -> Answer:
    """Say what a receiver's answer means for the message."""
    words = quoted(reply.heard.decode("utf-8", "replace"), secrets)
    detail = f"HTTP {reply.status}{f': {words}' if words else ''}"
    if 200 <= reply.status < 300:
        return Answer("delivered", detail)
    if 300 <= reply.status < 400:
        return Answer("dead", f"HTTP {reply.status}: a redirect, which is not followed")
    if reply.status == http.client.GONE:
        return Answer("gone", f"HTTP {reply.status}: the receiver wants no more messages")
    if reply.status in _LATER or reply.status >= 500:
        return Answer("retry", detail, seconds(reply.headers.get("retry-after"), now))
    return Answer("dead", detail)


def seconds(retry_after: str | None, now: datetime) -> int | None:
    """Read Retry-After: seconds, or a date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return min(int(text[:10]), 86_400)
    try:
        at = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):  # OverflowError: a zone of twenty digits
        return None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return max(0, int((at - now).total_seconds()))


def quoted(text: str, secrets: Collection[str] = ()) -> str:
    """Return the beginning of what a stranger said: one line, without what a terminal obeys and without secrets."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "[left out]")
    return " ".join(_UNSEEN.sub(" ", text).split())[:_SAID]


def trust(outgoing: Outgoing) -> ssl.SSLContext:
    """Return whose certificates are believed: those of the system, and those of `ca_file`.

    They are read again when they changed: to read them for each message costs more than to send it.
    """
    system = ssl.get_default_verify_paths()
    return _trusted(outgoing.ca_file, *map(_changed, (outgoing.ca_file, system.cafile, system.capath)))


def _changed(path: str | None) -> tuple[int, int] | None:
    try:
        stat = Path(path).stat() if path else None
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_size) if stat else None


@lru_cache(maxsize=8)
def _trusted(ca_file: str, *_changed: tuple[int, int] | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(f"{ca_file}: the certificates of ca_file cannot be read: {error}") from None
    return context


class Deadline:
    """An end for all of an attempt, however slowly the other side talks."""

    def __init__(self, timeout_s: float) -> None:
        self._ends = time.monotonic() + timeout_s
        self._over = False
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._timer = threading.Timer(timeout_s, self._cut)
        self._timer.daemon = True
        self._timer.start()

    @property
    def left_s(self) -> float:
        """Seconds that are left; TimeoutError when there are none."""
        left = self._ends - time.monotonic()
        if self._over or left <= 0:
            raise TimeoutError("the time for the attempt is up")
        return left

    def guards(self, sock: socket.socket) -> None:
        """Cut this socket when time is up."""
        with self._lock:
            self._let_go()
            self._sock = sock.dup()  # whatever is laid over it, the connection is one
        _ = self.left_s

    def looked_up(self, host: str, port: int, limits: Limits, lookup: Lookup) -> str:
        """Choose the address of a host; a name server that does not answer ends with the attempt."""
        ended: list[str | BaseException] = []

        def work() -> None:
            try:
                ended.append(choose(host, port, limits, lookup))
            except (OSError, UnicodeError, RefusedAddressError) as error:
                ended.append(OSError(str(error)) if isinstance(error, UnicodeError) else error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(self.left_s)
        if not ended:
            raise TimeoutError(f"{host}: no answer from the name server")
        if isinstance(ended[0], BaseException):
            raise ended[0]
        return ended[0]

    def done(self) -> None:
        """Let go."""
        self._timer.cancel()
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _cut(self) -> None:
        with self._lock:
            self._over = True
            if self._sock is not None:
                with suppress(OSError):
                    self._sock.shutdown(socket.SHUT_RDWR)


def connected(host: str, port: int, limits: Limits, lookup: Lookup, deadline: Deadline) -> socket.socket:
    """Look a host up once, judge it, and connect to that address."""
    address = deadline.looked_up(host, port, limits, lookup)
    sock = socket.create_connection((address, port), timeout=deadline.left_s)
    deadline.guards(sock)
    return sock


class _Connection(http.client.HTTPConnection):
    """A connection to an address that was judged, under the name it was asked for by."""

    default_port = 443

    def __init__(self, where: Target, out: Out, timeout_s: float) -> None:
        super().__init__(where.host, where.port, timeout=timeout_s)
        self._out = out
        self._context = trust(out.outgoing)
        self._deadline = Deadline(timeout_s)

    def connect(self) -> None:
        limits = Limits.of(self._out.outgoing.allow)
        if self._out.outgoing.proxy:
            plain = self._through(self._out.outgoing.proxy, limits)
        else:
            plain = connected(self.host, self.port, limits, self._out.lookup, self._deadline)
        self.sock = plain
        secured = self._context.wrap_socket(plain, server_hostname=self.host, do_handshake_on_connect=False)
        self.sock = secured
        secured.do_handshake()

    def _through(self, proxy: str, limits: Limits) -> socket.socket:
        """Ask the proxy for a tunnel. It looks the name up itself: here is only judged what can be looked up here."""
        with suppress(socket.gaierror):
            self._deadline.looked_up(self.host, self.port, limits, self._out.lookup)
        parts = urlsplit(proxy)
        own = Limits(frozenset({parts.hostname or ""}), Limits.of(("127.0.0.0/8", "::1/128")).networks)
        port = parts.port or 3128
        self.sock = sock = connected(parts.hostname or "", port, own, look_up, self._deadline)
        host = f"[{self.host}]" if ":" in self.host else self.host
        sock.sendall(
            f"CONNECT {host}:{self.port} HTTP/1.1\r\nHost: {host}:{self.port}\r\n\r\n".encode("ascii")
        )
        tunnel = http.client.HTTPResponse(sock, method="CONNECT")
        tunnel.begin()
        if tunnel.status != 200:
            raise OSError(f"the proxy opens no tunnel: HTTP {tunnel.status}")
        return sock

    def in_time(self) -> None:
        """Raise TimeoutError when time is up."""
        _ = self._deadline.left_s

    def done(self) -> None:
        """Close it, and forget its deadline."""
        self._deadline.done()
        self.close()
