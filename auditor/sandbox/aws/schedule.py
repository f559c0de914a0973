"""When a backup plan runs next: AWS's cron() and rate(), in the part that backup plans use.

cron(minutes hours day-of-month month day-of-week year), as EventBridge's user guide has it: numbers, names, `*`, `?`,
lists, ranges and steps. `L`, `W` and `#` are refused, loudly, rather than guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

_MONTHS = {
    name: n
    for n, name in enumerate(
        ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"], 1
    )
}
_DAYS = {name: n for n, name in enumerate(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"], 1)}
_LOOK_AHEAD_D = 366 * 5
"""Days looked at before a schedule counts as one that never runs again."""


def next_runs(
    expression: str,
    *,
    after: datetime,
    count: int,
    zone: str = "Etc/UTC",
    since: datetime | None = None,
) -> list[datetime]:
    """Return the next runs strictly after a time, in UTC; `since` anchors rate(). Raises ValueError."""
    if match := re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression):
        step = timedelta(**{f"{match[2]}s": int(match[1])})
        if not step:
            raise ValueError(f"{expression}: a rate is at least 1")
        start = since or after
        first = start + step * max(1, (after - start) // step + 1)
        return [first + step * n for n in range(count)]
    if not (match := re.fullmatch(r"cron\((.*)\)", expression)):
        raise ValueError(f"{expression}: neither cron() nor rate()")
    return list(islice(_cron_runs(match[1].upper().split(), expression, after, ZoneInfo(zone)), count))


def _cron_runs(fields: list[str], expression: str, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    if len(fields) != 6:
        raise ValueError(f"{expression}: cron() has six fields, not {len(fields)}")
    if (fields[2] == "?") == (fields[4] == "?"):
        raise ValueError(f"{expression}: exactly one of day-of-month and day-of-week is ?")
    minutes, hours = _values(fields[0], 0, 59, {}), _values(fields[1], 0, 23, {})
    days, months = _values(fields[2], 1, 31, {}), _values(fields[3], 1, 12, _MONTHS)
    weekdays, years = _values(fields[4], 1, 7, _DAYS), _values(fields[5], 1970, 2199, {})
    today = after.astimezone(zone).date()
    for day in (today + timedelta(days=n) for n in range(_LOOK_AHEAD_D)):
        if day.year in years and day.month in months and day.day in days and _weekday(day) in weekdays:
            for hour in sorted(hours):
                for minute in sorted(minutes):
                    run = datetime.combine(day, time(hour, minute), zone).astimezone(UTC)
                    if run > after:
                        yield run


def _weekday(day: date) -> int:
    """Return AWS's number of a weekday: 1 is Sunday."""
    return day.isoweekday() % 7 + 1


def _values(text: str, least: int, most: int, names: dict[str, int]) -> set[int]:
    """Return the numbers a field of cron() stands for."""
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\*|\?|\w+(?:-\w+)?)(?:/(\d+))?", part)
        if not match:
            raise ValueError(f"cron field {text!r} is not understood")
        span, step = match[1], int(match[2] or 1)
        if span in "*?":
            first, last = least, most
        else:
            ends = [names.get(word) or _number(word, text) for word in span.split("-")]
            first, last = ends[0], ends[-1] if len(ends) == 2 or not match[2] else most
        if not (least <= first <= last <= most) or step < 1:
            raise ValueError(f"cron field {text!r} is out of {least}-{most}")
        found |= set(range(first, last + 1, step))
    return found


def _number(word: str, text: str) -> int:
    if not word.isdigit():
        raise ValueError(f"cron field {text!r} is not understood (L, W and # are not)")
    return int(word)
