"""The routes of the configuration, ready to send."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditor.alerts.deliver import Clock, Delivery, Way
    from auditor.config import Config
    from auditor.ledger import Ledger
    from auditor.rulepack import Pack


def check_controls(config: Config, pack: Pack) -> None:
    """Raise ConfigError for every glob of a route that fits no control: such a route would hear of nothing."""
    from fnmatch import fnmatchcase

    from auditor.errors import ConfigError

    known = sorted({control for rule in pack.rules for control in rule.controls})
    wrong = [
        config.problem(("alerts", name, "controls", at), f"{glob!r} fits no control that a rule supports")
        for name, settings in sorted(config.alerts.items())
        for at, glob in enumerate(settings.controls)
        if known and not any(fnmatchcase(control, glob) for control in known)
    ]
    if wrong:
        raise ConfigError("\n".join(wrong), remedy="`auditor controls` lists them.")


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


def told(config: Config, ledger: Ledger, clock: Clock) -> Delivery:
    """Write what time alone made due, then send all that is due."""
    from auditor.alerts import deliver, remind
    from auditor.scan import routes

    remind(ledger, routes(config), clock())
    return deliver(ledger, ways(config), clock)
