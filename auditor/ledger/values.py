"""What goes into the ledger and what comes out of it: frozen values and their one text form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from auditor.errors import UsageError

OPENING = frozenset({"opened", "regressed", "worsened", "scanner_blind", "flapping", "silence_over"})
"""Events after which a channel waits to hear the end."""
CLOSING = frozenset({"recovered", "vanished"})
_EXACT = 2**53
"""Whole numbers beyond this are not the same number in every JSON reader (RFC 8785)."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to record one slot, until it runs out."""

    slot: str
    token: int
    """Grows with every lease given: an older one is fenced off."""
    owner: str
    until: datetime
    begun_at: datetime


@dataclass(frozen=True, slots=True)
class Alert:
    """One message for one channel, on its way."""

    alert_id: str
    """Constant over retries: what the receiver knows it by."""
    channel: str
    event: str
    """A word of `auditor.alerts.compose.EVENTS`."""
    keys: tuple[str, ...]
    """Dedup keys of all it tells of."""
    body: Mapping[str, Any]
    opens: tuple[str, ...] | None = None
    """Those of them whose end the channel waits for from now on; None: all, where the event opens anything."""
    closes: tuple[str, ...] | None = None
    """Those of them that are over; None: all, where the event ends anything."""
    matters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What each of them is, in short: what a reminder says."""
    held: str | None = None
    """What keeps it from being sent: a silence, or the message that said that it flaps."""

    @property
    def opening(self) -> tuple[str, ...]:
        """Return the keys it opens."""
        if self.opens is not None:
            return self.opens
        return self.keys if self.event in OPENING else ()

    @property
    def closing(self) -> tuple[str, ...]:
        """Return the keys it ends."""
        if self.closes is not None:
            return self.closes
        return self.keys if self.event in CLOSING else ()


@dataclass(frozen=True, slots=True)
class Sending:
    """One row of the outbox, as it stands."""

    alert: Alert
    state: str
    """`pending`, `sending`, `delivered`, `dead` or `held`."""
    created_at: datetime
    attempts: int
    next_at: datetime
    last_error: str
    delivered_at: datetime | None
    within: str | None = None
    """The digest that it goes out in; None: by itself."""
    incidents: tuple[str, ...] = ()
    """Alerts that opened what it tells of, where that is still open: what a receiver knows the matter by."""
    closes: tuple[str, ...] = ()
    """Alerts that opened what is over with this one."""
    held: str | None = None
    """What keeps it from being sent by itself, or kept it."""


@dataclass(frozen=True, slots=True)
class ScanRow:
    """One scan of the ledger: finished, interrupted or missed."""

    scan: str
    n: int
    slot: str
    at: datetime
    state: str
    complete: bool
    interval_s: int
    snapshot_id: str
    snapshot_dir: str
    rule_digest: str
    config_digest: str
    outcome_digest: str
    tally: Mapping[str, Any]
    head: str
    """Hash of the ledger's head once this scan was in it."""
    entry: int
    """Its entry in the hash chain."""

    def roots(self, state: Path) -> tuple[Path, Path]:
        """Return where its files may lie: the state folder as it is now, then as it was when the ledger wrote it down."""
        return state, state / Path(self.snapshot_dir).parent.parent

    def snapshot_in(self, state: Path) -> Path | None:
        """Return the folder of its snapshot; None when it is kept no more."""
        places = (root / "snapshots" / self.snapshot_id for root in self.roots(state))
        return next((place for place in places if self.snapshot_id and place.is_dir()), None)


