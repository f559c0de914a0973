"""What is read from the ledger: the command line, the reports and the bundles ask here."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from auditor.errors import UsageError
from auditor.ledger import chain, waivers
from auditor.ledger.values import (
    Entry,
    FindingRow,
    ScanRow,
    WaiverRow,
    instant,
    maybe,
    stamp,
)
from auditor.model import Drift

_SCAN = (
    "scan, n, slot, at, state, complete, interval_s, snapshot_id, snapshot_dir, rule_digest, "
    "config_digest, outcome_digest, tally, head, entry"
)
WORDS = "because, reason, params, failed_checks, unknown_checks, gaps, refs"
"""Columns of a finding that may change from scan to scan without it being another finding."""
DRIFT = tuple(field.name for field in fields(Drift))
_LOOKED = "('finished', 'rechecked')"
_EARLIEST, _LATEST = "0000", "9999"


@dataclass(frozen=True, slots=True)
class Filters:
    """Which findings; an empty field asks for all."""

    state: str = "open"
    """`open`, `closed` or `all`."""
    severity: str = ""
    verdict: str = ""
    rule: str = ""
    """Id or code."""
    control: str = ""
    zone: str = ""
    owner: str = ""
    account: str = ""
    project: str = ""
    subject_table: str = ""
    subject_key: str = ""
    since: datetime | None = None
    """Opened at or after."""
    waived: bool | None = None


def latest_scan(conn: sqlite3.Connection, as_of: datetime | None = None) -> ScanRow | None:
    """Return the last finished scan at a time."""
    row = conn.execute(
        f"SELECT {_SCAN} FROM scan WHERE state = 'finished' AND at <= ? ORDER BY at DESC LIMIT 1",
        (stamp(as_of) if as_of else _LATEST,),
    ).fetchone()
    return _scan(row) if row else None


def latest_look(conn: sqlite3.Connection, as_of: datetime | None = None) -> ScanRow | None:
    """Return the last finished scan or re-check at a time: how findings stand is told by either."""
    row = conn.execute(
        f"SELECT {_SCAN} FROM scan WHERE state IN {_LOOKED} AND at <= ? ORDER BY at DESC LIMIT 1",
        (stamp(as_of) if as_of else _LATEST,),
    ).fetchone()
    return _scan(row) if row else None


def scan(conn: sqlite3.Connection, scan_id: str) -> ScanRow | None:
    """Return one scan by its id."""
    row = conn.execute(f"SELECT {_SCAN} FROM scan WHERE scan = ?", (scan_id,)).fetchone()
    return _scan(row) if row else None


def scans(
    conn: sqlite3.Connection,
    from_at: datetime | None = None,
    until_at: datetime | None = None,
    *,
    state: str = "",
    rechecks: bool = False,
) -> list[ScanRow]:
    """Return the scans of `[from_at, until_at)`: finished, interrupted and missed, oldest first.

    With `rechecks` those too that looked at one subject alone, whatever the state that is asked for.
    """
    rows = conn.execute(
        f"SELECT {_SCAN} FROM scan WHERE at >= ? AND at < ? AND "
        "CASE state WHEN 'rechecked' THEN ? ELSE ? = '' OR state = ? END ORDER BY at, n",
        (*_range(from_at, until_at), rechecks, state, state),
    )
    return [_scan(row) for row in rows]


def _scan(row: tuple[Any, ...]) -> ScanRow:
    scan, n, slot, at, state, complete, interval_s, snapshot, place, *digests = row
    rules, config, outcomes, tally, head, entry = digests
    return ScanRow(
        scan=scan,
        n=n,
        slot=slot,
        at=instant(at),
        state=state,
        complete=bool(complete),
        interval_s=interval_s,
        snapshot_id=snapshot,
        snapshot_dir=place,
        rule_digest=rules,
        config_digest=config,
        outcome_digest=outcomes,
        tally=json.loads(tally),
        head=head,
        entry=entry,
    )


def findings(conn: sqlite3.Connection, filters: Filters, as_of: datetime | None = None) -> list[FindingRow]:
    """Return findings as they stood at a time: one row each, its last interval by then."""
    last = latest_look(conn, as_of)
    if last is None:
        return []
    conditions = ["f.since_scan <= :n"]
    values: dict[str, Any] = {"n": last.n}
    if filters.state == "open":
        conditions.append("(f.until_scan IS NULL OR f.until_scan > :n)")
    else:
        conditions.append(
            "f.since_scan = (SELECT max(since_scan) FROM finding AS g "
            "WHERE g.finding_id = f.finding_id AND g.since_scan <= :n)"
        )
    if filters.state == "closed":
        conditions.append("f.until_scan <= :n")
    for name in (
        "severity",
        "verdict",
        "zone",
        "owner",
        "account",
        "project",
        "subject_table",
        "subject_key",
    ):
        if getattr(filters, name):
            conditions.append(f"f.{name} = :{name}")
            values[name] = getattr(filters, name)
    if filters.rule:
        conditions.append("(f.rule = :rule OR f.code = :rule)")
        values["rule"] = filters.rule
    if filters.since is not None:
        conditions.append("f.opened_at >= :since")
        values["since"] = stamp(filters.since)
    found = _intervals(conn, " AND ".join(conditions), values, last, as_of)
    return [
        row
        for row in found
        if (not filters.control or filters.control in row.controls)
        and (filters.waived is None or filters.waived == (row.waiver is not None))
    ]


def scans_that_moved(conn: sqlite3.Connection) -> frozenset[int]:
    """Return the numbers of the scans in which an interval of a finding began or ended."""
    rows = conn.execute(
        "SELECT DISTINCT since_scan FROM finding UNION "
        "SELECT DISTINCT until_scan FROM finding WHERE until_scan IS NOT NULL"
    )
    return frozenset(n for (n,) in rows)


def open_findings(conn: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    """Yield what a rule may read of every finding that is open: rows of `history_finding`, times as text."""
    names = (
        "finding_id", "rule", "subject_table", "subject_key", "verdict", "since",
        "code", "severity", "owner", "zone", "account", "project",
    )  # fmt: skip
    for row in conn.execute(
        "SELECT finding_id, rule, subject_table, subject_key, verdict, opened_at, code, severity, owner, zone, "
        "account, project FROM finding WHERE until_scan IS NULL ORDER BY finding_id"
    ):
        yield dict(zip(names, row, strict=True))


def finding(conn: sqlite3.Connection, finding_id: str, as_of: datetime | None = None) -> FindingRow | None:
    """Return one finding by its id or the unambiguous start of it; None if there is none."""
    history = history_of(conn, finding_id, as_of)
    return history[-1] if history else None


def history_of(conn: sqlite3.Connection, finding_id: str, as_of: datetime | None = None) -> list[FindingRow]:
    """Return every interval of one finding, oldest first."""
    last = latest_look(conn, as_of)
    if last is None or not finding_id:
        return []
    ids = conn.execute(
        "SELECT DISTINCT finding_id FROM finding WHERE finding_id >= ? AND finding_id < ? LIMIT 2",
        (finding_id, finding_id + "\U0010ffff"),
    ).fetchall()
    if len(ids) > 1:
        raise UsageError(f"{finding_id} is the start of more than one finding's id")
    if not ids:
        return []
    where = "f.finding_id = :id AND f.since_scan <= :n"
    return _intervals(conn, where, {"id": ids[0][0], "n": last.n}, last, as_of)


def intervals(conn: sqlite3.Connection, from_at: datetime, as_of: datetime) -> list[FindingRow]:
    """Return every interval of every finding that touches `(from_at, as_of]`, as it stood at its end."""
    last = latest_look(conn, as_of)
    if last is None:
        return []
    where = "f.since_scan <= :n AND (u.at IS NULL OR u.at > :from_at)"
    return _intervals(conn, where, {"n": last.n, "from_at": stamp(from_at)}, last, as_of)


def _intervals(
    conn: sqlite3.Connection,
    where: str,
    values: dict[str, Any],
    last: ScanRow,
    as_of: datetime | None,
) -> list[FindingRow]:
    """Read intervals as they stood at `last`: what ended later has not ended yet."""
    at = as_of or last.at
    names = WORDS.split(", ")
    newest = conn.execute(f"SELECT max(n) FROM scan WHERE state IN {_LOOKED}").fetchone()[0]
    now = f"(f.until_scan IS NULL AND {int(newest == last.n)})"
    words = ", ".join(f"CASE WHEN {now} THEN coalesce(w.{n}, f.{n}) ELSE f.{n} END" for n in names)
    in_force = [waiver for waiver in waivers.every(conn, at) if waiver.expires_at > at]
    return [
        _finding(row, last, in_force, at)
        for row in conn.execute(
            "SELECT f.finding_id, f.rule, f.code, f.subject_table, f.subject_key, f.verdict, "
            "f.severity, f.owner, f.zone, f.account, f.project, f.controls, f.remedy, "
            "s.scan, s.at, u.n, u.scan, u.at, f.opened_at, f.closed_at, f.last_fail_at, "
            f"f.seen_before, f.ended, f.ended_because, {words} FROM finding AS f "
            "JOIN scan AS s ON s.n = f.since_scan LEFT JOIN scan AS u ON u.n = f.until_scan "
            "LEFT JOIN wording AS w ON w.finding_id = f.finding_id "
            f"WHERE {where} ORDER BY f.rule, f.subject_table, f.subject_key, f.since_scan",
            values,
        )
    ]


def _finding(row: tuple[Any, ...], last: ScanRow, in_force: list[WaiverRow], at: datetime) -> FindingRow:
    finding_id, rule, code, table, key, verdict, severity, owner, zone, account, project = row[:11]
    controls, remedy, since, since_at, until_n, until, until_at, opened_at, closed_at = row[11:20]
    failed_at, seen_before, ended, ended_because = row[20:24]
    because, _, params, failed, unknown, gaps, refs = row[24:]
    over = until_n is not None and until_n <= last.n
    if not over:
        until = until_at = closed_at = None
        ended = ended_because = ""
    waiver = next((w.waiver_id for w in in_force if w.covers(finding_id, rule, key, at)), None)
    return FindingRow(
        finding_id=finding_id,
        rule=rule,
        code=code,
        subject_table=table,
        subject_key=key,
        verdict=verdict,
        severity=severity,
        owner=owner,
        zone=zone,
        account=account,
        project=project,
        because=because,
        failed_checks=json.loads(failed),
        unknown_checks=json.loads(unknown),
        gaps=json.loads(gaps),
        refs=json.loads(refs),
        params=json.loads(params),
        controls=json.loads(controls),
        remedy=remedy,
        since_scan=since,
        until_scan=until,
        since_at=instant(since_at),
        until_at=maybe(until_at),
        opened_at=instant(opened_at),
        closed_at=maybe(closed_at),
        last_fail_at=maybe(failed_at),
        seen_before=bool(seen_before),
        ended=ended,
        ended_because=ended_because,
        state="closed" if over else "open",
        waiver=waiver,
    )


def drift(
    conn: sqlite3.Connection,
    from_at: datetime | None = None,
    until_at: datetime | None = None,
    *,
    scan: str = "",
    settings: bool = False,
) -> list[Drift]:
    """Return the drift detected in `[from_at, until_at)`, or that of one scan, oldest first; `settings`: of these alone."""
    rows = conn.execute(
        f"SELECT {', '.join(f'd.{name}' for name in DRIFT)} FROM drift AS d "
        "JOIN scan AS s ON s.n = d.scan "
        f"WHERE s.at >= ? AND s.at < ? AND (? = '' OR s.scan = ?) {'AND d.rule IS NULL ' if settings else ''}"
        "ORDER BY s.n, d.subject_table, d.subject_key, d.rule, d.field, d.kind",
        (*_range(from_at, until_at), scan, scan),
    )
    return [drift_of(row) for row in rows]


def drift_of(row: tuple[Any, ...]) -> Drift:
    """Return a row of the table `drift` as the noun."""
    said = dict(zip(DRIFT, row, strict=True))
    said["changed_at"], said["detected_at"] = maybe(row[9]), instant(row[10])
    return Drift(**said)


def entries(
    conn: sqlite3.Connection, from_seq: int = 1, until_seq: int | None = None, *, kind: str = ""
) -> Iterator[Entry]:
    """Yield the chain's entries of `[from_seq, until_seq)`."""
    rows = conn.execute(
        "SELECT * FROM entry WHERE seq >= ? AND (? IS NULL OR seq < ?) AND (? = '' OR kind = ?) ORDER BY seq",
        (from_seq, until_seq, until_seq, kind, kind),
    )
    yield from map(chain.entry_of, rows)


def tallies(
    conn: sqlite3.Connection, from_at: datetime | None = None, until_at: datetime | None = None
) -> list[dict[str, Any]]:
    """Return each finished scan's tally, with how many findings opened and ended in it."""
    opened = dict(
        conn.execute(
            "SELECT f.since_scan, count(*) FROM finding AS f JOIN scan AS s ON s.n = f.since_scan "
            "WHERE f.opened_at = s.at GROUP BY 1"
        )
    )
    ended = dict(conn.execute("SELECT until_scan, count(*) FROM finding WHERE closed_at NOT NULL GROUP BY 1"))
    return [
        {
            "scan": scan.scan,
            "slot": scan.slot,
            "at": scan.at,
            "complete": scan.complete,
            "opened": opened.get(scan.n, 0),
            "closed": ended.get(scan.n, 0),
            **scan.tally,
        }
        for scan in scans(conn, from_at, until_at, state="finished")
    ]


def _range(from_at: datetime | None, until_at: datetime | None) -> tuple[str, str]:
    return (stamp(from_at) if from_at else _EARLIEST, stamp(until_at) if until_at else _LATEST)
