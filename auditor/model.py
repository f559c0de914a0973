"""The nouns of the product: frozen values, standard library only, times UTC-aware."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any


class Verdict(StrEnum):
    """What one rule says of one subject. Four and no more; `waived` is a state of a finding."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not_applicable"


class State(StrEnum):
    """What is known of one link of a chain."""

    PROVEN = "proven"
    BROKEN = "broken"
    UNKNOWN = "unknown"
    PENDING = "pending"
    NOT_REQUIRED = "not_required"


class Strength(StrEnum):
    """How a link was matched: a shared id, a unique checked match, time and prefix, or nothing."""

    EXACT = "exact"
    STRONG = "strong"
    INFERRED = "inferred"
    NONE = "none"


LINKS = ("trigger", "job", "session", "objects", "recovery_point", "copy", "retention")
"""The seven links of a chain, in order."""

SEVERITIES = ("critical", "high", "medium", "low")
"""Severities of rules, worst first."""


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Names one row: every claim ends in refs."""

    table: str
    key: str


@dataclass(frozen=True, slots=True)
class Place:
    """One account (AWS account id or GCP project) and region that is in scope."""

    cloud: str
    """`aws` or `gcp`."""
    account: str
    region: str


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open stretch of time, `[from_at, until_at)`."""

    from_at: datetime
    until_at: datetime


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table of `schema.py`; columns that are absent are NULL: not collected."""

    table: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bulk:
    """Rows of a table that are too many to be handed over one by one: a Parquet file, which the taker moves away."""

    table: str
    path: Path
    """Its columns are those of the table, by name and type; texts are as `canonical.safe_text` leaves them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One listing of one table that was read to its end."""

    table: str
    account: str
    region: str = "*"
    """`*`: the listing is global to the account."""
    resource: str = "*"
    """`*`: everything in the account and region; else the one resource that was read."""
    from_at: datetime | None = None
    until_at: datetime | None = None
    observed_at: datetime | None = None
    """When, where an earlier scan read it and its rows stand; None: now."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Rows of one scope that an earlier scan read, and that nothing wrote to since."""

    rows: tuple[Mapping[str, Any], ...]
    observed_at: datetime


@dataclass(frozen=True, slots=True)
class Gap:
    """What could not be seen: dependent verdicts become unknown, never pass."""

    table: str
    account: str
    region: str = "*"
    resource: str = "*"
    reason: str = "failed"
    """One of `GAP_REASONS`."""
    detail: str = ""
    """In the operator's words: the operation, the vendor's error code, what to do."""
    from_at: datetime | None = None
    until_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a source has read on in a feed: where its next scan may go on.

    Only an optimisation: what was seen is coverage.
    """

    scope: str
    """What was read on in, in the source's own words: one account's trail, one project's log."""
    position: str
    """Only the source understands it."""


GAP_REASONS = {
    "denied": "access denied",
    "expired": "the credentials expired",
    "throttled": "throttled until the budget was spent",
    "failed": "the service failed",
    "hung": "no answer in time",
    "malformed": "an answer that cannot be understood",
    "truncated": "a listing that did not reach its end",
    "suspect": "an answer too empty to be believed",
    "not_enabled": "the source is not switched on in the estate",
    "not_configured": "the source is not configured",
    "out_of_reach": "older than the source keeps",
    "unread": "it was collected, and the engine that judges could not read it",
    "stale": "read too long ago to be relied on",
}
"""Every reason a gap may state, with its words."""


@dataclass(frozen=True, slots=True)
class Link:
    """One step of a chain."""

    name: str
    state: State
    strength: Strength
    due_at: datetime | None
    because: str
    refs: tuple[Ref, ...]


@dataclass(frozen=True, slots=True)
class Export:
    """What one job wrote to one prefix: the unit of reporting."""

    export_id: str
    job_uuid: str
    bucket: str
    prefix: str
    state: State
    strength: Strength
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one rule says of one subject in one scan."""

    rule: str
    code: str
    subject_table: str
    subject_key: str
    verdict: Verdict
    severity: str
    because: str
    reason: str = ""
    """Why a rule does not apply (`when`, `not_due`) or could not be judged; empty otherwise."""
    zone: str | None = None
    account: str | None = None
    project: str | None = None
    owner: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    failed_checks: tuple[Mapping[str, Any], ...] = ()
    """`{name, values}` of each check that is false."""
    unknown_checks: tuple[Mapping[str, Any], ...] = ()
    gaps: tuple[str, ...] = ()
    refs: tuple[Ref, ...] = ()


@dataclass(frozen=True, slots=True)
class Drift:
    """One change between two scans."""

    drift_id: str
    kind: str
    """`appeared`, `resolved`, `regressed`, `changed` or `vanished`."""
    rule: str | None
    """The rule whose finding moved; None when an attribute of a resource changed."""
    subject_table: str
    subject_key: str
    field: str | None
    before: str | None
    after: str | None
    direction: str
    """`better`, `worse` or `neutral`."""
    changed_at: datetime | None
    detected_at: datetime
    actor: str | None
    actor_reason: str
    """Why the actor is known, or why not."""
    severity: str = "medium"
    because: str = ""


_MANY = re.compile(r" \((\d+) slots\)\Z")


def slots_in(slot: str) -> int:
    """Return how many slots a name of the ledger stands for: those of a long absence share one, FIRST/LAST (N slots)."""
    found = _MANY.search(slot)
    return int(found[1]) if found else 1
