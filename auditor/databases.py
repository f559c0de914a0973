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
        self._limits = memory_limit, threads, spill_mb
        self._database, self.connection = _IDLE.take(self._limits, spill) or _opened(
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
            _IDLE.keep(self._database, self._limits)


def _opened(database: DuckDBPyConnection) -> tuple[DuckDBPyConnection, DuckDBPyConnection]:
    connection = database.cursor()  # its temporary tables go with it
    connection.execute(f"ATTACH ':memory:' AS {_LENT}; USE {_LENT}")
    return database, connection


Limits = tuple[str, int, int]
"""Of memory, as DuckDB writes it; threads; MB that may be spilled, 0: no limit."""


class _Idle:
    """The databases that wait, of this process: a forked one must not use its parent's."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, Limits, DuckDBPyConnection]] = []
        self._lock = Lock()

    def take(self, limits: Limits, spill: Path) -> tuple[DuckDBPyConnection, DuckDBPyConnection] | None:
        """Return an idle database under these limits and a connection to it; None where there is none."""
        import duckdb

        while (waited := self._pop(limits)) is not None:
            had, database = waited
            with suppress(duckdb.Error):  # it broke
                database.execute(f"SET temp_directory = {quoted(str(spill))}; {_changed(had, limits)}")
                return _opened(database)
            database.close()
        return None

    def _pop(self, limits: Limits) -> tuple[Limits, DuckDBPyConnection] | None:
        """Take one away, best one that has these limits."""
        with self._lock:
            mine = [each for each in self._waiting if each[0] == os.getpid()]
            if not mine:
                return None
            best = next((each for each in reversed(mine) if each[1] == limits), mine[-1])
            self._waiting.remove(best)
            return best[1:]

    def keep(self, database: DuckDBPyConnection, limits: Limits) -> None:
        """Let a database wait; the one that waits longest goes when there are too many."""
        with self._lock:
            self._waiting.append((os.getpid(), limits, database))
            gone = self._waiting.pop(0)[2] if len(self._waiting) > _MOST_IDLE else None
        if gone is not None:
            gone.close()


def _changed(had: Limits, wanted: Limits) -> str:
    """Return the statements that change limits: to set one as it is makes DuckDB give all free memory back."""
    most = "max_temp_directory_size"
    memory, threads, spill_mb = wanted
    said = (
        f"SET memory_limit = {quoted(memory)}",
        f"SET threads = {threads}",
        f"SET {most} = '{spill_mb}MB'" if spill_mb else f"RESET {most}",
    )
    return "; ".join(text for text, before, after in zip(said, had, wanted, strict=True) if before != after)


_IDLE = _Idle()
