"""When a backup schedule opens its start windows, and which runs of jobs they meet. Times are UTC, without a zone."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from auditor.plans.schedules import CRON, RATE, field

_DAY = timedelta(days=1)
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_UNIT_S = {"minute": 60, "hour": 3600, "day": 86_400}

Run = tuple[datetime, datetime]
"""Start and end of a job's run."""


def openings(
    schedule: str | None, zone: str | None, first: datetime, last: datetime, *, known: datetime | None = None
) -> list[datetime] | None:
    """Return when a schedule opens from `first` to `last`, sorted; None when that cannot be told.

    `known`: one run of it, which anchors a rate.
    """
    text = (schedule or "").strip()
    if rate := RATE.fullmatch(text):
        step = timedelta(seconds=int(rate[1]) * _UNIT_S[rate[2]])
        if not step or known is None:
            return None
        at = known + -((known - first) // step) * step
        return [at + n * step for n in range(max(0, (last - at) // step + 1))]
    cron = CRON.fullmatch(text)
    if cron is None or cron[6] != "*":
        return None
    try:
        local = ZoneInfo(zone or "Etc/UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return None
    minutes, hours, dates = field(cron[1], 0, 59), field(cron[2], 0, 23), field(cron[3], 1, 31)
    months = field(_numbered(cron[4], _MONTHS), 1, 12)
    weekdays = field(_numbered(cron[5], _DAYS), 1, 7)
    if None in (minutes, hours, dates, months, weekdays):
        return None
    found = [
        datetime.combine(day, time(hour, minute), local).astimezone(UTC).replace(tzinfo=None)
        for day in _between(first.date() - _DAY, last.date() + _DAY)
        if day.day in (dates or ())
        and day.month in (months or ())
        and day.isoweekday() % 7 + 1 in (weekdays or ())
        for hour in hours or ()
        for minute in minutes or ()
    ]
    return sorted(at for at in found if first <= at <= last)


def met(opened: Sequence[datetime], window: timedelta, runs: Iterable[Run]) -> int:
    """Count the runs during which a start window was open; windows and runs that only touch do not meet."""
    count = 0
    for started, ended in runs:
        latest = bisect_left(opened, ended) - 1
        count += latest >= 0 and opened[latest] + window > started
    return count


def naive(at: datetime) -> datetime:
    """Return a time in UTC without its zone."""
    return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at


def _numbered(text: str, names: Sequence[str]) -> str:
    text = text.upper()
    for number, name in enumerate(names, start=1):
        text = text.replace(name, str(number))
    return text


def _between(first: date, last: date) -> Iterable[date]:
    return (first + n * _DAY for n in range((last - first).days + 1))
