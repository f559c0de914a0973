"""Controls over a window, as a SOC 2 Type II asks: how much of the time was seen, the population, and each exception.

A rule was covered between two scans that both judged it whole, no further apart than one and a half intervals: only then is
there evidence at both ends. All other time is unknown, and says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.errors import UsageError, VerificationError
from auditor.report_read import Counts

if TYPE_CHECKING:
    from auditor.ledger import FindingRow, Ledger, ScanRow, WaiverRow
    from auditor.rulepack import Pack

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Time in which a rule was not covered."""

    from_at: datetime
    until_at: datetime
    because: str


@dataclass(frozen=True, slots=True)
class Treated:
    """One finding in the window with what became of it."""

    finding_id: str
    rule: str
    code: str
    subject: str
    verdict: str
    """`fail` when it ever was one in the window."""
    severity: str
    opened_at: datetime
    closed_at: datetime | None
    treatment: str
    """`remediated`, `vanished`, `waived` or `open`."""
    waiver: str | None
    because: str


@dataclass(frozen=True, slots=True)
class RuleWindow:
    """One rule over the window."""

    rule: str
    code: str
    window_s: int
    covered_s: int
    uncovered: tuple[Stretch, ...]
    counts: Counts
    """Subjects by the worst that was said of them in the window; each counts once."""
    exceptions: tuple[Treated, ...]

    @property
    def covered_percent(self) -> int:
        """The covered share in whole hundredths, rounded down: 100 only when all of it was."""
        return self.covered_s * 100 // self.window_s if self.window_s else 0


def over(
    ledger: Ledger, pack: Pack, state: Path, *, from_at: datetime, to_at: datetime, now: datetime
) -> dict[str, RuleWindow]:
    """Return every rule over `[from_at, to_at]`; UsageError for a window that is empty or has not begun."""
    if not from_at < to_at:
        raise UsageError(f"the window ends at {to_at:%Y-%m-%d %H:%M}Z, not after it began")
    if from_at >= now:
        raise UsageError(f"the window begins at {from_at:%Y-%m-%d %H:%M}Z, which has not come yet")
    as_of = min(to_at, now)
    every = ledger.scans(None, as_of + _TICK)
    finished = [scan for scan in every if scan.state == "finished"]
    inside = [scan for scan in finished if from_at <= scan.at]
    before = [scan for scan in finished if scan.at < from_at][-1:]
    looked = [*before, *inside]
    whole, subjects = _read(looked, state, {scan.n for scan in inside})
    found = _exceptions(ledger, from_at, as_of)
    result: dict[str, RuleWindow] = {}
    for rule in pack.rules:
        uncovered = tuple(_uncovered(rule.id, looked, whole, from_at, to_at, as_of))
        missing = sum(int((one.until_at - one.from_at).total_seconds()) for one in uncovered)
        window_s = int((to_at - from_at).total_seconds())
        mine = tuple(found.get(rule.id, ()))
        result[rule.id] = RuleWindow(
            rule=rule.id,
            code=rule.code,
            window_s=window_s,
            covered_s=max(0, window_s - missing),
            uncovered=uncovered,
            counts=_counts(subjects.get(rule.id, {}), mine),
            exceptions=mine,
        )
    return result


def _read(
    scans: Sequence[ScanRow], state: Path, inside: set[int]
) -> tuple[dict[int, dict[str, str] | None], dict[str, dict[str, set[str]]]]:
    """Return for each scan what each rule lacked to be judged whole ('' for nothing), and every subject's verdicts.

    None for a scan whose judgement is not kept any more. VerificationError when it is not what the ledger says.
    """
    from auditor.engines.duckdb import Engine

    whole: dict[int, dict[str, str] | None] = {}
    subjects: dict[str, dict[str, set[str]]] = {}
    with Engine() as engine:
        for scan in scans:
            folder = state / "judged" / f"{scan.snapshot_id}-{scan.rule_digest[:12]}"
            if not (folder / "outcome.parquet").exists():
                whole[scan.n] = None
                continue
            engine.attach("outcome", folder / "outcome.parquet")
            if engine.digest("outcome") != scan.outcome_digest:
                raise VerificationError(
                    f"{folder}: outcome.parquet is not what the ledger's scan {scan.scan} recorded",
                    remedy="`auditor scan --snapshot DIR` judges the stored snapshot again.",
                )
            whole[scan.n] = {
                row["rule"]: row["lacks"] or ""
                for row in engine.rows(
                    "SELECT rule, min(CASE WHEN verdict = 'unknown' AND starts_with(subject_key, '*') THEN because END) "
                    "AS lacks FROM outcome GROUP BY rule ORDER BY rule"
                )
            }
            if scan.n not in inside:
                continue
            for row in engine.rows(
                "SELECT DISTINCT rule, subject_table, subject_key, CASE WHEN reason = 'not_due' THEN 'not_due' ELSE verdict END "
                "AS verdict FROM outcome WHERE NOT starts_with(subject_key, '*') ORDER BY ALL"
            ):
                key = f"{row['subject_table']}/{row['subject_key']}"
                subjects.setdefault(row["rule"], {}).setdefault(key, set()).add(row["verdict"])
    return whole, subjects


