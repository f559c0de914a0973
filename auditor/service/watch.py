"""The second unit: it reads the ledger and nothing else, and tells when scans or alerts have stopped.

It writes nothing, so it cannot use the outbox: it sends by one route of its own, remembers what it told, and repeats that at a
sane rate. `amiss` judges, `Watcher` remembers; neither reads a clock.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from auditor.alerts.deliver import Way
from auditor.alerts.text import iso, line
from auditor.errors import AuditorError, VerificationError
from auditor.ledger import Alert, Ledger, Sending
from auditor.ledger.agenda import Signs
from auditor.service.condition import OVERDUE
from auditor.service.serve import sentence

TURN_S = 60
SILENT = timedelta(minutes=15)
"""A leader whose word ran out this long ago is no longer there, and nobody followed it."""
AHEAD = timedelta(hours=1)
"""A scan that lies further ahead was made by a clock that was wrong, or this one is."""
FAILURES = 3
"""A slot that failed so often, which takes some minutes, does not heal by itself."""
TWICE = 2
"""A ledger that cannot be read is told when it could not be so many times: it may have been put in its place at that moment."""
AT_ONCE = ("unreadable", "altered")
"""What is looked at again before it is told."""
NOT_QUIET = ("altered", "clock")
"""What is amiss though scans and alerts go on."""
THOROUGH_S = 3600
"""So often every page is looked through and the chain walked; at each look while something is found."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When something counts as amiss."""

    interval_s: int
    """Longest time between two scans; 0: none are scheduled."""
    stuck_s: int
    repeat_s: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is amiss."""

    kind: str
    """`no scan`, `scan fails`, `report fails`, `no leader`, `alerts stuck`, `clock`, `altered` or `unreadable`."""
    said: str
    remedy: str
    since: datetime | None = None
    mark: str = ""
    """What the same trouble is known by, also after this unit was started anew."""


def amiss(signs: Signs, limits: Limits, now: datetime) -> Iterator[Trouble]:
    """Yield what is amiss, worst first."""
    yield from _scans(signs, limits, now)
    for slot in signs.failing:
        if slot.failures >= FAILURES:
            because = slot.said or "nothing was said"
            said = f"the {slot.job} of {slot.due_at:%Y-%m-%d %H:%MZ} failed {slot.failures} times: {because}"
            remedy = "It is tried again, ever more rarely, until the next one is due."
            yield Trouble(f"{slot.job} fails", said, remedy, slot.due_at, slot.name)
    leader = signs.leader
    scanned = (
        signs.last_scan is not None and leader is not None and signs.last_scan[1] > leader.until + SILENT
    )
    if (
        leader is not None and now - leader.until > SILENT and not scanned
    ):  # else another way of scanning took its place
        who = leader.holder or "the one that resigned"
        yield Trouble(
            "no leader",
            f"no instance of `auditor serve` leads since {leader.until:%Y-%m-%d %H:%MZ}; the last was {who}",
            "Start it: `systemctl status auditor`, or look at its log.",
            leader.until,
            str(leader.term),
        )
    oldest = signs.oldest
    if oldest is not None and now - oldest.since > timedelta(seconds=limits.stuck_s):
        error = f"; last error: {oldest.last_error}" if oldest.last_error else ""
        tried = f"tried {oldest.attempts} times" if oldest.attempts else "not tried yet"
        yield Trouble(
            "alerts stuck",
            f"{signs.waiting} alerts wait; the oldest, for {oldest.route}, since {oldest.since:%Y-%m-%d %H:%MZ}, {tried}{error}",
            "`auditor alerts list --state pending` lists them; `auditor alerts send` sends what is due.",
            oldest.since,
            oldest.alert_id,
        )


def _scans(signs: Signs, limits: Limits, now: datetime) -> Iterator[Trouble]:
    if not limits.interval_s:
        return
    longest = timedelta(seconds=OVERDUE * limits.interval_s)
    remedy = "Look at the log of `auditor serve` and at /readyz; `auditor doctor` tries what a scan needs."
    if signs.last_scan is None:
        first = signs.first_due_at
        if first is None:
            yield Trouble("no scan", "no scan was ever made, and none is planned", "Start `auditor serve`.")
        elif now - first > longest:
            said = f"no scan was ever finished; the first was due at {first:%Y-%m-%d %H:%MZ}"
            yield Trouble("no scan", said, remedy, first, "first")
        return
    scan, at = signs.last_scan
    if now - at > longest:
        every = _span(timedelta(seconds=limits.interval_s))
        said = f"no scan was finished for {_span(now - at)}: the last looked at {at:%Y-%m-%d %H:%MZ}, one is due every {every}"
        yield Trouble("no scan", said, remedy, at, scan)
    elif at - now > AHEAD:
        said = f"the last scan says that it looked at {at:%Y-%m-%d %H:%MZ}, which is still to come: no scan can follow it before"
        yield Trouble("clock", said, "Set the clocks of both machines right.", None, scan)


def _span(length: timedelta) -> str:
    hours = length.total_seconds() / 3600
    return (
        f"{hours / 24:.1f} days"
        if hours >= 48
        else f"{hours:.1f} hours"
        if hours >= 1
        else f"{hours * 60:.0f} minutes"
    )


def looked(path: Path, limits: Limits, now: datetime, *, thorough: bool = True) -> list[Trouble]:
    """Read the ledger and return what is amiss with it or told by it; `thorough`: every page, and the chain."""
    try:
        with Ledger.look(path) as ledger:
            if thorough:
                ledger.require_whole()
            found = list(amiss(ledger.agenda.signs(), limits, now))
            if thorough and (words := ledger.unsound()):
                remedy = "Keep the file; `auditor db verify` tells more, `auditor db restore FILE` brings a backup back."
                found.append(
                    Trouble("altered", f"the ledger is not what was recorded: {words}", remedy, mark=words)
                )
            return found
    except (AuditorError, sqlite3.Error, OSError) as error:
        remedy = (
            "`auditor db verify` names what is damaged; `auditor db restore FILE` brings a backup back."
            if isinstance(error, VerificationError)
            else "See to its folder."
        )
        return [Trouble("unreadable", f"the ledger cannot be read: {sentence(error)}", remedy)]


@dataclass(slots=True)
class Looks:
    """Looks at one ledger again and again: thoroughly at first, every hour, and as long as something is found."""

    path: Path
    limits: Limits
    _next_s: float | None = None

    def look(self, now: datetime, mono_s: float) -> list[Trouble]:
        """Return what is amiss."""
        thorough = self._next_s is None or mono_s >= self._next_s
        found = looked(self.path, self.limits, now, thorough=thorough)
        if any(each.kind in AT_ONCE for each in found):
            self._next_s = None
        elif thorough:
            self._next_s = mono_s + THOROUGH_S
        return found


@dataclass(slots=True)
class _Told:
    """What this unit told of one trouble."""

    trouble: Trouble
    first_id: str
    """What receivers know it by."""
    seen: int = 1
    sent: int = 0
    next_s: float = 0.0
    failures: int = 0


@dataclass(slots=True)
class Watcher:
    """Remembers what was told."""

    place: str
    """The ledger's path, as people know it."""
    limits: Limits
    way: Way | None
    tell: Callable[[str, Mapping[str, Any]], None]
    _known: dict[str, _Told] = field(default_factory=dict)

    def turn(self, troubles: list[Trouble], now: datetime, mono_s: float) -> None:
        """Take what was found: tell what is new, repeat what lasts, and say what has ended."""
        found = {each.kind: each for each in troubles}
        for kind, trouble in found.items():
            known = self._known.get(kind)
            if known is None:
                known = self._known[kind] = _Told(trouble, _id(self.place, trouble, now))
                self.tell("stuck", {"what": kind, "because": trouble.said})
            else:
                known.seen, known.trouble = known.seen + 1, trouble
            needed = TWICE if kind in AT_ONCE else 1
            if known.seen >= needed and mono_s >= known.next_s:
                self._send(known, now, mono_s)
        unreadable = "unreadable" in found
        for kind in [each for each in self._known if each not in found]:
            if unreadable:
                continue  # not seeing that it lasts is not seeing that it ended
            known = self._known[kind]
            if not known.sent or self._over(known, now):
                del self._known[kind]
                self.tell("well again", {"what": kind})

    def _send(self, known: _Told, now: datetime, mono_s: float) -> None:
        alert_id = known.first_id if not known.sent else _id(known.first_id, known.trouble, now)
        incidents = () if not known.sent else (known.first_id,)
        quiet = "" if known.trouble.kind in NOT_QUIET else " has gone quiet"
        title = f"[CRITICAL] auditor{quiet}: {known.trouble.said}"
        if self._delivered(
            _sending(self.place, known.trouble, alert_id, "scanner_blind", title, now, incidents=incidents)
        ):
            known.sent, known.failures = known.sent + 1, 0
            known.next_s = mono_s + self.limits.repeat_s
        else:
            known.failures += 1
            known.next_s = mono_s + min(TURN_S * 2 ** min(known.failures - 1, 10), self.limits.repeat_s)

    def _over(self, known: _Told, now: datetime) -> bool:
        title = f"[RESOLVED] auditor is well again: {known.trouble.kind}"
        alert_id = _id(known.first_id, known.trouble, now)
        return self._delivered(
            _sending(self.place, known.trouble, alert_id, "recovered", title, now, closes=(known.first_id,))
        )

    def _delivered(self, sending: Sending) -> bool:
        if self.way is None:
            return True
        try:
            answer = self.way.send(sending, sending.created_at)
        except AuditorError as error:  # a secret that is not there
            self.tell("not told", {"because": str(error)})
            return False
        if answer.ended != "delivered":
            self.tell("not told", {"by": sending.alert.channel, "because": answer.detail})
            return False
        self.tell("told", {"by": sending.alert.channel, "title": sending.alert.body["data"]["title"]})
        return True


