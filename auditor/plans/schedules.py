"""How long can pass between two runs of a backup schedule: `cron()` and `rate()` as EventBridge writes them."""

from __future__ import annotations

import re
from itertools import pairwise

_HOUR, _DAY = 3600, 86_400
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
RATE = re.compile(r"rate\(\s*(\d+)\s+(minute|hour|day)s?\s*\)")
CRON = re.compile(r"cron\(\s*(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s*\)")


def interval_s(schedule: str | None) -> int | None:
    """Return the longest time between two runs in seconds; None when it cannot be told.

    Cron fields are minute, hour, day of month, month, day of week, year. Exact for runs within a day, daily, weekly
    and monthly ones. `L`, `W`, `#`, single years and chosen months are left untold, but for every-month days 1-28.
    """
    text = (schedule or "").strip()
    if found := RATE.fullmatch(text):
        return int(found[1]) * {"minute": 60, "hour": _HOUR, "day": _DAY}[found[2]] or None
    found = CRON.fullmatch(text)
    if not found:
        return None
    minute, hour, day, month, weekday, year = found.groups()
    minutes, hours = field(minute, 0, 59), field(hour, 0, 23)
    if minutes is None or hours is None or month not in ("*", "1/1", "1-12") or year != "*":
        return None
    times = [h * _HOUR + m * 60 for h in hours for m in minutes]
    within = max([b - a for a, b in pairwise(times)], default=0)
    overnight = _DAY - times[-1] + times[0]
    if (days := _days_apart(day, weekday)) is None:
        return None
    return max(within, overnight + (days - 1) * _DAY)


def _days_apart(day: str, weekday: str) -> int | None:
    """Return the longest distance in days between two days on which a schedule runs."""
    free = ("*", "?", "1/1", "1-31")
    if day in free and weekday in ("*", "?", "1-7", "SUN-SAT"):
        return 1
    if day in free:
        named = weekday.upper()
        for number, name in enumerate(_DAYS, start=1):
            named = named.replace(name, str(number))
        chosen = field(named, 1, 7)
        return None if chosen is None else _largest_gap(chosen, 7)
    if weekday in ("*", "?"):
        dates = field(day, 1, 31)
        # A day that some months lack is skipped there: only the first 28 come every month.
        return None if dates is None or dates[-1] > 28 else _largest_gap(dates, 31)
    return None


def _largest_gap(chosen: list[int], cycle: int) -> int:
    return max([b - a for a, b in pairwise(chosen)] + [cycle - chosen[-1] + chosen[0]])


def field(text: str, low: int, high: int) -> list[int] | None:
    """Return the values a cron field stands for, sorted; None when it is not numbers, lists, ranges and steps."""
    values: set[int] = set()
    for part in text.split(","):
        body, _, step = part.partition("/")
        if step and not (step.isdigit() and int(step) > 0):
            return None
        if body in ("*", "?"):
            first, last = low, high
        elif body.isdigit():
            first, last = int(body), high if step else int(body)
        elif found := re.fullmatch(r"(\d+)-(\d+)", body):
            first, last = int(found[1]), int(found[2])
        else:
            return None
        if not (low <= first <= last <= high):
            return None
        values |= set(range(first, last + 1, int(step or 1)))
    return sorted(values) or None
