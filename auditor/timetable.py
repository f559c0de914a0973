"""When something is due: every so often, or by a cron expression in a time zone. Pure: no clock is read here.

Cron is that of crontab(5): five fields, Sunday is 0 or 7, and where both day of month and day of week are given either one
is enough. A local time that the zone skips in spring is due at the first moment after the gap; one that it has twice in
autumn is due the first time alone. So no local time is left out and none comes twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
"""Where intervals are counted from: so every instance counts the same, and a week begins on a Monday."""
LEAST_S = 60
_EVERY = re.compile(r"([0-9]{1,9})(s|m|h|d)\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(?:\*|([0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?)(?:/([0-9]{1,2}))?\Z")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES = {
    "month": {name: n for n, name in enumerate(_MONTHS, start=1)},
    "day of week": {name: n for n, name in enumerate(_DAYS)},
}
_FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 7),
)
_SHORT = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}
_LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_FAR = timedelta(days=366 * 9)
"""A leap day comes again within this: what is not due by then never is."""
_FIRST = datetime(2024, 1, 1, tzinfo=UTC)
_SHOWN = 9000
"""More than the hours of a year, both nights of a changing clock among them."""


class TimetableError(ValueError):
    """Raised for a schedule that is none; says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Every:
    """Due every so often, counted from a Monday at midnight UTC."""

    seconds: int

    def after(self, at: datetime) -> Iterator[datetime]:
        """Yield every due time after a time, in UTC, for ever."""
        step = timedelta(seconds=self.seconds)
        due = MONDAY + step * ((at - MONDAY) // step)
        while True:
            due += step
            yield due


@dataclass(frozen=True, slots=True)
class Cron:
    """Due whenever the clocks of a zone show one of these times."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    either: bool
    """Both kinds of days are named: one of them is enough."""
    zone: tzinfo = UTC

    def after(self, at: datetime) -> Iterator[datetime]:
        """Yield every due time after a time, in UTC, for ever."""
        last = at
        for local in self._local((at.astimezone(self.zone) - timedelta(days=1)).replace(tzinfo=None)):
            due = moment(local, self.zone)
            if due > last:  # two local times of a gap are one moment
                yield due
                last = due

    def _local(self, start: datetime) -> Iterator[datetime]:
        """Yield the times that the clocks show, from a midnight on."""
        day = start.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        while True:
            if day.month not in self.months:
                day = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
                continue
            if self._has(day):
                for hour in self.hours:
                    for minute in self.minutes:
                        yield day.replace(hour=hour, minute=minute)
            day += timedelta(days=1)

    def _has(self, day: datetime) -> bool:
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.either else of_month and of_week


Timetable = Every | Cron


def moment(local: datetime, zone: tzinfo) -> datetime:
    """Return the moment in UTC at which the clocks of a zone show a time; the end of the gap for one they never show."""
    due = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if due.astimezone(zone).replace(tzinfo=None) == local:
        return due
    # PEP 495: of a time in a gap, fold=0 has the offset before it and fold=1 the one after; the gap ends between the two.
    sooner = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    low, high = min(due, sooner), max(due, sooner)
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


def timetable(text: str, zone: str = "UTC") -> Timetable:
    """Read a schedule: a duration such as `6h`, or a cron expression such as `30 5 * * 1-5`; TimetableError otherwise."""
    words = " ".join(text.lower().split())
    if found := _EVERY.match(words):
        seconds = int(found[1]) * _SECONDS[found[2]]
        if seconds < LEAST_S:
            raise TimetableError(f"{text!r} is more often than once a minute")
        if seconds > 366 * 86400:
            raise TimetableError(f"{text!r} is less often than once a year")
        return Every(seconds)
    return _cron(text, _SHORT.get(words, words), zone_of(zone))


def zone_of(name: str) -> tzinfo:
    """Return a time zone by its name in the tz database; TimetableError when this machine has none of that name."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError):  # the name of a folder, or one that no file may have
        raise TimetableError(f"{name!r} is no time zone such as Europe/Berlin") from None
    except KeyError:
        raise TimetableError(
            f"{name!r} is no time zone such as Europe/Berlin, or this machine has no time zones (Debian: tzdata)"
        ) from None


def _cron(text: str, words: str, zone: tzinfo) -> Cron:
    parts = words.split(" ")
    if len(parts) != len(_FIELDS):
        raise TimetableError(
            f'{text!r} is neither a duration such as "6h" nor five fields of cron such as "30 5 * * *"'
        )
    minutes, hours, days, months, weekdays = (
        _field(text, part, *field) for part, field in zip(parts, _FIELDS, strict=True)
    )
    either = not parts[2].startswith("*") and not parts[4].startswith("*")
    if not either and parts[4].startswith("*") and all(min(days) > _LONGEST_MONTH[n - 1] for n in months):
        raise TimetableError(f"{text!r} is never due: no such month has a day {min(days)}")
    return Cron(
        tuple(sorted(minutes)),
        tuple(sorted(hours)),
        frozenset(days),
        frozenset(months),
        frozenset(day % 7 for day in weekdays),
        either,
        zone,
    )


def _field(text: str, part: str, name: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for each in part.split(","):
        match = _PART.match(each)
        if not match:
            raise TimetableError(f"{text!r}: {each!r} is no {name}")
        first, last, step = match.groups()
        begin = low if first is None else _number(text, first, name, low, high)
        end = high if first is None or (step and not last) else begin
        end = _number(text, last, name, low, high) if last else end
        if begin > end or step == "0" or step == "00":
            raise TimetableError(f"{text!r}: {each!r} is no {name}")
        found |= set(range(begin, end + 1, int(step or 1)))
    return found


def _number(text: str, word: str, name: str, low: int, high: int) -> int:
    number = int(word) if word.isdigit() else _NAMES.get(name, {}).get(word, -1)
    if not low <= number <= high:
        raise TimetableError(f"{text!r}: {word!r} is no {name} ({low} to {high})")
    return number


def between(times: Timetable, after: datetime, until: datetime) -> list[datetime]:
    """Return every due time of `(after, until]`."""
    return list(takewhile(lambda due: due <= until, times.after(after)))


def following(times: Timetable, at: datetime) -> datetime:
    """Return the first due time after a time."""
    return next(times.after(at))


def latest(times: Timetable, at: datetime) -> datetime | None:
    """Return the last due time that is not after a time; None when there was none for nine years."""
    back = timedelta(seconds=LEAST_S)
    while back < _FAR:
        found = between(times, at - back, at)
        if found:
            return found[-1]
        back *= 8
    return None


def longest_gap_s(times: Timetable) -> int:
    """Return the longest time between two due times, in seconds."""
    if isinstance(times, Every):
        return times.seconds
    dues = takewhile(lambda due: due < _FIRST + _FAR, islice(times.after(_FIRST), _SHOWN))
    return max(int((later - sooner).total_seconds()) for sooner, later in pairwise(dues))
