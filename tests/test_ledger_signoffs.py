"""Sign-offs: one table for every decision that somebody stands for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ledger_case import day, outcome, scan

from auditor.errors import UsageError
from auditor.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    opened = Ledger.open(tmp_path / "ledger")
    opened.record(scan(1), [outcome("fail")], at=day(1))
    return opened


@pytest.mark.parametrize(
    ("kind", "subject", "by"), [("", "s", "ann"), ("report", " ", "ann"), ("report", "s", "\t")]
)
def test_a_sign_off_that_lacks_its_topic_subject_or_signer_is_refused(
    ledger: Ledger, kind: str, subject: str, by: str
) -> None:
    with pytest.raises(UsageError, match="a topic, a subject and a signer"):
        ledger.sign(kind, subject, by=by, now=day(2))
    assert ledger.signoffs() == []


def test_a_sign_off_cannot_stand_before_what_is_recorded_already(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="would stand before the ledger's last entry"):
        ledger.sign("report", "2026-W07", by="ann", now=day(0))
    assert ledger.verify().intact


def test_a_sign_off_comes_back_as_it_was_signed_and_joins_the_next_snapshot(ledger: Ledger) -> None:
    details = {"sha256": "a" * 64, "rows": 3, "people": ["ann", "bob"]}
    first = ledger.sign(
        "access-review",
        "ann/admins",
        by="carol",
        now=day(2),
        decision="revoke",
        reason="left",
        details=details,
    )
    ledger.sign("report", "2026-W07", by="carol", now=day(2))
    assert ledger.signoffs("access-review") == [first]
    assert first.details == details
    rows = ledger.state(day(3)).tables["history_signoff"]
    assert [row["kind"] for row in rows] == ["access-review", "report"]
    (row,) = (row for row in rows if row["kind"] == "access-review")
    assert (row["decision"], row["signer"], json.loads(row["details"])) == ("revoke", "carol", details)
    assert ledger.state(day(1)).tables["history_signoff"] == []
    assert ledger.verify().because == ""


def test_the_same_decision_twice_in_a_moment_is_refused_and_a_later_one_supersedes(ledger: Ledger) -> None:
    ledger.sign("access-review", "ann/admins", by="carol", now=day(2), decision="keep")
    with pytest.raises(UsageError, match="a moment ago"):
        ledger.sign("access-review", "ann/admins", by="carol", now=day(2), decision="keep")
    ledger.sign("access-review", "ann/admins", by="carol", now=day(2), decision="revoke")
    assert [one.decision for one in ledger.signoffs("access-review")] == ["keep", "revoke"]


def test_hostile_text_in_a_sign_off_is_kept_and_the_chain_holds(ledger: Ledger) -> None:
    ledger.sign(
        "report",
        "<b>\x00\ud800",
        by="ann\x00",
        now=day(2),
        reason="'; DROP TABLE entry; --",
        details={"\ud800": 1},
    )
    assert ledger.verify().because == ""
    assert len(ledger.signoffs()) == 1
