"""Databases in memory, each lent to one user at a time: to start one costs as much as fifty small statements.

Who borrows gets a catalog of its own, attached for it and detached after: nothing of one user is seen by the next. A
database that broke, or that spilled, is not lent again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from auditor.canonical import connect, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MOST_IDLE = 2
_LENT = "lent"
"""The catalog of who borrows."""


class Borrowed:
    """A connection to an empty catalog; its memory, threads and spilled bytes are limited as `canonical.connect` says."""

    def __init__(
        self, *, memory_limit: str = "64MB", threads: int = 1, spill: Path, spill_mb: int = 0
    ) -> None:
        self._database, self.connection = _IDLE.take(memory_limit, threads, spill, spill_mb) or _opened(
            connect(memory_limit=memory_limit, threads=threads, spill=spill, spill_mb=spill_mb)
        )

    def __enter__(self) -> DuckDBPyConnection:
        return self.connection

    def __exit__(self, *_: object) -> None:
        self.close()

    def another(self) -> DuckDBPyConnection:
        """Return one more connection to the same catalog; close it after use."""
        connection = self._database.cursor()
        connection.execute(f"USE {_LENT}")
        return connection

    def close(self) -> None:
        """Drop everything in it, and keep the database for the next one if it is sound."""
        import duckdb

        try:
            self.connection.execute("USE memory")
            self.connection.execute(f"DETACH {_LENT}")
            self.connection.close()
            self._database.execute("SET temp_directory = ''")  # refused by one that spilled
        except duckdb.Error:
            self._database.close()
        else:
            _IDLE.keep(self._database)


def _opened(database: DuckDBPyConnection) -> tuple[DuckDBPyConnection, DuckDBPyConnection]:
    connection = database.cursor()  # its temporary tables go with it
    connection.execute(f"ATTACH ':memory:' AS {_LENT}; USE {_LENT}")
    return database, connection


class _Idle:
    """The databases that wait, of this process: a forked one must not use its parent's."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, DuckDBPyConnection]] = []
        self._lock = Lock()

    def take(
        self, memory_limit: str, threads: int, spill: Path, spill_mb: int
    ) -> tuple[DuckDBPyConnection, DuckDBPyConnection] | None:
        """Return an idle database under these limits and a connection to it; None where there is none."""
        import duckdb

        most = "max_temp_directory_size"
        limits = (
            f"SET memory_limit = {quoted(memory_limit)}; SET threads = {threads}; "
            f"SET temp_directory = {quoted(str(spill))}; "
            + (f"SET {most} = '{spill_mb}MB'" if spill_mb else f"RESET {most}")
        )
        while (database := self._pop()) is not None:
            with suppress(duckdb.Error):  # it broke
                database.execute(limits)
                return _opened(database)
            database.close()
        return None

    def _pop(self) -> DuckDBPyConnection | None:
        with self._lock:
            mine = [each for each in self._waiting if each[0] == os.getpid()]
            if not mine:
                return None
            self._waiting.remove(mine[-1])
            return mine[-1][1]

    def keep(self, database: DuckDBPyConnection) -> None:
        """Let a database wait; the one that waits longest goes when there are too many."""
        with self._lock:
            self._waiting.append((os.getpid(), database))
            gone = self._waiting.pop(0)[1] if len(self._waiting) > _MOST_IDLE else None
        if gone is not None:
            gone.close()


_IDLE = _Idle()
