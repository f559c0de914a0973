"""An event that comes after the scan which saw the change still names its author: once, and wakes nobody a second time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alert_life import ARN, Life, hour
from ledger_case import outcome

from auditor.alerts.routes import EVENTS, Route
from auditor.drift import compare
from auditor.ledger import Ledger
from auditor.model import Drift, Seen, Verdict
from auditor.watch.authors import is_late, trace
from auditor.watch.late import folded
from auditor.watch.values import Watched

EVE = "arn:aws:sts::111111111111:assumed-role/deploy/eve"


def bucket(versioning: str) -> list[Watched]:
    return [Watched("s3_bucket", ARN, "versioning", versioning, "111111111111", "eu-west-1")]


def event(at: float, name: str = "PutBucketVersioning", **more: Any) -> dict[str, Any]:
    return {
        "event_id": f"e-{at}", "account": "111111111111", "region": "eu-west-1", "at": hour(at), "event_name": name,
        "resource": ARN, "actor": EVE, "source_ip": "192.0.2.1", "error_code": "", **more,
    }  # fmt: skip


def drift(ledger: Ledger, since: float = 0) -> list[Drift]:
    return ledger.drift(hour(since))


@pytest.fixture
def life(tmp_path: Path) -> Life:
    found = Life(tmp_path, Route("r", "low", EVENTS))
    found.look(0, watch=bucket("Enabled"))
    found.look(1, watch=bucket("Suspended"))
    return found


def test_late_event_names_the_author_once_in_one_message_under_the_same_key(life: Life) -> None:
    (told,) = drift(life.ledger)
    assert told.actor is None and told.direction == "worse"
    (opened,) = life.got
    for at in (2, 3, 4):
        life.look(at, watch=bucket("Suspended"), changes=[event(0.9)])
    first, late = drift(life.ledger)
    assert first == told
    assert (late.kind, late.field, late.before, late.after) == (
        "changed",
        "versioning",
        told.before,
        told.after,
    )
    assert (late.actor, late.changed_at, late.detected_at) == (EVE, hour(0.9), hour(2))
    assert late.direction == "neutral" and late.severity == told.severity
    assert (
        trace(late).event_id == "e-0.9"
        and trace(late).address == "192.0.2.1"
        and trace(late).session == "eve"
    )
    _, update = life.got
    assert update.alert.keys == opened.alert.keys and update.alert.event == "changed"
    assert not update.alert.opens and not update.alert.closes


def test_open_finding_that_came_with_the_change_gets_its_author_once_in_the_same_message(
    tmp_path: Path,
) -> None:
    life = Life(tmp_path, Route("r", "low", EVENTS))
    life.look(0, outcome("pass"), watch=bucket("Enabled"))
    life.look(1, outcome("fail"), watch=bucket("Suspended"))
    before = len(life.got)
    for at in (2, 3):
        life.look(at, outcome("fail"), watch=bucket("Suspended"), changes=[event(0.9)])
    late = [one for one in drift(life.ledger, 2) if one.rule]
    assert [(one.rule, one.kind, one.field, one.after, one.actor) for one in late] == [
        ("versioning-on", "changed", "actor", EVE, EVE)
    ]
    assert trace(late[0]).event_id == "e-0.9" and "with the change of versioning: " in late[0].actor_reason
    (update,) = life.got[before:]
    assert update.alert.event == "changed" and len(update.alert.keys) == 2 and not update.alert.opens
    (finding,) = life.ledger.findings()
    assert (finding.verdict, finding.opened_at) == (Verdict.FAIL, hour(1))


def test_finding_of_what_is_new_says_that_it_came_with_it(tmp_path: Path) -> None:
    sight = {"coverage": [Seen("s3_bucket", "111111111111")]}
    made = event(0.9, name="CreateBucket")
    for at, changes in ((1, [made]), (2, [])):  # known at once, or later
        (tmp_path / str(at)).mkdir()
        life = Life(tmp_path / str(at), Route("r", "low", EVENTS))
        life.look(0, outcome("pass"), watch=[], **sight)
        life.look(1, outcome("fail"), watch=bucket("Enabled"), changes=changes, **sight)
        life.look(2, outcome("fail"), watch=bucket("Enabled"), changes=[made], **sight)
        (told,) = [one for one in drift(life.ledger) if one.rule and one.actor == EVE]
        assert (
            "as it is new: CloudTrail event e-0.9" in told.actor_reason and trace(told).address == "192.0.2.1"
        )


def test_finding_that_is_over_by_then_is_told_as_over_alone(tmp_path: Path) -> None:
    life = Life(tmp_path, Route("r", "low", EVENTS))
    life.look(0, outcome("pass"), watch=bucket("Enabled"))
    life.look(1, outcome("fail"), watch=bucket("Suspended"))
    life.look(2, outcome("pass"), watch=bucket("Suspended"), changes=[event(0.9)])
    life.look(3, outcome("pass"), watch=bucket("Suspended"), changes=[event(0.9)])
    assert [one.kind for one in drift(life.ledger, 2) if one.rule] == ["resolved"]


def test_route_that_only_wants_what_got_worse_hears_of_it_once(tmp_path: Path) -> None:
    quiet = Life(tmp_path, Route("r", "low", ("worsened", "opened")))
    quiet.look(0, watch=bucket("Enabled"))
    quiet.look(1, watch=bucket("Suspended"))
    quiet.look(2, watch=bucket("Suspended"), changes=[event(0.9)])
    assert quiet.events == ["worsened"]


@pytest.mark.parametrize(
    "other",
    [
        event(-1),  # before the change can have been made
        event(1.5),  # after it was seen
        event(0.9, name="PutBucketLogging"),
        event(0.9, resource="arn:aws:s3:::other"),
        event(0.9, error_code="AccessDenied"),
    ],
)
def test_event_of_another_time_or_thing_names_nobody(life: Life, other: Any) -> None:
    life.look(2, watch=bucket("Suspended"), changes=[other])
    assert len(drift(life.ledger)) == 1


def test_event_may_come_two_scans_later_and_after_the_setting_was_put_back(life: Life) -> None:
    life.look(2, watch=bucket("Suspended"))
    life.look(3, watch=bucket("Enabled"), changes=[event(2.5, actor="ann"), event(0.5)])
    back, late = sorted(drift(life.ledger, 3), key=is_late)
    assert (back.actor, back.direction) == ("ann", "better")
    assert (late.actor, late.changed_at) == (EVE, hour(0.5))
    assert sorted(life.events) == ["changed", "recovered", "worsened"]


def test_what_is_gone_and_what_is_new_get_their_author_late_too(life: Life) -> None:
    sight = {"coverage": [Seen("s3_bucket", "111111111111")]}
    life.look(2, watch=[], **sight)
    life.look(3, watch=bucket("Enabled"), changes=[event(1.5, name="DeleteBucket")], **sight)
    life.look(4, watch=bucket("Enabled"), changes=[event(2.5, name="CreateBucket", actor="ann")], **sight)
    late = {one.actor: one.because for one in drift(life.ledger) if is_late(one)}
    assert set(late) == {EVE, "ann"} and "is gone" in late[EVE] and "is new" in late["ann"]


def test_after_the_horizon_nobody_is_looked_for(life: Life) -> None:
    life.look(2, watch=bucket("Suspended"))
    life.look(60, watch=bucket("Suspended"), changes=[event(0.9)])
    assert len(drift(life.ledger)) == 1


def test_a_weekly_scan_still_learns_of_the_week_before(life: Life) -> None:
    life.look(169, watch=bucket("Suspended"), changes=[event(0.9)])
    assert [one.actor for one in drift(life.ledger)] == [None, EVE]


def test_a_list_of_changes_shows_each_once_with_its_author(life: Life) -> None:
    life.look(2, watch=bucket("Suspended"), changes=[event(0.9)])
    (one,) = folded(drift(life.ledger))
    assert (one.actor, one.direction, one.changed_at) == (EVE, "worse", hour(0.9))
    assert trace(one).event_id == "e-0.9"
    (alone,) = folded(drift(life.ledger, 2))
    assert is_late(alone)


def test_same_evidence_tells_the_same(life: Life) -> None:
    from auditor.drift import Present

    past = life.ledger.state(hour(2)).past
    both = [
        list(compare(past, Present(watch=bucket("Suspended"), changes=[event(0.9)]), now=hour(2)))
        for _ in "ab"
    ]
    assert both[0] == both[1] and len(both[0]) == 1