def _sending(
    place: str, trouble: Trouble, alert_id: str, event: str, title: str, now: datetime, **more: Any
) -> Sending:
    item = {
        "change": trouble.kind if event != "recovered" else f"{trouble.kind}: over",
        "resource": place,
        "resource_type": "auditor",
        "because": line(trouble.said),
        "detected_at": iso(now),
        "changed_at": iso(trouble.since) if trouble.since else None,
        "remedy": trouble.remedy,
    }
    data = {
        "title": line(title),
        "event": event,
        "severity": "critical" if event != "recovered" else "low",
        "count": 1,
        "items": [item],
        "items_left_out": 0,
    }
    alert = Alert(
        alert_id, "watch", event, (), {"type": f"auditor.{event}", "timestamp": iso(now), "data": data}
    )
    return Sending(alert, "sending", now, 1, now, "", None, **more)


def _id(place: str, trouble: Trouble, now: datetime) -> str:
    """Return an alert's id: of the first telling by what it is about, so that a unit started anew repeats itself."""
    about = trouble.mark or (iso(trouble.since) if trouble.since else f"{now:%Y-%m-%d}")
    again = iso(now) if place.startswith("msg_") else ""
    digest = hashlib.sha256("/".join(("watch", place, trouble.kind, about, again)).encode()).hexdigest()
    return f"msg_{digest[:32]}"
