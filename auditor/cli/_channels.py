"""The routes of the configuration, ready to send."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditor.alerts.deliver import Way
    from auditor.config import Config


def ways(config: Config) -> dict[str, Way]:
    """Return the way of every route that has an address."""
    from auditor.alerts.deliver import Way
    from auditor.alerts.outgoing import Out
    from auditor.alerts.routes import channel_of

    out = Out(config.outgoing)
    return {
        name: Way(channel_of(settings).channel(settings, out), settings.per_minute, settings.fallback)
        for name, settings in sorted(config.alerts.items())
        if settings.on
    }
