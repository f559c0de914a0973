"""Which findings a scan may move: told by two judgements on disk, or else by all that stands in the ledger.

Most of a million outcomes are what they were the scan before. Only what differs is made into Python values; drift and
the ledger then decide about these few exactly as they would about all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.judge import Judgement, Key
from auditor.rulechanges import RuleChange, changes, definitions
from auditor.rulestore import define, defined
from auditor.spool import spooled

if TYPE_CHECKING:
    from auditor.drift import Past
    from auditor.ledger import Ledger
    from auditor.model import Outcome
    from auditor.rulepack import Pack
    from auditor.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Moving:
    """What findings may move by: what stood of them, and what is said of them now."""

    past: Past
    outcomes: Collection[Outcome]
    only: Collection[Key] | None = None
    """The findings that may move; None: any."""
    compared_with: str = ""
    """Id of the scan whose judgement told."""


def what_may_move(ledger: Ledger, folder: Path, judgement: Judgement, now: datetime) -> Moving:
    """Ask the judgement before this one, in `folder`; where it is gone or altered, take all that stands."""
    if (last := ledger.judged()) is not None and last.index:
        before = Judgement.beside(folder, last.snapshot_id, last.rule_digest)
        if before is not None and index_digest(before) == last.index:
            changed = judgement.changed(before.index(), last.unjudged)
            if changed.stood + len(last.unjudged) == last.open:  # else the ledger holds what nobody judged
                past = ledger.past(now, changed.keys)
                return Moving(past, changed.outcomes, changed.keys, last.scan)
    past = ledger.past(now)
    standing = (finding.outcome for finding in past.findings)
    keys = ((each.rule, each.subject_table, each.subject_key) for each in standing)
    return Moving(past, spooled(judgement.moving(keys)))


def index_digest(judgement: Judgement) -> str:
    """Return the SHA-256 of the index of what is open: a later scan compares with these very bytes or with none."""
    with judgement.index().open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rules_changed(
    ledger: Ledger, folder: Path, judgement: Judgement, snapshot: Snapshot, pack: Pack
) -> dict[str, RuleChange]:
    """Return what changed of the rules since the scan before, and keep how they are defined for the next."""
    now = definitions(pack.rules, (rule.id for rule in pack.broken_rules), snapshot.rows("params"))
    last = ledger.latest_scan()
    before = Judgement.beside(folder, last.snapshot_id, last.rule_digest) if last else None
    found = changes(defined(before.dir) if before else None, now)
    define(now, judgement.dir)
    return found
