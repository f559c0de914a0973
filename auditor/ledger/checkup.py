"""Look at a ledger's file without changing it: for who wants to know before it is opened, migrated or restored."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from auditor.ledger import storage, write_ahead
from auditor.ledger.migrations import APPLICATION_ID, VERSION


@dataclass(frozen=True, slots=True)
class Checkup:
    """What a ledger's file says of itself."""

    there: bool = True
    ours: bool = True
    """It is a ledger, and not another program's database."""
    version: int = 0
    """Its schema; 0 where that could not be read."""
    newest: int = VERSION
    """The schema that this auditor writes."""
    damage: tuple[str, ...] = ()
    busy: bool = False
    """Another process writes to it now."""
    running: str = ""
    """The slot that a scan holds, and who; empty: none."""
    because: str = ""
    """Why it could not be looked at; then the rest says nothing."""


def checkup(path: Path) -> Checkup:
    """Look at the file at `path`; nothing is made, migrated or kept waiting for."""
    if not path.exists():
        return Checkup(there=False)
    try:
        if words := write_ahead.lost(path):
            return Checkup(damage=(words,))
        conn = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None
        )
    except sqlite3.Error as error:
        return Checkup(because=str(error))
    try:
        return _looked(conn)
    except sqlite3.DatabaseError as error:
        if storage.damaged(error):
            return Checkup(damage=(str(error),))
        return Checkup(because=str(error))
    finally:
        conn.close()


def _looked(conn: sqlite3.Connection) -> Checkup:
    (application,) = conn.execute("PRAGMA application_id").fetchone()
    (version,) = conn.execute("PRAGMA user_version").fetchone()
    conn.execute("PRAGMA busy_timeout = 200")  # nobody waits before the first look: storage._entered says why
    if application != APPLICATION_ID:
        return Checkup(ours=False, version=version)
    damage = tuple(storage.damage(conn))
    running = ""
    if not damage and 0 < version <= VERSION:
        held = conn.execute("SELECT slot, owner, until FROM lease ORDER BY slot LIMIT 1").fetchone()
        running = f"{held[0]} ({held[1]}), until {held[2]}" if held else ""
    return Checkup(version=version, damage=damage, busy=_busy(conn), running=running)


def _busy(conn: sqlite3.Connection) -> bool:
    """Say whether another process holds the lock that a write takes; it is taken and given back."""
    try:
        conn.execute("BEGIN IMMEDIATE")
        conn.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if storage.busy(error):
            return True
        raise
    return False
