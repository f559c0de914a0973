"""Writes that nobody explains, so that an export asks only those under its prefix and of its time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

Row = Mapping[str, Any]


class Strays:
    """Writes of one bucket that no job and no declared writer explains, by directory and time."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows: dict[str, list[Row]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: (row["at"], row["event_id"])):
            self._rows[row["dir"]].append(row)
        self._dirs = sorted(self._rows)

    def under(self, prefix: str, begin: datetime, end: datetime) -> Iterator[Row]:
        """Yield those under a prefix between two times, the borders among them."""
        for directory in self._dirs[bisect_left(self._dirs, prefix) :]:
            if not directory.startswith(prefix):
                return
            rows = self._rows[directory]
            first = bisect_left(rows, begin, key=_at)
            yield from rows[first : bisect_right(rows, end, key=_at)]


def _at(row: Row) -> datetime:
    return row["at"]  # type: ignore[no-any-return]
