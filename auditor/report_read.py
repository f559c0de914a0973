"""What a report is made of: the ledger as it stood at the end of a period, and the evidence of its last scan.

A scan belongs to the period when its time is after the start and not after the end: a weekly report made right after
the weekly scan holds that scan, and the next one does not hold it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.errors import UsageError, VerificationError
from auditor.judge import Judgement
from auditor.ledger import Filters, FindingRow, ScanRow, Sending, WaiverRow
from auditor.model import Drift, Verdict
from auditor.snapshot import Snapshot

if TYPE_CHECKING:
    from auditor.config import Config
    from auditor.ledger import Ledger
    from auditor.ledger.silences import Acknowledgement, Silence

POSTURE_WEEKS = 26
"""Weeks that are drawn at most."""
_TICK = timedelta(microseconds=1)
_OF_REPORTS = frozenset({"report", "bundle", "delivery"})
"""Entries of the chain that are written because of a report, so no report is made of them."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Outcomes by what became of them: six parts that add up to the population."""

    passed: int = 0
    failed: int = 0
    unknown: int = 0
    waived: int = 0
    not_applicable: int = 0
    not_due: int = 0

    @property
    def population(self) -> int:
        return self.passed + self.failed + self.unknown + self.waived + self.not_applicable + self.not_due

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.passed + other.passed,
            self.failed + other.failed,
            self.unknown + other.unknown,
            self.waived + other.waived,
            self.not_applicable + other.not_applicable,
            self.not_due + other.not_due,
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """One scan with its evidence, as far as it is still there."""

    scan: ScanRow
    snapshot: Snapshot | None
    judgement: Judgement | None
    rules: Mapping[str, Counts] = field(default_factory=dict)
    """What each rule said, by rule id."""
    entities: Mapping[str, tuple[int, int, Counts]] = field(default_factory=dict)
    """Subjects, unlisted scopes (`*` keys) and outcomes, by the catalogue's word."""
    unseen: int = 0
    """Open findings whose subject this scan did not judge."""

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """Yield a kept table; nothing when the judgement is gone."""
        if self.judgement is not None:
            yield from self.judgement.rows(table)


@dataclass(frozen=True, slots=True)
class Past:
    """Everything a weekly report is made of."""

    from_at: datetime
    to_at: datetime
    as_of: datetime
    """Until when the ledger was read: the period's end, or now when that is sooner."""
    slots: Sequence[ScanRow]
    """Finished, interrupted and missed scans of the period."""
    last: Judged | None
    """The last finished scan by the period's end; older than the period when `stale`."""
    before: Judged | None
    """The last finished scan before the period."""
    stale: bool
    findings: Sequence[FindingRow]
    """Open at the end."""
    ended: Sequence[FindingRow]
    """Every finding that had ended by then, its last interval."""
    waivers: Sequence[WaiverRow]
    drift: Sequence[Drift]
    silences: Sequence[Silence]
    """Every silence of the ledger."""
    acknowledgements: Sequence[Acknowledgement]
    outbox: Sequence[Sending]
    channels_off: Mapping[str, str]
    tallies: Sequence[tuple[ScanRow, Counts]]
    """Each finished scan of the last weeks, oldest first, with its counts."""
    head: tuple[int, str]
    entries: Counter[str]
    """The chain's entries of the period by kind."""
    intact: str
    """What differs in the chain; empty when it verifies."""

    @property
    def scans(self) -> list[ScanRow]:
        """The finished scans of the period."""
        return [scan for scan in self.slots if scan.state == "finished"]


def read(ledger: Ledger, config: Config, *, from_at: datetime, to_at: datetime, now: datetime) -> Past:
    """Read all of it; UsageError for a period that is empty or has not begun."""
    if not from_at < to_at:
        raise UsageError(f"the period ends at {to_at:%Y-%m-%d}, not after it began at {from_at:%Y-%m-%d}")
    if from_at >= now:
        raise UsageError(f"the period begins at {from_at:%Y-%m-%d %H:%M}Z, which has not come yet")
    as_of = min(to_at, now)
    last = ledger.latest_scan(as_of)
    before = ledger.latest_scan(from_at)
    findings = ledger.findings(as_of=as_of)
    state = Path(config.state.dir)
    entries = [entry for entry in ledger.entries() if entry.at <= as_of and entry.kind not in _OF_REPORTS]
    check = ledger.verify()
    stale = last is not None and last.at <= from_at
    return Past(
        from_at=from_at,
        to_at=to_at,
        as_of=as_of,
        slots=ledger.scans(from_at + _TICK, as_of + _TICK),
        last=judged(last, state, findings) if last else None,
        before=judged(before, state, ledger.findings(as_of=from_at)) if before and not stale else None,
        stale=stale,
        findings=findings,
        ended=ledger.findings(Filters(state="closed"), as_of=as_of),
        waivers=ledger.waivers(as_of),
        drift=ledger.drift(from_at + _TICK, as_of + _TICK),
        silences=[each for each, _, _ in ledger.silences()],
        acknowledgements=ledger.acknowledgements(),
        outbox=[each for each in ledger.outbox() if from_at < each.created_at <= as_of],
        channels_off=ledger.channels_off(),
        tallies=_tallies(ledger, as_of),
        head=(entries[-1].seq, entries[-1].hash) if entries else (0, "0" * 64),
        entries=Counter(entry.kind for entry in entries if entry.at > from_at),
        intact="" if check.intact else check.because,
    )


