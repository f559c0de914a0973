"""One subject looked at again after a fix: read, judged and recorded as in a scan, and nothing but that subject moves.

Every source is asked in every place, as in a scan, and no setting is carried over: what a subject's verdict rests on may
lie in another account (a copy, a key), and the write that mended it may not be in the trail yet. What is learnt of other
subjects on the way is neither judged, told nor remembered: that is for the next scan, which compares with the scan
before as if there had been no re-check.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.alerts import compose
from auditor.canonical import quoted
from auditor.drift import Past, Present, compare, finding_id
from auditor.errors import UsageError
from auditor.judge import Judgement, outcome_of
from auditor.ledger.holding import held
from auditor.ledger.recorded import RuleNote, ScanRecord
from auditor.ledger.slots import RECHECK
from auditor.model import Drift, Gap, Outcome, Verdict
from auditor.scan import CONFIGURED, Progress, coverage_of, looked, parents, routes
from auditor.snapshot import Snapshot
from auditor.spool import spooled

if TYPE_CHECKING:
    from auditor.config import Config
    from auditor.judge import Key
    from auditor.ledger import Ledger, ScanRow
    from auditor.ledger.values import Lease
    from auditor.rulepack import Pack

_NEAREST = 3
_OPEN = (Verdict.FAIL, Verdict.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Told:
    """What one rule says of the subject, then and now."""

    rule: str
    code: str
    subject_table: str
    severity: str
    before: str
    """A verdict; empty: it said nothing."""
    after: str
    """A verdict; `vanished`: seen not to be there; `absent`: nothing was said of it, be it gone or out of sight."""
    because: str
    moved: str = ""
    """Kind of the drift that was recorded; empty: as it was."""
    finding_id: str = ""


@dataclass(frozen=True, slots=True)
class Rechecked:
    """One finished re-check."""

    row: ScanRow
    subject_key: str
    compared_with: ScanRow
    told: tuple[Told, ...]
    drift: Collection[Drift]
    gaps: tuple[Gap, ...]
    """What could not be seen this time, of whatever source: the subject may rest on any."""
    broken_rules: tuple[str, ...]


def subject(ledger: Ledger, state: Path, word: str) -> str:
    """Return the key of the subject that is meant: a finding's id or its start, a key, or the name it ends with.

    What `auditor findings` prints before a key, its kind, may stand there too. UsageError names the nearest known ones.
    """
    asked = " ".join(word.split())
    candidates = {asked, asked.rpartition(" ")[2]}
    last = ledger.latest_scan()
    if last is None:
        raise UsageError(
            "there is no scan yet, and so nothing to check again", remedy="`auditor scan` makes one."
        )
    if not asked:
        raise UsageError("--only needs a subject", remedy="`auditor findings` lists subjects.")
    exact = {key for each in candidates for _, _, key in ledger.keys_of(each)}
    before = Judgement.beside(state / "judged", last.snapshot_id, last.rule_digest)
    if before is not None:
        exact |= _known(before, candidates) or _ending(before, asked.rpartition(" ")[2])
    if not exact and (found := ledger.finding(asked)) is not None:
        exact = {found.subject_key}
    if len(exact) == 1:
        return exact.pop()
    if exact:
        raise UsageError(f"{asked!r} may be {' or '.join(sorted(exact))}", remedy="Give the whole key.")
    near = _nearest(before, asked) if before is not None else []
    raise UsageError(
        f"no subject {asked!r} is known; nothing was asked or recorded",
        remedy=f"The nearest: {', '.join(near)}." if near else "`auditor findings` lists subjects.",
    )


def _known(before: Judgement, keys: Collection[str]) -> set[str]:
    listed = ", ".join(quoted(each) for each in sorted(keys))
    return {row["key"] for row in _asked(before, f"WHERE subject_key IN ({listed})")}


def _ending(before: Judgement, name: str) -> set[str]:
    """Return the keys that end with a name, as ARNs do; where the ledger knows it as a finding's id it is none."""
    if not name or set(name) <= set("0123456789abcdef"):
        return set()
    ends = (f"ends_with(subject_key, {quoted(mark + name)})" for mark in "/:")
    return {row["key"] for row in _asked(before, f"WHERE {' OR '.join(ends)}")}


def _nearest(before: Judgement, word: str) -> list[str]:
    near = f"jaro_winkler_similarity(lower(subject_key), lower({quoted(word)}))"
    rows = _asked(before, f"WHERE NOT starts_with(subject_key, '*') AND {near} > 0.7", f"{near} DESC, key")
    return [row["key"] for row in rows][:_NEAREST]


def _asked(before: Judgement, where: str, order: str = "key") -> list[dict[str, Any]]:
    from auditor.engines.duckdb import Engine

    with Engine() as engine:
        engine.attach("outcome", before.dir / "outcome.parquet")
        return engine.rows(
            f"SELECT subject_key AS key FROM outcome {where} GROUP BY subject_key ORDER BY {order} LIMIT 10"
        )


def recheck(
    config: Config,
    ledger: Ledger,
    pack: Pack,
    key: str,
    *,
    now: datetime,
    owner: str = "",
    progress: Progress | None = None,
) -> Rechecked:
    """Look at one subject again and record what became of it, in one transaction or not at all.

    BusyError while a scan runs. AuditorError when it cannot be written; then the ledger is as it was.
    """
    with held(ledger, f"{RECHECK}{now:%Y-%m-%dT%H:%M:%S.%fZ}", owner, now) as lease:
        return _rechecked(config, ledger, pack, key, lease, now=now, progress=progress)


