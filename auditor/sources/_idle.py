"""Clients that wait for the next scan of this process: to make one costs as much as ten calls of it.

A client is in use by one source of one scan, or idle here. It waits for scans by the same configuration, the very
object, and its key says what else it was made from, the caller's credentials included: new ones never meet an old client.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditor.sources.clients import Clients


@dataclass(slots=True)
class Lent:
    """A client and whom its events are told to: the hooks stay, their listener changes."""

    key: tuple[str, ...]
    client: Any
    to: Clients


class _Idle:
    """The clients that wait, all for one owner."""

    def __init__(self) -> None:
        self.owner: object = None
        self.lents: dict[tuple[str, ...], Lent] = {}
        self.lock = Lock()


_IDLE = _Idle()


def lend(key: tuple[str, ...], to: Clients, make: Callable[[Lent], Any]) -> Lent:
    """Return the idle client of that key and owner, or the one that `make` makes."""
    with _IDLE.lock:
        if _IDLE.owner is not to.owner:
            _IDLE.lents.clear()
            _IDLE.owner = to.owner
        found = _IDLE.lents.pop(key, None)
    if found is not None:
        found.to = to
        return found
    lent = Lent(key, None, to)
    lent.client = make(lent)
    return lent


def give_back(lent: Lent) -> None:
    """Keep a client that nobody uses any more, if its owner is still the one who asks."""
    with _IDLE.lock:
        if _IDLE.owner is lent.to.owner is not None:
            _IDLE.lents[lent.key] = lent
    del lent.to  # it holds every page of its scan
