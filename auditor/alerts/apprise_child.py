"""One message by Apprise, in a process of its own: whatever library it sends by, every connection is judged.

Reads what to send from standard input, as JSON; writes `{"sent": bool, "because": text, "refused": bool}`.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from auditor.alerts.address import Limits, RefusedAddressError, canonical_host, refusal

MISSING = 3
"""Exit code when Apprise is not installed."""


def main() -> int:
    """Send the message that standard input holds."""
    asked: dict[str, Any] = json.load(sys.stdin)
    answer, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    try:
        apprise: Any = import_module("apprise")
        requests: Any = import_module("requests")
    except ImportError:
        return MISSING
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as trusted:
        _trust(requests, trusted, str(asked["ca_file"]))
        refused = _guard(asked["allow"])
        _only_https(requests, refused)
        heard = _Heard()
        logging.getLogger("apprise").addHandler(heard)
        sender = apprise.Apprise()
        known = all(sender.add(url) for url in asked["urls"])
        sent = bool(known and sender.notify(title=asked["title"], body=asked["body"], body_format="text"))
    because = "; ".join(refused or heard.said) or ("" if known else "Apprise does not know the address")
    json.dump({"sent": sent, "because": because, "refused": bool(refused) or not known}, answer)
    return 0


class _Heard(logging.Handler):
    """Keeps the warnings that Apprise logs: its answer is but yes or no."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def _trust(requests: Any, trusted: Any, ca_file: str) -> None:
    with open(requests.certs.where(), encoding="utf-8") as usual:  # noqa: PTH123 - a path of another library
        trusted.write(usual.read())
    if ca_file:
        with open(ca_file, encoding="utf-8") as own:  # noqa: PTH123
            trusted.write("\n" + own.read())
    trusted.flush()
    os.environ["REQUESTS_CA_BUNDLE"] = trusted.name


def _guard(allow: Sequence[str]) -> list[str]:
    """Judge every connection of this process when it is made; return where refusals are noted."""
    limits, named, refused = Limits.of(allow), set[str](), list[str]()
    resolve = socket.getaddrinfo

    def looked_up(host: Any, *rest: Any, **more: Any) -> Any:
        found = resolve(host, *rest, **more)
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")
        try:
            allowed = canonical_host(name) in limits.hosts
        except RefusedAddressError:
            allowed = False
        addresses = {str(info[4][0]) for info in found}
        for address in sorted(addresses):
            if why := refusal(address, limits, named=allowed):
                refused.append(f"{name} is {address}, {why}")
                raise OSError(refused[-1])
        if allowed:
            named.update(addresses)
        return found

    def judged(event: str, details: tuple[Any, ...]) -> None:
        if event not in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
            return
        address = details[1] if len(details) > 1 else None
        if not isinstance(address, tuple):
            return
        try:
            why = refusal(str(address[0]), limits, named=str(address[0]) in named)
        except ValueError:
            why = "a name that was not looked up before"
        if why:
            refused.append(f"{address[0]}, {why}")
            raise OSError(refused[-1])

    socket.getaddrinfo = looked_up
    sys.addaudithook(judged)
    return refused


def _only_https(requests: Any, refused: list[str]) -> None:
    send = requests.adapters.HTTPAdapter.send

    def secure(self: Any, request: Any, *rest: Any, **more: Any) -> Any:
        if not str(request.url).lower().startswith("https://"):
            refused.append("plain http: write the secure form of its address, such as jsons://")
            raise requests.exceptions.InvalidSchema(refused[-1])
        return send(self, request, *rest, **(more | {"proxies": {}}))

    requests.adapters.HTTPAdapter.send = secure
    requests.Session.get_redirect_target = lambda _session, _response: None


if __name__ == "__main__":
    sys.exit(main())