def _rechecked(
    config: Config,
    ledger: Ledger,
    pack: Pack,
    key: str,
    lease: Lease,
    *,
    now: datetime,
    progress: Progress | None,
) -> Rechecked:
    folder = Path(config.state.dir)
    last = ledger.latest_scan()
    if last is None:
        raise UsageError(
            "there is no scan yet, and so nothing to check again", remedy="`auditor scan` makes one."
        )
    before = ledger.state(now, findings=False)
    carried = Snapshot.open(folder / "snapshots" / last.snapshot_id)
    snapshot, judgement = looked(
        config, pack, before, carried, slot=lease.slot, now=now, anew=True, progress=progress
    )
    mine, hiding = _said(judgement, key)
    only = sorted({*ledger.keys_of(key), *((o.rule, o.subject_table, o.subject_key) for o in mine)})
    stood = ledger.past(now, only)
    coverage = (*coverage_of(snapshot), *CONFIGURED)
    present = Present(
        outcomes=[*mine, *hiding],
        coverage=coverage,
        judged=[rule.id for rule in pack.rules],
        broken=[rule.id or "*" for rule in pack.broken_rules],
    )
    past = Past(findings=stood.findings, resolved=stood.resolved, previous_at=stood.previous_at)
    drift = [
        replace(one, actor_reason="a re-check does not ask who changed it: the next scan does")
        for one in compare(past, present, now=now)
        if one.rule is not None and one.subject_key == key
    ]
    notes = {rule.id: RuleNote(rule.controls, rule.remedy) for rule in pack.rules}
    alerts = compose(
        drift,
        mine,
        spooled(judgement.rows("export")),
        routes(config),
        now=now,
        rules=notes,
        alerting=before.alerting,
        previous_at=before.previous_at,
        restraints=before.restraints,
        parents=parents(before),
    )
    then = _then(ledger, folder, last, key, only, now)
    if progress:
        progress("recording", {})
    row = ledger.recheck(
        ScanRecord(
            slot=lease.slot,
            snapshot_id=snapshot.id,
            snapshot_dir=f"snapshots/{snapshot.id}",
            rule_digest=pack.digest,
            config_digest=config.digest,
            outcome_digest=judgement.digests["outcome"],
            tally={**judgement.tally, "only": {"subject": key, "compared_with": last.scan}},
            rules=notes,
            broken=tuple(present.broken),
            coverage=coverage,
            unseen=judgement.tally["gaps"],
            interval_s=config.scan.schedule,
            lease=lease,
        ),
        key,
        present.outcomes,
        drift,
        alerts,
        only=only,
        at=now,
    )
    gaps = tuple(part for part in coverage_of(snapshot, seen_at=now) if isinstance(part, Gap))
    told = tuple(_told(then, mine, drift))
    return Rechecked(row, key, last, told, drift, gaps, pack.broken)


def _said(judgement: Judgement, key: str) -> tuple[list[Outcome], list[Outcome]]:
    """Return what is said of a subject, and what stands for subjects nobody could list: it may be among them."""
    from auditor.engines.duckdb import Engine

    with Engine() as engine:
        engine.attach("outcome", judgement.dir / "outcome.parquet")
        rows = engine.each(
            "outcome",
            f"SELECT * FROM outcome WHERE subject_key = {quoted(key)} "
            "OR (verdict = 'unknown' AND starts_with(subject_key, '*')) ORDER BY rule, subject_table, subject_key, code",
        )
        found = [outcome_of(row) for row in rows]
    mine = [each for each in found if each.subject_key == key]
    return mine, [each for each in found if each.subject_key != key]


def _then(
    ledger: Ledger, folder: Path, last: ScanRow, key: str, only: Sequence[Key], now: datetime
) -> Mapping[tuple[str, str], tuple[str, str, str]]:
    """Return code, severity and verdict of each rule before this: by the findings that stand, else by the scan before."""
    found: dict[tuple[str, str], tuple[str, str, str]] = {}
    judgement = Judgement.beside(folder / "judged", last.snapshot_id, last.rule_digest)
    for one in _said(judgement, key)[0] if judgement is not None else ():
        found[one.rule, one.subject_table] = (one.code, one.severity, one.verdict.value)
    standing = {
        (each.outcome.rule, each.outcome.subject_table): each for each in ledger.past(now, only).findings
    }
    for rule, table, _ in only:
        if (each := standing.get((rule, table))) is not None:
            found[rule, table] = (each.outcome.code, each.outcome.severity, each.outcome.verdict.value)
        elif (rule, table) in found and found[rule, table][2] in _OPEN:
            found[rule, table] = (
                *found[rule, table][:2],
                Verdict.PASS.value,
            )  # a re-check since has ended it
    return found


def _told(
    then: Mapping[tuple[str, str], tuple[str, str, str]],
    mine: Sequence[Outcome],
    drift: Collection[Drift],
) -> Iterator[Told]:
    """Yield every rule that says or said something of the subject, sorted."""
    now = {(one.rule, one.subject_table): one for one in mine}
    moved = {(one.rule or "", one.subject_table): one for one in drift}
    for rule, table in sorted({*then, *now, *moved}):
        after, move = now.get((rule, table)), moved.get((rule, table))
        code, severity, verdict = then.get((rule, table), ("", "", ""))
        key = after.subject_key if after else move.subject_key if move else ""
        gone = "absent" if move is None else "vanished" if move.kind == "vanished" else move.after or "absent"
        yield Told(
            rule=rule,
            code=after.code if after else code,
            subject_table=table,
            severity=after.severity if after else severity,
            before=verdict,
            after=after.verdict.value if after else gone,
            because=(after.because or after.reason) if after else move.because if move else "",
            moved=move.kind if move else "",
            finding_id=finding_id(rule, table, key) if key else "",
        )
