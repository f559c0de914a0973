"""The outbox, emptied: at least once, under one id, with patience.

An alert is leased, sent outside any transaction, then settled. A sender killed in between leaves the
lease to run out, and the next one sends it again under the same id. What one route is due beyond its rate
goes out as one digest; what it cannot deliver is told by another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from auditor.alerts.items import rank
from auditor.alerts.notices import digest, severity, tried, undelivered
from auditor.errors import AuditorError
from auditor.ledger import Alert, Ledger, Sending

SCHEDULE_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds to wait after each failed attempt, as Standard Webhooks recommends: about 75 hours in all."""
LONGEST_WAIT_S = 86_400
"""No receiver's Retry-After holds an alert back for longer."""
_MINUTE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Answer:
    """How one attempt ended."""

    ended: Literal["delivered", "retry", "dead", "gone"]
    """`gone`: the receiver wants nothing more, ever."""
    detail: str = ""
    retry_after_s: int | None = None


Send = Callable[[Sending, datetime], Answer]
"""Sends one alert through one channel at a time; network trouble is an answer, not an exception."""
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Way:
    """How one route is sent by."""

    send: Send
    per_minute: int = 0
    """Messages a minute; 0: no limit."""
    fallback: str = ""
    """The route that is told what this one cannot deliver; empty: the next by name."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one run of `deliver` did."""

    delivered: int = 0
    retried: int = 0
    dead: int = 0

    def and_(self, ended: str) -> Delivery:
        """Count one more."""
        return Delivery(
            self.delivered + (ended == "delivered"),
            self.retried + (ended == "retry"),
            self.dead + (ended == "dead"),
        )


def deliver(
    ledger: Ledger,
    ways: Mapping[str, Way],
    clock: Clock,
    *,
    only: str = "",
    limit: int = 1000,
    lease_s: int = 300,
    stopping: Callable[[], bool] = lambda: False,
) -> Delivery:
    """Send what is due by these routes, each alert at most once in this run; `only` one, by its id and at any rate.

    An attempt must end within the lease; the clock is read before and after each. Once it is `stopping` none is begun.
    """
    done = Delivery()
    room = dict.fromkeys(ways, limit)
    if not only:
        room = {name: _room(ledger, name, way, clock(), limit) for name, way in sorted(ways.items())}
    for _ in range(limit):
        if stopping():
            break
        open_ = [name for name, left in room.items() if left > 0]
        due = (
            ledger.lease_alerts(clock(), lease_s=lease_s, limit=1, channels=open_, only=only) if open_ else []
        )
        if not due:
            break
        room[due[0].alert.channel] -= 1
        done = done.and_(_attempt(ledger, ways, due[0], clock))
    return done


def _room(ledger: Ledger, name: str, way: Way, now: datetime, limit: int) -> int:
    """Return how many messages a route may have now; what is more than that is put into one."""
    if not way.per_minute:
        return limit
    room = max(0, way.per_minute - ledger.alerts_sent(name, now - _MINUTE))
    due = ledger.due_alerts(name, now)
    if not room or len(due) <= room:
        return room
    single = [each for each in due if each.alert.event != "digest"]
    rest = _beyond(single, max(0, room - 1 - (len(due) - len(single))))
    if len(rest) > 1:
        ledger.digest_alerts(digest(rest, now), [each.alert.alert_id for each in rest], now)
    return room


def _beyond(due: Sequence[Sending], kept: int) -> list[Sending]:
    """Return what goes into the digest: all but the worst, and of these what must not overtake the rest."""
    ordered = sorted(due, key=lambda each: (rank(severity(each)), each.created_at, each.alert.alert_id))
    single, rest = ordered[:kept], ordered[kept:]
    while True:
        begun: dict[str, datetime] = {}
        for each in rest:
            for key in each.alert.keys:
                begun[key] = min(each.created_at, begun.get(key, each.created_at))
        late = [
            each
            for each in single
            if any(begun.get(key, each.created_at) < each.created_at for key in each.alert.keys)
        ]
        if not late:
            return rest
        single, rest = [each for each in single if each not in late], [*rest, *late]


def _attempt(ledger: Ledger, ways: Mapping[str, Way], sending: Sending, clock: Clock) -> str:
    """Make one attempt and settle it."""
    alert = sending.alert
    try:
        answer = ways[alert.channel].send(sending, clock())
    except AuditorError as error:  # a secret that is not there must not silence other channels
        answer = Answer("retry", str(error))
    now = clock()
    if answer.ended == "delivered":
        ledger.alert_delivered(alert.alert_id, now)
        return "delivered"
    wait = None if answer.ended in {"dead", "gone"} else wait_s(alert.alert_id, sending.attempts)
    if wait is None:
        instead = _instead(ledger, ways, sending, answer.detail, now)
        ledger.alert_dead(
            alert.alert_id, answer.detail, instead=instead, gone=answer.ended == "gone", now=now
        )
        return "dead"
    wait = max(wait, min(answer.retry_after_s or 0, LONGEST_WAIT_S))
    ledger.alert_failed(alert.alert_id, now + timedelta(seconds=wait), answer.detail)
    return "retry"


def _instead(
    ledger: Ledger, ways: Mapping[str, Way], sending: Sending, because: str, now: datetime
) -> list[Alert]:
    """Return what another route is told of an alert that is given up; nothing when every other one failed too."""
    own = sending.alert.channel
    names = sorted(ways)
    after = [name for name in names if name > own] + [name for name in names if name < own]
    out = {own, *tried(sending.alert), *ledger.channels_off()}
    left = [name for name in (ways[own].fallback, *after) if name in ways and name not in out]
    return [undelivered(sending, left[0], because, now)] if left else []


def wait_s(alert_id: str, attempts: int) -> int | None:
    """Return how long to wait after so many attempts, None to give up.

    Up to a tenth is added, told by the id: many alerts that failed together do not return together,
    and the same alert always waits the same.
    """
    if not 1 <= attempts <= len(SCHEDULE_S):
        return None
    base = SCHEDULE_S[attempts - 1]
    spread = int.from_bytes(hashlib.sha256(f"{alert_id}/{attempts}".encode()).digest()[:4], "big")
    return base + base * (spread % 1000) // 10_000
