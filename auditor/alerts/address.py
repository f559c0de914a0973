"""Where a message may go: a name is looked up once, judged, and that address is the one connected to."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NEVER = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Google Cloud, Azure and others
        "169.254.170.2",  # Amazon ECS
        "169.254.170.23",  # Amazon EKS
        "fd00:ec2::254",
        "fd00:ec2::23",
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure's host agent: a public address that only a virtual machine reaches
        "fd20:ce::254",  # Google Cloud
    )
)
"""Metadata services hand out credentials: no setting allows them."""
_DISGUISES = tuple(
    (ipaddress.IPv6Network(text), words)
    for text, words in (
        ("::ffff:0:0/96", "IPv4-mapped"),  # RFC 4291, 2.5.5.2
        ("::/96", "IPv4-compatible"),  # RFC 4291, 2.5.5.1
        ("::ffff:0:0:0/96", "IPv4-translated"),  # RFC 2765
        ("2002::/16", "6to4"),  # RFC 3056
        ("2001::/32", "Teredo"),  # RFC 4380
        ("64:ff9b::/96", "NAT64"),  # RFC 6052; `is_global` says yes to it
        ("64:ff9b:1::/48", "NAT64"),  # RFC 8215
    )
)
_OTHERWISE = (
    ipaddress.ip_network("192.0.0.0/24"),  # protocol assignments, RFC 6890; not private to older Pythons
    ipaddress.ip_network("3fff::/20"),  # documentation, RFC 9637
    ipaddress.ip_network("fec0::/10"),  # site-local, RFC 3879: deprecated, and still routed here and there
    ipaddress.ip_network("5f00::/16"),  # segment routing within one domain, RFC 9602
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_NUMBER = re.compile(r"[0-9]+\Z|0x[0-9a-f]*\Z")

Lookup = Callable[[str, int], Sequence[str]]


class RefusedAddressError(Exception):
    """Raised for a receiver that may not be sent to; says why."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What of the inner network may be reached."""

    hosts: frozenset[str] = frozenset()
    """Names that may have private addresses."""
    networks: tuple[_Network, ...] = ()
    """Addresses that may be sent to, whatever their name."""

    @classmethod
    def of(cls, allow: Sequence[str]) -> Limits:
        """Read the entries of `[alerts] allow`."""
        hosts, networks = set(), []
        for text in allow:
            try:
                networks.append(ipaddress.ip_network(text))
            except ValueError:
                hosts.add(text.lower())
        return cls(frozenset(hosts), tuple(networks))

    def holds(self, address: _Address) -> bool:
        """Say whether an address is within a network that is allowed."""
        return any(address in net for net in self.networks if net.version == address.version)


def look_up(host: str, port: int) -> list[str]:
    """Return a host's addresses; OSError when there are none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in found]


def canonical_host(host: str) -> str:
    """Return a host in the one form it is judged, looked up and shown in; RefusedAddressError for a disguise.

    A name in ASCII, or an address as RFC 3986 writes it: no decimal, octal or hexadecimal number, which a
    resolver would take for an address (WHATWG URL, "ends in a number").
    """
    if "%" in host:
        raise RefusedAddressError("the host names an interface")
    if not host.isascii():
        raise RefusedAddressError(
            "the host is not in ASCII: write its xn-- form, and look twice at whose it is"
        )
    name = host.lower().removesuffix(".")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    labels = name.split(".")
    if _NUMBER.match(labels[-1]):
        raise RefusedAddressError(f"{host} is a number in the place of a name")
    if len(name) > 253 or not all(_LABEL.match(label) for label in labels):
        raise RefusedAddressError(f"{host[:80]!r} is no host name")
    return name


def choose(host: str, port: int, limits: Limits, lookup: Lookup = look_up) -> str:
    """Return the one address to connect to, or refuse; one bad address condemns the name."""
    addresses = list(lookup(host, port))
    if not addresses:
        raise OSError(f"{host} has no address")
    for text in addresses:
        if why := refusal(text, limits, named=host in limits.hosts):
            raise RefusedAddressError(f"{host} is {text}, {why}")
    return addresses[0]


def refusal(text: str, limits: Limits, *, named: bool = False) -> str:
    """Return why an address may not be sent to; empty when it may. `named`: its host is one of those allowed."""
    given = ipaddress.ip_address(text.partition("%")[0])
    inside = _inside(given)
    if given in _NEVER or any(each in _NEVER for each in inside):
        return "a metadata service"
    if limits.holds(given):
        return next((why for each in inside if (why := _refused(each, limits, named=False))), "")
    return _refused(given, limits, named=named)


def _refused(address: _Address, limits: Limits, *, named: bool) -> str:
    if limits.holds(address):
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.is_loopback:
            return "this machine itself"
        if words := next((words for net, words in _DISGUISES if address in net), ""):
            return f"an IPv4 address in disguise ({words})"
    if address.is_loopback:
        return "this machine itself"
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return "an address of this link alone, or of many machines"
    inner = not address.is_global or any(
        address in net for net in _OTHERWISE if net.version == address.version
    )
    return "not an address of the public internet" if inner and not named else ""


def _inside(address: _Address) -> list[_Address]:
    """Return the IPv4 addresses an IPv6 address may stand for."""
    if not isinstance(address, ipaddress.IPv6Address):
        return []
    whole = int(address)
    last = ipaddress.IPv4Address(whole & 0xFFFFFFFF)
    found: list[_Address | None] = [address.sixtofour]
    if (
        any(address in net for net, words in _DISGUISES if words.startswith("IPv4"))
        or address in _DISGUISES[5][0]
    ):
        found.append(last)
    if address in _DISGUISES[6][0]:  # the prefix within it may be of 48, 56, 64 or 96 bits (RFC 6052, 2.2)
        found += [
            ipaddress.IPv4Address((whole >> 64 & 0xFFFF) << 16 | whole >> 40 & 0xFFFF),
            ipaddress.IPv4Address((whole >> 64 & 0xFF) << 24 | whole >> 32 & 0xFFFFFF),
            ipaddress.IPv4Address(whole >> 24 & 0xFFFFFFFF),
            last,
        ]
    if address.teredo:
        found.extend(address.teredo)
    return [one for one in found if one is not None]