def _uncovered(
    rule: str,
    scans: Sequence[ScanRow],
    whole: Mapping[int, Mapping[str, str] | None],
    from_at: datetime,
    to_at: datetime,
    as_of: datetime,
) -> Iterator[Stretch]:
    """Yield the time between scans that nothing vouches for, in order; what is to come is not covered either."""
    if not scans:
        yield Stretch(from_at, to_at, "no scan looked")
        return
    if scans[0].at > from_at:
        yield Stretch(from_at, scans[0].at, "no scan had looked before")
    for one, other in pairwise(scans):
        why = _lacks(rule, one, whole) or _lacks(rule, other, whole)
        if not why and (other.at - one.at).total_seconds() * 2 > max(one.interval_s, 1) * 3:
            why = f"no scan between {one.slot} and {other.slot}"
        if why and max(one.at, from_at) < other.at:
            yield Stretch(max(one.at, from_at), other.at, why)
    if scans[-1].at < to_at:
        yield Stretch(
            max(scans[-1].at, from_at),
            to_at,
            "no scan has looked since" if to_at <= as_of else "it has not come yet",
        )


def _lacks(rule: str, scan: ScanRow, whole: Mapping[int, Mapping[str, str] | None]) -> str:
    said = whole[scan.n]
    if said is None:
        return f"what {scan.slot} judged is not kept any more"
    if rule not in said:
        return f"{scan.slot} judged nothing by it"
    return said[rule]


def _exceptions(ledger: Ledger, from_at: datetime, as_of: datetime) -> dict[str, list[Treated]]:
    """Return every finding of the window with its treatment, by rule."""
    rows: dict[str, list[FindingRow]] = {}
    for row in ledger.intervals(from_at, as_of):
        if not row.subject_key.startswith("*"):
            rows.setdefault(row.finding_id, []).append(row)
    waivers = {waiver.waiver_id: waiver for waiver in ledger.waivers(as_of)}
    found: dict[str, list[Treated]] = {}
    for finding_id, intervals in sorted(rows.items()):
        last = intervals[-1]
        waiver = last.waiver or _covering(last, waivers.values(), from_at, as_of)
        closed = last.state == "closed"
        treatment = (
            (last.ended if last.ended != "resolved" else "remediated")
            if closed
            else "waived"
            if last.waiver
            else "open"
        )
        found.setdefault(last.rule, []).append(
            Treated(
                finding_id=finding_id,
                rule=last.rule,
                code=last.code,
                subject=f"{last.subject_table}/{last.subject_key}",
                verdict="fail" if any(row.verdict == "fail" for row in intervals) else "unknown",
                severity=last.severity,
                opened_at=min(row.opened_at for row in intervals),
                closed_at=last.closed_at if closed else None,
                treatment=treatment,
                waiver=waiver,
                because=last.because,
            )
        )
    return found


def _covering(row: FindingRow, waivers: Any, from_at: datetime, as_of: datetime) -> str | None:
    """Return a waiver that covered a finding at some time of the window, in force at its end or not."""
    for waiver in waivers:
        at: WaiverRow = waiver
        probe = max(at.created_at, from_at)
        if probe <= as_of and at.covers(row.finding_id, row.rule, row.subject_key, probe):
            return at.waiver_id
    return None


def _counts(subjects: Mapping[str, set[str]], exceptions: Sequence[Treated]) -> Counts:
    """Count each subject once, by the worst that was said of it; under a waiver at the window's end it counts as waived."""
    waived = {one.subject for one in exceptions if one.treatment == "waived"}
    total = Counts()
    for subject, verdicts in subjects.items():
        if subject in waived and verdicts & {"fail", "unknown"}:
            total += Counts(waived=1)
        elif "fail" in verdicts:
            total += Counts(failed=1)
        elif "unknown" in verdicts:
            total += Counts(unknown=1)
        elif "pass" in verdicts:
            total += Counts(passed=1)
        elif "not_due" in verdicts:
            total += Counts(not_due=1)
        else:
            total += Counts(not_applicable=1)
    return total
