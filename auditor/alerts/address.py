"""Where a message may go: a name is looked up once, judged, and that address is the one connected to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NEVER = frozenset(
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254", "fd00:ec2::23")
)
"""Metadata services hand out credentials: no setting allows them."""
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
"""IPv4 inside IPv6 (RFC 6052, RFC 8215): `is_global` says yes to all of it."""

Lookup = Callable[[str, int], Sequence[str]]


class RefusedAddressError(Exception):
    """Raised for a receiver that may not be sent to; says why."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What of the inner network may be reached."""

    allow_hosts: Collection[str] = ()
    """Names that may have private addresses and plain http."""
    allow_loopback: bool = False


def look_up(host: str, port: int) -> list[str]:
    """Return a host's addresses; OSError when there are none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in found]


def choose(host: str, port: int, limits: Limits, lookup: Lookup = look_up) -> str:
    """Return the one address to connect to, or refuse; one bad address condemns the name."""
    addresses = list(lookup(host, port))
    if not addresses:
        raise OSError(f"{host} has no address")
    for text in addresses:
        if why := refusal(text, limits, allowed=host.lower() in limits.allow_hosts):
            raise RefusedAddressError(f"{host} is {text}, {why}")
    return addresses[0]


def refusal(text: str, limits: Limits, *, allowed: bool = False) -> str:
    """Return why an address may not be sent to; empty when it may."""
    given = ipaddress.ip_address(text.partition("%")[0])
    for address in (given, *_inside(given)):
        if address in _NEVER:
            return "a metadata service"
        if address.is_loopback:
            if not limits.allow_loopback:
                return "this machine itself"
        elif not allowed and (not address.is_global or address.is_multicast):
            return "not an address of the public internet"
    if isinstance(given, ipaddress.IPv6Address) and any(given in net for net in _NAT64):
        return "" if allowed else "an IPv4 address in disguise (NAT64)"
    return ""


def _inside(address: _Address) -> list[_Address]:
    """Return the IPv4 addresses an IPv6 address stands for."""
    if not isinstance(address, ipaddress.IPv6Address):
        return []
    found: list[_Address | None] = [address.ipv4_mapped, address.sixtofour]
    if any(address in net for net in _NAT64):
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address.teredo:
        found.extend(address.teredo)
    return [one for one in found if one is not None]
