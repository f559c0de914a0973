"""Slots: each is run once, by one leader, whatever is killed and whatever the clocks do."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from ledger_case import outcome, scan
from service_case import LEASE_S, START, World

from auditor.ledger import Ledger
from auditor.ledger.agenda import SCAN, DeposedError
from auditor.ledger.holding import Holding
from auditor.model import slots_in
from auditor.service.instance import Ended, Job
from auditor.timetable import timetable


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_the_first_slot_is_run_at_once_and_every_later_one_when_it_is_due(world: World) -> None:
    world.add("a")
    world.ring()
    assert world.slots() == {"02 02:00": "running", "02 03:00": "planned"}
    world.run(3 * 3600, 600)
    assert world.slots() == {
        "02 02:00": "done",
        "02 03:00": "done",
        "02 04:00": "done",
        "02 05:00": "done",
        "02 06:00": "planned",
    }
    assert world.finished() == [f"2026-02-02T0{n}:00:00Z" for n in (2, 3, 4, 5)]


def test_a_service_that_starts_after_a_scan_of_its_slot_does_not_scan_again(world: World) -> None:
    world.ledger.record(scan(1), [], at=START - timedelta(minutes=10))
    world.add("a")
    world.run(60)
    assert world.slots() == {"02 02:00": "done", "02 03:00": "planned"}
    assert world.scans == []


def test_slots_that_nobody_ran_are_missed_and_the_newest_is_caught_up_once(world: World) -> None:
    world.add("a")
    world.run(60)
    world.kill("a")
    world.now += timedelta(hours=5)
    world.mono += 5 * 3600
    world.add("b")
    world.run(120)
    assert world.slots() == {
        "02 02:00": "done",
        "02 03:00": "missed",
        "02 04:00": "missed",
        "02 05:00": "missed",
        "02 06:00": "missed",
        "02 07:00": "done",
        "02 08:00": "planned",
    }
    missed = [slot for slot in world.ledger.agenda.slots() if slot.state == "missed"]
    assert {slot.covered_by for slot in missed} == {datetime(2026, 2, 2, 7, tzinfo=UTC)}
    assert [each.slot for each in world.ledger.scans(state="missed")] == [slot.name for slot in missed]
    assert len(world.scans) == 2
    assert world.ledger.verify().because == ""


def test_a_long_absence_is_a_row_for_each_stretch_of_it_and_no_slot_is_left_out(tmp_path: Path) -> None:
    """Every minute for three days: ten thousand rows and entries would say no more."""
    world = World(tmp_path, "1m")
    world.add("a")
    world.run(60)
    world.kill("a")
    before = len(world.ledger.entries())
    person = START + timedelta(hours=20, seconds=30)
    world.ledger.record(scan(1), [], at=person)
    world.now += timedelta(days=3)
    world.known_gone.add("a")
    world.add("b")
    world.run(20)
    slots = [slot for slot in world.ledger.agenda.slots() if slot.state != "planned"]
    assert [slot.state for slot in slots] == ["done", "done", "missed", "missed", "done", "missed", "done"]
    assert [slot.due_at for slot in slots if slot.state == "done"][2] == person - timedelta(seconds=30)
    missed = world.ledger.scans(state="missed")
    assert [each.slot for each in missed] == [
        "2026-02-02T02:32:00Z",
        "2026-02-02T02:33:00Z/2026-02-02T22:29:00Z (1197 slots)",
        "2026-02-02T22:31:00Z/2026-02-05T02:30:00Z (3120 slots)",
    ]
    assert slots[-1].due_at == datetime(2026, 2, 5, 2, 31, tzinfo=UTC)
    # Two that were run, those that nobody ran, the one in which a person scanned, and the newest.
    assert 2 + sum(slots_in(each.slot) for each in missed) + 1 + 1 == 3 * 1440 + 2
    counts = {(job, state): n for job, state, n in world.ledger.agenda.counts()["slots"]}
    assert counts["scan", "missed"] == 1 + 1197 + 3120
    assert len(world.ledger.entries()) == before + 3 + 2
    assert world.events("missed") == ["missed"] * 3
    assert world.ledger.verify().because == ""
    world.close()


def test_a_missed_slot_in_which_a_person_scanned_is_answered_and_not_missed(world: World) -> None:
    world.add("a")
    world.run(60)
    world.kill("a")
    world.ledger.record(scan(1), [], at=datetime(2026, 2, 2, 4, 20, tzinfo=UTC))
    world.now += timedelta(hours=3)
    world.add("b")
    world.run(120)
    assert world.slots() == {
        "02 02:00": "done",
        "02 03:00": "missed",
        "02 04:00": "done",
        "02 05:00": "done",
        "02 06:00": "planned",
    }


def test_a_slot_that_is_due_while_a_scan_runs_joins_it(world: World) -> None:
    world.takes_s = 6000
    world.add("a")
    world.run(1.6 * 3600, 60)
    assert world.slots() == {
        "02 02:00": "running",
        "02 03:00": "running",
        "02 04:00": "running",
        "02 05:00": "planned",
    }
    world.run(600, 60)
    assert len(world.scans) == 1
    (row,) = world.ledger.scans(state="finished")
    done = [slot for slot in world.ledger.agenda.slots() if slot.state == "done"]
    assert [(slot.name[11:13], slot.scan) for slot in done] == [
        ("02", row.scan),
        ("03", row.scan),
        ("04", row.scan),
    ]
    assert world.ledger.scans(state="missed") == []


def test_a_scan_that_a_person_runs_is_joined_and_not_made_twice(world: World) -> None:
    lease = world.ledger.begin("by hand", "someone/1/1", 3600, world.now)
    world.add("a")
    world.run(60)
    assert world.slots() == {"02 02:00": "running", "02 03:00": "planned"}
    world.ledger.record(scan(1, slot="by hand", lease=lease), [], at=world.now)
    world.run(60)
    assert world.slots()["02 02:00"] == "done"
    assert world.scans == []


def test_a_slot_is_run_when_the_scan_that_it_waited_for_comes_to_nothing(world: World) -> None:
    lease = world.ledger.begin("by hand", "someone/1/1", 3600, world.now)
    world.add("a")
    world.run(60)
    world.ledger.release(lease, world.now)
    world.run(60)
    assert world.slots()["02 02:00"] == "done"
    assert len(world.scans) == 1


def test_a_slot_that_fails_is_tried_again_ever_more_rarely_until_the_next_is_due(world: World) -> None:
    world.ends = "no credentials"
    world.add("a")
    world.run(1700)
    assert len(world.scans) == 5  # after 0, 1, 3, 7 and 15 minutes
    (slot,) = [slot for slot in world.ledger.agenda.open_slots() if slot.failures]
    assert slot.said == "no credentials"
    world.ends = ""
    world.run(300)
    assert world.slots() == {"02 02:00": "failed", "02 03:00": "done", "02 04:00": "planned"}
    assert world.ledger.scans(state="missed")[0].slot == "2026-02-02T02:00:00Z"


def test_a_scan_that_hangs_is_ended_and_its_slot_tried_again(world: World) -> None:
    world.takes_s = 10**6
    world.add("a", longest_s=600)
    world.run(590)
    assert [scan.over for scan in world.scans] == [None]
    world.now += timedelta(hours=1)  # the wall's clock alone ends nothing
    world.ring()
    assert not world.dead
    world.takes_s = 30
    world.run(200)
    assert {world.scans[0].owner} == world.dead
    failed = [fields for _, event, fields in world.told if event == "failed"]
    assert [fields["because"] for fields in failed] == [
        "it did not end within 600 s ([service] longest) and was ended"
    ]
    assert [scan.over.state for scan in world.scans[1:] if scan.over] == ["done"]


def test_two_services_started_by_mistake_are_one_that_leads_and_one_that_stands_by_and_says_so(
    world: World,
) -> None:
    world.add("a")
    world.add("b")
    world.run(2 * 3600, 10)
    assert world.leaders == ["a"]
    assert [(name, event) for name, event, _ in world.told if name == "b"] == [("b", "standing by")]
    assert len(world.finished()) == 3


def test_another_takes_over_within_two_leases_of_the_leaders_end(world: World) -> None:
    world.add("a")
    world.add("b")
    world.run(60)
    world.kill("a")
    world.run(2 * LEASE_S, 5)
    assert world.leaders == ["b"]


def test_a_leader_that_resigns_or_is_known_to_have_ended_is_followed_at_once(world: World) -> None:
    for name in "abc":
        world.add(name)
    world.run(10)
    instance, ledger = world.instances["a"]
    instance.resign(ledger, world.now)
    world.kill("a")
    world.ring()
    assert world.leaders == ["b"]
    world.kill("b")
    world.known_gone.add("b")
    world.ring()
    assert world.leaders == ["c"]


def test_a_leader_that_slept_through_its_lease_writes_nothing_any_more(world: World) -> None:
    world.takes_s = 40
    world.add("a")
    world.add("b")
    world.run(10, 10)
    old = world.instances["a"][0].lead
    assert old is not None
    world.run(120, 10, "b")  # a is stopped
    assert world.leaders == ["a", "b"]  # a does not know yet
    slot = world.ledger.agenda.slots()[0]
    before = world.ledger.agenda.slots()
    with pytest.raises(DeposedError), world.ledger.agenda.leading(old) as desk:
        desk.end(slot, "failed", world.now)
    with pytest.raises(DeposedError):  # nor does it take the lead from whom it has not seen
        world.ledger.agenda.lead("a", world.now, LEASE_S, after=old)
    assert world.ledger.agenda.slots() == before
    world.run(10, 10)
    assert world.leaders == ["b"]
    assert world.finished() == ["2026-02-02T02:00:00Z"]


def test_a_backup_that_is_put_in_the_ledgers_place_brings_no_term_back_for_another(
    world: World, tmp_path: Path
) -> None:
    world.add("a")
    world.run(60)
    world.ledger.backup(tmp_path / "backup")
    old = world.instances["a"][0].lead
    assert old is not None
    world.kill("a")
    world.ledger.agenda.lead("b", world.now, LEASE_S, after=world.ledger.agenda.leader())
    world.ledger.close()
    world.ledger = Ledger.restore(world.path, tmp_path / "backup", world.now)
    second = world.ledger.agenda.lead("c", world.now, LEASE_S, after=world.ledger.agenda.leader())
    with pytest.raises(DeposedError), world.ledger.agenda.leading(replace(second, holder="b")):
        pytest.fail("b led in this term before the backup was put back")
    with world.ledger.agenda.leading(second) as desk:
        desk.resign(world.now)


def test_a_scan_that_outlives_its_leader_is_joined_by_the_next(world: World) -> None:
    world.takes_s = 300
    world.add("a")
    world.run(20)
    world.kill("a", with_its_scans=False)
    world.known_gone.add("a")
    world.add("b")
    world.run(400)
    assert len(world.scans) == 1
    assert world.slots()["02 02:00"] == "done"


def test_a_scan_holds_its_slot_as_long_as_it_runs(world: World) -> None:
    lease = world.ledger.begin("long", "elsewhere/1/1", 600, world.now)
    turns: list[float] = []

    def twice(seconds: float) -> bool:
        turns.append(seconds)
        return len(turns) == 3

    with Holding(world.path, lease, 900, wait=twice):
        pass
    assert turns == [180.0] * 3
    held = world.ledger.scan_running(world.now)
    assert held is not None
    assert held.until >= lease.until + timedelta(seconds=300)


def test_a_scan_whose_slot_another_took_holds_it_no_longer(world: World) -> None:
    lease = world.ledger.begin("long", "elsewhere/1/1", 600, world.now)
    later = world.now + timedelta(seconds=601)
    taken = world.ledger.begin("long", "elsewhere/2/2", 600, later)
    with Holding(world.path, lease, 600, wait=lambda _: False) as holding:
        holding._thread.join(20)  # it ends by itself
        assert not holding._thread.is_alive()
    assert world.ledger.scan_running(later) == taken


def test_a_scan_that_was_killed_with_its_leader_is_made_again(world: World) -> None:
    world.takes_s = 300
    world.add("a")
    world.run(20)
    world.kill("a")
    world.known_gone.add("a")
    world.add("b")
    world.run(400)
    assert len(world.scans) == 2
    assert world.finished() == ["2026-02-02T02:00:00Z"]


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_steps_an_hour_loses_no_slot_and_doubles_none(world: World, hours: int) -> None:
    world.add("a")
    world.add("b")
    world.run(3600, 60)
    world.now += timedelta(hours=hours)
    world.run(5 * 3600, 60)
    world.now -= timedelta(hours=hours)
    world.run(5 * 3600, 60)
    assert world.leaders == ["a"]  # a step deposes nobody
    states = world.states()
    assert states.pop("planned") == 1
    assert set(states) == {"done"}
    slots = [slot.due_at for slot in world.ledger.agenda.slots() if slot.state == "done"]
    assert [b - a for a, b in pairwise(slots)] == [timedelta(hours=1)] * (len(slots) - 1)
    assert (
        len({slot.scan for slot in world.ledger.agenda.slots() if slot.scan})
        == len(world.finished())
        == len(slots)
    )


def test_no_slot_is_missed_or_doubled_when_the_leader_is_killed_fifty_times_among_three(world: World) -> None:
    world.takes_s = 70
    for name in ("i0", "i1", "i2"):
        world.add(name)
    world.run(60)
    longest = 0.0
    for kill in range(50):
        world.run(17 * 60 + (kill * 37) % 300, 10)
        (leader,) = world.leaders
        world.kill(leader, with_its_scans=bool(kill % 3))
        fell = world.mono
        while not world.leaders:
            world.run(5, 5)
        longest = max(longest, world.mono - fell)
        world.add(f"i{kill + 3}")
    world.run(1200)
    assert longest <= 2 * LEASE_S
    states = world.states()
    assert (states["planned"], states["missed"], states["failed"], states["running"]) == (1, 0, 0, 0)
    finished = Counter(world.finished())
    assert max(finished.values()) == 1
    assert sorted(finished) == sorted(s.name for s in world.ledger.agenda.slots() if s.state == "done")
    assert world.ledger.verify().because == ""


def test_a_schedule_that_was_changed_holds_from_the_next_slot_on(world: World) -> None:
    world.add("a")
    world.run(60)
    world.kill("a")
    world.known_gone.add("a")
    world.every = "45 * * * *"
    world.add("b")
    world.run(1800)
    assert world.slots() == {"02 02:00": "done", "02 02:45": "done", "02 03:45": "planned"}


def test_a_job_that_is_no_scan_waits_for_its_own_end_and_is_not_run_at_the_start(world: World) -> None:
    ran: list[str] = []

    class Report:
        def ended(self) -> Ended | None:
            return Ended("done", "reports/weekly.html") if len(ran) > 1 else Ended("failed", "no room")

        def stop(self) -> None:
            return

    def begin(slot: object) -> Report:
        ran.append(str(slot))
        return Report()

    world.add("a", jobs=[Job("report", timetable("45 2 * * *"), begin)])
    world.run(600)
    assert ran == []
    world.run(1200)
    assert len(ran) == 2
    assert world.slots("report") == {"02 02:45": "done", "03 02:45": "planned"}


def test_the_heartbeat_is_that_of_the_last_scan_and_is_untold_until_it_was_told(world: World) -> None:
    world.add("a")
    world.run(3600)
    beat = world.ledger.agenda.heartbeat()
    assert beat is not None
    assert (beat.at, beat.told_at) == (world.scans[-1].began, None)
    lead = world.instances["a"][0].lead
    assert lead is not None
    with world.ledger.agenda.leading(lead) as desk:
        desk.told(beat, world.now, "")
    world.run(3600)
    again = world.ledger.agenda.heartbeat()
    assert again is not None
    assert (again.told_at, again.at > beat.at) == (None, True)


def test_a_year_of_quiet_scans_runs_each_slot_once_and_grows_by_their_entries_alone(tmp_path: Path) -> None:
    """At a time that one spring night does not have and one autumn night has twice; hourly in the long run."""
    hours = "30 * * * *" if os.environ.get("AUDITOR_FULL_WALK") else "30 2,14 * * *"
    world = World(tmp_path, hours, "Europe/Berlin", start=datetime(2026, 1, 1, 1, 40, tzinfo=UTC))
    world.says = lambda n: [outcome("fail", f"arn:aws:s3:::b{k}") for k in range(5)]
    world.add("a")
    rows, pages = [], []
    for _ in range(12):
        world.run(365 * 2 * 3600, 6 * 3600 if "," in hours else 1800)
        world.run(120, 60)
        rows.append(tuple(_count(world, table) for table in ("finding", "drift", "outbox")))
        pages.append(_count(world, "pragma_page_count", "page_count"))
    slots = [slot for slot in world.ledger.agenda.slots(SCAN) if slot.state != "planned"]
    assert {slot.state for slot in slots} == {"done"}
    assert [slot.name for slot in slots] == world.finished()
    local = [slot.due_at.astimezone(ZoneInfo("Europe/Berlin")).replace(tzinfo=None) for slot in slots]
    gap = datetime.fromisoformat("2026-03-29T03:00")
    expected = {
        at if at.date() != gap.date() or at.hour != 2 else gap for at in _local(local[0], local[-1], hours)
    }
    assert local == sorted(expected)
    assert set(rows) == {(5, 0, 0)}
    per_scan = (pages[-1] - pages[0]) * 4096 / (len(slots) * 11 / 12)
    assert per_scan < 4000  # its entry in the chain, its row, its slot
    world.close()


def _count(world: World, table: str, what: str = "count(*)") -> int:
    return int(world.ledger._conn.execute(f"SELECT {what} FROM {table}").fetchone()[0])


def _local(first: datetime, last: datetime, hours: str) -> Iterator[datetime]:
    at = first
    while at <= last:
        if "," not in hours or at.hour in (2, 14):
            yield at
        at += timedelta(hours=1)
