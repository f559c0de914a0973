"""Rows as they are handed out: times aware, JSON decoded, whatever the engine made of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC
from functools import cache
from json import JSONDecoder, loads
from typing import Any

from auditor.canonical import SQL_TYPES, aware
from auditor.schema import Table
from auditor.schema import tables as schema_tables


class Streamed(Collection[dict[str, Any]]):
    """Rows that are read anew each time, some in memory at once."""

    def __init__(self, read: Callable[[], Iterator[dict[str, Any]]], count: Callable[[], int]) -> None:
        self._read = read
        self._count = count

    def __len__(self) -> int:
        return self._count()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._read()

    def __contains__(self, row: object) -> bool:
        return any(each == row for each in self)


def decoding(kind: str, json: bool) -> Callable[[Sequence[Any]], Sequence[Any]] | None:
    """Return what makes a column's values what they are handed out as; None where DuckDB's own are."""
    if kind == "TIMESTAMP":
        return _aware
    if kind.startswith("TIMESTAMP"):
        return lambda values: [None if value is None else aware(value) for value in values]
    if json and kind in ("VARCHAR", "JSON"):
        return _loaded
    return None


def _aware(times: Sequence[Any]) -> Sequence[Any]:
    return [at and at.replace(tzinfo=UTC) for at in times]


def _loaded(texts: Sequence[Any]) -> Sequence[Any]:
    return [None if text is None else _read(text) for text in texts]


_SCAN: Callable[[str, int], tuple[Any, int]] = JSONDecoder().scan_once  # type: ignore[attr-defined]
"""What `json.loads` calls when it has looked at everything else: half of its time."""


def _read(text: str) -> Any:
    try:
        value, end = _SCAN(text, 0)
    except StopIteration:
        return loads(text)
    return value if end == len(text) else loads(text)


def json_of(table: Table) -> frozenset[str]:
    """Return the columns of a table that hold JSON."""
    return frozenset(column.name for column in table.columns if column.type == "JSON")


@cache
def always_json() -> frozenset[str]:
    """Return the columns that hold JSON in every table that has them."""
    kinds: dict[str, set[str]] = {}
    for table in schema_tables().values():
        for column in table.columns:
            kinds.setdefault(column.name, set()).add(SQL_TYPES[column.type] + column.type)
    return frozenset(column for column, types in kinds.items() if types == {"VARCHARJSON"})
