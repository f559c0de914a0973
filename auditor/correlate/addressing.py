"""Whether an address is in one of the declared networks, IPv4 and IPv6 alike."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(maxsize=4096)
def within(source: str | None, declared: tuple[str, ...]) -> bool | None:
    """Say whether a caller comes from a declared place: an address in a network, a service of AWS by its name.

    None when the caller is not known, or when it is in no network that can be read and one cannot.
    """
    if not source:
        return None
    address = address_of(source)
    if address is None:
        named = (
            "." in source or " " in source
        )  # `backup.amazonaws.com`, `AWS Internal`: a service has a name, no address
        return any(source.casefold() == each.casefold() for each in declared) if named else None
    networks = [network_of(each) for each in declared]
    if any(network is not None and address in network for network in networks):
        return True
    return None if unreadable(declared) else False


def address_of(text: str) -> Address | None:
    """Return an address; an IPv4 address that is written as IPv6 is an IPv4 address."""
    try:
        address = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def network_of(text: str) -> Network | None:
    """Return a network, its host bits dropped; None when it is none."""
    try:
        network = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.ip_network((mapped, network.prefixlen - 96))
    return network


def unreadable(declared: Iterable[str]) -> list[str]:
    """Return what looks like a network and cannot be read as one: digits, colons and a slash, but no name."""
    return sorted(
        each
        for each in declared
        if network_of(each) is None and (each[:1].isdigit() or ":" in each or "/" in each)
    )
