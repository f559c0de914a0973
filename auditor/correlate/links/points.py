"""The recovery points of one bucket, in the order they started, so that an export asks only those of its time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

Row = Mapping[str, Any]


def start_of(point: Row) -> datetime | None:
    """Return when a point started: the earlier of InitiationDate and CreationDate."""
    initiated, created = point["initiated_at"], point["created_at"]
    if initiated is None or created is None:
        found: datetime | None = created if initiated is None else initiated
        return found
    return min(initiated, created)  # type: ignore[no-any-return]


class Points:
    """Periodic points by their start; those without one, or without an end, and continuous ones apart."""

    def __init__(self, rows: Iterable[Row]) -> None:
        timed: list[tuple[datetime, str, Row]] = []
        self._always: list[Row] = []
        for row in sorted(rows, key=lambda row: row["arn"]):
            start = start_of(row)
            if row["continuous"] or start is None or row["completed_at"] is None:
                self._always.append(row)
            else:
                timed.append((start, row["arn"], row))
        timed.sort(key=lambda item: item[:2])
        self._starts = [start for start, _, _ in timed]
        self._rows = [row for _, _, row in timed]
        spans = [row["completed_at"] - start for start, _, row in timed]
        self._longest = max(spans, default=timedelta())

    def every(self) -> list[Row]:
        """Return all of them."""
        return [*self._always, *self._rows]

    def between(self, first: datetime, last: datetime) -> list[Row]:
        """Return the points that were under way between two times, the last before and the first after them.

        What started later is late, what ended earlier is early: of either the nearest tells all there is to tell.
        """
        low = bisect_left(self._starts, first - self._longest)
        high = bisect_right(self._starts, last)
        return [*self._always, *self._rows[max(low - 1, 0) : high + 1]]
