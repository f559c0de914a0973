"""What later scans must know: due times fixed at first sight, settings and points seen before.

A quiet scan writes nothing here: an interval that lasts has no end, and what was not seen this time
gets the time of the scan that saw it last.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from auditor.ledger.recorded import BucketMemory, ExportMemory, Memories, PointMemory
from auditor.ledger.values import canonical, optional, safe, stamp
from auditor.model import Gap, Seen
from auditor.watch.values import Watched, by_table, listings, lost

BUCKET_SIGHTS = 60
"""Settings of a bucket are remembered for this many sights."""


def remember(
    conn: sqlite3.Connection,
    memories: Memories,
    coverage: Sequence[Seen | Gap],
    *,
    n: int,
    at: str,
    previous_at: str | None,
) -> list[dict[str, Any]]:
    """Store what a scan saw; return due times that were computed anew and are not applied."""
    moved = _exports(conn, memories.exports, n=n, at=at)
    _buckets(conn, memories.buckets, at=at, previous_at=previous_at or at)
    _memberships(conn, memories.memberships, at=at, previous_at=previous_at or at)
    _points(conn, memories.points, at=at, previous_at=previous_at or at)
    _watch(conn, memories.watch, coverage, previous_at=previous_at or at)
    conn.executemany(
        "INSERT OR IGNORE INTO watch_scope VALUES (?, ?, ?)",
        sorted(listings(coverage)),
    )
    return moved


def _exports(
    conn: sqlite3.Connection, exports: Iterable[ExportMemory], *, n: int, at: str
) -> list[dict[str, Any]]:
    """Fix zone and due time of new exports; keep those of known ones whatever they are now."""
    columns = "capture_due_at, later_due_at, retention_state, proving_point, links, final_scan"
    moved = []
    for export in sorted(exports, key=lambda export: export.export_id):
        due = stamp(export.capture_due_at) if export.capture_due_at else None
        links = None if export.links is None else canonical(export.links)
        now = (optional(export.retention_state), optional(export.proving_point), links)
        final = n if export.final else None
        export_id = safe(export.export_id)
        known = conn.execute(
            f"SELECT {columns} FROM export_memory WHERE export_id = ?", (export_id,)
        ).fetchone()
        if known is None:
            conn.execute(
                "INSERT INTO export_memory (export_id, first_scan, zone, first_seen_at, "
                "capture_due_at, retention_state, proving_point, links, final_scan) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (export_id, n, optional(export.zone), at, due, *now, final),
            )
            continue
        frozen, later, *said, settled = known
        if settled is not None:
            continue
        if due not in {frozen, later, None} and (frozen or later is None):
            moved.append({"export_id": export_id, "fixed": frozen, "computed": due})
            later = due
        if (later, *now, final) != (known[1], *said, None):
            conn.execute(
                "UPDATE export_memory SET later_due_at = ?, retention_state = ?, "
                "proving_point = ?, links = ?, final_scan = ? WHERE export_id = ?",
                (later, *now, final, export_id),
            )
    return moved


def _buckets(conn: sqlite3.Connection, buckets: Iterable[BucketMemory], *, at: str, previous_at: str) -> None:
    lasting = {
        arn: (versioning, eventbridge)
        for arn, versioning, eventbridge in conn.execute(
            "SELECT arn, versioning, eventbridge FROM bucket_memory WHERE until_at IS NULL"
        )
    }
    seen = {
        safe(bucket.arn): (
            optional(bucket.versioning),
            None if bucket.eventbridge is None else int(bucket.eventbridge),
        )
        for bucket in buckets
    }
    for arn, was in sorted(lasting.items()):
        if seen.get(arn) != was:
            conn.execute(
                "UPDATE bucket_memory SET until_at = ? WHERE arn = ? AND until_at IS NULL",
                (previous_at, arn),
            )
    for arn, has in sorted(seen.items()):
        if lasting.get(arn) == has or has == (None, None):
            continue
        conn.execute("INSERT INTO bucket_memory VALUES (?, ?, NULL, ?, ?)", (arn, at, *has))
        conn.execute(
            "DELETE FROM bucket_memory WHERE arn = ? AND since_at NOT IN (SELECT since_at "
            "FROM bucket_memory WHERE arn = ? ORDER BY since_at DESC LIMIT ?)",
            (arn, arn, BUCKET_SIGHTS // 2),
        )


def _memberships(
    conn: sqlite3.Connection, members: Iterable[tuple[str, str]], *, at: str, previous_at: str
) -> None:
    """Keep runs of scans that saw a membership; one scan that did not see it ends the run."""
    lasting = set(conn.execute("SELECT user_id, group_name FROM membership_memory WHERE until_at IS NULL"))
    seen = {(safe(user), safe(group)) for user, group in members}
    conn.executemany(
        "UPDATE membership_memory SET until_at = ? WHERE user_id = ? AND group_name = ? AND until_at IS NULL",
        [(previous_at, *one) for one in sorted(lasting - seen)],
    )
    conn.executemany(
        "INSERT INTO membership_memory VALUES (?, ?, ?, NULL)",
        [(*one, at) for one in sorted(seen - lasting)],
    )


def _points(conn: sqlite3.Connection, points: Iterable[PointMemory], *, at: str, previous_at: str) -> None:
    columns = "arn, account, region, vault_arn, resource_arn, status, delete_at, deletes_after_copy"
    conn.execute("DROP TABLE IF EXISTS temp.seen_point")
    conn.execute(f"CREATE TEMP TABLE seen_point ({columns}, PRIMARY KEY (arn)) WITHOUT ROWID")
    conn.executemany(
        "INSERT OR REPLACE INTO seen_point VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                safe(point.arn),
                optional(point.account),
                optional(point.region),
                optional(point.vault_arn),
                optional(point.resource_arn),
                optional(point.status),
                stamp(point.delete_at) if point.delete_at else None,
                None if point.deletes_after_copy is None else int(point.deletes_after_copy),
            )
            for point in points
        ),
    )
    conn.execute(
        "UPDATE point_memory SET last_seen_at = ? WHERE last_seen_at IS NULL "
        "AND arn NOT IN (SELECT arn FROM seen_point)",
        (previous_at,),
    )
    changed = (
        f"SELECT {columns} FROM seen_point EXCEPT "
        f"SELECT {columns} FROM point_memory WHERE last_seen_at IS NULL"
    )
    sets = ", ".join(f"{name} = excluded.{name}" for name in columns.split(", ")[1:])
    conn.execute(
        f"INSERT INTO point_memory SELECT {columns}, ?, NULL FROM ({changed}) WHERE true "
        f"ON CONFLICT (arn) DO UPDATE SET {sets}, last_seen_at = NULL",
        (at,),
    )
    conn.execute("DROP TABLE temp.seen_point")


def _watch(
    conn: sqlite3.Connection,
    watch: Iterable[Watched],
    coverage: Sequence[Seen | Gap],
    *,
    previous_at: str,
) -> None:
    """Keep the last value that was known of every watched setting; forget rows that are gone."""
    columns = "table_name, key, field, value, account, region"
    conn.execute("DROP TABLE IF EXISTS temp.seen_watch")
    conn.execute(
        f"CREATE TEMP TABLE seen_watch ({columns}, PRIMARY KEY (table_name, key, field)) WITHOUT ROWID"
    )
    conn.executemany(
        "INSERT OR REPLACE INTO seen_watch VALUES (?, ?, ?, ?, ?, ?)",
        (
            (one.table, safe(one.key), one.field, optional(one.value), one.account, one.region)
            for one in watch
        ),
    )
    absent = conn.execute(
        "SELECT DISTINCT table_name, key, account, region FROM watch_memory AS m WHERE NOT EXISTS "
        "(SELECT 1 FROM seen_watch AS s WHERE s.table_name = m.table_name AND s.key = m.key)"
    ).fetchall()
    told = by_table(coverage)
    gone = [
        (table, key)
        for table, key, account, region in absent
        if lost(Watched(table, key, "", None, account, region), told.get(table, ()))
    ]
    conn.executemany("DELETE FROM watch_memory WHERE table_name = ? AND key = ?", gone)
    conn.execute(
        "UPDATE watch_memory AS m SET known_at = ? WHERE known_at IS NULL AND NOT EXISTS "
        "(SELECT 1 FROM seen_watch AS s WHERE s.table_name = m.table_name AND s.key = m.key "
        "AND s.field = m.field AND s.value IS NOT NULL)",
        (previous_at,),
    )
    changed = (
        f"SELECT {columns} FROM seen_watch WHERE value IS NOT NULL EXCEPT "
        f"SELECT {columns} FROM watch_memory WHERE known_at IS NULL"
    )
    conn.execute(
        f"INSERT INTO watch_memory SELECT {columns}, NULL FROM ({changed}) WHERE true "
        "ON CONFLICT (table_name, key, field) DO UPDATE SET value = excluded.value, "
        "account = excluded.account, region = excluded.region, known_at = NULL"
    )
    # A row of which nothing is known yet still exists: it must not count as new the next time.
    conn.execute(
        f"INSERT OR IGNORE INTO watch_memory SELECT {columns}, NULL FROM seen_watch WHERE value IS NULL"
    )
    conn.execute("DROP TABLE temp.seen_watch")


def rows(conn: sqlite3.Connection, last_at: str | None) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    """Yield history_export, history_membership, history_bucket, history_point and history_watch; times as text.

    The rows of one are read before the next is asked for.
    """
    export = (
        # A run that was seen before it ended had no due time yet: the first one that was known is kept.
        "SELECT export_id, zone, first_seen_at, coalesce(capture_due_at, later_due_at) AS capture_due_at, "
        "retention_state, proving_point, "
        "final_scan IS NOT NULL AS final, links FROM export_memory ORDER BY export_id"
    )
    bucket = (
        "SELECT arn, since_at AS at, versioning, eventbridge FROM bucket_memory UNION "
        "SELECT arn, coalesce(until_at, :last), versioning, eventbridge FROM bucket_memory "
        "ORDER BY arn, at"
    )
    membership = (
        "SELECT user_id, group_name, since_at AS from_seen_at, "
        "coalesce(until_at, :last) AS until_seen_at FROM membership_memory "
        "ORDER BY user_id, group_name, since_at"
    )
    point = (
        "SELECT arn, account, region, vault_arn, resource_arn, status, delete_at, "
        "deletes_after_copy, first_seen_at, coalesce(last_seen_at, :last) AS last_seen_at "
        "FROM point_memory ORDER BY arn"
    )
    watch = (
        'SELECT table_name, "key", field, value, account, region FROM watch_memory '
        'ORDER BY table_name, "key", field'
    )
    for name, query in (
        ("history_export", export),
        ("history_membership", membership),
        ("history_bucket", bucket),
        ("history_point", point),
        ("history_watch", watch),
    ):
        cursor = conn.execute(query, {"last": last_at})
        names = [column[0] for column in cursor.description]
        yield name, (dict(zip(names, row, strict=True)) for row in cursor)


def last_at(conn: sqlite3.Connection) -> str | None:
    """Return when the last finished scan was, as text."""
    row = conn.execute("SELECT max(at) FROM scan WHERE state = 'finished'").fetchone()
    return None if row[0] is None else str(row[0])
