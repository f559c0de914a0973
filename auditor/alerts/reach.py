"""Whether a route's receiver can be reached: its name and a TCP connection; nothing is sent."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from auditor.alerts.address import Limits, RefusedAddressError, canonical_host, choose
from auditor.alerts.outgoing import Out, target
from auditor.alerts.secret import reveal
from auditor.errors import ConfigError

_ARN = re.compile(r"arn:(?P<partition>aws[a-z-]*):(?P<service>sns|events):(?P<region>[a-z0-9-]+):")


@dataclass(frozen=True, slots=True)
class Reach:
    """What was tried of one route."""

    reached: bool | None
    """None: it could not be tried."""
    said: str
    remedy: str = ""


def reach(settings: Any, out: Out, *, route: str = "ROUTE", timeout_s: float = 5) -> Reach:
    """Look up a receiver's name, connect to it or to the proxy before it, and hang up; see that its secrets can be read.

    Of an address only host and port are ever told: its path may be a secret. A channel whose addresses only a library
    of others understands is not guessed at: it comes out as not tried.
    """
    try:
        settings.ready(out.outgoing)
        secrets = dict(_secrets(settings))
        where = _where(settings, secrets)
    except ConfigError as error:
        return Reach(False, error.what, error.remedy or "Mend it in the configuration.")
    if where is None:
        said = "there is no way to try it without sending"
        return Reach(None, said, f"`auditor alerts test {route}` sends one message.")
    host, port = where
    name, limits = f"{host}:{port}", Limits.of(out.outgoing.allow)
    try:
        if out.outgoing.proxy:
            proxy = urlsplit(out.outgoing.proxy)
            name, address, port = f"the proxy {proxy.netloc}", str(proxy.hostname), proxy.port or 80
        else:
            address = choose(host, port, limits, out.lookup)
        with socket.create_connection((address, port), timeout=timeout_s):
            return Reach(True, f"{name} takes connections; nothing was sent")
    except RefusedAddressError as error:
        return Reach(False, f"refused: {error}", "[alerts] allow names receivers inside.")
    except socket.gaierror as error:
        said = f"{host} has no address: {error.strerror}"
        return Reach(False, said, "See that the name is right and DNS answers.")
    except OSError as error:
        why = error.strerror or str(error) or type(error).__name__
        return Reach(False, f"{name}: {why}", "See that it listens and that no firewall is between.")


def _secrets(settings: Any) -> Iterator[tuple[str, str]]:
    """Yield every setting that is a reference to a secret, with what it refers to."""
    for each in fields(settings):
        value = getattr(settings, each.name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, str) and one.startswith(("env:", "file:")):
                yield each.name, reveal(one)


def _where(settings: Any, secrets: dict[str, str]) -> tuple[str, int] | None:
    """Return host and port of a receiver: of its address, as mail servers are named, or of the region that an ARN names."""
    said = {name: str(getattr(settings, name, "") or "") for name in ("url", "endpoint", "topic", "bus")}
    if url := secrets.get("url") or said["url"] or said["endpoint"]:
        found = target(url)
        return found.host, found.port
    if arn := _ARN.match(said["topic"] or said["bus"]):
        china = ".cn" if arn["partition"] == "aws-cn" else ""
        return f"{arn['service']}.{arn['region']}.amazonaws.com{china}", 443
    host, port = getattr(settings, "host", ""), getattr(settings, "port", 0)
    if not (host and port):
        return None
    try:
        return canonical_host(str(host)), int(port)
    except RefusedAddressError as error:
        raise ConfigError(str(error)) from None
