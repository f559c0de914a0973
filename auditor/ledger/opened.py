"""A ledger's open file: one writer at a time, and one state of it for whoever reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auditor.ledger import storage


class Opened:
    """An open file that the parts of a ledger write and read through."""

    def __init__(self, conn: sqlite3.Connection, path: Path) -> None:
        self._conn = conn
        self.path = path

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with storage.told(self.path), storage.transaction(self._conn):
            yield self._conn

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        """See one state of the ledger, whatever is written meanwhile."""
        with storage.told(self.path), storage.transaction(self._conn, "DEFERRED"):
            yield self._conn
