"""How far each source has read on in its feeds: written with the scan that read them, or not at all.

A cursor is only ever an optimisation. What was seen is in the coverage of the scan's snapshot.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from auditor.ledger.values import safe


def every(conn: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """Return the position of each (source, scope) as the last recorded scan left it."""
    found = conn.execute("SELECT source, scope, position FROM cursor ORDER BY source, scope")
    return {(source, scope): position for source, scope, position in found}


def keep(conn: sqlite3.Connection, cursors: Mapping[tuple[str, str], str], *, n: int) -> None:
    """Write the cursors of scan `n` within the caller's transaction; one that stands still is not written again."""
    conn.executemany(
        "INSERT INTO cursor VALUES (?, ?, ?, ?) ON CONFLICT (source, scope) DO UPDATE "
        "SET position = excluded.position, scan = excluded.scan WHERE position <> excluded.position",
        ((safe(source), safe(scope), safe(at), n) for (source, scope), at in sorted(cursors.items())),
    )
