"""ListLogEntries within its quota, and a second scan that asks for what was received since the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from gcp_estate import FROM, NOW, PROJECT, REGION, Reading, reader, submission, z

from auditor.model import Seen, Window
from auditor.sandbox.faults import Faults
from auditor.sandbox.gcp import GcpCloud
from auditor.sources import _pace, gcp_logging
from auditor.sources._pace import Pace

AT = NOW - timedelta(days=2)
LATER = NOW + timedelta(days=1)


class Clock:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_no_minute_holds_more_calls_than_the_quota() -> None:
    clock, told, calls = Clock(), list[float](), list[float]()
    pace = Pace(60, waiting=told.append, clock=clock, sleep=clock.sleep)
    for _ in range(200):
        pace()
        calls.append(clock.now)
        clock.now += 0.25
    for start in calls:
        assert sum(start <= at < start + _pace.MINUTE for at in calls) <= 60
    assert told == clock.slept == [45.0] * 3


def test_calls_that_are_slow_anyway_wait_for_nothing() -> None:
    clock = Clock()
    pace = Pace(60, clock=clock, sleep=clock.sleep)
    for _ in range(200):
        pace()
        clock.now += 1
    assert clock.slept == []


def test_a_sleep_that_ends_early_is_slept_again() -> None:
    clock = Clock()
    early = iter([0.5, 0.5, 99.0])
    pace = Pace(1, clock=clock, sleep=lambda seconds: clock.sleep(min(seconds, next(early))))
    pace()
    pace()
    assert clock.slept == [0.5, 0.5, 59.0]


@pytest.fixture
def cloud() -> Iterator[GcpCloud]:
    cloud = GcpCloud(Faults(hang_s=2))
    cloud.declare(PROJECT, REGION)
    yield cloud
    cloud.stop()


@pytest.fixture
def read(cloud: GcpCloud) -> Callable[..., Reading]:
    return reader(cloud.start(), cloud._store.faults)


def test_the_wait_for_the_quota_is_told_as_progress(
    cloud: GcpCloud, read: Callable[..., Reading], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, told = Clock(), list[tuple[str, Mapping[str, Any]]]()
    monkeypatch.setattr(
        gcp_logging,
        "Pace",
        lambda calls, waiting: Pace(calls, waiting=waiting, clock=clock, sleep=clock.sleep),
    )
    cloud.add_entries([submission(f"u{n}", at=AT + timedelta(seconds=n)) for n in range(2100)])
    found = read(
        gcp_logging,
        calls_per_minute=2,
        driver_logs=False,
        progress=lambda event, fields: told.append((event, fields)),
    )
    assert len(found.rows("gcp_audit_entry")) == 2100
    (waited,) = told
    assert waited[0] == "waiting"
    assert (waited[1]["project"], waited[1]["seconds"]) == (PROJECT, 60)


def test_a_quota_that_is_spent_elsewhere_is_waited_for_and_then_a_throttled_gap(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    cloud.add_entries([submission("u1", at=AT)])
    cloud._store.faults.set("logging", "ListLogEntries", "throttle", times=1)
    assert read(gcp_logging, retry_s=3.0, driver_logs=False).seen("gcp_audit_entry")
    cloud._store.faults.set("logging", "ListLogEntries", "throttle")
    again = read(gcp_logging, driver_logs=False)
    assert again.reasons("gcp_audit_entry") == ["throttled"]
    assert not again.cursors()


def second(read: Callable[..., Reading], first: Reading, **more: Any) -> Reading:
    given = {
        "carried": {"gcp_audit_entry": first.rows("gcp_audit_entry")},
        "covered": first.seen("gcp_audit_entry"),
        "cursors": first.cursors(),
        "window": Window(NOW - timedelta(hours=6), LATER),
        "now": LATER,
        "driver_logs": False,
    }
    return read(gcp_logging, **(given | more))


def test_an_entry_received_days_after_its_time_is_read_by_the_next_scan(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    cloud.add_entries([submission("u1", at=AT)])
    first = read(gcp_logging)
    late = submission("late", at=FROM + timedelta(hours=1)) | {
        "receiveTimestamp": z(NOW - timedelta(minutes=5))
    }
    cloud.add_entries([late])
    found = second(read, first)
    assert {row["job_id"] for row in found.rows("gcp_audit_entry")} == {"job-u1", "job-late"}
    (seen,) = found.seen("gcp_audit_entry")
    assert (seen.from_at, seen.until_at) == (NOW - timedelta(hours=48), LATER)
    assert found.cursors() == {f"{PROJECT} audit": z(LATER)}


def test_entries_received_out_of_order_or_before_their_time_are_read_once_each(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    entries = [submission(f"u{n}", at=NOW + timedelta(minutes=n)) for n in range(5)]
    for n, entry in enumerate(entries):
        entry["receiveTimestamp"] = z(NOW + timedelta(hours=(3, -20, 1, 0, 2)[n]))
    cloud.add_entries([submission("u", at=AT), *entries, entries[0]])
    first = read(gcp_logging)
    assert [row["job_id"] for row in first.rows("gcp_audit_entry")] == ["job-u"]
    ids = [row["entry_id"] for row in second(read, first).rows("gcp_audit_entry")]
    assert len(set(ids)) == 6


def test_two_entries_with_one_insert_id_are_two_where_their_times_differ(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    one = submission("u1", at=AT)
    cloud.add_entries([one, one | {"timestamp": z(AT + timedelta(microseconds=1))}, one])
    assert len({row["entry_id"] for row in read(gcp_logging).rows("gcp_audit_entry")}) == 2


def test_a_failed_scan_leaves_the_cursor_and_the_next_one_reads_on_from_it(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    cloud.add_entries([submission("u1", at=AT)])
    first = read(gcp_logging)
    cloud._store.faults.set("logging", "ListLogEntries", "deny")
    failed = second(read, first)
    assert not failed.cursors()
    cloud._store.faults.clear()
    cloud.add_entries([submission("u2", at=NOW + timedelta(hours=1))])
    after = LATER + timedelta(days=7)
    third = second(read, first, window=Window(LATER, after), now=after)
    assert {row["job_id"] for row in third.rows("gcp_audit_entry")} == {"job-u1", "job-u2"}
    assert third.seen("gcp_audit_entry")[0].from_at == NOW - timedelta(hours=48)


@pytest.mark.parametrize("cursor", ["yesterday", "", z(LATER + timedelta(days=3))])
def test_a_cursor_that_coverage_does_not_bear_out_is_not_used(
    cloud: GcpCloud, read: Callable[..., Reading], cursor: str
) -> None:
    old = submission("old", at=FROM + timedelta(minutes=1))
    cloud.add_entries([old, submission("u1", at=AT)])
    found = second(
        read, Reading([]), cursors={f"{PROJECT} audit": cursor}, window=Window(FROM, LATER), covered=()
    )
    assert {row["job_id"] for row in found.rows("gcp_audit_entry")} == {"job-old", "job-u1"}
    hole = [Seen("gcp_audit_entry", PROJECT, "*", "*", NOW - timedelta(days=1), NOW)]
    found = second(
        read, Reading([]), cursors={f"{PROJECT} audit": z(NOW)}, window=Window(FROM, LATER), covered=hole
    )
    assert {row["job_id"] for row in found.rows("gcp_audit_entry")} == {"job-old", "job-u1"}


def test_a_page_token_that_repeats_is_a_truncated_reading(
    cloud: GcpCloud, read: Callable[..., Reading], monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditor.sandbox.gcp_store import Call

    monkeypatch.setattr(Call, "page", lambda _self, rows, *_args, **_more: (rows[:1], "again"))
    cloud.add_entries([submission("u1", at=AT)])
    found = read(gcp_logging, driver_logs=False)
    assert found.reasons("gcp_audit_entry") == ["truncated"]
    assert not found.cursors()


def test_an_entry_of_a_megabyte_with_hostile_text_is_read(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    agent = "\0\u202e" + "x" * 1_000_000
    cloud.add_entries([submission("u1", at=AT, requestMetadata={"callerSuppliedUserAgent": agent})])
    (row,) = read(gcp_logging).rows("gcp_audit_entry")
    assert row["user_agent"] == agent
