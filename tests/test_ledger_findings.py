"""The life of a finding in the ledger."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from ledger_case import RULES, day, outcome, scan

from auditor.alerts.compose import compose
from auditor.alerts.routes import Route
from auditor.drift import Past, Present, compare
from auditor.errors import UsageError
from auditor.ledger import (
    BucketMemory,
    ExportMemory,
    Filters,
    Ledger,
    Memories,
    PointMemory,
)
from auditor.model import Gap, Seen
from auditor.schema import tables
from auditor.watch.values import Watched

ALL = Filters(state="all")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite3") as opened:
        yield opened


class FindingLife(RuleBasedStateMachine):
    """Any walk of verdicts and gaps: what is told, and what is kept."""

    @initialize()
    def open_ledger(self) -> None:
        self.folder = TemporaryDirectory()
        self.ledger = Ledger.open(Path(self.folder.name) / "ledger.sqlite3")
        self.n = 0
        self.told: list[str] = []
        self.failing = False
        """A failure was seen, and nothing since has shown it ended."""

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()

    def look(self, outcomes: list[object], gaps: tuple[Gap, ...] = ()) -> None:
        self.n += 1
        before = self.ledger.state(day(self.n))
        present = Present(outcomes, coverage=gaps, judged=RULES)  # type: ignore[arg-type]
        drift = compare(before.past, present, now=day(self.n))
        alerts = compose(
            drift,
            outcomes,
            routes=[Route("hook")],
            now=day(self.n),
            alerting=before.alerting,  # type: ignore[arg-type]
        )
        self.told += [alert.event for alert in alerts]
        self.ledger.record(
            scan(self.n, coverage=gaps),
            outcomes,
            drift,
            alerts=alerts,
            at=day(self.n),  # type: ignore[arg-type]
        )

    @rule(verdict=st.sampled_from(["pass", "fail", "unknown", "not_applicable"]))
    def judge(self, verdict: str) -> None:
        self.look([outcome(verdict, subject_table="s3_bucket")])
        self.failing = verdict == "fail" or (verdict == "unknown" and self.failing)

    @rule()
    def be_denied(self) -> None:
        self.look([], (Gap("s3_bucket", "111111111111", reason="denied"),))

    @rule()
    def vanish(self) -> None:
        self.look([])
        self.failing = False

    @invariant()
    def a_failure_not_seen_to_end_stays_open(self) -> None:
        if not hasattr(self, "ledger"):
            return
        found = self.ledger.findings()
        if self.failing:
            assert len(found) == 1
            assert found[0].last_fail_at is not None

    @invariant()
    def no_failure_is_told_twice_before_its_end_is_told(self) -> None:
        if not hasattr(self, "ledger"):
            return
        ours = [event for event in self.told if event in {"opened", "regressed", "recovered", "vanished"}]
        for first, second in pairwise(ours):
            assert (first in {"recovered", "vanished"}) != (second in {"recovered", "vanished"})
        assert bool(ours and ours[-1] in {"opened", "regressed"}) == self.failing

    @invariant()
    def the_chain_verifies(self) -> None:
        if hasattr(self, "ledger"):
            assert self.ledger.verify().because == ""


TestFindingLife = FindingLife.TestCase
TestFindingLife.settings = settings(max_examples=12, stateful_step_count=8)


def test_quiet_scans_add_no_row_but_their_own(ledger: Ledger) -> None:
    watch = tuple(Watched("s3_bucket", f"b{n}", "versioning", "Enabled") for n in range(5))
    points = [PointMemory("p", "1", "r", "v", "b", "COMPLETED", None, None)]
    memories = Memories(points=points, watch=watch, buckets=[BucketMemory("b", "Enabled", True)])
    for n in range(20):
        words = f"{n} days old"  # words change, the finding does not
        ledger.record(scan(n), [outcome("fail", because=words)], memories=memories, at=day(n))
    counts = {
        table: ledger._conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("finding", "wording", "drift", "point_memory", "bucket_memory", "watch_memory")
    }
    assert counts == {
        "finding": 1,
        "wording": 1,
        "drift": 0,
        "point_memory": 1,
        "bucket_memory": 1,
        "watch_memory": 5,
    }
    assert ledger.findings()[0].because == "19 days old"
    assert ledger.state(day(30)).tables["history_point"][0]["last_seen_at"] == day(19)
    assert ledger.verify().intact


def test_a_past_scan_reads_as_it_did_then(ledger: Ledger) -> None:
    ledger.record(scan(1), [outcome("fail")], at=day(1))
    then = ledger.findings(as_of=day(1))
    ledger.record(scan(2), [outcome("unknown")], at=day(2))
    ledger.record(scan(3), [outcome("pass")], at=day(3))
    assert ledger.findings(as_of=day(1)) == then
    assert [row.verdict for row in ledger.findings(as_of=day(2))] == ["unknown"]
    assert ledger.findings() == []
    (closed,) = ledger.findings(Filters(state="closed"))
    assert (closed.ended, closed.last_fail_at) == ("resolved", day(1))


def test_findings_are_found_by_every_filter(ledger: Ledger) -> None:
    ledger.record(scan(1), [outcome("fail", zone="phi", project="p")], at=day(1))
    for name, value in {
        "severity": "high", "verdict": "fail", "rule": "BKT-001", "control": "soc2/A1.2", "zone": "phi",
        "owner": "owner@example.com", "account": "111111111111", "project": "p", "subject_table": "bucket",
        "subject_key": "arn:aws:s3:::b", "since": day(1), "waived": False,
    }.items():  # fmt: skip
        assert len(ledger.findings(Filters(**{name: value}))) == 1, name  # type: ignore[arg-type]
    assert ledger.findings(Filters(severity="low")) == []
    finding = ledger.findings()[0].finding_id
    found = ledger.finding(finding[:8])
    assert found is not None
    assert found.finding_id == finding
    assert ledger.finding("%") is None


def test_a_due_time_is_fixed_at_first_sight_and_a_later_one_is_only_told(ledger: Ledger) -> None:
    def export(hours: int, final: bool = False) -> Memories:
        due = day(1) + timedelta(hours=hours)
        return Memories(exports=[ExportMemory("b/p/#j", "phi", due, "pending", None, final)])

    ledger.record(scan(1), [], memories=export(12), at=day(1))
    ledger.record(scan(2), [], memories=export(26), at=day(2))
    ledger.record(scan(3), [], memories=export(26, final=True), at=day(3))
    (row,) = ledger.state(day(4)).tables["history_export"]
    assert row["capture_due_at"] == day(1) + timedelta(hours=12)
    assert row["final"] is True
    told = [entry.body["due_times_not_applied"] for entry in ledger.entries(kind="scan")]
    assert [len(one) for one in told] == [0, 1, 0]


def test_state_has_exactly_the_columns_of_the_schema(ledger: Ledger) -> None:
    memories = Memories(
        exports=[ExportMemory("b/p/#j", "phi", day(2), "proven", "p", links={"job": ["proven", "exact"]})],
        buckets=[BucketMemory("b", "Enabled", None)],
        points=[PointMemory("p", "1", "r", "v", "b", "COMPLETED", day(40), False)],
        watch=[Watched("s3_bucket", "b", "versioning", "Enabled")],
        memberships=[("ann", "exporters")],
    )
    ledger.record(scan(1), [outcome("fail")], memories=memories, at=day(1))
    ledger.waive(
        reason="r", requester="a", approver="b", expires_at=day(9), now=day(1), rule="*", subject="*"
    )
    ledger.sign("report", "2026-W07", by="ann", now=day(1))
    window = {"from": "2026-02-01T00:00:00Z", "to": "2026-02-08T00:00:00Z"}
    ledger.note("report", {"sha256": "0" * 64, "file": "r.html", **window}, now=day(1))
    ledger.note("bundle", {"bundle": "b", "file": "b.zip", **window}, now=day(1))
    ledger.add_receipt(kind="mail", place="mail of Monday", by="ann", now=day(1))
    ledger.baselines.accept(ledger.baselines.state("b"), approver="ann", reason="r", now=day(1))
    found = ledger.state(day(2)).tables
    history = {name: table for name, table in tables().items() if name.startswith("history_")}
    assert found.keys() == history.keys()
    for name, table in history.items():
        assert found[name], name
        for row in found[name]:
            assert list(row) == [column.name for column in table.columns], name


def test_a_point_not_seen_keeps_the_time_it_was_last_seen(ledger: Ledger) -> None:
    point = PointMemory("p", "1", "r", "v", "b", "COMPLETED", None, None)
    ledger.record(scan(1), [], memories=Memories(points=[point]), at=day(1))
    ledger.record(scan(2), [], memories=Memories(points=[point]), at=day(2))
    ledger.record(scan(3), [], at=day(3))
    ledger.record(scan(4), [], at=day(4))
    (row,) = ledger.state(day(5)).tables["history_point"]
    assert (row["first_seen_at"], row["last_seen_at"]) == (day(1), day(2))
    ledger.record(scan(5), [], memories=Memories(points=[point]), at=day(5))
    assert ledger.state(day(6)).tables["history_point"][0]["last_seen_at"] == day(5)


def test_a_bucket_has_a_sight_at_both_ends_of_each_stretch(ledger: Ledger) -> None:
    for n, word in enumerate(["Enabled", "Enabled", "Suspended", None, "Suspended"]):
        buckets = [BucketMemory("b", word, None)]
        ledger.record(scan(n), [], memories=Memories(buckets=buckets), at=day(n))
    rows = ledger.state(day(9)).tables["history_bucket"]
    assert [(row["at"], row["versioning"]) for row in rows] == [
        (day(0), "Enabled"), (day(1), "Enabled"), (day(2), "Suspended"), (day(4), "Suspended"),
    ]  # fmt: skip


def test_a_setting_that_was_out_of_sight_is_compared_with_its_last_known_value(ledger: Ledger) -> None:
    listed = (Seen("s3_bucket", "1"),)
    for n, word in enumerate(["Enabled", None]):
        watch = [Watched("s3_bucket", "b", "versioning", word, "1", "r")]
        ledger.record(scan(n, coverage=listed), [], memories=Memories(watch=watch), at=day(n))
    gone = (Gap("s3_bucket", "1", reason="denied"),)
    ledger.record(scan(2, coverage=gone), [], at=day(2))
    past = ledger.state(day(3)).past
    present = Present(watch=[Watched("s3_bucket", "b", "versioning", "Off", "1", "r")])
    (drift,) = compare(past, present, now=day(3))
    assert (drift.before, drift.after) == ("Enabled", "Off")
    assert "between 2026-02-02T03:00:00Z" in drift.actor_reason


def test_a_membership_not_seen_in_one_scan_is_two_runs(ledger: Ledger) -> None:
    ann = ("ann", "exporters")
    for n, members in enumerate([[ann], [ann], [], [ann]]):
        ledger.record(scan(n), [], memories=Memories(memberships=members), at=day(n))
    rows = ledger.state(day(9)).tables["history_membership"]
    assert [(row["from_seen_at"], row["until_seen_at"]) for row in rows] == [
        (day(0), day(1)), (day(3), day(3)),
    ]  # fmt: skip


def test_drift_is_kept_as_it_was_told(ledger: Ledger) -> None:
    drift = compare(Past(), Present([outcome("fail")]), now=day(1))
    row = ledger.record(scan(1), [outcome("fail")], drift, at=day(1))
    assert ledger.drift(scan=row.scan) == drift
    assert ledger.drift(day(2), day(3)) == []


def test_text_no_database_can_hold_is_kept_in_escaped_form(ledger: Ledger) -> None:
    nasty = "a\0b\ud800<script>\u202e" + "x" * 100_000
    hostile = outcome("fail", nasty, because=nasty, owner=nasty, params={"n": 2**70, "f": 1.5})
    ledger.record(scan(1), [hostile], at=day(1))
    ledger.record(scan(2), [hostile], at=day(2))
    (row,) = ledger.findings()
    assert row.subject_key.startswith("a\\u0000b\\ud800<script>")
    assert ledger.verify().intact


def test_scans_are_recorded_once_and_in_order_of_time(ledger: Ledger) -> None:
    ledger.record(scan(1), [], at=day(1))
    for again, at in ((scan(1), day(2)), (scan(2), day(1)), (scan(2), day(0))):
        with pytest.raises(UsageError):
            ledger.record(again, [], at=at)
    assert len(ledger.scans()) == 1


def test_opening_an_up_to_date_ledger_imports_no_data_frame(tmp_path: Path) -> None:
    import subprocess

    Ledger.open(tmp_path / "l").close()
    code = (
        "import sys; from auditor.ledger import Ledger; Ledger.open(sys.argv[1]).findings(); "
        "print([m for m in ('sqlite_utils', 'pandas', 'duckdb', 'boto3') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "l")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
