"""One module per system we read; each yields rows, what it saw to the end, and gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from auditor.model import Bulk, Cursor, Gap, Row, Seen
    from auditor.sources.ask import Ask

NAMES = tuple(
    sorted(
        path.stem
        for path in Path(__file__).parent.glob("*.py")
        if path.stem.startswith(("aws_", "gcp_", "directory"))
    )
)
"""Every source: module, section of the configuration and word on the command line in one. A module that bears the name of a
system is one; nothing else has to be told of it."""


class Source(Protocol):
    """What a module of this package offers."""

    TABLES: tuple[str, ...]
    AFTER: tuple[str, ...]
    ACTIONS: tuple[str, ...]
    Settings: type[Any]
    collect: Callable[[Ask], Iterator[Row | Bulk | Seen | Gap | Cursor]]


def running(sources: Mapping[str, Source], settings: Mapping[str, Any]) -> list[str]:
    """Return the sources that a scan asks, sorted: those that are on, without directories that are not there.

    One directory without settings is left out where another has some; where none has, each says itself what is missing.
    """
    on = sorted(name for name in settings if name in sources)
    there = [name for name in on if getattr(sources[name], "configured", _always)(settings[name])]
    return [name for name in on if name in there or not stands_in(name, sources, there)]


def stands_in(name: str, sources: Mapping[str, Source], asked: Iterable[str]) -> bool:
    """Tell whether another directory is asked in the place of one that is not."""
    others = (sources[each] for each in asked if each != name)
    return hasattr(sources[name], "configured") and any(hasattr(other, "configured") for other in others)


def _always(_settings: Any) -> bool:
    return True


def source(name: str) -> Source:
    """Import one source by name; no SDK is imported before it collects."""
    return cast("Source", import_module(f"auditor.sources.{name}"))
