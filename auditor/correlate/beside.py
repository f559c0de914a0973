"""Rows read beside others in the order of one key, so that none of them wait in memory for theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditor.correlate import Rows

Row = Mapping[str, Any]


class Beside:
    """Rows of a table that is ordered by a column, handed out to those who ask for its values in the same order."""

    def __init__(self, rows: Rows, column: str) -> None:
        self._groups: Iterator[tuple[Any, Iterator[Row]]] = groupby(rows, itemgetter(column))
        self._column = column
        self._key: Any
        self._rows: Iterator[Row]
        self._key, self._rows = next(self._groups, (None, iter(())))
        self._asked: Any = None

    def of(self, key: Any) -> list[Row]:
        """Return the rows of a value; ValueError when values are asked, or rows stand, in another order."""
        if self._asked is not None and key <= self._asked:
            raise ValueError(f"{self._column} {key!r} is asked for after {self._asked!r}")
        self._asked = key
        while self._key is not None and self._key < key:
            before = self._key
            self._key, self._rows = next(self._groups, (None, iter(())))
            if self._key is not None and self._key <= before:
                raise ValueError(f"{self._column} {self._key!r} stands after {before!r}")
        return list(self._rows) if self._key == key else []
