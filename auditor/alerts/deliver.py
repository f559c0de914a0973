"""The outbox, emptied: at least once, under one id, with patience.

An alert is leased, sent outside any transaction, then settled. A sender killed in between leaves the
lease to run out, and the next one sends it again under the same id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from auditor.errors import AuditorError
from auditor.ledger import Ledger, Sending

SCHEDULE_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds to wait after each failed attempt, as Standard Webhooks recommends: about 75 hours in all."""
LONGEST_WAIT_S = 86_400
"""No receiver's Retry-After holds an alert back for longer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How one attempt ended."""

    ended: Literal["delivered", "retry", "dead", "gone"]
    """`gone`: the receiver wants nothing more, ever."""
    detail: str = ""
    retry_after_s: int | None = None


Send = Callable[[Sending, datetime], Answer]
"""Sends one alert through one channel at a time; network trouble is an answer, not an exception."""


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
    channels: Mapping[str, Send],
    now: datetime,
    *,
    limit: int = 1000,
    lease_s: int = 300,
) -> Delivery:
    """Send what is due through these channels, each alert at most once in this run."""
    done = Delivery()
    if not channels:
        return done
    for _ in range(limit):
        due = ledger.lease_alerts(now, lease_s=lease_s, limit=1, channels=channels.keys())
        if not due:
            break
        done = done.and_(_send(ledger, channels[due[0].alert.channel], due[0], now))
    return done


def _send(ledger: Ledger, send: Send, sending: Sending, now: datetime) -> str:
    """Make one attempt and settle it."""
    alert = sending.alert
    try:
        answer = send(sending, now)
    except AuditorError as error:  # a secret that is not there must not silence other channels
        answer = Answer("retry", str(error))
    if answer.ended == "delivered":
        ledger.alert_delivered(alert.alert_id, now)
        return "delivered"
    if answer.ended == "gone":
        ledger.alert_failed(alert.alert_id, None, answer.detail)
        ledger.switch_channel_off(alert.channel, answer.detail, now)
        return "dead"
    wait = None if answer.ended == "dead" else wait_s(alert.alert_id, sending.attempts)
    if wait is None:
        ledger.alert_failed(alert.alert_id, None, answer.detail)
        return "dead"
    wait = max(wait, min(answer.retry_after_s or 0, LONGEST_WAIT_S))
    ledger.alert_failed(alert.alert_id, now + timedelta(seconds=wait), answer.detail)
    return "retry"


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