def _tallies(ledger: Ledger, as_of: datetime) -> list[tuple[ScanRow, Counts]]:
    """Return each scan's counts; what was waived is computed from the waivers of its time."""
    start = as_of - timedelta(weeks=POSTURE_WEEKS)
    found: list[tuple[ScanRow, Counts]] = []
    for scan in ledger.scans(start, as_of + _TICK, state="finished"):
        waived: Counter[str] = Counter()
        if any(waiver.created_at <= scan.at < waiver.expires_at for waiver in ledger.waivers(scan.at)):
            waived = Counter(row.verdict for row in ledger.findings(Filters(waived=True), as_of=scan.at))
        verdicts, not_due = scan.tally.get("verdicts", {}), scan.tally.get("not_due", 0)
        fail, unknown = verdicts.get(Verdict.FAIL, 0), verdicts.get(Verdict.UNKNOWN, 0)
        counts = Counts(
            passed=verdicts.get(Verdict.PASS, 0),
            failed=max(0, fail - waived["fail"]),
            unknown=max(0, unknown - waived["unknown"]),
            waived=min(fail, waived["fail"]) + min(unknown, waived["unknown"]),
            not_applicable=verdicts.get(Verdict.NOT_APPLICABLE, 0) - not_due,
            not_due=not_due,
        )
        found.append((scan, counts))
    return found


def judged(scan: ScanRow, state: Path, findings: Sequence[FindingRow]) -> Judged:
    """Open what a scan saw and what was judged of it; what is there must be what the ledger says."""
    place = scan.snapshot_in(state)
    snapshot = Snapshot.open(place) if place else None
    name = f"{scan.snapshot_id}-{scan.rule_digest[:12]}"
    folders = [root / "judged" / name for root in scan.roots(state)]
    folder = next((each for each in folders if each.exists()), None)
    if folder is None:
        return Judged(scan, snapshot, None)
    judgement = Judgement.open(folder)
    return _counted(scan, snapshot, judgement, findings)


def _counted(
    scan: ScanRow, snapshot: Snapshot | None, judgement: Judgement, findings: Sequence[FindingRow]
) -> Judged:
    from auditor.engines.duckdb import Engine

    waived = {(row.rule, row.subject_table, row.subject_key) for row in findings if row.waiver is not None}
    rules: dict[str, Counts] = {}
    entities: dict[str, Counts] = {}
    with Engine() as engine:
        engine.attach("outcome", judgement.dir / "outcome.parquet")
        if (found := engine.digest("outcome")) != scan.outcome_digest:
            raise VerificationError(
                f"{judgement.dir}: outcome.parquet is not what the ledger's scan {scan.scan} recorded: "
                f"its digest is {found}, the ledger says {scan.outcome_digest}",
                remedy="`auditor scan --snapshot DIR` judges the stored snapshot again.",
            )
        for row in engine.rows(
            "SELECT rule, subject_table, verdict, reason, count(*) AS n FROM outcome GROUP BY ALL ORDER BY ALL"
        ):
            counts = _of(row["verdict"], row["reason"], row["n"])
            _add(rules, row["rule"], counts)
            _add(entities, row["subject_table"], counts)
        judged: set[tuple[str, str, str]] = set()
        for row in engine.rows(
            "SELECT rule, subject_table, subject_key, verdict FROM outcome WHERE verdict IN ('fail', 'unknown') "
            "ORDER BY ALL"
        ):
            key = (row["rule"], row["subject_table"], row["subject_key"])
            judged.add(key)
            if key in waived:
                moved = _moved(row["verdict"])
                _add(rules, row["rule"], moved)
                _add(entities, row["subject_table"], moved)
        subjects = {
            row["subject_table"]: (row["subjects"], row["scopes"])
            for row in engine.rows(
                "SELECT subject_table, count(DISTINCT CASE WHEN subject_key LIKE '*%' THEN NULL ELSE subject_key END) "
                "AS subjects, count(DISTINCT CASE WHEN subject_key LIKE '*%' THEN subject_key END) AS scopes "
                "FROM outcome GROUP BY subject_table ORDER BY subject_table"
            )
        }
    unseen = sum((row.rule, row.subject_table, row.subject_key) not in judged for row in findings)
    counted = {entity: (*subjects[entity], counts) for entity, counts in sorted(entities.items())}
    return Judged(scan, snapshot, judgement, rules, counted, unseen)


def _add(into: dict[str, Counts], key: str, counts: Counts) -> None:
    into[key] = into.get(key, Counts()) + counts


def _of(verdict: str, reason: str | None, amount: int) -> Counts:
    match verdict:
        case Verdict.PASS:
            return Counts(passed=amount)
        case Verdict.FAIL:
            return Counts(failed=amount)
        case Verdict.UNKNOWN:
            return Counts(unknown=amount)
    return Counts(not_due=amount) if reason == "not_due" else Counts(not_applicable=amount)


def _moved(verdict: str) -> Counts:
    """One outcome that counts as waived and no more as what it is."""
    return Counts(failed=-1, waived=1) if verdict == Verdict.FAIL else Counts(unknown=-1, waived=1)
