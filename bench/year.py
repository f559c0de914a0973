"""How the ledger grows: twelve months of hourly scans by the service's own slots, on a clock that is set, not waited for.

Scans are stubs that record what they are told to have found, as a scan does: compared, composed to alerts, recorded. A change
opens or ends one finding; the messages of it are written and not sent. Rows and pages of the file are counted.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.figures import Figure

START = datetime(2026, 1, 1, 0, 40, tzinfo=UTC)
ZONE = "Europe/Berlin"
YEAR, SHORT = 365 * 24, 10 * 24
"""Hours; the short runs tell what a change costs."""
FINDINGS = 50
"""Open all the time."""
_RULE = "versioning-on"
_SCAN_ROWS = 3
"""Of a scan that finds nothing changed: its slot, its entry in the chain, its row."""
_SCAN_BYTES = 4000


def year() -> Iterator[Figure]:
    """Tell what a quiet scan and what a change add to the ledger, and that each slot of the year was run once."""
    with tempfile.TemporaryDirectory() as folder:
        quiet = _run(Path(folder) / "quiet", YEAR, 0)
        once, tenfold = (_run(Path(folder) / f"moving-{n}", SHORT, n) for n in (1, 10))
    wrong = quiet["due"] - quiet["once"]
    what = f"slots missed or doubled of {quiet['due']:,}, hourly for twelve months in {ZONE}, both nights on which clocks change"
    yield Figure(what, f"{wrong}", "0", wrong == 0)
    rows, size = quiet["rows"] / quiet["scans"], quiet["bytes"] / quiet["scans"]
    held = f"{FINDINGS} findings open"
    yield Figure(
        f"rows that a scan adds to the ledger, nothing changed, {held}",
        f"{rows:.2f}",
        f"{_SCAN_ROWS}: slot, entry, scan",
        rows <= _SCAN_ROWS,
    )
    yield Figure(
        f"bytes that it adds ({quiet['bytes'] / 1e6:.0f} MB in the year)",
        f"{size:,.0f}",
        f"{_SCAN_BYTES:,}",
        size <= _SCAN_BYTES,
    )
    for run in (once, tenfold):
        changes = run["changes"]
        more_rows = (run["rows"] - rows * run["scans"]) / changes
        more_bytes = (run["bytes"] - size * run["scans"]) / changes
        run["each"] = more_bytes
        told = f"{changes / run['scans']:.0f} a scan: finding, drift, its part of a message"
        what = f"rows and bytes that a change adds beside, {told}"
        yield Figure(what, f"{more_rows:.1f}, {more_bytes:,.0f}", "", met=True)
    ratio = tenfold["each"] / once["each"]
    yield Figure(
        "a change of twenty in a scan against one of two, bytes", f"{ratio:.2f} x", "1 x", ratio <= 1
    )


def _run(path: Path, hours: int, changing: int) -> dict[str, float]:
    """Let so many hours pass with so many changes a scan; the first two days, in which everything begins, are not counted."""
    from auditor.ledger import Ledger
    from auditor.ledger.agenda import SCAN
    from auditor.service.election import Election
    from auditor.service.instance import Instance, Job
    from auditor.timetable import between, timetable

    with Ledger.open(path) as ledger:
        ledger._conn.execute("PRAGMA synchronous = OFF")  # noqa: SLF001 - what is measured is size: power does not fail here
        estate = _Estate(ledger, changing)
        times = timetable("30 * * * *", ZONE)
        job = Job(SCAN, times, estate.scan, at_once=True)
        instance = Instance("bench", [job], Election(30, lambda _: False), lambda *_: None, 12 * 3600)
        counted: list[tuple[int, int, int, int]] = []
        for half in range(2 * hours):
            estate.now = START + timedelta(minutes=30 * half)
            instance.tick(ledger, estate.now, 1800.0 * half)
            if half in (2 * 48, 2 * hours - 1):
                counted.append((*_size(path), estate.scans, estate.changes))
        slots = [slot for slot in ledger.agenda.slots(SCAN) if slot.state != "planned"]
        done = [slot.name for slot in slots if slot.state == "done"]
        finished = [each.slot for each in ledger.scans(state="finished")]
        due = 1 + len(between(times, slots[0].due_at, slots[-1].due_at))
        assert ledger.verify().intact
    first, end = counted
    rows, size, scans, changes = (after - before for before, after in zip(first, end, strict=True))
    once = len(set(done)) if sorted(done) == sorted(finished) else 0
    return {"rows": rows, "bytes": size, "scans": scans, "changes": changes, "due": due, "once": once}


class _Estate:
    """Buckets of which some change with each scan: versioning of so many goes off, and of as many that went off before on."""

    def __init__(self, ledger: Any, changing: int) -> None:
        self.ledger, self.now = ledger, START
        self.scans = self.changes = 0
        self._changing = changing

    def scan(self, slot: Any) -> Any:
        """Record a scan of a slot; it has ended when it has begun."""
        from auditor.service.instance import Ended

        self._record(slot.name)
        self.scans += 1
        self.changes += 2 * self._changing
        return _Over(Ended("done"))

    def _record(self, slot: str) -> None:
        from auditor.alerts.compose import compose
        from auditor.alerts.routes import Route
        from auditor.drift import Present, compare
        from auditor.ledger import RuleNote, ScanRecord
        from auditor.model import Seen

        lease = self.ledger.begin(slot, "bench", 3600, self.now)
        outcomes = [_outcome("fail", f"open-{n}") for n in range(FINDINGS)]
        for scan, verdict in ((self.scans - 1, "pass"), (self.scans, "fail")):
            outcomes += [_outcome(verdict, f"moving-{scan}-{n}") for n in range(self._changing)]
        rules = {_RULE: RuleNote(("soc2/A1.2",), "Switch versioning on.")}
        seen: Sequence[Seen] = (Seen("s3_bucket", "*"),)
        drift, alerts = [], []
        moving = bool(self._changing or not self.scans)
        if moving:
            before = self.ledger.state(self.now)
            drift = compare(before.past, Present(outcomes, (), seen, (), judged=rules), now=self.now)
            alerts = compose(
                drift, outcomes, (), (Route("hook", "low"),), now=self.now, rules=rules, coverage=seen,
                alerting=before.alerting, previous_at=before.previous_at, restraints=before.restraints,
            )  # fmt: skip
        record = ScanRecord(
            slot=slot,
            snapshot_id=f"snapshot-{self.scans}",
            snapshot_dir=f"snapshots/{self.scans}",
            rule_digest="r" * 64,
            config_digest="c" * 64,
            outcome_digest="o" * 64,
            tally={"fail": FINDINGS},
            rules=rules,
            coverage=seen,
            lease=lease,
        )
        # What may have moved is known before a scan is recorded: of a quiet one nothing.
        self.ledger.record(
            record, outcomes if moving else (), drift, alerts=alerts, only=None if moving else (), at=self.now
        )


class _Over:
    """A run that has ended."""

    pid = None

    def __init__(self, ended: Any) -> None:
        self._ended = ended

    def ended(self) -> Any:
        return self._ended

    def stop(self) -> None:
        """Nothing runs."""


def _outcome(verdict: str, name: str) -> Any:
    from auditor.model import Outcome, Verdict

    return Outcome(
        rule=_RULE,
        code="BKT-001",
        subject_table="bucket",
        subject_key=f"arn:aws:s3:::{name}",
        verdict=Verdict(verdict),
        severity="high",
        because=f"{name} keeps {'no' if verdict == 'fail' else 'all'} versions",
        account="111111111111",
        owner="owner@example.com",
        failed_checks=({"name": "on", "values": {"versioning": "Off"}},) if verdict == "fail" else (),
    )


def _size(path: Path) -> tuple[int, int]:
    """Return the rows of all tables, and the bytes of the file once its log is written back."""
    conn = sqlite3.connect(path)
    try:
        tables = conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        rows = sum(conn.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for (name,) in tables)
        (pages,) = conn.execute("PRAGMA page_count").fetchone()
        (size,) = conn.execute("PRAGMA page_size").fetchone()
    finally:
        conn.close()
    return int(rows), int(pages) * int(size)
