"""A matter's life: told, acknowledged, silenced, reminded of, flapping, over; never lost and never told twice."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from alert_life import ARN, FINDING, KEY, ROUTE, Life, hour
from ledger_case import outcome
from test_ledger_survival import FIXTURES

from auditor.alerts import remind
from auditor.alerts.due import due_now
from auditor.alerts.routes import Route
from auditor.errors import UsageError
from auditor.ledger import Filters, Ledger
from auditor.ledger.matters import Due, Told
from auditor.model import Gap, Outcome, Seen
from auditor.watch.values import Watched


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    made = Life(tmp_path)
    with made.ledger:
        yield made
        assert made.ledger.verify().because == ""


CRITICAL = outcome("fail", severity="critical")


def test_what_is_critical_is_told_again_every_four_hours_and_what_is_high_every_day(life: Life) -> None:
    other = outcome("fail", "arn:aws:s3:::c")
    life.look(0, CRITICAL, other, outcome("fail", "arn:aws:s3:::d", severity="medium"))
    told = {at: life.send(at) for at in (3.9, 4, 4.5, 7.9, 8, 12, 16, 20, 23)}
    assert [at for at, events in told.items() if events == ["reminder"]] == [4, 8, 12, 16, 20]
    assert life.last["count"] == 1
    assert life.send(24) == ["reminder"]
    assert life.last["count"] == 2  # the high one too, and never the medium one
    assert "1 critical, 1 high" in life.last["title"]
    assert [item["told"] for item in life.last["items"]] == [6, 1]
    assert {item["since"] for item in life.last["items"]} == {"2026-02-02T03:00:00.000000Z"}


def test_what_is_due_soon_goes_into_the_reminder_that_is_written_anyway(life: Life) -> None:
    life.look(0, CRITICAL)
    life.look(0.5, CRITICAL, outcome("fail", "arn:aws:s3:::c", severity="critical"))
    assert life.send(4) == ["reminder"]
    assert life.last["count"] == 2
    assert life.send(5) == []


def test_a_route_may_want_no_reminders_and_times_of_its_own(tmp_path: Path) -> None:
    quiet = Route("quiet", "low", remind={"critical": 0})
    fast = Route("fast", "low", remind={"critical": 3600})
    never = Route("never", "low", ("opened", "recovered"))
    life = Life(tmp_path, quiet, fast, never)
    with life.ledger:
        life.look(0, CRITICAL)
        life.send(5)
        assert [(each.alert.channel, each.alert.event) for each in life.got[3:]] == [("fast", "reminder")]


def test_two_senders_at_once_write_one_reminder(life: Life) -> None:
    life.look(0, CRITICAL)
    states: list[Due] = []

    def seen(due: Due) -> Told:
        states.append(due)
        return due_now(due, life.routes, hour(4))

    with Ledger.open(life.ledger.path) as second:
        assert life.ledger.tell_due(seen, hour(4)) == 1
        assert second.tell_due(seen, hour(4)) == 0
    one, other = (due_now(state, life.routes, hour(4)) for state in states[:2])
    assert [alert.alert_id for alert in one.alerts] == [alert.alert_id for alert in other.alerts]
    later = due_now(
        states[0], life.routes, hour(4.5)
    )  # a clock that is elsewhere: the same slot, the same id
    assert later.alerts[0].alert_id == one.alerts[0].alert_id
    assert life.send(4) == ["reminder"]


def test_no_reminder_is_written_while_one_is_on_its_way(life: Life) -> None:
    life.look(0, CRITICAL)
    for at in (4, 8, 12, 80):
        remind(life.ledger, life.routes, hour(at))
    assert life.send(81) == ["reminder"]


def test_unknown_neither_ends_nor_restarts_reminders_and_the_reminder_says_so(life: Life) -> None:
    life.look(0, CRITICAL)
    life.look(2, outcome("unknown", severity="critical"))
    assert life.send(4) == ["reminder"]
    assert "1 cannot be judged now" in life.last["title"]
    assert life.last["items"][0]["change"] == "cannot be judged now"
    life.look(5, CRITICAL)
    assert life.events == ["opened", "reminder"]
    assert life.send(8) == ["reminder"]
    assert "cannot" not in life.last["title"]


def test_a_matter_that_is_over_is_reminded_of_no_more(life: Life) -> None:
    life.look(0, CRITICAL)
    life.look(3, "pass")
    assert life.send(30) == []
    assert life.events == ["opened", "recovered"]


def test_the_end_of_what_a_route_heard_of_is_told_though_the_route_was_away_when_it_ended(life: Life) -> None:
    life.look(0, CRITICAL)
    life.routes = (Route("another"),)
    life.look(1, "pass")
    life.routes = (ROUTE,)
    assert life.send(2) == ["recovered"]
    assert life.send(3) == []


def test_what_somebody_works_on_is_not_reminded_of_and_all_who_heard_hear_who_it_is(life: Life) -> None:
    life.look(0, CRITICAL)
    (done,) = life.ack(1)
    assert (done.dedup_key, done.author) == (KEY, "ann")
    assert life.send(1) == ["acknowledged"]
    assert life.last["title"] == f"[LOW] ann works on {ARN}: on it"
    assert life.send(40) == []
    life.look(41, "pass")
    assert life.events == ["opened", "acknowledged", "recovered"]


def test_what_is_acknowledged_and_gets_worse_is_told_and_reminded_of_again(life: Life) -> None:
    life.look(0, "fail")
    life.ack(1)
    life.look(2, CRITICAL)
    assert life.events == ["opened", "acknowledged", "worsened"]
    assert life.send(6) == ["reminder"]
    life.ack(7)
    assert life.send(20) == ["acknowledged"]


def test_an_acknowledgement_ends_with_its_matter(life: Life) -> None:
    life.look(0, CRITICAL)
    life.ack(1)
    life.look(2, "pass")
    life.look(3, CRITICAL)
    assert life.events == ["opened", "acknowledged", "recovered", "regressed"]
    assert life.send(7) == ["reminder"]


def test_an_alert_is_acknowledged_with_all_it_tells_of_and_its_incident_only_when_all_of_it_is(
    life: Life,
) -> None:
    life.look(0, CRITICAL, outcome("fail", "arn:aws:s3:::c", severity="critical"))
    opened = life.got[0].alert.alert_id
    life.ack(1)
    life.send(1)
    assert life.got[-1].incidents == ()  # one of two: a pager's incident is not all taken
    assert len(life.ack(2, opened)) == 2
    life.send(2)
    assert life.got[-1].incidents == (opened,)
    assert life.send(30) == []


@pytest.mark.parametrize("word", ["msg_none", "f" * 64, ""])
def test_what_is_no_matter_cannot_be_acknowledged(life: Life, word: str) -> None:
    life.look(0, CRITICAL)
    with pytest.raises(UsageError, match="neither an alert nor a finding"):
        life.ack(1, word or "nothing")


def test_what_a_silence_covers_is_kept_counted_and_told_in_one_message_when_it_ends(life: Life) -> None:
    silence = life.silence(0, 10)
    life.look(1, CRITICAL, outcome("fail", "arn:aws:s3:::c"))
    life.look(2, CRITICAL)
    assert life.send(9.9) == []
    ((row, messages, matters),) = life.ledger.silences()
    assert (row.silence_id, messages, matters) == (silence, 1, 2)
    assert [each.state for each in life.ledger.outbox()] == ["held"]
    assert len(life.ledger.findings(Filters())) == 1  # a silence hides nothing
    assert life.send(10) == ["silence_over"]
    assert life.last["title"] == "[CRITICAL] Silence over, still failing: 1 matter is open"
    assert life.last["silence"]["held"] == {"opened": 2}
    assert life.send(13.9) == []
    assert life.send(14) == ["reminder"]
    life.look(15, "pass")
    assert life.events[-1] == "recovered"
    assert {each.state for each in life.ledger.outbox()} == {"delivered"}


def test_a_silence_over_nothing_that_is_still_open_says_nothing(life: Life) -> None:
    life.silence(0, 10)
    life.look(1, CRITICAL)
    life.look(2, "pass")
    assert life.send(20) == []
    assert life.ledger.silences()[0][1:] == (1, 1)


def test_a_silence_does_not_keep_back_the_end_of_what_was_told_and_stops_reminders(life: Life) -> None:
    life.look(0, CRITICAL, outcome("fail", "arn:aws:s3:::c", severity="critical"))
    life.silence(1, 20)
    assert life.send(12) == []
    life.look(13, CRITICAL, outcome("pass", "arn:aws:s3:::c"))
    assert life.events == ["opened", "recovered"]
    assert life.send(20) == ["silence_over"]
    assert life.last["count"] == 1


def test_what_gets_worse_under_a_silence_is_told_when_it_ends(life: Life) -> None:
    life.look(0, outcome("fail", severity="medium"))
    life.silence(1, 5)
    life.look(2, CRITICAL)
    assert life.events == ["opened"]
    assert life.send(5) == ["silence_over"]
    assert life.last["severity"] == "critical"


def test_a_silence_that_is_ended_early_tells_at_once_and_only_once(life: Life) -> None:
    silence = life.silence(0, 100)
    life.look(1, CRITICAL)
    life.ledger.end_silence(silence, by="bob", reason="done", now=hour(2))
    assert life.send(2) == ["silence_over"]
    assert life.send(101) == ["reminder"]
    with pytest.raises(UsageError, match="over already"):
        life.ledger.end_silence(silence, by="bob", reason="again", now=hour(3))


def test_what_two_silences_cover_waits_for_the_later(life: Life) -> None:
    life.silence(0, 5)
    life.look(1, CRITICAL)
    later = life.silence(2, 9, resource="*")
    assert life.send(6) == []
    assert [each.held for each in life.ledger.outbox()] == [later]
    assert life.send(9) == ["silence_over"]


def test_no_silence_covers_blindness_nor_what_has_not_the_zone_it_names(life: Life) -> None:
    life.silence(0, 10, resource="*")
    gap = Gap("s3_bucket", "111111111111", "eu-west-1", reason="denied", detail="denied")
    life.look(1, coverage=[gap])
    assert life.events == ["scanner_blind"]
    assert life.send(30) == ["reminder"]
    life.silence(30, 40, zone="*")
    life.look(31, CRITICAL, coverage=[gap])
    assert life.events[-1] == "opened"  # its zone is not known


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"rule": ""}, "needs a rule"),
        ({"until": hour(31 * 24)}, "30 days at most"),
        ({"until": hour(0)}, "is past"),
        ({"reason": " "}, "needs a reason"),
        ({"by": ""}, "who asks"),
    ],
)
def test_a_silence_has_an_object_a_reason_an_author_and_an_end(
    life: Life, more: dict[str, object], words: str
) -> None:
    given = {"rule": "*", "reason": "work", "by": "ann", "until": hour(1), "now": hour(0), **more}
    with pytest.raises(UsageError, match=words):
        life.ledger.silence(**given)  # type: ignore[arg-type]


def flapped(life: Life) -> None:
    for at, verdict in enumerate(["fail", "pass", "fail", "pass", "fail", "pass", "fail", "pass"]):
        life.look(at, CRITICAL if verdict == "fail" else "pass")


def test_the_third_opening_in_a_day_is_told_as_flapping_and_then_nothing_until_it_was_calm_for_one(
    life: Life,
) -> None:
    flapped(life)
    assert life.events == ["opened", "recovered", "regressed", "recovered", "flapping"]
    assert "it opened 3 times within 24 hours" in life.last["items"][0]["because"]
    assert life.send(30.9) == []
    assert life.send(31) == ["recovered"]
    assert "since 2026-02-02 10:00Z" in life.last["items"][0]["because"]
    assert life.got[-1].closes == (life.got[4].alert.alert_id,)
    assert life.send(90) == []
    life.look(91, CRITICAL)
    assert life.events[-1] == "regressed"


def test_a_matter_that_fails_when_its_flapping_ends_is_told(life: Life) -> None:
    flapped(life)
    life.look(8, CRITICAL)
    life.look(9, CRITICAL)
    assert life.send(31.9) == []
    assert life.send(32) == ["opened"]
    assert "it fails" in life.last["items"][0]["because"]
    assert life.got[-1].incidents == (life.got[4].alert.alert_id,)  # one incident from first to last
    assert life.send(36) == ["reminder"]
    life.look(37, "pass")
    assert life.events[-1] == "recovered"


def test_flapping_that_cannot_be_judged_in_the_end_is_said_to_be_open(life: Life) -> None:
    flapped(life)
    life.look(8, CRITICAL)
    life.look(9, outcome("unknown", severity="critical"))
    assert life.send(33) == ["opened"]
    assert "cannot be judged" in life.last["items"][0]["because"]


def test_two_openings_a_day_are_not_flapping(life: Life) -> None:
    for at in (0, 13, 26, 39):
        life.look(at, CRITICAL)
        life.look(at + 1, "pass")
    assert set(life.events) == {"opened", "recovered", "regressed"}


def test_blindness_that_comes_and_goes_is_flapping_too_and_its_end_is_told(life: Life) -> None:
    gap = Gap("s3_bucket", "111111111111", "eu-west-1", reason="denied", detail="denied")
    seen = Seen("s3_bucket", "111111111111", "eu-west-1")
    for at in range(10):
        life.look(at, coverage=[seen if at % 2 else gap])
    assert life.events == ["scanner_blind", "recovered", "scanner_blind", "recovered", "flapping"]
    life.look(10, coverage=[gap])
    for at in range(11, 34):
        life.look(at, coverage=[gap])
    assert life.events[5:] == []
    assert life.send(34) == ["opened"]
    assert FINDING not in life.last["items"][0].values()


def test_what_a_scan_finds_while_the_silence_over_it_is_ended_is_told(life: Life) -> None:
    silence = life.silence(0, 100)

    def ended() -> None:
        life.ledger.end_silence(silence, by="bob", reason="done", now=hour(1.2))
        assert life.send(1.3) == []

    life.look(1, CRITICAL, meanwhile=ended)
    assert life.events == ["opened"]
    assert "held" not in life.last


def test_what_a_scan_finds_while_the_silence_over_it_runs_out_is_told(life: Life) -> None:
    life.silence(0, 1.2)
    life.look(1, CRITICAL, meanwhile=lambda: life.send(1.3))
    assert life.events == []  # its time was before the end: it was kept back
    assert life.send(1.4) == ["silence_over"]
    assert life.send(1.5) == []


def test_what_was_over_when_a_silence_ended_is_not_told_when_more_of_it_comes_late(life: Life) -> None:
    life.silence(0, 2.2)
    life.look(1, "fail", outcome("fail", "arn:aws:s3:::c"))
    late = outcome("fail", "arn:aws:s3:::d")
    life.look(2, "fail", outcome("pass", "arn:aws:s3:::c"), late, meanwhile=lambda: life.send(2.3))
    assert life.events == ["silence_over", "recovered"]
    assert life.got[0].alert.body["data"]["count"] == 2  # by then the end of c was not recorded yet
    assert life.send(2.4) == ["silence_over"]
    assert life.last["count"] == 1
    assert life.send(2.5) == []


@pytest.mark.parametrize(
    ("found", "calm", "then"), [("fail", "recovered", "regressed"), ("pass", "opened", "recovered")]
)
def test_what_a_scan_finds_while_flapping_is_said_to_be_over_is_told(
    life: Life, found: str, calm: str, then: str
) -> None:
    flapped(life)
    if found == "pass":
        life.look(8, CRITICAL)
    last = outcome(found, severity="critical")
    life.look(31.5, last, meanwhile=lambda: life.send(33))
    assert life.events[5:] == [calm, then]
    assert life.send(34) == []


def test_what_is_kept_back_cannot_be_sent_by_itself(life: Life) -> None:
    life.silence(0, 10)
    life.look(1, CRITICAL)
    (row,) = life.ledger.outbox()
    with pytest.raises(UsageError, match="is kept back by SIL-"):
        life.ledger.replay_alert(row.alert.alert_id, hour(2))
    assert life.send(10) == ["silence_over"]
    life.ledger.replay_alert(row.alert.alert_id, hour(11))  # it was told: again, then
    assert life.send(11) == ["opened"]


def test_a_setting_that_got_worse_is_told_once_for_its_finding_is_what_is_reminded_of(life: Life) -> None:
    def versioning(value: str) -> list[Watched]:
        return [Watched("s3_bucket", ARN, "versioning", value, "111111111111", "eu-west-1")]

    life.look(0, watch=versioning("Enabled"))
    life.look(1, CRITICAL, watch=versioning("Suspended"))
    assert sorted(life.events) == ["opened", "worsened"]
    life.send(50)
    assert life.last["event"] == "reminder"
    assert life.last["count"] == 1
    life.look(51, "pass", watch=versioning("Enabled"))
    assert sorted(life.events[3:]) == ["recovered", "recovered"]


@pytest.mark.parametrize("version", range(1, 7))
def test_what_an_older_auditor_told_of_is_reminded_of_too(tmp_path: Path, version: int) -> None:
    path = tmp_path / "ledger.sqlite3"
    shutil.copy(FIXTURES / f"v{version}.sqlite3", path)
    with Ledger.open(path) as ledger:
        told = ledger._conn.execute("SELECT count(*) FROM alerting").fetchone()[0]
        assert told
        remind(ledger, [Route("hook", "low", remind={"medium": 3600})], hour(9999))
        (reminder,) = [each.alert for each in ledger.outbox() if each.alert.event == "reminder"]
        assert len(reminder.keys) == told
        assert ledger.verify().because == ""


def test_what_is_only_unknown_is_not_told_for_being_more_severe(life: Life) -> None:
    life.look(0, outcome("unknown", severity="medium"))
    life.look(1, outcome("unknown", severity="critical"))
    assert life.send(30) == []
    assert life.events == []


def test_what_ended_unheard_and_begins_anew_as_unknown_is_over(life: Life) -> None:
    life.silence(0, 2.2)
    life.look(1, CRITICAL)
    life.look(2, "pass", meanwhile=lambda: life.send(2.3))
    assert life.events == ["silence_over", "recovered"]
    life.got.clear()
    life.silence(3, 4.2)
    life.look(3, CRITICAL)
    life.look(4, "pass", meanwhile=lambda: life.send(4.3) and life.got.clear())
    life.look(5, outcome("unknown", severity="critical"))
    assert set(life.events) == {"recovered"}


def test_a_clock_that_steps_an_hour_either_way_reminds_once_a_day_and_no_more(life: Life) -> None:
    life.look(1, "fail")
    assert life.send(25.1) == ["reminder"]
    assert life.send(24.2) == []  # back
    assert life.send(25.2) == []
    assert life.send(50.2) == ["reminder"]  # forward
    assert life.send(49.3) == []
    assert life.send(73.3) == []
    assert life.send(74.3) == ["reminder"]


def test_what_rules_say_of_the_scanning_is_one_matter_from_scan_to_scan(life: Life) -> None:
    def of(at: int, verdict: str = "fail") -> Outcome:
        return outcome(verdict, f"slot-{at}", subject_table="scan", severity="high", because=f"{at} gaps")

    for at in (0, 1, 2):
        life.look(at, of(at))
    life.look(3, of(3, "unknown"))  # neither ends nor begins anything
    life.look(4, of(4))
    assert life.events == ["opened"]
    assert life.send(25) == ["reminder"]
    assert life.last["items"][0]["resource"] == "slot-4" and life.last["counts"] == {"fail": 1}
    assert life.ack(26, life.got[0].alert.alert_id)
    assert life.send(60) == ["acknowledged"]
    life.look(61, of(61, "pass"))
    assert life.events[-1] == "recovered"
    assert life.last["items"][0]["because"] == "the last scan does not fail it"
    life.look(62, of(62))
    assert life.events[-1] == "opened"
    life.look(63)
    assert life.events[-2:] == ["opened", "recovered"]


def test_what_cannot_be_told_of_the_scanning_goes_unknown_once(tmp_path: Path) -> None:
    life = Life(tmp_path, Route("r", "low", ("opened", "went_unknown")))
    for at in range(3):
        life.look(at, outcome("unknown", f"slot-{at}", subject_table="scan"))
    assert life.events == ["went_unknown"]
