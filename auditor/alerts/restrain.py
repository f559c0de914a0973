"""What keeps a matter from being told as it happens: a waiver, a silence, or that it comes and goes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from auditor.alerts.items import ENDS, Item
from auditor.alerts.text import clean, minute
from auditor.ledger.matters import Restraints
from auditor.ledger.silences import Silence


@dataclass(frozen=True, slots=True)
class Held:
    """Why a message is written and not sent."""

    by: str
    """The silence, or the message that said that it flaps."""
    because: str

    def said(self) -> dict[str, str]:
        """Return what the message itself says of it."""
        return {"by": self.by, "because": self.because}


def silenced(silence: Silence) -> Held:
    """Return why a message is not sent that a silence covers."""
    why = clean(f"silenced until {minute(silence.end)} by {silence.author}: {silence.reason}", 300)
    return Held(silence.silence_id, why or "")


def restrained(
    channel: str, item: Item, restraints: Restraints, now: datetime
) -> Iterator[tuple[Item, Held | None]]:
    """Yield an item as it is told, and what holds it back; nothing where a waiver covers it.

    An end is told to whoever heard of the beginning, and blindness to everybody, whatever is silenced. What got
    worse than it was when it was waived is told.
    """
    if item.event not in ENDS and not item.sight:
        rule = item.said.get("rule")
        if rule and item.event != "worsened" and restraints.waiver(item.finding_id, rule, item.resource, now):
            return
    flap = restraints.flapping.get((channel, item.key))
    if flap is not None and (item.begins or item.event in ENDS):
        if flap.over != (item.event in ENDS):
            yield item, Held(flap.alert_id, "it comes and goes; that was told")
        return
    silence = None if item.event in ENDS or item.sight else restraints.silence(item.said)
    if silence is not None:
        yield item, silenced(silence)
    elif item.begins and (channel, item.key) in restraints.turns:
        begun = (*restraints.turns[channel, item.key], now)
        because = f"it opened {len(begun)} times within 24 hours: {', '.join(map(minute, begun[-5:]))}"
        why = item.said.get("because")
        said = {**item.said, "because": f"{because}; now: {why}" if why else because, "openings": len(begun)}
        yield replace(item, event="flapping", said=said), None
    else:
        yield item, None
