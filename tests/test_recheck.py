"""A re-check of one subject in the ledger: what it may write, and what does not count it as a scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auditor.alerts import Route, compose
from auditor.drift import Past, Present, compare
from auditor.errors import BusyError, UsageError
from auditor.ledger import Filters, Ledger
from auditor.ledger.slots import RECHECK
from auditor.model import Drift, Outcome
from auditor.recheck import subject
from tests.ledger_case import RULES, day, outcome, scan

B, C = "arn:aws:s3:::b", "arn:aws:s3:::c"
ROUTE = Route("hook", severity="low")


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    with Ledger.open(tmp_path / "ledger") as opened:
        outcomes = [outcome("fail", B), outcome("fail", C)]
        drift = list(compare(opened.state(day(1)).past, Present(outcomes), now=day(1)))
        alerts = compose(drift, outcomes, routes=[ROUTE], now=day(1), rules=RULES)
        opened.record(scan(1, open_index="i" * 64), outcomes, drift, alerts=alerts, at=day(1))
        yield opened


def again(ledger: Ledger, n: int, *outcomes: Outcome, key: str = B, **more: Any) -> list[Drift]:
    """Record a re-check that was said these outcomes; return its drift."""
    only = sorted({*ledger.keys_of(key), *((o.rule, o.subject_table, o.subject_key) for o in outcomes)})
    before = ledger.state(day(n), findings=False)
    stood = ledger.past(day(n), [each for each in only if each[2] == key])
    past = Past(findings=stood.findings, resolved=stood.resolved, previous_at=stood.previous_at)
    drift = [
        one for one in compare(past, Present(outcomes, judged=RULES), now=day(n)) if one.subject_key == key
    ]
    mine = [one for one in outcomes if one.subject_key == key]
    alerts = compose(drift, mine, routes=[ROUTE], now=day(n), rules=RULES, alerting=before.alerting)
    made = scan(n, slot=f"{RECHECK}{n}", **more)
    ledger.recheck(
        made, key, outcomes, drift, alerts, only=[each for each in only if each[2] == key], at=day(n)
    )
    return drift


def verdicts(ledger: Ledger) -> dict[str, str]:
    return {one.subject_key: one.verdict for one in ledger.findings()}


def test_the_end_of_a_finding_is_told_and_nothing_is_said_of_others(ledger: Ledger) -> None:
    (drift,) = again(ledger, 2, outcome("pass", B))
    assert drift.kind == "resolved" and verdicts(ledger) == {C: "fail"}
    (sent,) = [one for one in ledger.outbox() if one.created_at == day(2)]
    assert "recovered" in str(sent.alert) and B in str(sent.alert) and C not in str(sent.alert)
    assert len(ledger.state(day(2)).alerting) == 1
    assert ledger.verify().intact


def test_no_scan_is_counted(ledger: Ledger) -> None:
    before, first = ledger.state(day(3)), ledger.latest_scan()
    again(ledger, 2, outcome("unknown", B))
    after = ledger.state(day(3))
    assert after.previous_at == before.previous_at == day(1)
    assert after.tables["history_scan"] == before.tables["history_scan"]
    assert after.tables["history_watch"] == before.tables["history_watch"]
    assert ledger.latest_scan() == first and ledger.agenda.signs().last_scan == (first.scan, first.at)  # type: ignore[union-attr]
    assert [row["scan"] for row in ledger.tallies()] == [first.scan]  # type: ignore[union-attr]
    look = ledger.latest_look()
    assert look is not None and (look.state, look.at) == ("rechecked", day(2))


def test_what_could_not_be_seen_stays_open_and_what_hides_it_opens_nothing(ledger: Ledger) -> None:
    hidden = outcome("unknown", "*111111111111", because="buckets of 111111111111 could not be listed")
    (drift,) = again(ledger, 2, hidden)
    assert (drift.kind, drift.after) == ("changed", "unknown")
    assert verdicts(ledger) == {B: "unknown", C: "fail"}
    assert again(ledger, 3, hidden) == []
    (back,) = again(ledger, 4, outcome("pass", B))
    assert back.kind == "resolved" and verdicts(ledger) == {C: "fail"}


def test_a_finding_that_a_re_check_ended_and_the_next_scan_sees_again_comes_back(ledger: Ledger) -> None:
    judged = ledger.judged()
    assert judged is not None and judged.index == "i" * 64
    again(ledger, 2, outcome("pass", B))
    again(ledger, 3, outcome("fail", "arn:aws:s3:::new"), key="arn:aws:s3:::new")
    judged = ledger.judged()
    assert judged is not None and judged.open == 2  # as many as were judged open, and not the same ones
    assert judged.index == ""  # so the judgement before does not tell what may move
    outcomes = [outcome("fail", B), outcome("fail", C)]
    drift = compare(ledger.state(day(4)).past, Present(outcomes), now=day(4))
    assert {(one.kind, one.subject_key) for one in drift} == {
        ("regressed", B),
        ("vanished", "arn:aws:s3:::new"),
    }
    ledger.record(scan(4, open_index="i" * 64), outcomes, drift, at=day(4))
    assert verdicts(ledger) == {B: "fail", C: "fail"}
    judged = ledger.judged()
    assert judged is not None and judged.index


def test_findings_stand_at_each_time_as_they_did_then(ledger: Ledger) -> None:
    again(ledger, 3, outcome("pass", B))
    assert len(ledger.findings(as_of=day(2))) == 2 and len(ledger.findings(as_of=day(3))) == 1
    (ended,) = ledger.findings(Filters(state="closed"))
    assert ended.until_at == day(3) and ledger.scan(ended.until_scan or "") is not None
    assert [one.kind for one in ledger.drift(day(3))] == ["resolved"]


def test_a_re_check_that_is_killed_leaves_nothing_and_is_no_interrupted_scan(
    tmp_path: Path, ledger: Ledger
) -> None:
    def stop(where: str) -> None:
        if where == "outbox":
            raise RuntimeError(where)

    ledger._checkpoint = stop
    with pytest.raises(RuntimeError):
        again(ledger, 2, outcome("pass", B))
    ledger._checkpoint = lambda _: None
    assert verdicts(ledger) == {B: "fail", C: "fail"} and ledger.latest_look() == ledger.latest_scan()

    lease = ledger.begin(f"{RECHECK}2", "elsewhere/1/1", 600, day(2))
    with pytest.raises(BusyError, match="is running"):
        ledger.begin("W02", "elsewhere/2/2", 600, day(2))
    ledger.release(lease, day(2))
    ledger.begin(f"{RECHECK}3", "elsewhere/1/1", 600, day(2))  # and dies
    ledger.begin("W02", "elsewhere/2/2", 600, day(3))
    assert [one.state for one in ledger.scans()] == ["finished"]


def test_a_scan_cannot_stand_before_a_re_check(ledger: Ledger) -> None:
    again(ledger, 5, outcome("pass", B))
    with pytest.raises(UsageError, match="cannot follow"):
        ledger.record(scan(4), [outcome("fail", B)], at=day(4))
    assert ledger.verify().intact


def test_a_subject_is_found_by_what_people_paste(ledger: Ledger, tmp_path: Path) -> None:
    finding = ledger.findings()[0]
    for word in (finding.finding_id[:10], B, f"bucket {B}", f"  bucket   {B} "):
        assert subject(ledger, tmp_path, word) == B, word
    for word in ("arn:aws:s3:::nothing", "'; DROP TABLE outcome; --", "*", "%"):
        with pytest.raises(UsageError, match="is known; nothing was asked or recorded"):
            subject(ledger, tmp_path, word)
    with pytest.raises(UsageError, match="needs a subject"):
        subject(ledger, tmp_path, " ")
