"""Waivers, sign-offs and slots: what people and schedules decide."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from ledger_case import day, outcome, scan

from auditor.errors import BusyError, UsageError
from auditor.ledger import Filters, Ledger, local_owner
from auditor.ledger.owner import is_gone

SECOND = timedelta(seconds=1)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite3") as opened:
        opened.record(scan(1), [outcome("fail"), outcome("fail", "arn:aws:s3:::x[1]*")], at=day(1))
        yield opened


def waive(ledger: Ledger, **more: object) -> str:
    base = {
        "reason": "agreed", "requester": "ann@example.com", "approver": "bob@example.com",
        "expires_at": day(9), "now": day(2), "rule": "versioning-*", "subject": "arn:aws:s3:::b",
    }  # fmt: skip
    return ledger.waive(**{**base, **more}).waiver_id  # type: ignore[arg-type]


def waived(ledger: Ledger, at: datetime) -> list[str]:
    return [row.subject_key for row in ledger.findings(Filters(waived=True), as_of=at)]


def test_waiver_stops_counting_the_second_it_expires(ledger: Ledger) -> None:
    waive(ledger)
    assert waived(ledger, day(2) - SECOND) == []  # never back-dated
    assert waived(ledger, day(2)) == ["arn:aws:s3:::b"]
    assert waived(ledger, day(9) - SECOND) == ["arn:aws:s3:::b"]
    assert waived(ledger, day(9)) == []


def test_a_revoked_waiver_still_counts_for_the_time_before(ledger: Ledger) -> None:
    ledger.revoke_waiver(waive(ledger), by="bob", reason="fixed", now=day(4))
    assert waived(ledger, day(3)) == ["arn:aws:s3:::b"]
    assert waived(ledger, day(4)) == []
    (row,) = ledger.state(day(5)).tables["history_waiver"]
    assert row["expires_at"] == day(4)
    assert [entry.kind for entry in ledger.entries()] == ["scan", "waiver", "waiver_revoked"]


def test_a_waiver_of_one_finding_covers_no_other_even_by_glob(ledger: Ledger) -> None:
    strange = next(row for row in ledger.findings() if "[" in row.subject_key)
    waive(ledger, finding_id=strange.finding_id, rule="", subject="")
    assert waived(ledger, day(3)) == ["arn:aws:s3:::x[1]*"]
    (row,) = ledger.waivers()
    assert row.subject == "arn:aws:s3:::x[[]1][*]"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"reason": "  "}, "needs a reason"),
        ({"approver": ""}, "who approved"),
        ({"approver": "ANN@example.com "}, "cannot approve"),
        ({"requester": "Ann  Lee", "approver": "ann\u00a0lee"}, "cannot approve"),
        ({"expires_at": day(2)}, "that is past"),
        ({"expires_at": day(2) + timedelta(days=90, seconds=1)}, "90 days at most"),
        ({"expires_at": day(50), "longest_d": 30}, "30 days at most"),
        ({"expires_at": day(200), "longest_d": 365}, "90 days at most"),
        ({"rule": ""}, "a rule and a subject"),
        ({"finding_id": "none"}, "no finding none"),
        ({"expires_at": datetime(2026, 2, 9)}, "no time zone"),  # noqa: DTZ001
    ],
)
def test_a_waiver_that_may_not_be_is_refused_and_leaves_no_trace(
    ledger: Ledger, wrong: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        waive(ledger, **wrong)
    assert ledger.waivers() == []
    assert ledger.head()[0] == 1


def test_a_waiver_is_revoked_once(ledger: Ledger) -> None:
    waiver = waive(ledger)
    ledger.revoke_waiver(waiver, by="bob", reason="fixed", now=day(4))
    with pytest.raises(UsageError, match="revoked already"):
        ledger.revoke_waiver(waiver, by="bob", reason="fixed", now=day(5))
    with pytest.raises(UsageError, match="no waiver"):
        ledger.revoke_waiver("W-0", by="bob", reason="fixed", now=day(5))


def test_a_second_scan_waits_for_the_first(ledger: Ledger) -> None:
    first = ledger.begin("day-2", "there/1/1", 600, day(2))
    with pytest.raises(BusyError, match="running since"):
        ledger.begin("day-3", "there/2/1", 600, day(2))
    ledger.record(scan(2, lease=first), [], at=day(2))
    with pytest.raises(UsageError, match="already scanned"):
        ledger.begin("day-2", "there/2/1", 600, day(3))
    ledger.begin("day-3", "there/2/1", 600, day(3))


def test_a_scan_that_overslept_its_lease_is_fenced_off(ledger: Ledger) -> None:
    slow = ledger.begin("day-2", "there/1/1", 60, day(2))
    quick = ledger.begin("day-2", "there/2/1", 60, day(3))
    assert quick.token > slow.token
    with pytest.raises(BusyError, match="taken over"):
        ledger.record(scan(2, lease=slow), [outcome("pass")], at=day(3))
    with pytest.raises(BusyError, match="taken over"):
        ledger.renew(slow, 60, day(3))
    ledger.record(scan(2, lease=ledger.renew(quick, 60, day(3))), [], at=day(3))
    assert [row.state for row in ledger.scans()] == ["finished", "interrupted", "finished"]


def test_interrupted_and_missed_scans_are_entries_of_the_chain(ledger: Ledger) -> None:
    ledger.begin("day-2", "there/1/1", 60, day(2))
    expected = [("day-1", day(1)), ("day-2", day(2)), ("day-3", day(3)), ("day-4", day(4))]
    lease = ledger.begin("day-4", "there/2/1", 60, day(4), expected=expected)
    ledger.record(scan(4, lease=lease), [], at=day(4))
    kinds = [(entry.kind, entry.body["slot"]) for entry in ledger.entries()]
    assert kinds == [
        ("scan", "day-1"), ("interrupted_scan", "day-2"), ("missed_scan", "day-3"), ("scan", "day-4"),
    ]  # fmt: skip
    history = ledger.state(day(5)).tables["history_scan"]
    assert [row["state"] for row in history] == ["finished", "interrupted", "missed", "finished"]
    assert ledger.verify().because == ""
    again = ledger.begin("day-5", "there/2/1", 60, day(5), expected=expected)
    ledger.release(again, day(5))
    assert [entry.kind for entry in ledger.entries(5)] == ["interrupted_scan"]


def test_a_slot_of_a_process_that_has_ended_is_free_at_once(ledger: Ledger) -> None:
    import subprocess
    import sys

    code = "from auditor.ledger import local_owner; print(local_owner())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert is_gone(done.stdout.strip())
    assert not is_gone(local_owner())
    assert not is_gone("another-machine/1/1")
    ledger.begin("day-2", done.stdout.strip(), 600, day(2))
    ledger.begin("day-2", local_owner(), 600, day(2))
    with pytest.raises(BusyError):
        ledger.begin("day-2", local_owner(), 600, day(2))


@pytest.mark.parametrize(
    ("requester", "approver"),
    [
        ("ana@example.com", "ANA@Example.COM"),
        ("ana@example.com", " ana@example.com\u200b"),
        ("ana@example.com", "\u0430na@example.com"),  # a Cyrillic a
        ("ana@example.com", "\uff41\uff4e\uff41@example.com"),  # wide letters
        ("ana@example.com", "ana+approvals@example.com"),
        ("ana@example.com", "Ana Lee <ana@example.com>"),
        ("ana@b\u00fccher.example", "ana@xn--bcher-kva.example"),
        ("Ann  Lee", "ann\u00a0lee"),
        ("jos\u00e9@example.com", "jose\u0301@example.com"),
    ],
)
def test_nobody_approves_their_own_waiver_by_spelling_themselves_otherwise(
    ledger: Ledger, requester: str, approver: str
) -> None:
    with pytest.raises(UsageError, match="cannot approve what they asked for"):
        ledger.waive(
            reason="r",
            requester=requester,
            approver=approver,
            expires_at=day(20),
            now=day(9),
            rule="*",
            subject="x",
        )
    assert ledger.waivers() == []


@pytest.mark.parametrize(
    "other", ["anna@example.com", "ana@example.org", "an@example.com", "ana.lee@example.com"]
)
def test_two_people_are_two_people(ledger: Ledger, other: str) -> None:
    assert ledger.waive(
        reason="r",
        requester="ana@example.com",
        approver=other,
        expires_at=day(20),
        now=day(9),
        rule="*",
        subject="x",
    )


def test_a_waiver_cannot_be_entered_before_what_stands_in_the_ledger(ledger: Ledger) -> None:
    ledger.record(scan(2), [outcome("fail")], at=day(5))
    with pytest.raises(UsageError, match="would stand before the ledger's last entry"):
        ledger.waive(
            reason="r", requester="ana", approver="bo", expires_at=day(9), now=day(4), rule="*", subject="x"
        )
