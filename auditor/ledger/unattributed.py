"""Changes that were told without who made them, while their events may still come; and what backup plans are called."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from auditor.drift import finding_id
from auditor.ledger import queries
from auditor.ledger.values import instant, stamp
from auditor.model import Drift
from auditor.watch.late import HORIZON, late_id, unnamed


def changes(
    conn: sqlite3.Connection, as_of: datetime, last: str | None
) -> tuple[tuple[Drift, ...], tuple[Drift, ...]]:
    """Return what was told of settings, and not by whom, by the last scan and within the horizon of events.

    With it what was told of findings of the same subjects by the same scan, as far as they are open.
    """
    if last is None:
        return (), ()
    since = min(as_of - HORIZON, instant(last))
    settings = unnamed(queries.drift(conn, since, settings=True))
    return settings, tuple(_following(conn, since)) if settings else ()


def _following(conn: sqlite3.Connection, from_at: datetime) -> list[Drift]:
    """Return what got worse of findings that are open, told beside a change that nobody is known to have made.

    Without those of which it was told since who it was.
    """
    rows = conn.execute(
        f"SELECT DISTINCT {', '.join(f'd.{name}' for name in queries.DRIFT)} FROM scan AS s "
        "JOIN drift AS c ON c.scan = s.n AND c.rule IS NULL AND c.actor IS NULL "
        "JOIN drift AS d ON d.scan = c.scan AND d.subject_key = c.subject_key AND d.rule IS NOT NULL "
        "AND d.actor IS NULL AND d.direction = 'worse' WHERE s.at >= ? "
        "ORDER BY s.n, d.subject_table, d.subject_key, d.rule, d.field, d.kind",
        (stamp(from_at),),
    )
    asked = "SELECT 1 FROM finding WHERE finding_id = ? AND until_scan IS NULL"
    told = {
        row[0]
        for row in conn.execute(
            "SELECT drift_id FROM drift AS d JOIN scan AS s ON s.n = d.scan "
            "WHERE s.at >= ? AND rule IS NOT NULL AND actor_reason LIKE 'late: %'",
            (stamp(from_at),),
        )
    }
    return [
        one
        for one in map(queries.drift_of, rows.fetchall())
        if late_id(one.drift_id) not in told
        and conn.execute(asked, (finding_id(one.rule or "", one.subject_table, one.subject_key),)).fetchone()
    ]


def plans(conn: sqlite3.Connection) -> dict[str, str]:
    """Return how a sentence calls each backup plan that the last scan knew, by its ARN."""
    from auditor.watch.plans import labels
    from auditor.watch.values import Watched

    rows = conn.execute(
        "SELECT key, value FROM watch_memory WHERE table_name = 'backup_plan' AND field = 'name' ORDER BY key"
    ).fetchall()
    known = labels(
        {("backup_plan", key): {"name": Watched("backup_plan", key, "name", name)} for key, name in rows}
    )
    return {key: known[plan] for key, _ in rows if (plan := key.rpartition(":")[2]) in known}
