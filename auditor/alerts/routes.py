"""What every route says, whatever its channel; and the channels, found by the names of their modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

from auditor.config_alerts import Outgoing
from auditor.config_sections import Duration, Glob

Event = Literal[
    "opened",
    "regressed",
    "worsened",
    "changed",
    "recovered",
    "vanished",
    "scanner_blind",
    "went_unknown",
    "acknowledged",
    "reminder",
    "waiver_expiring",
]
EVENTS: tuple[str, ...] = get_args(Event)
"""What a message may tell of."""
USUAL: tuple[Event, ...] = tuple(event for event in get_args(Event) if event != "went_unknown")
_SHORTEST_S = 3600
_LONGEST_S = 120
"""Well within the lease of an alert, after which another sender takes it."""
Severity = Literal["critical", "high", "medium", "low"]
CHANNELS = tuple(sorted(path.stem for path in (Path(__file__).parent / "channels").glob("[a-z]*.py")))
"""Every channel: module, and section of the configuration in one; nothing else has to be told of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    """What a route hears of, how often, and who hears of what it could not deliver."""

    severity: Severity = "medium"
    """The least severe matter it is told of."""
    events: tuple[Event, ...] = USUAL
    """What it is told of. The end of a matter is told to whoever heard of it."""
    remind_critical: Duration = 4 * 3600
    """After how long an open matter is told again that nobody works on; 0s: never."""
    remind_high: Duration = 24 * 3600
    """The same of what is high. What is less severe stands in the weekly report."""
    zones: tuple[str, ...] = ()
    """Zones it is told of; empty: all. What is in no known zone is told to every route."""
    controls: tuple[Glob, ...] = ()
    """Globs on controls, such as "soc2/*"; empty: all. What supports no known control is told to every route."""
    owners: tuple[Glob, ...] = ()
    """Globs on owners; empty: all. What has no known owner is told to every route."""
    per_minute: int = 10
    """Messages a minute; what is beyond goes out as one digest. 0: no limit."""
    timeout_s: int = 20
    """An attempt takes this long at most."""
    fallback: str = ""
    """The route that is told when this one fails for good; empty: the next by name."""

    @property
    def on(self) -> bool:
        """Say whether it has an address."""
        return False

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Yield what does not fit together, as (key, what)."""
        if not 1 <= self.timeout_s <= _LONGEST_S:
            yield "timeout_s", f"must be between 1 and {_LONGEST_S}"
        for key in ("remind_critical", "remind_high"):
            if 0 < getattr(self, key) < _SHORTEST_S:
                yield key, "must be an hour at least, or 0s for never"

    def ready(self, outgoing: Outgoing) -> None:
        """Raise ConfigError for what lies outside its section and would refuse every message: most need nothing."""

    def route(self, channel: str) -> Route:
        """Return what it wants to hear."""
        return Route(
            channel,
            self.severity,
            self.events,
            zones=self.zones,
            controls=self.controls,
            owners=self.owners,
            remind={"critical": self.remind_critical, "high": self.remind_high},
        )


@dataclass(frozen=True, slots=True)
class Route:
    """What one route wants to hear."""

    channel: str
    """Its name."""
    severity: str = "medium"
    """The least severe it hears of."""
    events: tuple[str, ...] = USUAL
    zones: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    remind: Mapping[str, int] = field(default_factory=lambda: {"critical": 4 * 3600, "high": 24 * 3600})
    """Seconds after which what is so severe is told again; 0, or not named: never."""

    def concerns(self, zone: str | None, controls: tuple[str, ...], owner: str | None) -> bool:
        """Say whether a matter is one of those it hears of; what is not known leaves nothing out."""
        return (
            (not self.zones or not zone or zone in self.zones)
            and (not self.controls or not controls or any(_fits(each, self.controls) for each in controls))
            and (not self.owners or not owner or _fits(owner, self.owners))
        )


def _fits(text: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(text, glob) for glob in globs)


def channel(name: str) -> Any:
    """Import one channel by name; no SDK is imported before it sends."""
    return import_module(f"auditor.alerts.channels.{name}")


def channel_of(settings: Any) -> Any:
    """Return the channel whose settings these are."""
    return sys.modules[type(settings).__module__]


def sections() -> dict[str, type[Any]]:
    """Return the settings of every channel by their section of the configuration."""
    return {f"alerts.{name}": channel(name).Settings for name in CHANNELS}
