"""The scan that an answer is about, and where its evidence is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import TIME, App, F
from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.judge import Judgement
    from auditor.ledger import ScanRow
    from auditor.snapshot import Snapshot

NO_SCAN = "No scan yet. Run `auditor scan`, or `auditor scan --dry-run` to see what it would ask."

as_of_option = click.option("--as-of", type=TIME, help="Answer as things stood then; default: now.")


def with_as_of(command: F) -> F:
    """Add `--as-of`."""
    return as_of_option(command)


@dataclass(frozen=True, slots=True)
class Standing:
    """The last finished scan at a time; None when there was none yet."""

    scan: ScanRow | None
    at: datetime
    """When waivers are looked at: now, or the time that was asked for."""
    state: Path

    @property
    def found(self) -> ScanRow:
        """Return the scan; UsageError when there is none."""
        if self.scan is None:
            raise UsageError("no scan yet", remedy="`auditor scan` makes one.")
        return self.scan

    def judgement(self) -> Judgement:
        """Open what was derived and judged of the scan's snapshot; UsageError when it is gone."""
        from auditor.judge import Judgement

        folder = self.state / "judged" / f"{self.found.snapshot_id}-{self.found.rule_digest[:12]}"
        if not (folder / "judgement.json").exists():
            self._unless_pruned()
            raise UsageError(
                f"{folder}: what was judged in scan {self.found.scan} is not there any more",
                remedy="`auditor scan --snapshot DIR` judges a stored snapshot again; `auditor scan` makes a new one.",
            )
        return Judgement.open(folder)

    def snapshot(self) -> Snapshot:
        """Open the scan's snapshot; UsageError when it is gone."""
        from auditor.snapshot import Snapshot

        stored = self.found.snapshot_in(self.state)
        if stored is None:
            self._unless_pruned()
        return Snapshot.open(stored or self.state / "snapshots" / self.found.snapshot_id)

    def _unless_pruned(self) -> None:
        """UsageError where the ledger says that the snapshot was pruned."""
        from auditor.ledger import Ledger

        with Ledger.open(self.state / "ledger.sqlite3", create=False) as ledger:
            why = ledger.pruned(self.found.snapshot_id)
        if why is not None:
            raise UsageError(
                f"the evidence of scan {self.found.scan} is not kept any more; {why}",
                remedy="What it found is in the ledger (`auditor findings`, `auditor drift`); a bundle of that time "
                "holds the evidence.",
            )

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a table that is kept beside the snapshot; none without a scan."""
        if self.scan is None:
            return iter(())
        judged = self.judgement()
        if table not in judged.digests:
            raise UsageError(
                f"scan {self.scan.scan} did not derive {table}: it was made by an earlier version",
                remedy="`auditor scan` makes a new one.",
            )
        return judged.rows(table)

    def gaps(self) -> list[Mapping[str, Any]]:
        """Return what the scan could not see."""
        if self.scan is None:
            return []
        folder = self.state / "judged" / f"{self.scan.snapshot_id}-{self.scan.rule_digest[:12]}"
        if not (folder / "judgement.json").exists():
            return []
        from auditor.judge import Judgement

        return list(Judgement.open(folder).gaps)


def standing(app: App, as_of: datetime | None = None) -> Standing:
    """Return the scan that answers at a time."""
    state = app.state()
    if not app.ledger_path.exists():
        return Standing(None, as_of or app.now(), state)
    with app.ledger() as ledger:
        scan, look = ledger.latest_scan(as_of), ledger.latest_look(as_of)
    # A demo's scans may lie ahead of this machine's clock: the present is never before the last scan or re-check.
    at = as_of or max(app.now(), look.at if look else app.now())
    return Standing(scan, at, state)
