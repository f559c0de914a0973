"""Controls over a window: what no good scan vouches for is unknown, and every part adds up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ledger_case import day, outcome, scan

from auditor.controls_window import RuleWindow, over
from auditor.engines.duckdb import Engine
from auditor.errors import UsageError, VerificationError
from auditor.ledger import Ledger
from auditor.model import Outcome
from auditor.rulelang.judge import OUTCOME
from auditor.schema import tables

RULE = "versioning-on"
PACK: Any = SimpleNamespace(
    rules=(SimpleNamespace(id=RULE, code="BKT-001"), SimpleNamespace(id="new-rule", code="NEW-001"))
)


@dataclass
class Past:
    """A ledger with what each of its scans judged beside it."""

    state: Path
    ledger: Ledger

    def scan(self, n: int, outcomes: Sequence[Outcome]) -> None:
        record = scan(n, interval_s=86_400)
        folder = self.state / "judged" / f"{record.snapshot_id}-{record.rule_digest[:12]}"
        folder.mkdir(parents=True)
        with Engine() as engine:
            engine.execute(f"CREATE TABLE outcome ({', '.join(f'{name} {kind}' for name, kind in OUTCOME)})")
            for one in outcomes:
                values = [
                    one.rule,
                    one.code,
                    one.severity,
                    one.subject_table,
                    one.subject_key,
                    str(one.verdict),
                    one.reason,
                    one.because,
                ]
                names = "rule, code, severity, subject_table, subject_key, verdict, reason, because"
                said = ", ".join("'" + str(value).replace("'", "''") + "'" for value in values)
                engine.execute(f"INSERT INTO outcome ({names}) VALUES ({said})")
            digest = engine.export("outcome", folder / "outcome.parquet")
        self.ledger.record(replace(record, outcome_digest=digest), outcomes, at=day(n))

    def over(self, first: int, last: int, now: datetime | None = None) -> dict[str, RuleWindow]:
        return over(self.ledger, PACK, self.state, from_at=day(first), to_at=day(last), now=now or day(last))


@pytest.fixture
def past(tmp_path: Path) -> Past:
    assert "outcome" in tables() or OUTCOME
    return Past(tmp_path, Ledger.open(tmp_path / "ledger.sqlite3"))


def test_time_between_two_whole_scans_is_covered_and_all_of_it_adds_up(past: Past) -> None:
    for n in range(1, 5):
        past.scan(n, [outcome("pass"), outcome("pass", "arn:aws:s3:::c")])
    found = past.over(1, 4)[RULE]
    assert (found.covered_percent, found.covered_s, found.uncovered) == (100, 3 * 86_400, ())
    assert (found.counts.passed, found.counts.population) == (2, 2)


def test_a_scan_that_could_not_list_the_subjects_covers_neither_side_of_it(past: Past) -> None:
    past.scan(1, [outcome("pass")])
    past.scan(2, [outcome("unknown", "*:111111111111/eu-west-1", because="access denied")])
    past.scan(3, [outcome("pass")])
    past.scan(4, [outcome("pass")])
    found = past.over(1, 4)[RULE]
    assert found.covered_percent == 33
    assert {stretch.because for stretch in found.uncovered} == {"access denied"}


def test_missed_scans_time_before_the_first_and_after_the_last_are_uncovered(past: Past) -> None:
    past.scan(2, [outcome("pass")])
    past.scan(5, [outcome("pass")])
    found = past.over(1, 7)[RULE]
    assert found.covered_s == 0
    assert [stretch.because for stretch in found.uncovered] == [
        "no scan had looked before", "no scan between day-2 and day-5", "no scan has looked since",
    ]  # fmt: skip
    assert past.over(1, 9, now=day(6))[RULE].uncovered[-1].because == "it has not come yet"


def test_a_rule_that_came_later_vouches_for_nothing_before(past: Past) -> None:
    for n in range(1, 4):
        past.scan(n, [outcome("pass")])
    found = past.over(1, 3)["new-rule"]
    assert (found.covered_s, found.counts.population) == (0, 0)
    assert "judged nothing by it" in found.uncovered[0].because


def test_a_judgement_that_is_gone_covers_nothing_and_one_that_was_changed_is_refused(past: Past) -> None:
    import shutil

    for n in range(1, 4):
        past.scan(n, [outcome("pass")])
    folders = sorted((past.state / "judged").iterdir())
    shutil.rmtree(folders[1])
    assert past.over(1, 3)[RULE].covered_s == 0
    shutil.copy(folders[0] / "outcome.parquet", folders[2] / "outcome.parquet")
    past.scan(4, [outcome("fail")])
    shutil.copy(folders[0] / "outcome.parquet", max((past.state / "judged").iterdir()) / "outcome.parquet")
    with pytest.raises(VerificationError, match="is not what the ledger's scan"):
        past.over(1, 4)


def test_each_exception_has_its_treatment_and_each_subject_counts_once_by_its_worst(past: Past) -> None:
    bucket = "arn:aws:s3:::{}".format
    past.scan(1, [outcome("fail", bucket(name)) for name in ("mended", "waived", "open")])
    past.scan(
        2,
        [
            outcome("pass", bucket("mended")),
            outcome("fail", bucket("waived")),
            outcome("unknown", bucket("open")),
        ],
    )
    past.ledger.waive(
        reason="r",
        requester="ana",
        approver="bo",
        expires_at=day(30),
        now=day(2) + timedelta(hours=1),
        rule=RULE,
        subject=bucket("waived"),
    )
    past.scan(
        3,
        [
            outcome("pass", bucket("mended")),
            outcome("fail", bucket("waived")),
            outcome("fail", bucket("open")),
        ],
    )
    found = past.over(1, 3, now=day(3))[RULE]
    assert {one.subject.rpartition(":")[2]: one.treatment for one in found.exceptions} == {
        "mended": "remediated", "waived": "waived", "open": "open",
    }  # fmt: skip
    counts = found.counts
    assert (counts.passed, counts.failed, counts.unknown, counts.waived) == (0, 2, 0, 1)
    assert counts.population == 3
    assert all(one.verdict == "fail" for one in found.exceptions)
    assert next(one.waiver for one in found.exceptions if one.treatment == "waived") is not None


def test_a_window_that_is_empty_or_has_not_begun_is_refused(past: Past) -> None:
    past.scan(1, [outcome("pass")])
    with pytest.raises(UsageError, match="not after it began"):
        past.over(3, 3)
    with pytest.raises(UsageError, match="has not come yet"):
        past.over(5, 9, now=day(2))
