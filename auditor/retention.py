"""Which snapshots are kept, and why; the others go, each with an entry of the ledger, which itself is never pruned.

The entry comes first. A process that is killed after it leaves a snapshot that is whole and said to go: the next pruning
takes it. The other way round it would leave one that is gone and of which nothing was said.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.bundle_scans import chosen_of
from auditor.errors import AuditorError
from auditor.ledger.handed_out import PRUNE

if TYPE_CHECKING:
    from auditor.ledger import Ledger, ScanRow

_GONE = ".pruned-"


@dataclass(frozen=True, slots=True)
class Shelved:
    """One snapshot on disk, and why it is kept; for no reason: it may go."""

    scan: ScanRow
    age: timedelta
    kept: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Retention:
    """How long snapshots are kept, as `[snapshots]` says."""

    keep: timedelta
    """Every one this long."""
    window: timedelta
    """As long, at least, those that a bundle carries."""


def shelf(ledger: Ledger, state: Path, kept: Retention, *, now: datetime) -> Iterator[Shelved]:
    """Yield every snapshot that a scan of the ledger left on disk, oldest first, with the reasons to keep it.

    A folder that no scan of the ledger names is none of ours to remove: a restored ledger may be older than it.
    """
    scans = ledger.scans(state="finished", rechecks=True)
    reasons = _reasons(ledger, scans, kept, now)
    for scan in scans:
        if scan.snapshot_id and _snapshot(state, scan).is_dir():
            yield Shelved(scan, now - scan.at, tuple(reasons.get(scan.n, ())))


def _reasons(
    ledger: Ledger, scans: Sequence[ScanRow], kept: Retention, now: datetime
) -> dict[int, list[str]]:
    reasons: dict[int, list[str]] = {}
    moved = ledger.scans_that_moved()
    for scan in scans:
        if now - scan.at < kept.keep:
            reasons.setdefault(scan.n, []).append(f"younger than {_days(kept.keep)}")
    for n, why in chosen_of([scan for scan in scans if now - scan.at < kept.window], moved).items():
        reasons.setdefault(n, []).append(f"{why}, in the last {_days(kept.window)}")
    for bundle in ledger.bundles(now):
        told = [scan for scan in scans if bundle["from_at"] <= scan.at < bundle["to_at"]]
        for n in chosen_of(told, moved):
            reasons.setdefault(n, []).append(f"carried by bundle {bundle['bundle'][:16]}")
    if whole := [scan for scan in scans if scan.state == "finished"]:
        reasons.setdefault(whole[-1].n, []).insert(0, "the newest: the next scan carries from it")
    return reasons


def prune(ledger: Ledger, state: Path, kept: Retention, *, now: datetime) -> list[tuple[Shelved, int]]:
    """Remove every snapshot that nothing keeps, and what was judged of it; return them, and the bytes of each.

    BusyError while a scan runs. What cannot be undone is written down first: a snapshot a time.
    """
    going = [(one, size_of(state, one)) for one in shelf(ledger, state, kept, now=now) if not one.kept]
    if not going and not list(_set_aside(state)):
        return []
    with ledger.alone():  # nobody scans: told before anything is written
        pass
    entered = {entry.body["snapshot"] for entry in ledger.entries(kind=PRUNE)}
    for one, size in going:
        if one.scan.snapshot_id not in entered:
            ledger.note(PRUNE, _entry(one.scan, size, kept), now)
    with ledger.alone():
        for one, _ in going:
            for folder in _folders(state, one.scan):
                folder.replace(folder.with_name(f"{_GONE}{folder.name}"))
        _settle(state)
        _forget_rules(state)
    for folder in _set_aside(state):  # last of all: as long as one is there, a pruning has not ended
        shutil.rmtree(folder, ignore_errors=True)
    return going


def _set_aside(state: Path) -> Iterator[Path]:
    """Yield what this pruning, or one that was killed, has taken out of sight."""
    for part in ("judged", "snapshots"):
        yield from sorted((state / part).glob(f"{_GONE}*"))


def after_a_scan(ledger: Ledger, state: Path, kept: Retention, *, now: datetime) -> int:
    """Prune if it can be done now; return how many snapshots went. The scan is recorded, whatever becomes of this."""
    try:
        return len(prune(ledger, state, kept, now=now))
    except (AuditorError, OSError):  # another scan began, or the disk is full: the next scan prunes
        return 0


def _entry(scan: ScanRow, size: int, kept: Retention) -> Mapping[str, object]:
    return {
        "snapshot": scan.snapshot_id,
        "scan": scan.scan,
        "scanned_at": scan.at,
        "rule_digest": scan.rule_digest,
        "outcome_digest": scan.outcome_digest,
        "bytes": size,
        "because": f"older than {_days(kept.keep)}, and carried by no bundle of the last {_days(kept.window)} "
        "nor by one that was handed out",
    }


def size_of(state: Path, one: Shelved) -> int:
    """Return the bytes of a snapshot and of what was judged of it."""
    return sum(map(_size, _folders(state, one.scan)))


def _snapshot(state: Path, scan: ScanRow) -> Path:
    return state / "snapshots" / scan.snapshot_id


def _folders(state: Path, scan: ScanRow) -> Iterator[Path]:
    """Yield the folders of a scan that are there; its snapshot comes last, for it is what a scan is looked for by."""
    if not scan.snapshot_id:
        return
    yield from sorted((state / "judged").glob(f"{scan.snapshot_id}-*"))
    if (snapshot := _snapshot(state, scan)).is_dir():
        yield snapshot


def _forget_rules(state: Path) -> None:
    """Remove rule files that no judgement names any more."""
    named: set[str] = set()
    for listed in (state / "judged").glob("*/rules.json"):
        if listed.parent.name.startswith(_GONE):
            continue
        named.update(each["sha256"] for each in json.loads(listed.read_bytes()))
    for file in (state / "rules").glob("*"):
        if len(file.name) == 64 and file.name not in named and not file.name.startswith("."):
            file.unlink(missing_ok=True)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _settle(state: Path) -> None:
    """Make sure that the names are on disk."""
    for part in ("snapshots", "judged"):
        if (state / part).is_dir():
            descriptor = os.open(state / part, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _days(span: timedelta) -> str:
    days, rest = divmod(int(span.total_seconds()), 86400)
    return f"{days} days" if not rest else f"{int(span.total_seconds()) // 3600} hours"