@dataclass(frozen=True, slots=True)
class WaiverRow:
    """One waiver, in force or not."""

    waiver_id: str
    rule: str
    subject: str
    finding_id: str | None
    reason: str
    requester: str
    approver: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    revoked_by: str | None
    revoked_reason: str | None

    def covers(self, finding_id: str, rule: str, subject_key: str, at: datetime) -> bool:
        """Say whether a finding is waived at a time; the second it expires it is not."""
        from fnmatch import fnmatchcase

        end = min(self.expires_at, self.revoked_at or self.expires_at)
        if not self.created_at <= at < end:
            return False
        if self.finding_id is not None:
            return finding_id == self.finding_id
        return fnmatchcase(rule, self.rule) and fnmatchcase(subject_key, self.subject)


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One interval of one finding: what was said of it from one scan until another."""

    finding_id: str
    rule: str
    code: str
    subject_table: str
    subject_key: str
    verdict: str
    severity: str
    owner: str | None
    zone: str | None
    account: str | None
    project: str | None
    because: str
    failed_checks: list[Any]
    unknown_checks: list[Any]
    gaps: list[Any]
    refs: list[Any]
    params: Mapping[str, Any]
    controls: list[str]
    remedy: str
    since_scan: str
    until_scan: str | None
    since_at: datetime
    until_at: datetime | None
    opened_at: datetime
    closed_at: datetime | None
    last_fail_at: datetime | None
    seen_before: bool
    """It was resolved as a failure within the 30 days before it opened."""
    ended: str
    """How the interval ended: `changed`, `resolved`, `vanished`, or empty while it lasts."""
    ended_because: str
    state: str
    """`open` or `closed`, as of the time asked for."""
    waiver: str | None
    """Id of the waiver that covers it at the time asked for."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One link of the hash chain."""

    seq: int
    kind: str
    at: datetime
    body: Mapping[str, Any]
    prev: str
    hash: str


@dataclass(frozen=True, slots=True)
class Check:
    """What a walk over the whole chain found."""

    intact: bool
    head: str
    entries: int
    because: str
    """What differs first, in words; empty when intact."""
    seq: int | None = None
    """The entry it concerns."""


def stamp(at: datetime) -> str:
    """Write a time as the ledger keeps it: UTC, microseconds, sortable."""
    if at.tzinfo is None:
        raise UsageError(f"{at.isoformat()} has no time zone", remedy="Write it in UTC, with a Z.")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class UnreadableError(ValueError):
    """A time of the ledger is none any more: somebody, or the disk, changed it."""


def instant(text: str) -> datetime:
    """Read a time of the ledger."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise UnreadableError(f"a time in it is none any more: {safe(text)!r}") from None


def maybe(text: str | None) -> datetime | None:
    """Read a time of the ledger that may be absent."""
    return None if text is None else instant(text)


def safe(text: str) -> str:
    r"""Write NUL and lone surrogates as `\uXXXX`: SQLite and UTF-8 hold neither."""
    if text.isascii() and "\0" not in text:
        return text
    text = text.replace("\0", "\\u0000")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def optional(text: str | None) -> str | None:
    """Make a text that may be absent safe to store."""
    return None if text is None else safe(text)


def canonical(value: Any) -> str:
    """Write a value as RFC 8785 does; floats have no place, huge numbers become text."""
    return encoded(profiled(value))


def row_text(row: tuple[Any, ...]) -> str:
    """Write a row of the ledger as `canonical` does: nearly all of them hold texts that were made safe before."""
    text = encoded(row)
    if "\\u0000" in text or not all(type(each) in _AS_IS for each in row):
        return canonical(row)
    return text


_AS_IS = (str, int, type(None))
encoded = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
"""Write a value that `profiled` returned."""


def profiled(value: Any) -> Any:
    """Return a value as `canonical` writes it: what is read back of its text."""
    kind = type(value)  # asked first: of a million values all but a few are of these kinds
    if kind is str:
        return value if value.isascii() and "\0" not in value else safe(value)
    if value is None or kind is bool:
        return value
    if kind is list or kind is tuple:
        return [profiled(item) for item in value]
    if kind is dict:
        return {safe(str(key)): profiled(item) for key, item in value.items()}
    match value:
        case str():
            return safe(value)
        case int():
            return value if -_EXACT < value < _EXACT else str(value)
        case datetime():
            return stamp(value)
        case Mapping():
            return {safe(str(key)): profiled(item) for key, item in value.items()}
        case list() | tuple():
            return [profiled(item) for item in value]
        case _:
            return str(value)


def digest(value: Any) -> str:
    """Return the sha256 of a value's canonical text."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
