"""When something is due: cron as people know it, and every local time once whatever the clocks of a zone do."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from auditor.timetable import (
    TimetableError,
    between,
    following,
    latest,
    longest_gap_s,
    timetable,
    zone_of,
)

YEAR = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)


def shown(text: str, zone: str, day: datetime, days: int = 1) -> list[str]:
    """Return what is due on a day, as the clocks of UTC show it."""
    dues = between(timetable(text, zone), day - timedelta(seconds=1), day + timedelta(days=days))
    return [f"{due:%d %H:%M}" for due in dues]


def test_a_local_time_that_does_not_exist_is_due_at_the_first_moment_after_the_gap() -> None:
    night = datetime(2026, 3, 28, tzinfo=UTC)
    assert shown("30 2 * * *", "Europe/Berlin", night, 3) == ["28 01:30", "29 01:00", "30 00:30"]
    assert shown("0 2 * * *", "America/New_York", datetime(2026, 3, 8, tzinfo=UTC)) == ["08 07:00"]
    assert shown("10 2 * * *", "Australia/Lord_Howe", datetime(2026, 10, 3, tzinfo=UTC)) == ["03 15:30"]


def test_a_local_time_that_exists_twice_is_due_the_first_time() -> None:
    night = datetime(2026, 10, 24, tzinfo=UTC)
    assert shown("30 2 * * *", "Europe/Berlin", night, 3) == ["24 00:30", "25 00:30", "26 01:30"]


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata"]
)
def test_every_hour_of_a_year_is_due_once_in_any_zone(zone: str) -> None:
    """Twelve months of hourly slots: as many as the zone's days have hours that differ, none before another, none twice."""
    found = between(timetable("0 * * * *", zone), *YEAR)
    assert found == sorted(set(found))
    shows = Counter(due.astimezone(zone_of(zone)).replace(tzinfo=None) for due in found)
    assert set(shows.values()) == {1}
    days = Counter(at.date() for at in shows)
    assert len(found) == sum(days.values())
    assert set(days.values()) <= {23, 24} | {days[min(days)], days[max(days)]}
    assert len(found) in (8758, 8759, 8760)


def test_in_utc_and_by_an_interval_every_hour_is_an_hour() -> None:
    for text in ("0 * * * *", "1h", "@hourly"):
        assert len(between(timetable(text), *YEAR)) == 365 * 24


def test_intervals_are_counted_from_a_monday_at_midnight_whoever_counts() -> None:
    weekly = timetable("7d")
    assert following(weekly, datetime(2026, 11, 22, 17, tzinfo=UTC)) == datetime(2026, 11, 23, tzinfo=UTC)
    assert latest(weekly, datetime(2026, 11, 23, tzinfo=UTC)) == datetime(2026, 11, 23, tzinfo=UTC)
    assert following(weekly, datetime(2026, 11, 23, tzinfo=UTC)) == datetime(2026, 11, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "dues"),
    [
        ("*/20 6 * * *", ["05 06:00", "05 06:20", "05 06:40"]),
        ("0 6-8 * * mon", ["05 06:00", "05 07:00", "05 08:00"]),
        ("0 6 * * 0,7", ["11 06:00"]),  # Sunday is 0 and 7
        ("5/25 6 * * 1", ["05 06:05", "05 06:30", "05 06:55"]),
        ("0 0 13 * 5", ["09 00:00"]),  # a Friday; the 13th comes later: either is enough
        ("0 6 5,6 jan *", ["05 06:00", "06 06:00"]),
        (
            "0 6 */5 * 2",
            ["06 06:00"],
        ),  # a star names no day: both must fit, and of 1, 6, 11 the 6th is a Tuesday
    ],
)
def test_cron_means_what_crontab_says(text: str, dues: list[str]) -> None:
    found = shown(text, "UTC", datetime(2026, 1, 5, tzinfo=UTC), 7)
    assert [due for due in found if int(due[:2]) <= 11][: len(dues) or 1] == dues


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "neither a duration"),
        ("hourly", "neither a duration"),
        ("* * * * * *", "five fields"),
        ("61 * * * *", "'61' is no minute"),
        ("0 6 * * mo", "is no day of week"),
        ("0 6 * jab *", "'jab' is no month"),
        ("9-5 * * * *", "'9-5' is no minute"),
        ("*/0 * * * *", "is no minute"),
        ("0 0 30 2 *", "never due"),
        ("10s", "more often than once a minute"),
        ("500d", "less often than once a year"),
    ],
)
def test_what_is_no_schedule_is_said_in_a_sentence(text: str, wrong: str) -> None:
    with pytest.raises(TimetableError, match=wrong):
        timetable(text)


@pytest.mark.parametrize("zone", ["Mars", "", "../etc/passwd", "Europe", "Europe/Berlin\0"])
def test_what_is_no_zone_is_said_in_a_sentence(zone: str) -> None:
    with pytest.raises(TimetableError, match="no time zone"):
        timetable("0 6 * * *", zone)


def test_the_longest_time_between_two_slots_counts_the_nights_on_which_clocks_change() -> None:
    assert longest_gap_s(timetable("6h")) == 6 * 3600
    assert longest_gap_s(timetable("0 6 * * 1-5")) == 3 * 86400
    assert longest_gap_s(timetable("0 * * * *", "Europe/Berlin")) == 2 * 3600
    assert longest_gap_s(timetable("0 6 * * 1", "Europe/Berlin")) == 7 * 86400 + 3600
    assert longest_gap_s(timetable("0 0 29 2 *")) == 1461 * 86400
