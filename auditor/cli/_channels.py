"""The channels of the configuration, ready to send."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditor.alerts.deliver import Send
    from auditor.config import Config


def channels(config: Config) -> dict[str, Send]:
    """Return the sender of every channel that has an address."""
    return {
        name: import_module(f"auditor.alerts.{name}").channel(settings)
        for name, settings in sorted(config.alerts.items())
        if settings.url
    }
