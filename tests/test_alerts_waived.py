"""Waivers: what they cover is not told, their end is announced, and what is open when they end is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alert_life import ARN, FINDING, ROUTE, Life, hour
from ledger_case import outcome

from auditor.alerts.routes import Route

DAY = 24


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    made = Life(tmp_path)
    with made.ledger:
        yield made
        assert made.ledger.verify().because == ""


def waive(life: Life, at: float, until: float, **more: str) -> str:
    of = more or {"rule": "versioning-*", "subject": "*"}
    people = {"reason": "move to b2", "requester": "ann@example.com", "approver": "bob@example.com"}
    return life.ledger.waive(**people, expires_at=hour(until), now=hour(at), **of).waiver_id  # type: ignore[arg-type]


def test_a_waived_finding_is_not_told_and_opens_the_second_its_waiver_ends(life: Life) -> None:
    waiver = waive(life, 0, 12)
    life.look(1, "fail")
    assert life.send(11.99) == []
    assert life.send(12) == ["opened"]
    (item,) = life.last["items"]
    assert (item["resource"], item["change"]) == (ARN, "fails")
    assert item["evidence"]["finding_id"] == FINDING
    assert item["because"].startswith(f"its waiver {waiver} ended at 2026-02-02 15:00Z")
    assert life.last["waiver"]["approver"] == "bob@example.com"
    assert life.send(13) == []
    life.look(14, "pass")
    assert life.events == ["opened", "recovered"]


def test_what_was_told_before_it_was_waived_is_not_reminded_of_and_is_told_when_the_waiver_ends(
    life: Life,
) -> None:
    critical = outcome("fail", severity="critical")
    life.look(0, critical)
    waive(life, 1, 20)
    assert life.send(19) == []
    assert life.send(20) == ["opened"]
    assert life.got[-1].incidents == (life.got[0].alert.alert_id,)
    assert life.send(24) == ["reminder"]


def test_a_revoked_waiver_opens_what_it_covered_at_once(life: Life) -> None:
    waiver = waive(life, 0, 20)
    life.look(1, "fail")
    life.ledger.revoke_waiver(waiver, by="bob", reason="no longer", now=hour(2))
    assert life.send(2) == ["opened"]
    assert "was revoked by bob" in life.last["title"]
    assert life.send(21) == []


def test_a_waiver_that_ends_while_its_finding_cannot_be_judged_still_opens_it(life: Life) -> None:
    waive(life, 0, 10)
    life.look(1, "fail")
    life.look(2, "unknown")
    assert life.send(10) == ["opened"]
    assert life.last["items"][0]["change"] == "cannot be judged now"
    life.look(11, "fail")
    assert life.events == ["opened"]


def test_what_only_ever_was_unknown_is_not_opened_by_the_end_of_a_waiver(life: Life) -> None:
    waive(life, 0, 10)
    life.look(1, "unknown")
    assert life.send(10) == []
    life.look(11, "fail")
    assert life.events == ["opened"]


def test_what_began_after_a_waiver_ended_is_not_told_as_its_end(life: Life) -> None:
    waive(life, 0, 10)
    life.look(11, "fail")
    assert life.send(12) == []
    assert life.events == ["opened"]
    assert "waiver" not in life.last


def test_a_finding_that_another_waiver_covers_stays_waived(life: Life) -> None:
    waive(life, 0, 10)
    life.look(1, "fail")
    waive(life, 2, 15, finding_id=FINDING)
    assert life.send(10) == []
    assert life.send(15) == ["opened"]


def test_what_gets_worse_than_it_was_waived_is_told(life: Life) -> None:
    waive(life, 0, 20)
    life.look(1, outcome("fail", severity="medium"))
    life.look(2, outcome("fail", severity="critical"))
    assert life.events == ["worsened"]


def test_the_end_of_a_waiver_is_silenced_like_anything_else_and_told_when_the_silence_ends(
    life: Life,
) -> None:
    waive(life, 0, 10)
    life.look(1, "fail")
    life.silence(5, 15)
    assert life.send(10) == []
    assert life.ledger.silences()[0][1:] == (1, 1)
    assert life.send(15) == ["silence_over"]


def test_a_waiver_is_announced_a_week_and_a_day_before_it_ends(life: Life) -> None:
    waiver = waive(life, 0, 30 * DAY)
    life.look(1, "fail", outcome("fail", "arn:aws:s3:::c"))
    told = {day: life.send(day * DAY) for day in (22.9, 23, 25, 28.9, 29, 29.5)}
    assert [day for day, events in told.items() if events == ["waiver_expiring"]] == [23, 29]
    assert f"waiver {waiver} ends at 2026-03-04 03:00Z, and then it counts" in life.last["title"]
    assert life.last["count"] == 2
    assert life.last["waiver"]["renew"].startswith("auditor waivers add")
    assert life.got[-1].incidents == ()
    assert life.send(30 * DAY) == ["opened"]
    assert life.last["count"] == 2


def test_a_waiver_over_nothing_that_is_open_is_not_announced(life: Life) -> None:
    waive(life, 0, 10 * DAY)
    life.look(1, "fail")
    life.look(2, "pass")
    assert life.send(9 * DAY + 12) == []
    assert life.send(11 * DAY) == []


def test_a_short_waiver_is_not_announced_the_moment_it_is_entered(life: Life) -> None:
    waive(life, 0, 5 * DAY)
    life.look(1, "fail")
    assert life.send(2) == []
    assert life.send(4 * DAY) == ["waiver_expiring"]


def test_whoever_was_away_for_the_first_announcement_gets_the_second_alone(life: Life) -> None:
    waive(life, 0, 30 * DAY)
    life.look(1, "fail")
    assert life.send(29.9 * DAY) == ["waiver_expiring"]
    assert life.send(29.95 * DAY) == []


def test_waivers_are_told_to_routes_that_concern_their_findings_alone(tmp_path: Path) -> None:
    owner, stranger = Route("owner", "low", owners=("owner@*",)), Route("stranger", "low", owners=("x@*",))
    life = Life(
        tmp_path, owner, stranger, Route("pager", "critical"), Route("plain", "low", ("opened",)), ROUTE
    )
    with life.ledger:
        waive(life, 0, 5 * DAY)
        life.look(1, "fail")
        life.send(4.5 * DAY)
        assert sorted(each.alert.channel for each in life.got) == ["owner", "r"]
        life.got.clear()
        life.send(5 * DAY)
        assert sorted(each.alert.channel for each in life.got) == ["owner", "plain", "r"]


def test_what_a_scan_finds_while_the_waiver_over_it_ends_is_told_once(life: Life) -> None:
    waive(life, 0, 1.2)
    life.look(1, "fail", meanwhile=lambda: life.send(1.3))
    assert life.events == []  # its time was before the end
    assert life.send(1.4) == ["opened"]
    assert life.send(1.5) == []
    life.look(2, "fail")
    life.look(3, "pass")
    life.look(4, "fail")
    assert life.events == ["opened", "recovered", "regressed"]
