"""How the service fares: what is noted by the loops, and what /healthz, /readyz and /metrics make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

STUCK_S = 300
"""A loop that was rung last this long ago hangs: the process is no longer alive in any useful sense."""
OVERDUE = 2
"""Intervals after which a scan is overdue."""


@dataclass(slots=True)
class Condition:
    """What is known of the service at this moment. Written by the loops, read by the port, under one lock."""

    holder: str
    lease_s: int
    interval_s: int
    """Longest time between two slots of scans; 0: none are scheduled."""
    started_at: datetime
    leads: bool = False
    leader: str = ""
    term: int = 0
    leader_sign_s: float = 0.0
    """When a leader was last known, by the clock that only grows."""
    rung_s: float = 0.0
    """When the loop last ran."""
    well_s: float | None = None
    """When the ledger was last read and written."""
    trouble: str = ""
    """Why it cannot be; empty when it can."""
    passing: bool = False
    """The trouble is of the kind that passes: another process is writing."""
    last_good_at: datetime | None = None
    running: Mapping[str, str] = field(default_factory=dict)
    """Job to slot of what runs."""
    stopping: bool = False
    counts: Mapping[str, Any] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def alive(self, mono_s: float) -> tuple[bool, str]:
        """Say whether the process lives and its loop turns."""
        silent = mono_s - self.rung_s
        if self.rung_s and silent > STUCK_S and not self.stopping:
            return False, f"the loop has not turned for {silent:.0f} s"
        return True, "ok"

    def checks(self, now: datetime, mono_s: float) -> dict[str, tuple[bool, str]]:
        """Return each thing that readiness asks for: whether it is so, and what is to be said."""
        return {
            "service": (not self.stopping, "stopping" if self.stopping else "running"),
            "ledger": self._ledger(mono_s),
            "leader": self._leader(mono_s),
            "last_scan": self._last_scan(now),
        }

    def _ledger(self, mono_s: float) -> tuple[bool, str]:
        since = None if self.well_s is None else mono_s - self.well_s
        if self.trouble and not (self.passing and since is not None and since < self.lease_s):
            return False, self.trouble
        if since is None:
            return False, "not read yet"
        if since > 3 * self.lease_s:
            return False, f"last read and written {since:.0f} s ago"
        return True, "readable and writable"

    def _leader(self, mono_s: float) -> tuple[bool, str]:
        if self.leads:
            return True, f"this one, term {self.term}"
        if not self.leader or mono_s - self.leader_sign_s > 2 * self.lease_s:
            return False, "nobody leads"
        return True, f"{self.leader}, term {self.term}; this one stands by"

    def _last_scan(self, now: datetime) -> tuple[bool, str]:
        if not self.interval_s:
            return True, "none are scheduled"
        longest = timedelta(seconds=OVERDUE * self.interval_s)
        at = self.last_good_at
        if at is None:
            waits = now - self.started_at < longest
            return False, "none yet" + ("; the first is running" if "scan" in self.running and waits else "")
        if now - at > longest:
            return False, f"overdue: the last good one looked at {at:%Y-%m-%dT%H:%M:%SZ}"
        return True, f"looked at {at:%Y-%m-%dT%H:%M:%SZ}"
