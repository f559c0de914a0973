"""`[alerts]`: what of the network messages may reach, and one table for each route they go by."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from auditor.config_lines import Path
from auditor.config_read import Reading, did_you_mean

_HOST = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?\Z"
)
_PROXY = re.compile(r"http://([^/@\s:]+|\[[0-9a-f:]+\]):([0-9]{1,5})/?\Z")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What messages may reach, and by what way."""

    allow: tuple[str, ...] = ()
    """Receivers inside: networks such as "10.1.2.3/32", names such as "hooks.internal.example"; all else is public."""
    ca_file: str = ""
    """Certificates that are trusted beside those of the system, as PEM; empty: none."""
    proxy: str = ""
    """Proxy that requests go through, http://HOST:PORT; empty: none, whatever the environment says."""


def alerts_of(
    reading: Reading, raw: Mapping[str, Any], sections: Mapping[str, type[Any]]
) -> tuple[Outgoing, dict[str, Any]]:
    """Read `[alerts]`: its own keys, and a route for each table: its name is that of its channel, or it says `channel`."""
    table = reading.table(raw.get("alerts", {}), ("alerts",))
    own = {each.name for each in fields(Outgoing)}
    outgoing = reading.dataclass(Outgoing, {k: v for k, v in table.items() if k in own}, ("alerts",))
    kinds = {name.partition(".")[2]: form for name, form in sections.items() if name.startswith("alerts.")}
    routes: dict[str, Any] = {}
    for name, value in sorted((k, v) for k, v in table.items() if k not in own):
        path: Path = ("alerts", name)
        if not isinstance(value, dict):
            reading.wrong(path, f"unknown key{did_you_mean(name, own)}; a route is a table")
            continue
        settings = _route(reading, value, path, kinds)
        if settings is not None:
            routes[name] = settings
    named = {name for name, value in table.items() if isinstance(value, dict)}
    _check_outgoing(reading, outgoing)
    _check_routes(reading, routes, named, raw)
    on = {name: one for name, one in routes.items() if table[name].get("enabled", True) is True}
    return outgoing or Outgoing(), on


def _route(
    reading: Reading, value: Mapping[str, Any], path: Path, kinds: Mapping[str, type[Any]]
) -> Any | None:
    if not isinstance(value.get("enabled", True), bool):
        reading.wrong((*path, "enabled"), "must be true or false")
    name = path[-1]
    kind = value.get("channel", name)
    form = kinds.get(kind) if isinstance(kind, str) else None
    if form is None:
        listed = ", ".join(sorted(kinds))
        if "channel" in value:
            reading.wrong(
                (*path, "channel"),
                f"{kind!r} is no channel{did_you_mean(str(kind), kinds)}; there is {listed}",
            )
        else:
            hint = did_you_mean(str(name), kinds)
            reading.wrong(path, f"unknown key{hint}; a route of another name says its channel: {listed}")
        return None
    own = {each.name for each in fields(form)}
    kept = {k: v for k, v in value.items() if k != "enabled" and (k != "channel" or "channel" in own)}
    return reading.dataclass(form, kept, path, ("enabled", "channel"))


def _check_outgoing(reading: Reading, outgoing: Outgoing | None) -> None:
    if outgoing is None:
        return
    for at, text in enumerate(outgoing.allow):
        if what := allowed_wrongly(text):
            reading.wrong(("alerts", "allow", at), what)
    if outgoing.proxy and not _PROXY.match(outgoing.proxy):
        reading.wrong(("alerts", "proxy"), "is not http://HOST:PORT, without a name or a password")


def allowed_wrongly(text: str) -> str:
    """Return what is wrong with an entry of `allow`; empty when nothing is."""
    if _HOST.match(text):
        return ""
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        if "host bits" in str(error):
            return (
                f"{text!r} is an address within a network: write {ipaddress.ip_network(text, strict=False)}"
            )
        return f"{text!r} is neither a network (10.1.2.3/32) nor a name (hooks.internal.example)"
    if not network.prefixlen:
        return f"{text!r} is every address there is: name the receivers"
    return ""


def _check_routes(
    reading: Reading, routes: Mapping[str, Any], named: set[str], raw: Mapping[str, Any]
) -> None:
    declared = raw.get("zones", {})
    zones = set(declared) - {"order", "bucket_tag", "job_label"} if isinstance(declared, dict) else set()
    for name, settings in routes.items():
        for at, zone in enumerate(getattr(settings, "zones", ())):
            if zone not in zones:
                reading.wrong(
                    ("alerts", name, "zones", at), f"{zone!r} is no zone{did_you_mean(zone, zones)}"
                )
        fallback = getattr(settings, "fallback", "")
        if fallback and (fallback not in named or fallback == name):
            others = named - {name}
            what = (
                "itself"
                if fallback == name
                else f"{fallback!r}, which is no route{did_you_mean(fallback, others)}"
            )
            reading.wrong(("alerts", name, "fallback"), f"falls back on {what}")
        for key, what in getattr(settings, "mistakes", list)():
            reading.wrong(("alerts", name, key), what)
