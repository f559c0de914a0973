"""Two judgements tell which findings may move; the ledger then holds what it would hold had it looked at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_case import RULES, day, outcome, scan
from test_ledger_survival import dump

from auditor.drift import Present, compare
from auditor.engines.duckdb import Engine
from auditor.judge import Judgement
from auditor.ledger import Ledger, RuleNote
from auditor.model import Drift, Gap, Outcome
from auditor.moving import Moving, index_digest, what_may_move

R1, R2 = "versioning-on", "locked"
NOTES = {R1: RULES[R1], R2: RuleNote(("soc2/A1.2",), "Lock it.")}
HOMES = ("111111111111", "222222222222")


@dataclass(frozen=True)
class Seen:
    """What one scan of a history said."""

    outcomes: tuple[Outcome, ...]
    gaps: tuple[Gap, ...] = ()
    broken: tuple[str, ...] = ()
    rules: tuple[str, ...] = (R1, R2)
    kept: bool = True
    """The judgement is still on disk when the next scan looks for it."""


def judged(folder: Path, n: int, outcomes: Iterable[Outcome]) -> Judgement:
    """Write a judgement as `judge` does: its outcomes in Parquet, in the order of their lines."""
    where = folder / f"snapshot-{n}-{'r' * 12}"
    where.mkdir(parents=True)
    with Engine() as engine:
        rows = [
            {
                **{name: getattr(o, name) for name in TEXTS},
                "verdict": o.verdict.value,
                **{name: list(getattr(o, name)) for name in ("failed_checks", "unknown_checks", "gaps")},
                "params": dict(o.params),
                "refs": [[ref.table, ref.key] for ref in o.refs],
            }
            for o in outcomes
        ]
        engine.insert("outcome", rows)
        digest = engine.export("outcome", where / "outcome.parquet")
    body = {"snapshot": f"snapshot-{n}", "rules": "r" * 64, "digests": {"outcome": digest}, "tally": {}}
    (where / "judgement.json").write_text(json.dumps(body))
    return Judgement.open(where)


TEXTS = (
    "rule", "code", "severity", "subject_table", "subject_key", "zone", "account", "project", "owner",
    "reason", "because",
)  # fmt: skip


def record(
    ledger: Ledger, n: int, seen: Seen, judgement: Judgement, moving: Moving | None
) -> Sequence[Drift]:
    """Record one scan by what moves, or by all there is."""
    rules: Mapping[str, RuleNote] = {name: NOTES[name] for name in seen.rules if name not in seen.broken}
    outcomes: Iterable[Outcome] = list(judgement.outcomes())
    past = ledger.state(day(n)).past
    more: dict[str, Any] = {}
    if moving is not None:
        outcomes, past, more = (
            moving.outcomes,
            replace(past, findings=moving.past.findings),
            {"only": moving.only},
        )
        past = replace(past, resolved=moving.past.resolved)
    present = Present(outcomes, coverage=seen.gaps, judged=rules, broken=seen.broken)
    drift = list(compare(past, present, now=day(n)))
    row = scan(
        n,
        coverage=seen.gaps,
        rules=rules,
        broken=seen.broken,
        outcome_digest=judgement.digests["outcome"],
        open_index=index_digest(judgement),
        compared_with=moving.compared_with if moving else "",
    )
    ledger.record(row, outcomes, drift, at=day(n), **more)
    return drift


def both(folder: Path, history: Sequence[Seen]) -> tuple[list[list[str]], list[Sequence[Drift]], list[bool]]:
    """Record a history by what moves and by all; return both ledgers whole, both drifts, and what was quick."""
    drifts: list[Sequence[Drift]] = []
    quick: list[bool] = []
    with Ledger.open(folder / "few") as few, Ledger.open(folder / "all") as every:
        for n, seen in enumerate(history, start=1):
            judgement = judged(folder / "judged", n, seen.outcomes)
            moving = what_may_move(few, folder / "judged", judgement, day(n))
            quick.append(moving.only is not None)
            drifts += [record(few, n, seen, judgement, moving), record(every, n, seen, judgement, None)]
            if not seen.kept:
                shutil.rmtree(judgement.dir)
        assert few.verify().because == ""
        listed = [sorted(ledger._conn.execute("SELECT * FROM unjudged")) for ledger in (few, every)]
        assert listed[0] == listed[1]
    return [dump(folder / "few"), dump(folder / "all")], drifts, quick


keys = st.sampled_from(["b0", "b1", "b2", "b3"])
words = st.sampled_from(["", "one way", "another way"])


@st.composite
def an_outcome(draw: st.DrawFn) -> Outcome:
    rule, key, home = draw(st.sampled_from([R1, R2])), draw(keys), draw(st.sampled_from(HOMES))
    said = outcome(
        draw(st.sampled_from(["pass", "fail", "fail", "unknown", "not_applicable"])),
        f"arn:aws:s3:::{key}",
        rule=rule,
        subject_table="s3_bucket",
        account=home,
        because=draw(words),
        owner=draw(st.sampled_from([None, "a@example.com", "b@example.com"])),
        severity=draw(st.sampled_from(["high", "low"])),
    )
    if said.verdict == "fail" and draw(st.booleans()):
        said = replace(said, failed_checks=({"name": draw(words), "values": {"n": draw(st.integers(0, 2))}},))
    return said


@st.composite
def a_scan(draw: st.DrawFn) -> Seen:
    outcomes = {(o.rule, o.subject_key): o for o in draw(st.lists(an_outcome(), max_size=6))}
    for rule, home in draw(
        st.lists(st.tuples(st.sampled_from([R1, R2]), st.sampled_from(HOMES)), max_size=1)
    ):
        key = f"*:{home}/eu-west-1"
        blind = outcome("unknown", key, rule=rule, subject_table="s3_bucket", account=home, because="denied")
        outcomes[rule, key] = blind
    broken = tuple(draw(st.lists(st.sampled_from([R1, "*"]), max_size=1)))
    rules = draw(st.sampled_from([(R1, R2), (R1, R2), (R2,)]))
    gaps = [
        Gap("s3_bucket", home, reason="denied") for home in draw(st.lists(st.sampled_from(HOMES), max_size=1))
    ]
    kept = draw(st.sampled_from([True, True, True, False]))
    said = tuple(o for o in outcomes.values() if o.rule in rules and o.rule not in broken)
    return Seen(said, tuple(gaps), broken, rules, kept)


@st.composite
def a_history(draw: st.DrawFn) -> list[Seen]:
    """Scans of which each says much of what the one before said."""
    scans = [draw(a_scan())]
    for _ in range(draw(st.integers(1, 4))):
        after, before = draw(a_scan()), scans[-1]
        told = {(o.rule, o.subject_key) for o in after.outcomes}
        stays = [o for o in before.outcomes if (o.rule, o.subject_key) not in told and draw(st.booleans())]
        ours = tuple(o for o in stays if o.rule in after.rules and o.rule not in after.broken)
        scans.append(replace(after, outcomes=(*after.outcomes, *ours)))
    return scans


@settings(max_examples=25)
@given(a_history())
def test_the_ledger_is_the_same_to_the_byte_whether_it_looks_at_what_differs_or_at_all(
    history: list[Seen],
) -> None:
    with TemporaryDirectory() as folder:
        (few, every), drifts, _ = both(Path(folder), history)
    assert few == every
    assert drifts[0::2] == drifts[1::2]


A, B = outcome("fail", "arn:aws:s3:::a"), outcome("unknown", "arn:aws:s3:::b")
DENIED = (Gap("s3_bucket", "111111111111", reason="denied"),)


def quickly(tmp_path: Path, *history: Seen) -> list[list[tuple[str, str]]]:
    """Return what drifted in each scan, once both ways are known to agree and the quick one was taken."""
    (few, every), drifts, quick = both(tmp_path, history)
    assert few == every
    assert quick == [False, *[True] * (len(history) - 1)]
    return [[(d.kind, d.subject_key) for d in drift] for drift in drifts[0::2]]


def test_a_scan_that_says_the_same_moves_nothing_and_reads_nothing_of_the_ledger(tmp_path: Path) -> None:
    one = judged(tmp_path / "judged", 1, [A, B])
    two = judged(tmp_path / "judged", 2, [A, B])
    with Ledger.open(tmp_path / "ledger") as ledger:
        record(ledger, 1, Seen((A, B)), one, None)
        moving = what_may_move(ledger, tmp_path / "judged", two, day(2))
    assert (moving.only, moving.outcomes, moving.past.findings) == ([], [], [])


def test_a_source_that_fails_for_two_scans_resolves_nothing_and_is_told_once(tmp_path: Path) -> None:
    where = {"subject_table": "s3_bucket"}
    seen = Seen((outcome("fail", "a", **where), outcome("unknown", "b", **where)))
    blind = Seen((), DENIED)
    drift = quickly(tmp_path, seen, blind, blind, Seen((outcome("pass", "a", **where),)), Seen(()))
    assert drift[1:] == [[("changed", "a")], [], [("resolved", "a"), ("vanished", "b")], []]


def test_a_subject_that_is_gone_vanishes_and_is_not_resolved(tmp_path: Path) -> None:
    assert quickly(tmp_path, Seen((A, B)), Seen((B,))) == [
        [("appeared", A.subject_key), ("appeared", B.subject_key)],
        [("vanished", A.subject_key)],
    ]


def test_a_failure_that_comes_back_has_regressed(tmp_path: Path) -> None:
    fine = replace(A, verdict=outcome("pass").verdict, failed_checks=())
    drift = quickly(tmp_path, Seen((A,)), Seen((fine,)), Seen((fine,)), Seen((A,)))
    assert [kind for one in drift for kind, _ in one] == ["appeared", "resolved", "regressed"]


def test_a_rule_that_does_not_load_keeps_its_findings_open_as_unknown(tmp_path: Path) -> None:
    drift = quickly(tmp_path, Seen((A,)), Seen((), broken=(R1,)), Seen((A,)))
    assert drift[1] == [("changed", A.subject_key)]


@pytest.mark.parametrize("how", ["pruned", "altered", "another ledger"])
def test_without_the_very_judgement_that_was_recorded_all_that_stands_is_looked_at(
    tmp_path: Path, how: str
) -> None:
    one = judged(tmp_path / "judged", 1, [A, B])
    with Ledger.open(tmp_path / "ledger") as ledger:
        record(ledger, 1, Seen((A, B)), one, None)
        if how == "pruned":
            shutil.rmtree(one.dir)
        elif how == "altered":
            shutil.rmtree(one.dir)
            judged(tmp_path / "judged", 1, [B])
        else:
            ledger._conn.execute("INSERT INTO unjudged VALUES ('0')")  # what no scan of ours would leave
            ledger._conn.execute(
                "INSERT INTO unjudged SELECT finding_id FROM finding WHERE subject_key = ?", (A.subject_key,)
            )
        two = judged(tmp_path / "judged", 2, [B])
        moving = what_may_move(ledger, tmp_path / "judged", two, day(2))
        assert moving.only is None
        assert len(moving.past.findings) == 2


def test_what_was_compared_with_a_scan_that_is_not_the_last_any_more_is_not_recorded(tmp_path: Path) -> None:
    from auditor.errors import BusyError

    one = judged(tmp_path / "judged", 1, [A])
    two = judged(tmp_path / "judged", 2, [A])
    with Ledger.open(tmp_path / "ledger") as ledger:
        record(ledger, 1, Seen((A,)), one, None)
        moving = what_may_move(ledger, tmp_path / "judged", two, day(2))
        ledger.record(scan(5), [], at=day(1.5))  # type: ignore[arg-type]
        with pytest.raises(BusyError, match="another scan was recorded"):
            record(ledger, 2, Seen((A,)), two, moving)
        latest = ledger.latest_scan()
        assert latest is not None
        assert latest.slot == "day-5"
