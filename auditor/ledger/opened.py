"""A ledger's open file: one writer at a time, and one state of it for whoever reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auditor.ledger import chain, storage
from auditor.ledger.migrations import VERSION
from auditor.ledger.values import UnreadableError

_UNREAD = (ValueError, KeyError, TypeError, sqlite3.OperationalError)
"""What comes of reading a value that is not what was written: a time that is none, JSON that is broken."""


class Opened:
    """An open file that the parts of a ledger write and read through."""

    def __init__(self, conn: sqlite3.Connection, path: Path) -> None:
        self._conn = conn
        self.path = path

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._explained(), storage.transaction(self._conn):
            yield self._conn

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        """See one state of the ledger, whatever is written meanwhile."""
        with self._explained(), storage.transaction(self._conn, "DEFERRED"):
            yield self._conn

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say of a value that cannot be read that the ledger was changed, where it was: then it is no fault of ours."""
        with storage.told(self.path):
            try:
                yield
            except _UNREAD as error:
                if isinstance(error, sqlite3.OperationalError) and not chain.altered(error):
                    raise
                if words := self._unsound() or self._unread(error):
                    raise storage.differs(self.path, words) from error
                raise

    def _unread(self, error: Exception) -> str:
        """Say what could not be read of what no entry of the chain repeats; empty: it may be a fault of ours."""
        if isinstance(error, UnreadableError):
            return str(error)
        ours = self._conn.execute("PRAGMA user_version").fetchone()[0] != VERSION
        return (
            ""
            if ours or not isinstance(error, sqlite3.OperationalError)
            else f"{chain.OTHER_TABLES}: {error}"
        )

    def unsound(self) -> str:
        """Say what is wrong with the file, page by page, or else where it is not what was recorded; empty: nothing is."""
        with storage.told(self.path):
            return self._unsound()

    def _unsound(self) -> str:
        if wrong := storage.damage(self._conn):
            return wrong[0]
        if self._conn.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            return ""  # one of an older schema, opened to read alone: its chain is walked once it is migrated
        with storage.transaction(self._conn, "DEFERRED"):
            return chain.verify(self._conn).because

    def require_whole(self) -> None:
        """Raise VerificationError where a page of the file is damaged: nothing is to be written over it."""
        if wrong := storage.damage(self._conn):
            raise storage.differs(self.path, wrong[0])
