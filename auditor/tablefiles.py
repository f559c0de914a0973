"""The Parquet files of tables: read as rows; small ones are written once and read once by a process.

From one weekly scan to the next half of the tables stay as they were, and each is read several times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from auditor.canonical import loaded, reader, sql_columns
from auditor.relations import from_parquet
from auditor.schema import tables as schema_tables

if TYPE_CHECKING:
    from auditor.schema import Table

_SMALL = 65_536
"""Bytes of a file that is remembered once it was written."""
_MOST_PACKED = 1 << 21
"""Bytes of all files that are remembered as they were written."""
_MOST_OF_ONE, _MOST_FETCHED = 1 << 20, 1 << 23
"""Characters of a file's rows that are remembered, and of all files'."""


class _Packed:
    """The bytes of small Parquet files this process wrote, by what is in them.

    The rows of a file are in the order of its key, so a table's digest and schema say all that is in it.
    """

    def __init__(self) -> None:
        self._files: dict[tuple[Table, str], bytes] = {}
        self._lock = Lock()

    def get(self, table: Table, digest: str) -> bytes | None:
        """Return the file of these very rows, if it was written here before."""
        with self._lock:
            return self._files.get((table, digest))

    def keep(self, table: Table, digest: str, path: Path) -> None:
        """Remember a file while it is small, and the latest of them all."""
        if path.stat().st_size > _SMALL:
            return
        with self._lock:
            self._files[table, digest] = path.read_bytes()
            while sum(map(len, self._files.values())) > _MOST_PACKED:
                del self._files[next(iter(self._files))]


PACKED = _Packed()


def rows_of(table: str, path: Path, only: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table's file, times aware and JSON decoded; `only` names the columns, empty: all."""
    described = schema_tables()[table]
    columns = {name: kind for name, kind in sql_columns(described).items() if not only or name in only}
    for row in _FETCHED.rows(path, columns):
        yield loaded(described, dict(zip(columns, row, strict=True)))


class _Fetched:
    """The rows of small Parquet files, as they were read last."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
        self._sizes: dict[tuple[Any, ...], int] = {}
        self._lock = Lock()

    def rows(self, path: Path, columns: Mapping[str, str]) -> Iterator[tuple[Any, ...]]:
        """Yield the columns of each row; a file that is another than it was is read again."""
        stat = path.stat()
        key = (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size, *columns.items())
        with self._lock:
            known = self._rows.get(key)
        if known is not None:
            yield from known
            return
        held: list[tuple[Any, ...]] = []
        size = 0
        for row in _fetch(path, columns):
            if size <= _MOST_OF_ONE:
                size += 100 + sum(len(value) for value in row if isinstance(value, str))
                held.append(row)
            yield row
        if size <= _MOST_OF_ONE:
            self._keep(key, held, size)

    def _keep(self, key: tuple[Any, ...], rows: list[tuple[Any, ...]], size: int) -> None:
        with self._lock:
            self._rows[key], self._sizes[key] = rows, size
            while sum(self._sizes.values()) > _MOST_FETCHED:
                oldest = next(iter(self._sizes))
                del self._rows[oldest], self._sizes[oldest]


_FETCHED = _Fetched()


def _fetch(path: Path, columns: Mapping[str, str]) -> Iterator[tuple[Any, ...]]:
    with reader() as connection:
        found = connection.execute(f"SELECT * FROM {from_parquet(connection, path, columns)}")
        while batch := found.fetchmany(1000):
            yield from batch
