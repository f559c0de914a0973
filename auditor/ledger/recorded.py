"""What a scan reads before it begins, and what it hands over to be recorded: frozen values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from auditor.ledger.values import Lease, digest, stamp
from auditor.model import Gap, Seen

if TYPE_CHECKING:
    from auditor.drift import Past
    from auditor.ledger.matters import Restraints
    from auditor.watch.values import Watched


@dataclass(frozen=True, slots=True)
class RuleNote:
    """What a finding repeats of its rule, so that it reads the same when the rule has changed."""

    controls: tuple[str, ...] = ()
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class ScanRecord:
    """One finished scan, as it enters the ledger."""

    slot: str
    snapshot_id: str
    snapshot_dir: str
    rule_digest: str
    config_digest: str
    outcome_digest: str
    tally: Mapping[str, Any]
    """Counts by verdict, and whatever else a trend shows; whole numbers and text."""
    rules: Mapping[str, RuleNote] | None = None
    """Every rule that was judged, by id. None: those that gave an outcome or have a finding."""
    broken: tuple[str, ...] = ()
    """Rules that did not load; `*` when a file did not even name them. Their findings stay open."""
    coverage: Sequence[Seen | Gap] = ()
    unseen: int | None = None
    """Gaps of this scan itself; None: count those of `coverage`, which holds gaps of carried times too."""
    interval_s: int = 0
    """The schedule's interval; 0 when it has none."""
    open_index: str = ""
    """SHA-256 of the index of its open outcomes: a later scan compares with these bytes or with none."""
    compared_with: str = ""
    """Id of the scan it was compared with, which must still be the last; empty: whichever is."""
    lease: Lease | None = None
    """None: the slot is taken and finished in one step."""
    cursors: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Where each source was left in each of its scopes; one that is not here stays where it is."""

    @property
    def complete(self) -> bool:
        if self.broken:
            return False
        if self.unseen is not None:
            return self.unseen == 0
        return not any(isinstance(part, Gap) for part in self.coverage)

    def scan_id(self, at: datetime) -> str:
        """Return the scan's id: a hash of what was judged, by what, when."""
        parts = [
            self.slot,
            stamp(at),
            self.snapshot_id,
            self.rule_digest,
            self.config_digest,
            self.outcome_digest,
        ]
        return f"scan-{digest(parts)[:20]}"


@dataclass(frozen=True, slots=True)
class ExportMemory:
    """What a scan fixes of an export."""

    export_id: str
    zone: str | None
    capture_due_at: datetime | None
    retention_state: str | None
    proving_point: str | None
    final: bool = False
    links: Mapping[str, Sequence[str]] | None = None
    """Link to [state, strength]."""


@dataclass(frozen=True, slots=True)
class BucketMemory:
    """Settings of a bucket that were read in this scan; None: not known."""

    arn: str
    versioning: str | None
    eventbridge: bool | None


@dataclass(frozen=True, slots=True)
class PointMemory:
    """A recovery point seen in this scan."""

    arn: str
    account: str | None
    region: str | None
    vault_arn: str | None
    resource_arn: str | None
    status: str | None
    delete_at: datetime | None
    deletes_after_copy: bool | None


@dataclass(frozen=True, slots=True)
class Memories:
    """What later scans must know of this one beside its findings."""

    exports: Iterable[ExportMemory] = ()
    buckets: Iterable[BucketMemory] = ()
    points: Iterable[PointMemory] = ()
    """May be a stream: it is read once."""
    watch: Sequence[Watched] = ()
    memberships: Iterable[tuple[str, str]] = ()
    """(user, group) of every membership the directory holds now; none when it was not read."""


@dataclass(frozen=True, slots=True)
class Before:
    """What the ledger knows before a scan: all that is joined to its snapshot, and what drift needs."""

    past: Past
    tables: Mapping[str, Collection[dict[str, Any]]]
    """Rows of the `history_*` tables of schema/joined.py; times aware, JSON columns as text."""
    alerting: frozenset[tuple[str, str]] = field(default_factory=frozenset)
    """(channel, dedup key) of what was told as open and not yet as recovered."""
    cursors: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Where the last recorded scan left each source in each of its scopes."""
    restraints: Restraints | None = None
    """What keeps matters from being told now; None: nothing."""

    @property
    def previous_at(self) -> datetime | None:
        return self.past.previous_at
