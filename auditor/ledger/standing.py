"""What stands before a scan: the findings that are open, and what drift compares the next scan with.

Most findings stay as they are from scan to scan. Where the judgement before is still on disk, the two judgements
tell which may move, and only those are read here.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from auditor.drift import REGRESSION, Past, Standing, finding_id
from auditor.ledger import memory, unattributed
from auditor.ledger.queries import WORDS
from auditor.ledger.values import instant, maybe, stamp
from auditor.model import Outcome, Ref, Verdict
from auditor.spool import CHANGES, spooled
from auditor.watch.values import Watched

if TYPE_CHECKING:
    from collections.abc import Collection

    from auditor.judge import Key


@dataclass(frozen=True, slots=True)
class Judged:
    """The judgement of the last finished scan, and what is open beside what it says."""

    scan: str
    snapshot_id: str
    rule_digest: str
    index: str
    """SHA-256 of the index of its open outcomes; empty where the scan did not note it."""
    open: int
    """Findings that are open."""
    unjudged: Collection[Key]
    """Those of them that it says nothing of: their subjects were out of sight."""


def judged(conn: sqlite3.Connection) -> Judged | None:
    """Return what the last finished scan was judged by; None before the first."""
    row = conn.execute(
        "SELECT s.scan, s.snapshot_id, s.rule_digest, e.body, s.at FROM scan AS s JOIN entry AS e ON e.seq = s.entry "
        "WHERE s.state = 'finished' ORDER BY s.at DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return None
    (count,) = conn.execute("SELECT count(*) FROM finding WHERE until_scan IS NULL").fetchone()
    unjudged = conn.execute(
        "SELECT f.rule, f.subject_table, f.subject_key FROM unjudged AS u JOIN finding AS f "
        "ON f.finding_id = u.finding_id AND f.until_scan IS NULL ORDER BY u.finding_id"
    )
    scan, snapshot_id, rule_digest, body, at = row
    since = conn.execute("SELECT 1 FROM scan WHERE state = 'rechecked' AND at > ?", (at,)).fetchone()
    # What a re-check moved, the judgement before does not tell: then all that stands is compared.
    index = "" if since else json.loads(body).get("open_index") or ""
    return Judged(scan, snapshot_id, rule_digest, index, count, spooled(unjudged))


def last_scan(conn: sqlite3.Connection) -> str | None:
    """Return the id of the last finished scan."""
    row = conn.execute("SELECT scan FROM scan WHERE state = 'finished' ORDER BY at DESC LIMIT 1").fetchone()
    return None if row is None else str(row[0])


def forget_unjudged(conn: sqlite3.Connection, only: Iterable[str] | None = None) -> None:
    """Begin to note anew which open findings a scan says nothing of; `only` of some, by their ids."""
    if only is None:
        conn.execute("DELETE FROM unjudged")
    else:
        conn.executemany("DELETE FROM unjudged WHERE finding_id = ?", ((each,) for each in only))


def note_unjudged(conn: sqlite3.Connection, finding_id: str) -> None:
    """Note an open finding that this scan says nothing of."""
    conn.execute("INSERT OR IGNORE INTO unjudged VALUES (?)", (finding_id,))


def past(conn: sqlite3.Connection, as_of: datetime, only: Iterable[Key] | None = None) -> Past:
    """Return the findings that are open, and when failures were last resolved; `only` those of some keys."""
    some = ""
    if only is not None:
        some = "AND f.finding_id IN (SELECT finding_id FROM temp.asked) "
        conn.execute("DROP TABLE IF EXISTS temp.asked")
        conn.execute("CREATE TEMP TABLE asked (finding_id TEXT PRIMARY KEY) WITHOUT ROWID")
        conn.executemany("INSERT OR IGNORE INTO asked VALUES (?)", ((finding_id(*key),) for key in only))
    resolved = conn.execute(
        "SELECT finding_id, max(closed_at) FROM finding AS f WHERE closed_at >= ? AND ended = 'resolved' "
        f"AND last_fail_at IS NOT NULL {some}GROUP BY finding_id",
        (stamp(as_of - REGRESSION - timedelta(seconds=1)),),
    )
    return Past(
        findings=spooled(_standing(conn, some), held=CHANGES),
        resolved={finding: instant(at) for finding, at in resolved},
        previous_at=maybe(memory.last_at(conn)),
    )


def remembered(conn: sqlite3.Connection, as_of: datetime, *, findings: bool = True) -> Past:
    """Return what drift compares the next scan with; without `findings` all but these."""
    last = memory.last_at(conn)
    settings, following = unattributed.changes(conn, as_of, last)
    watch = conn.execute(
        "SELECT table_name, key, field, value, account, region, coalesce(known_at, ?) "
        "FROM watch_memory ORDER BY table_name, key, field",
        (last,),
    )
    return replace(
        past(conn, as_of) if findings else Past(previous_at=maybe(last)),
        watch=tuple(Watched(row[0], row[1], row[2], row[3], row[4], row[5], maybe(row[6])) for row in watch),
        listed=frozenset(conn.execute("SELECT table_name, account, region FROM watch_scope")),
        unnamed=settings,
        following=following,
    )


def _standing(conn: sqlite3.Connection, some: str) -> Iterator[Standing]:
    names = WORDS.split(", ")
    words = ", ".join(f"coalesce(w.{name}, f.{name})" for name in names)
    for row in conn.execute(
        "SELECT f.rule, f.code, f.subject_table, f.subject_key, f.verdict, f.severity, f.owner, "
        f"f.zone, f.account, f.project, f.opened_at, f.last_fail_at, {words} FROM finding AS f "
        f"LEFT JOIN wording AS w ON w.finding_id = f.finding_id WHERE f.until_scan IS NULL {some}"
        "ORDER BY f.finding_id"
    ):
        rule, code, table, key, verdict, severity, owner, zone, account, project = row[:10]
        opened_at, failed_at, because, reason, params, failed, unknown, gaps, refs = row[10:]
        outcome = Outcome(
            rule=rule,
            code=code,
            subject_table=table,
            subject_key=key,
            verdict=Verdict(verdict),
            severity=severity,
            because=because,
            reason=reason,
            zone=zone,
            account=account,
            project=project,
            owner=owner,
            params=json.loads(params),
            failed_checks=tuple(json.loads(failed)),
            unknown_checks=tuple(json.loads(unknown)),
            gaps=tuple(json.loads(gaps)),
            refs=tuple(Ref(*ref) for ref in json.loads(refs)),
        )
        yield Standing(outcome, instant(opened_at), maybe(failed_at))
