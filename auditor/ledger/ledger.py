"""The ledger: the one place that remembers. Every write is one transaction, made by one writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from auditor.errors import BusyError, UsageError, VerificationError
from auditor.ledger import (
    chain,
    cursors,
    handed_out,
    matters,
    memory,
    outbox,
    queries,
    signoffs,
    silences,
    slots,
    standing,
    storage,
    waivers,
)
from auditor.ledger.agenda import Agenda
from auditor.ledger.matters import Due, Told
from auditor.ledger.queries import Filters
from auditor.ledger.record import record
from auditor.ledger.signoffs import SignOff
from auditor.ledger.silences import Acknowledgement, Silence
from auditor.ledger.values import (
    Alert,
    Before,
    Check,
    Entry,
    FindingRow,
    Lease,
    Memories,
    ScanRecord,
    ScanRow,
    Sending,
    WaiverRow,
    canonical,
    instant,
)
from auditor.spool import spooled

if TYPE_CHECKING:
    from auditor.drift import Past
    from auditor.judge import Key
    from auditor.ledger.standing import Judged
    from auditor.model import Drift, Outcome

_NO_FILTERS = Filters()
_TIMES = frozenset(
    {
        "at", "since", "created_at", "expires_at", "first_seen_at", "last_seen_at", "delete_at",
        "capture_due_at", "from_seen_at", "until_seen_at",
    }
)  # fmt: skip
_BOOLS = frozenset({"complete", "final", "eventbridge", "deletes_after_copy", "intact"})


def _nowhere(_: str) -> None:
    """Pass a checkpoint."""


class Ledger:
    """An open ledger. Not shared between threads: each opens its own."""

    def __init__(self, conn: sqlite3.Connection, path: Path, checkpoint: Callable[[str], None]) -> None:
        self._conn = conn
        self._checkpoint = checkpoint
        self.path = path

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

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with storage.told(self.path), storage.transaction(self._conn):
            yield self._conn

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        """See one state of the ledger, whatever is written meanwhile."""
        with storage.told(self.path), storage.transaction(self._conn, "DEFERRED"):
            yield self._conn

    # Scans

    def begin(
        self,
        slot: str,
        owner: str,
        lease_s: int,
        now: datetime,
        *,
        expected: Sequence[tuple[str, datetime]] = (),
        gone: Callable[[str], bool] = slots.is_gone,
    ) -> Lease:
        """Take a slot to scan; see `slots.begin`."""
        with self._write() as conn:
            return slots.begin(conn, slot, owner, lease_s, now, expected=expected, gone=gone)

    def renew(self, lease: Lease, lease_s: int, now: datetime) -> Lease:
        """Hold a slot for longer."""
        with self._write() as conn:
            return slots.renew(conn, lease, lease_s, now)

    def release(self, lease: Lease, now: datetime) -> None:
        """Give a slot back without a record: the scan counts as interrupted."""
        with self._write() as conn:
            slots.release(conn, lease, now)

    def state(self, as_of: datetime, *, findings: bool = True) -> Before:
        """Return what is known before a scan; everything joined to its snapshot, and drift's past.

        Without `findings` the past has no findings in it: `past` brings those that matter.
        """
        with self._read() as conn:
            past = standing.remembered(conn, as_of, findings=findings)
            check = chain.verify(conn)
            tables: dict[str, Collection[dict[str, Any]]] = {
                name: spooled(map(_typed, rows)) for name, rows in memory.rows(conn, memory.last_at(conn))
            }
            tables["history_scan"] = [
                {
                    "scan": scan.scan,
                    "slot": scan.slot,
                    "at": scan.at,
                    "state": scan.state,
                    "complete": scan.complete,
                    "interval_s": scan.interval_s,
                }
                for scan in queries.scans(conn)
            ]
            tables["history_finding"] = spooled(map(_typed, queries.open_findings(conn)))
            entered = waivers.entered_after(conn)
            tables["history_waiver"] = [
                _waiver(row) | {"entered_after": entered.get(row.waiver_id)}
                for row in waivers.every(conn, as_of)
            ]
            tables["history_signoff"] = [_signoff(row) for row in signoffs.every(conn, as_of=as_of)]
            tables["history_report"] = handed_out.reports(conn, as_of)
            tables["history_bundle"] = handed_out.bundles(conn, as_of)
            receipts = tables["history_receipt"] = handed_out.receipts(conn, as_of)
            tables["history_ledger"] = [
                {
                    "head": check.head,
                    "entries": check.entries,
                    "intact": check.intact,
                    "because": check.because,
                    "unreceipted_since": handed_out.unreceipted_since(conn, receipts, as_of),
                }
            ]
            alerting = frozenset(conn.execute("SELECT channel, dedup_key FROM alerting"))
            left = cursors.every(conn)
            restraints = matters.restraints(conn, as_of)
        return Before(past, dict(sorted(tables.items())), alerting, left, restraints)

    def judged(self) -> Judged | None:
        """Return what the last finished scan was judged by; None before the first."""
        with self._read() as conn:
            return standing.judged(conn)

    def past(self, as_of: datetime, only: Iterable[Key] | None = None) -> Past:
        """Return the findings that are open; `only` those of some keys."""
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

    def scan(self, scan_id: str) -> ScanRow | None:
        """Return one scan by its id."""
        with self._read() as conn:
            return queries.scan(conn, scan_id)

    def latest_scan(self, as_of: datetime | None = None) -> ScanRow | None:
        """Return the last finished scan."""
        with self._read() as conn:
            return queries.latest_scan(conn, as_of)

    def scans(
        self,
        from_at: datetime | None = None,
        until_at: datetime | None = None,
        *,
        state: str = "",
    ) -> list[ScanRow]:
        """Return finished, interrupted and missed scans of `[from_at, until_at)`."""
        with self._read() as conn:
            return queries.scans(conn, from_at, until_at, state=state)

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
            if row is not None and not slots.is_gone(row[1]):
                raise BusyError(
                    f"a scan of slot {row[0]} is running ({row[1]})",
                    remedy="Nothing was removed. Try again when it is done.",
                )
            yield

    def scan_running(self, now: datetime) -> Lease | None:
        """Return the slot that somebody scans now; None when nobody does, or who did has ended."""
        with self._read() as conn:
            return slots.running(conn, now)

    @property
    def agenda(self) -> Agenda:
        """What is planned, who leads, and when all was last well."""
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

    # What people decide

    def waive(
        self,
        *,
        reason: str,
        requester: str,
        approver: str,
        expires_at: datetime,
        now: datetime,
        finding_id: str | None = None,
        rule: str = "",
        subject: str = "",
        longest_d: int = waivers.LONGEST_D,
    ) -> WaiverRow:
        """Enter a waiver; UsageError says why one cannot be."""
        with self._write() as conn:
            return waivers.add(
                conn,
                reason=reason,
                requester=requester,
                approver=approver,
                expires_at=expires_at,
                now=now,
                finding_id=finding_id,
                rule=rule,
                subject=subject,
                longest_d=longest_d,
            )

    def revoke_waiver(self, waiver_id: str, *, by: str, reason: str, now: datetime) -> WaiverRow:
        """End a waiver before its time."""
        with self._write() as conn:
            return waivers.revoke(conn, waiver_id, by=by, reason=reason, now=now)

    def waivers(self, as_of: datetime | None = None) -> list[WaiverRow]:
        """Return the waivers entered by a time, in force or not."""
        with self._read() as conn:
            return waivers.every(conn, as_of)

    def sign(
        self,
        kind: str,
        subject: str,
        *,
        by: str,
        now: datetime,
        decision: str = "",
        reason: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> SignOff:
        """Enter a sign-off; UsageError says why one cannot be."""
        with self._write() as conn:
            return signoffs.sign(
                conn,
                kind=kind,
                subject=subject,
                by=by,
                now=now,
                decision=decision,
                reason=reason,
                details=details,
            )

    def signoffs(self, kind: str = "", as_of: datetime | None = None) -> list[SignOff]:
        """Return the sign-offs of a kind, or all, entered by a time, in the order of the chain."""
        with self._read() as conn:
            return signoffs.every(conn, kind=kind, as_of=as_of)

    def add_receipt(
        self, *, kind: str, place: str, by: str, now: datetime, head: str = "", reason: str = ""
    ) -> SignOff:
        """Enter that a head was published outside; see `handed_out.add_receipt`."""
        with self._write() as conn:
            return handed_out.add_receipt(
                conn, kind=kind, place=place, by=by, now=now, head=head, reason=reason
            )

    def receipts(self, as_of: datetime) -> list[dict[str, Any]]:
        """Return every receipt of a head, and whether that head is in the chain."""
        with self._read() as conn:
            return handed_out.receipts(conn, as_of)

    def pruned(self, snapshot_id: str) -> str | None:
        """Return when and why a snapshot was pruned, in words; None when it was not."""
        with self._read() as conn:
            return handed_out.pruned(conn, snapshot_id)

    def bundles(self, as_of: datetime) -> list[dict[str, Any]]:
        """Return every bundle that was written."""
        with self._read() as conn:
            return handed_out.bundles(conn, as_of)

    def reports(self, as_of: datetime) -> list[dict[str, Any]]:
        """Return every report that was written."""
        with self._read() as conn:
            return handed_out.reports(conn, as_of)

    def set_baseline(self, name: str, body: Mapping[str, Any], now: datetime) -> None:
        """Enter what is accepted as normal."""
        with self._write() as conn:
            waivers.set_baseline(conn, name, body, now)

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

    # Alerts

    def post(self, alerts: Sequence[Alert], now: datetime) -> None:
        """Put alerts of no scan into the outbox, such as a test message."""
        with self._write() as conn:
            outbox.post(conn, alerts, n=None, at=now)

    def lease_alerts(
        self, now: datetime, *, lease_s: int, limit: int, channels: Collection[str], only: str = ""
    ) -> list[Sending]:
        """Take alerts that are due, for a time; `only` one of them, by its id."""
        with self._write() as conn:
            return outbox.lease(conn, now, lease_s=lease_s, limit=limit, channels=channels, only=only)

    def due_alerts(self, channel: str, now: datetime) -> list[Sending]:
        """Return what one channel is due, oldest first."""
        with self._read() as conn:
            return outbox.due(conn, channel, now)

    def alerts_sent(self, channel: str, since: datetime) -> int:
        """Return how many messages a channel had after a time."""
        with self._read() as conn:
            return outbox.sent(conn, channel, since)

    def digest_alerts(self, digest: Alert, alert_ids: Sequence[str], now: datetime) -> bool:
        """Send alerts within one digest; False, and nothing done, when another sender has taken one of them."""
        with self._write() as conn:
            return outbox.collapse(conn, digest, alert_ids, now)

    def alert_delivered(self, alert_id: str, now: datetime) -> None:
        """Note that the receiver has an alert, and what went out within it."""
        with self._write() as conn:
            outbox.delivered(conn, alert_id, now)

    def alert_failed(self, alert_id: str, next_at: datetime, error: str) -> None:
        """Note a failed attempt, and when the next one is."""
        with self._write() as conn:
            outbox.retry(conn, alert_id, next_at, error)

    def alert_dead(
        self,
        alert_id: str,
        error: str,
        *,
        now: datetime,
        instead: Sequence[Alert] = (),
        gone: bool = False,
    ) -> None:
        """Make an alert a dead letter and put `instead` into the outbox; `gone` switches its channel off."""
        with self._write() as conn:
            channel = outbox.bury(conn, alert_id, error)
            if channel is not None:
                outbox.post(conn, instead, n=None, at=now)
            if channel is not None and gone:
                outbox.switch_off(conn, channel, error, now)

    def replay_alert(self, alert_id: str, now: datetime) -> Sending:
        """Send an alert again under the same id."""
        with self._write() as conn:
            return outbox.replay(conn, alert_id, now)

    def switch_channel_off(self, channel: str, because: str, now: datetime) -> None:
        """Stop sending to a channel until one of its alerts is replayed or it is switched on."""
        with self._write() as conn:
            outbox.switch_off(conn, channel, because, now)

    def switch_channel_on(self, channel: str, now: datetime) -> None:
        """Send to a channel again."""
        with self._write() as conn:
            outbox.switch_on(conn, channel, now)

    def channels_off(self) -> dict[str, str]:
        """Return the channels that are switched off, each with the reason."""
        with self._read() as conn:
            return outbox.channels_off(conn)

    def outbox(self, *, state: str = "", channel: str = "", within: str = "") -> list[Sending]:
        """Return the outbox, oldest first; state `dead` lists the dead letters, `within` what a digest holds."""
        with self._read() as conn:
            return outbox.listed(conn, state=state, channel=channel, within=within)

    # An alert's life

    def tell_due(self, made: Callable[[Due], Told], now: datetime) -> int:
        """Write what time alone made due, in one transaction; return how many messages that is.

        `made` says it of what stands, and may be asked twice: nothing is locked where nothing is due.
        """
        with self._read() as conn:
            if not made(matters.due(conn, now)):
                return 0
        with self._write() as conn:
            told = made(matters.due(conn, now))
            outbox.post(conn, told.alerts, n=None, at=now)
            for alert_id, silence in told.passed_on:
                matters.pass_on(conn, [alert_id], held=silence)
            for alert_id, within in told.released:
                matters.pass_on(conn, [alert_id], within=within)
            matters.note(conn, told.notices, now)
            return len(told.alerts)

    def acknowledge(
        self,
        word: str,
        found: Sequence[tuple[str, str]] = (),
        *,
        reason: str,
        by: str,
        now: datetime,
        told: Callable[[str, Mapping[str, str]], Alert | None],
    ) -> list[Acknowledgement]:
        """Enter that somebody works on an alert's matters, or on those `found`; every channel that heard of them is `told`."""
        with self._write() as conn:
            asked = list(found) or matters.key_of(conn, word)
            if not asked:
                raise UsageError(
                    f"{word} is neither an alert nor a finding that is open",
                    remedy="`auditor alerts list` and `auditor findings` list them.",
                )
            done = silences.acknowledge(conn, asked, reason=reason, author=by, now=now)
            named = {each.dedup_key: each.resource for each in done}
            heard = matters.alerting(conn, named)
            notes = [
                told(channel, {key: named[key] for key in keys}) for channel, keys in sorted(heard.items())
            ]
            outbox.post(conn, [each for each in notes if each is not None], n=None, at=now)
            return done

    def acknowledgements(self) -> list[Acknowledgement]:
        """Return every acknowledgement, oldest first."""
        with self._read() as conn:
            return silences.acknowledgements(conn)

    def silence(
        self,
        *,
        reason: str,
        by: str,
        until: datetime,
        now: datetime,
        rule: str = "",
        resource: str = "",
        zone: str = "",
        owner: str = "",
    ) -> Silence:
        """Enter a silence; UsageError says why one cannot be."""
        with self._write() as conn:
            return silences.add(
                conn, reason=reason, author=by, until=until, now=now, rule=rule, resource=resource, zone=zone,
                owner=owner,
            )  # fmt: skip

    def end_silence(self, silence_id: str, *, by: str, reason: str, now: datetime) -> Silence:
        """End a silence before its time."""
        with self._write() as conn:
            return silences.end(conn, silence_id, by=by, reason=reason, now=now)

    def silences(self) -> list[tuple[Silence, int, int]]:
        """Return every silence, over or not, with the messages it held back and the matters these told of."""
        with self._read() as conn:
            held = silences.counts(conn)
            return [(each, *held.get(each.silence_id, (0, 0))) for each in silences.every(conn)]

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
        with cls.open(backup, create=False) as source:
            check = source.verify()
            wrong = source.damage() or ([] if check.intact else [check.because])
        if wrong:
            raise VerificationError(
                f"{backup}: the backup does not verify: {wrong[0]}",
                remedy="The ledger was left as it is. Choose another backup.",
            )
        aside = storage.replace(path, backup)
        ledger = cls.open(path)
        body = {"from": backup.name, "head": check.head, "set_aside": aside.name}
        ledger.note("restore", body, now)
        return ledger


def _waiver(row: WaiverRow) -> dict[str, Any]:
    return {
        "waiver_id": row.waiver_id,
        "rule": row.rule,
        "subject": row.subject,
        "reason": row.reason,
        "requester": row.requester,
        "approver": row.approver,
        "created_at": row.created_at,
        "expires_at": min(row.expires_at, row.revoked_at or row.expires_at),
        "finding_id": row.finding_id,
    }


def _signoff(row: SignOff) -> dict[str, Any]:
    return {
        "sign_off_id": row.sign_off_id,
        "kind": row.kind,
        "subject": row.subject,
        "decision": row.decision,
        "reason": row.reason,
        "signer": row.by,
        "at": row.at,
        "details": canonical(row.details),
        "seq": row.seq,
    }


def _typed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give a row of a history table the types of schema/joined.py."""
    return {name: _value(name, value) for name, value in row.items()}


def _value(name: str, value: Any) -> Any:
    if name in _TIMES and isinstance(value, str):
        return instant(value)
    if name in _BOOLS and value is not None:
        return bool(value)
    return value
