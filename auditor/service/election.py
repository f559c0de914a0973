"""Who leads: decided by what is seen of the other, on a clock that only grows. Pure.

A leader's own words, "until 03:00:30", are worth as much as its clock. So another takes over when it saw no sign of life for
a whole lease by its own monotonic clock: no step of any clock, forward or back, deposes a leader that lives or keeps a dead
one. Only where nobody can be alive is there no wait: the leader resigned, or its process on this machine has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from auditor.ledger.agenda import Leader


@dataclass(slots=True)
class Election:
    """What one instance has seen of the leader."""

    lease_s: int
    gone: Callable[[str], bool]
    """Says whether a holder is known to have ended."""
    _seen: tuple[int, int] | None = None
    _since_s: float = 0.0

    def may_take(self, leader: Leader | None, mono_s: float) -> bool:
        """Say whether the lead may be taken from the leader that is seen at this moment."""
        sign = (leader.term, leader.beat) if leader else None
        if sign != self._seen:
            self._seen, self._since_s = sign, mono_s
        if leader is None or not leader.holder or self.gone(leader.holder):
            return True
        return mono_s - self._since_s >= self.lease_s

    def may_lead_on(self, beat_s: float, mono_s: float) -> bool:
        """Say whether a leader that last gave a sign of life then may still act as one; it stops before another begins."""
        return mono_s - beat_s < self.lease_s
