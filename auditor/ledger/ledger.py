"""The ledger: the one place that remembers. Every write is one transaction, made by one writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from auditor.errors import BusyError, VerificationError
from auditor.ledger import chain, queries, storage
from auditor.ledger.alerting import Alerting
from auditor.ledger.decisions import Decisions
from auditor.ledger.owner import is_gone
from auditor.ledger.queries import Filters
from auditor.ledger.recorded import Before, Memories, ScanRecord
from auditor.ledger.values import Alert, Check, Entry, FindingRow, Lease, ScanRow

if TYPE_CHECKING:
    from auditor.drift import Past
    from auditor.judge import Key
    from auditor.ledger.agenda import Agenda
    from auditor.ledger.standing import Judged
    from auditor.model import Drift, Outcome

_NO_FILTERS = Filters()


def _nowhere(_: str) -> None:
    """Pass a checkpoint."""


class Ledger(Alerting, Decisions):
    """An open ledger. Not shared between threads: each opens its own.

    What a scan alone asks is imported where it is asked: drift and its meanings take longer to load than to open the file.
    """

    def __init__(self, conn: sqlite3.Connection, path: Path, checkpoint: Callable[[str], None]) -> None:
        super().__init__(conn, path)
        self._checkpoint = checkpoint

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        create: bool = True,
        busy_s: float = 5.0,
        checkpoint: Callable[[str], None] = _nowhere,
    ) -> Self:
        """Open a ledger, creating or migrating it where needed.

        `checkpoint` is told the name of each step of a record as it is reached. Raises
        UsageError for a newer schema or, without `create`, a missing file; VerificationError for
        a file that is no ledger; BusyError when another process writes for longer than `busy_s`.
        """
        where = Path(path)
        return cls(storage.connect(where, busy_s=busy_s, create=create), where, checkpoint)

    @classmethod
    def look(cls, path: Path | str, *, busy_s: float = 5.0) -> Self:
        """Open a ledger to read alone; see `storage.look`."""
        where = Path(path)
        return cls(storage.look(where, busy_s=busy_s), where, _nowhere)

    def close(self) -> None:
        self._conn.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Scans

    def begin(
        self,
        slot: str,
        owner: str,
        lease_s: int,
        now: datetime,
        *,
        expected: Sequence[tuple[str, datetime]] = (),
        gone: Callable[[str], bool] = is_gone,
    ) -> Lease:
        """Take a slot to scan; see `slots.begin`."""
        from auditor.ledger import slots

        with self._write() as conn:
            return slots.begin(conn, slot, owner, lease_s, now, expected=expected, gone=gone)

    def renew(self, lease: Lease, lease_s: int, now: datetime) -> Lease:
        """Hold a slot for longer."""
        from auditor.ledger import slots

        with self._write() as conn:
            return slots.renew(conn, lease, lease_s, now)

    def release(self, lease: Lease, now: datetime) -> None:
        """Give a slot back without a record: the scan counts as interrupted."""
        from auditor.ledger import slots

        with self._write() as conn:
            slots.release(conn, lease, now)

    def state(self, as_of: datetime, *, findings: bool = True) -> Before:
        """Return what is known before a scan; everything joined to its snapshot, and drift's past.

        Without `findings` the past has no findings in it: `past` brings those that matter.
        """
        from auditor.ledger import baselines, cursors, joined, matters, standing

        with self._read() as conn:
            past = replace(
                standing.remembered(conn, as_of, findings=findings), approved=baselines.approved(conn, as_of)
            )
            check = chain.verify(conn)
            tables = joined.tables(conn, as_of, check)
            alerting = frozenset(conn.execute("SELECT channel, dedup_key FROM alerting"))
            left = cursors.every(conn)
            restraints = matters.restraints(conn, as_of)
        return Before(past, tables, alerting, left, restraints)

    def judged(self) -> Judged | None:
        """Return what the last finished scan was judged by; None before the first."""
        from auditor.ledger import standing

        with self._read() as conn:
            return standing.judged(conn)

    def past(self, as_of: datetime, only: Iterable[Key] | None = None) -> Past:
        """Return the findings that are open; `only` those of some keys."""
        from auditor.ledger import standing

        with self._read() as conn:
            return standing.past(conn, as_of, only)

    def record(
        self,
        scan: ScanRecord,
        outcomes: Iterable[Outcome],
        drift: Iterable[Drift] = (),
        memories: Memories | None = None,
        alerts: Sequence[Alert] = (),
        *,
        only: Iterable[Key] | None = None,
        at: datetime,
    ) -> ScanRow:
        """Write one finished scan and all that follows from it, or nothing of it; see `record.record`."""
        from auditor.ledger.record import record

        self._checkpoint("begin")
        with self._write() as conn:
            scan_id = record(
                conn,
                scan,
                outcomes,
                drift,
                memories=memories or Memories(),
                alerts=alerts,
                only=only,
                at=at,
                checkpoint=self._checkpoint,
            )
        self._checkpoint("committed")
        row = self.scan(scan_id)
        assert row is not None
        return row

    def recheck(
        self,
        scan: ScanRecord,
        subject_key: str,
        outcomes: Iterable[Outcome],
        drift: Iterable[Drift] = (),
        alerts: Sequence[Alert] = (),
        *,
        only: Collection[Key],
        at: datetime,
    ) -> ScanRow:
        """Write what a re-check of one subject found, or nothing of it; see `recheck.record`."""
        from auditor.ledger import recheck

        self._checkpoint("begin")
        with self._write() as conn:
            scan_id = recheck.record(
                conn,
                scan,
                subject_key,
                outcomes,
                drift,
                alerts=alerts,
                only=only,
                at=at,
                checkpoint=self._checkpoint,
            )
        self._checkpoint("committed")
        row = self.scan(scan_id)
        assert row is not None
        return row

    def keys_of(self, subject_key: str) -> list[Key]:
        """Return every finding of a subject, open or closed: rule, table and key."""
        from auditor.ledger import recheck

        with self._read() as conn:
            return recheck.keys_of(conn, subject_key)

    def scan(self, scan_id: str) -> ScanRow | None:
        """Return one scan by its id."""
        with self._read() as conn:
            return queries.scan(conn, scan_id)

    def latest_scan(self, as_of: datetime | None = None) -> ScanRow | None:
        """Return the last finished scan."""
        with self._read() as conn:
            return queries.latest_scan(conn, as_of)

    def latest_look(self, as_of: datetime | None = None) -> ScanRow | None:
        """Return the last finished scan or re-check: since when findings stand as they do."""
        with self._read() as conn:
            return queries.latest_look(conn, as_of)

    def scans(
        self,
        from_at: datetime | None = None,
        until_at: datetime | None = None,
        *,
        state: str = "",
        rechecks: bool = False,
    ) -> list[ScanRow]:
        """Return finished, interrupted and missed scans of `[from_at, until_at)`; with `rechecks` these too."""
        with self._read() as conn:
            return queries.scans(conn, from_at, until_at, state=state, rechecks=rechecks)

    def tallies(
        self, from_at: datetime | None = None, until_at: datetime | None = None
    ) -> list[dict[str, Any]]:
        """Return the tally of each finished scan."""
        with self._read() as conn:
            return queries.tallies(conn, from_at, until_at)

    def scans_that_moved(self) -> frozenset[int]:
        """Return the numbers of the scans in which a finding opened, changed or closed."""
        with self._read() as conn:
            return queries.scans_that_moved(conn)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep scans from beginning; BusyError while one runs. Nothing else may be written within."""
        with self._write() as conn:
            row = conn.execute("SELECT slot, owner FROM lease LIMIT 1").fetchone()
            if row is not None and not is_gone(row[1]):
                raise BusyError(
                    f"a scan of slot {row[0]} is running ({row[1]})",
                    remedy="Nothing was removed. Try again when it is done.",
                )
            yield

    def scan_running(self, now: datetime) -> Lease | None:
        """Return the slot that somebody scans now; None when nobody does, or who did has ended."""
        from auditor.ledger import slots

        with self._read() as conn:
            return slots.running(conn, now)

    @property
    def agenda(self) -> Agenda:
        """What is planned, who leads, and when all was last well."""
        from auditor.ledger.agenda import Agenda

        return Agenda(self._write, self._read)

    # Findings and drift

    def findings(self, filters: Filters = _NO_FILTERS, as_of: datetime | None = None) -> list[FindingRow]:
        """Return findings as they stood at a time; `waiver` is computed from the waivers then."""
        with self._read() as conn:
            return queries.findings(conn, filters, as_of)

    def finding(self, finding_id: str, as_of: datetime | None = None) -> FindingRow | None:
        """Return one finding by id, or by the unambiguous start of its id."""
        with self._read() as conn:
            return queries.finding(conn, finding_id, as_of)

    def history(self, finding_id: str, as_of: datetime | None = None) -> list[FindingRow]:
        """Return every interval of one finding, oldest first."""
        with self._read() as conn:
            return queries.history_of(conn, finding_id, as_of)

    def intervals(self, from_at: datetime, as_of: datetime) -> list[FindingRow]:
        """Return every interval of every finding that touches `(from_at, as_of]`."""
        with self._read() as conn:
            return queries.intervals(conn, from_at, as_of)

    def drift(
        self,
        from_at: datetime | None = None,
        until_at: datetime | None = None,
        *,
        scan: str = "",
    ) -> list[Drift]:
        """Return what drifted in scans of `[from_at, until_at)`, or in one scan."""
        with self._read() as conn:
            return queries.drift(conn, from_at, until_at, scan=scan)

    def plans(self) -> dict[str, str]:
        """Return how a sentence calls each backup plan that the last scan knew, by its ARN."""
        from auditor.ledger import unattributed

        with self._read() as conn:
            return unattributed.plans(conn)

    # The chain

    def note(self, kind: str, body: Mapping[str, Any], now: datetime) -> Entry:
        """Append an entry of its own: a bundle, a rule pack, a key."""
        with self._write() as conn:
            return chain.append(conn, kind, now, body)

    def entries(self, from_seq: int = 1, until_seq: int | None = None, *, kind: str = "") -> list[Entry]:
        """Return the chain's entries of `[from_seq, until_seq)`."""
        with self._read() as conn:
            return list(queries.entries(conn, from_seq, until_seq, kind=kind))

    def bound_rows(self, n: int) -> dict[str, list[list[Any]]]:
        """Return the rows that the entry of scan `n` digests, by what they are."""
        with self._read() as conn:
            return chain.bound_rows(conn, n)

    def head(self) -> tuple[int, str]:
        """Return number and hash of the last entry."""
        with self._read() as conn:
            return chain.head(conn)

    def verify(self, *, expect_head: str = "") -> Check:
        """Walk the chain and all it binds; name the first entry that differs."""
        with self._read() as conn:
            return chain.verify(conn, expect_head=expect_head)

    def damage(self) -> list[str]:
        """Return what is wrong with the file itself, page by page; empty when nothing is."""
        return storage.damage(self._conn)

    # The file

    def backup(self, target: Path) -> None:
        """Copy the ledger to a file while it is in use."""
        with storage.told(self.path):
            storage.copy(self._conn, target)

    @classmethod
    def restore(cls, path: Path, backup: Path, now: datetime) -> Self:
        """Put a backup in a ledger's place and say so in the chain.

        The old file stays beside it. Raises VerificationError when the backup does not verify.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh, aside = path.with_name(f"{path.name}.restoring"), storage.aside_of(path)
        try:
            with cls.look(backup) as source:  # nothing is written to a backup, not even its present schema
                source.backup(fresh)
            with cls.open(fresh) as made:
                wrong = made.damage()
                check = made.verify() if not wrong else Check(False, "", 0, wrong[0])
                if not check.intact:
                    raise VerificationError(
                        f"{backup}: the backup does not verify: {check.because}",
                        remedy="The ledger was left as it is. Choose another backup.",
                    )
                body = {"from": backup.name, "head": check.head, "set_aside": aside.name}
                made.note("restore", body, now)
            storage.replace(path, fresh, aside)
        finally:
            for left in [each for each in path.parent.iterdir() if each.name.startswith(fresh.name)]:
                left.unlink()
        return cls.open(path)
