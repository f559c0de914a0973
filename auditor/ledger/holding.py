"""A slot is held as long as its scan runs, and not much longer: a thread renews the lease until the scan has ended."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

from auditor.errors import AuditorError, BusyError
from auditor.ledger import slots, storage
from auditor.ledger.owner import local_owner
from auditor.ledger.values import Lease

if TYPE_CHECKING:
    from auditor.ledger.ledger import Ledger

LEASE_S = 600
"""A scan that ended without a word, on another machine, is over after this."""
_PARTS = 5
"""The lease is renewed so many times before it runs out."""

_REMEDY = (
    "Make room in the state folder and for temporary files, or raise [limits] memory_mb or spill_mb, and scan again; "
    "nothing of this scan was recorded."
)


class Holding:
    """Holds a slot while the block within runs. Its time is that of the scan's begin, and goes on by a clock that only grows.

    `wait` waits for so many seconds and says whether the block has ended.
    """

    def __init__(
        self, path: Path, lease: Lease, lease_s: int = LEASE_S, *, wait: Callable[[float], bool] | None = None
    ) -> None:
        self._path, self._lease, self._lease_s = path, lease, lease_s
        self._ended = threading.Event()
        self._wait = wait or self._ended.wait
        self._thread = threading.Thread(target=self._renew, name="holding", daemon=True)

    def __enter__(self) -> Self:
        self._begun_s = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _renew(self) -> None:
        while not self._wait(self._lease_s / _PARTS):
            try:
                self._renew_once()
            except BusyError as error:
                if not isinstance(error.__cause__, sqlite3.Error):
                    return  # another has the slot: the ledger will refuse this scan's record
            except (AuditorError, sqlite3.Error, OSError):
                continue  # there are more parts of the lease, and recording says what is wrong

    def _renew_once(self) -> None:
        now = self._lease.begun_at + timedelta(seconds=time.monotonic() - self._begun_s)
        conn = storage.connect(self._path, busy_s=5.0, create=False)
        try:
            with storage.told(self._path), storage.transaction(conn):
                slots.renew(conn, self._lease, self._lease_s, now)
        finally:
            conn.close()


@contextmanager
def held(ledger: Ledger, slot: str, owner: str, now: datetime) -> Iterator[Lease]:
    """Hold a slot while it is scanned, and give it back where that comes to nothing."""
    ledger.require_whole()
    lease = ledger.begin(slot, owner or local_owner(), LEASE_S, now)
    try:
        with Holding(ledger.path, lease):
            yield lease
    except BaseException as error:
        with suppress(AuditorError):  # the lease of a process that ended is free anyway
            ledger.release(lease, now)
        if (said := _failed(error)) is not None:
            raise said from error
        raise


def _failed(error: BaseException) -> AuditorError | None:
    """Return what to tell where a scan came to nothing for want of room on disk or in memory; None for anything else."""
    if not (isinstance(error, OSError) or _engine_full(error)):
        return None
    said = " ".join(str(error).split())
    return AuditorError(f"the state folder could not be read or written: {said}", remedy=_REMEDY)


def _engine_full(error: BaseException) -> bool:
    """Say whether the engine could not write or spill: its errors are no OSError."""
    kinds = {
        kind.__name__ for kind in type(error).__mro__ if kind.__module__.startswith(("duckdb", "_duckdb"))
    }
    return not kinds.isdisjoint({"IOException", "OutOfMemoryException"})
