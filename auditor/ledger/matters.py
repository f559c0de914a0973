"""What channels were told of and not yet told the end of, and what keeps the rest from being told."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any

from auditor.ledger import memory, silences, waivers
from auditor.ledger.silences import ACKED, Silence
from auditor.ledger.stands import Ended, of_old, scan_findings, scan_rule, stands_now
from auditor.ledger.values import CLOSING, Alert, WaiverRow, instant, maybe, stamp

FLAPS = timedelta(hours=24)
"""Three openings within this time are flapping; so long without one, or an end, is calm."""
EXPIRES = timedelta(days=7)
"""So long before its end a waiver is first told of."""
TURNS = 2
"""So many ends within that time make the next opening the third."""
_BEGUN = "('opened', 'regressed', 'worsened', 'scanner_blind', 'flapping', 'summary')"
_ENDED = "('recovered', 'vanished')"
_MOVED = f"{_BEGUN[:-1]}, {_ENDED[1:]}"


@dataclass(frozen=True, slots=True)
class Flap:
    """A matter that a channel was told is flapping."""

    alert_id: str
    """The message that said so: what it holds is what moved since."""
    moved_at: datetime
    over: bool
    """It ended when it last moved."""


@dataclass(frozen=True, slots=True)
class Restraints:
    """What keeps a matter from being told as it happens."""

    silences: Sequence[Silence] = ()
    """Those in force."""
    waivers: Sequence[WaiverRow] = ()
    """Those in force."""
    turns: Mapping[tuple[str, str], Sequence[datetime]] = field(default_factory=dict)
    """(channel, key) of what ended at least twice within 24 hours, and when it opened in them."""
    flapping: Mapping[tuple[str, str], Flap] = field(default_factory=dict)
    matters: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    """What each channel was told of, in short."""

    def silence(self, said: Mapping[str, Any]) -> Silence | None:
        """Return the silence over a matter that ends last."""
        found = [each for each in self.silences if each.covers(dict(said))]
        return max(found, key=lambda each: (each.end, each.silence_id), default=None)

    def waiver(self, finding_id: str, rule: str, subject_key: str, at: datetime) -> WaiverRow | None:
        """Return a waiver that covers a finding."""
        return next((each for each in self.waivers if each.covers(finding_id, rule, subject_key, at)), None)


@dataclass(frozen=True, slots=True)
class Matter:
    """One matter that one channel was told of, and not yet told the end of."""

    channel: str
    key: str
    since: datetime
    raised_at: datetime
    """When it was last told that it opened or got worse."""
    told_at: datetime
    told: int
    """How often."""
    said: Mapping[str, Any]
    acked: bool
    flap: Flap | None
    stands: str
    """`fail`, `unknown` or `over` where it is a finding, else `open` or `over`."""
    because: str
    severity: str


@dataclass(frozen=True, slots=True)
class Held:
    """One matter that a silence kept from one channel."""

    channel: str
    alert_id: str
    key: str
    event: str
    at: datetime
    said: Mapping[str, Any]
    stands: str
    because: str


@dataclass(frozen=True, slots=True)
class OpenFinding:
    """A finding that is open, in short."""

    finding_id: str
    rule: str
    code: str
    subject_table: str
    subject_key: str
    verdict: str
    severity: str
    owner: str | None
    zone: str | None
    account: str | None
    because: str
    controls: tuple[str, ...]
    remedy: str
    opened_at: datetime
    failed: bool
    """It has failed since it opened, whatever is known of it now."""


@dataclass(frozen=True, slots=True)
class Due:
    """All that time alone may make due."""

    matters: Sequence[Matter]
    held: Mapping[str, Sequence[Held]]
    """Silence to what it held of matters that may still be open."""
    silences: Sequence[Silence]
    waivers: Sequence[WaiverRow]
    findings: Sequence[OpenFinding]
    done: frozenset[str]
    """Notices that were looked at before."""
    looked_at: datetime | None
    """When the last scan looked."""
    reminding: frozenset[str]
    """Channels with a reminder that is still on its way."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is written of what was due."""

    alerts: Sequence[Alert] = ()
    notices: Sequence[str] = ()
    """What need not be looked at again."""
    released: Sequence[tuple[str, str]] = ()
    """(alert, message): what a silence held and goes out within another message."""
    passed_on: Sequence[tuple[str, str]] = ()
    """(alert, silence): what another silence holds from now on."""

    def __bool__(self) -> bool:
        """Say whether there is anything to write."""
        return bool(self.alerts or self.notices or self.released or self.passed_on)


def restraints(conn: sqlite3.Connection, now: datetime) -> Restraints:
    """Return what keeps matters from being told at a time."""
    since = stamp(now - FLAPS)
    turns = {
        (channel, key): sorted(map(instant, begun.split(",")))
        for channel, key, begun in conn.execute(
            f"SELECT o.channel, k.value, group_concat(CASE WHEN o.event IN {_BEGUN} THEN o.created_at END) "
            "FROM outbox AS o, json_each(o.keys) AS k "
            f"WHERE o.created_at > ? AND o.event IN {_MOVED} "
            f"GROUP BY 1, 2 HAVING sum(o.event IN {_ENDED}) >= ? AND sum(o.event IN {_BEGUN}) >= ?",
            (since, TURNS, TURNS),
        )
    }
    return Restraints(
        silences=[each for each in silences.every(conn) if each.at(now)],
        waivers=_in_force(conn, now),
        turns=turns,
        flapping=_flapping(conn),
        matters={
            (channel, key): json.loads(said)
            for channel, key, said in conn.execute("SELECT channel, dedup_key, said FROM alerting")
        },
    )


def _in_force(conn: sqlite3.Connection, now: datetime) -> list[WaiverRow]:
    return [each for each in waivers.every(conn, now) if waivers.end(each) > now]


def _flapping(conn: sqlite3.Connection) -> dict[tuple[str, str], Flap]:
    """Return what flaps, each with how it last moved: what its message holds, else the message itself."""
    found = {}
    for channel, key, alert_id, raised_at in conn.execute(
        "SELECT channel, dedup_key, flapping, raised_at FROM alerting WHERE flapping IS NOT NULL"
    ).fetchall():
        row = conn.execute(
            "SELECT o.created_at, o.event FROM outbox AS o JOIN holding AS h ON h.alert_id = o.alert_id "
            "WHERE o.held = ? AND h.dedup_key = ? ORDER BY o.created_at DESC LIMIT 1",
            (alert_id, key),
        ).fetchone()
        at, event = row or (raised_at, "flapping")
        found[channel, key] = Flap(alert_id, instant(at), event in CLOSING)
    return found


def due(conn: sqlite3.Connection, now: datetime) -> Due:
    """Return all that time alone may make due; of the findings no more than that needs."""
    done = frozenset(name for (name,) in conn.execute("SELECT notice FROM notice"))
    decided = waivers.every(conn, now)
    rows = conn.execute(
        f"SELECT channel, dedup_key, since, coalesce(raised_at, since), coalesce(told_at, since), told, said, incident, "
        f"{ACKED} "
        "FROM alerting ORDER BY channel, dedup_key"
    ).fetchall()
    kept = _kept(conn)
    ids = {
        json.loads(said).get("finding_id") for said in (*(row[6] for row in rows), *(row[6] for row in kept))
    }
    soon = [
        each
        for each in decided
        if waivers.end(each) <= now + EXPIRES and f"waiver/{each.waiver_id}" not in done
    ]
    if any(scan_rule(json.loads(said)) for said in (*(row[6] for row in rows), *(row[6] for row in kept))):
        ids |= scan_findings(conn)
    findings = {each.finding_id: each for each in _open(conn, None if soon else sorted(ids - {None}))}
    ended = Ended(conn, findings.values())
    flapping = _flapping(conn)
    matters = []
    for channel, key, since, raised_at, told_at, told, said, incident, acked in rows:
        short = json.loads(said) or of_old(conn, incident)
        if now_so := ended.scans.get(scan_rule(short)):
            short = {**short, "resource": now_so.subject_key, "finding_id": now_so.finding_id}
        stands, because, severity = stands_now(short, findings, ended, raised_at)
        matters.append(
            Matter(
                channel=channel,
                key=key,
                since=instant(since),
                raised_at=instant(raised_at),
                told_at=instant(told_at),
                told=told,
                said=short,
                acked=bool(acked),
                flap=flapping.get((channel, key)),
                stands=stands,
                because=because,
                severity=severity,
            )
        )
    return Due(
        matters=matters,
        held=_held(kept, findings, ended),
        silences=silences.every(conn),
        waivers=decided,
        findings=list(findings.values()) if soon else [],
        done=done,
        looked_at=maybe(memory.last_at(conn)),
        reminding=frozenset(
            channel
            for (channel,) in conn.execute(
                "SELECT DISTINCT channel FROM outbox WHERE event = 'reminder' "
                "AND state IN ('pending', 'sending') AND within IS NULL"
            )
        ),
    )


def note(conn: sqlite3.Connection, notices: Sequence[str], now: datetime) -> None:
    """Note what was looked at, so that it is not told twice."""
    conn.executemany("INSERT OR IGNORE INTO notice VALUES (?, ?)", [(each, stamp(now)) for each in notices])
    for each in notices:
        kind, _, name = each.partition("/")
        if kind == "silence":  # what it kept is told, handed on or over
            conn.execute(
                "DELETE FROM holding WHERE alert_id IN (SELECT alert_id FROM outbox WHERE held = ?)", (name,)
            )


def pass_on(conn: sqlite3.Connection, alert_ids: Sequence[str], *, within: str = "", held: str = "") -> None:
    """Let what a silence held go out within a message, or let another silence hold it."""
    conn.executemany(
        "UPDATE outbox SET within = coalesce(nullif(?, ''), within), held = coalesce(nullif(?, ''), held) "
        "WHERE alert_id = ? AND state = 'pending'",
        [(within, held, each) for each in alert_ids],
    )


def _open(conn: sqlite3.Connection, some: Sequence[str] | None) -> list[OpenFinding]:
    """Return the findings that are open; `some` by their ids alone."""
    rows = conn.execute(
        "SELECT f.finding_id, f.rule, f.code, f.subject_table, f.subject_key, f.verdict, f.severity, f.owner, f.zone, "
        "coalesce(f.account, f.project), coalesce(w.because, f.because), f.controls, f.remedy, f.opened_at, "
        "f.last_fail_at IS NOT NULL FROM finding AS f LEFT JOIN wording AS w ON w.finding_id = f.finding_id "
        "WHERE f.until_scan IS NULL "
        + ("" if some is None else "AND f.finding_id IN (SELECT value FROM json_each(?)) ")
        + "ORDER BY f.finding_id",
        () if some is None else (json.dumps(list(some)),),
    )
    names = [each.name for each in fields(OpenFinding)]
    return [
        OpenFinding(
            **dict(zip(names[:11], row[:11], strict=True)),
            controls=tuple(json.loads(row[11])),
            remedy=row[12],
            opened_at=instant(row[13]),
            failed=bool(row[14]),
        )
        for row in rows
    ]


def _kept(conn: sqlite3.Connection) -> list[tuple[str, ...]]:
    """Return what silences keep back, each matter of each alert."""
    return conn.execute(
        "SELECT o.held, o.channel, o.alert_id, o.event, o.created_at, h.dedup_key, h.said FROM outbox AS o "
        "JOIN holding AS h ON h.alert_id = o.alert_id JOIN silence AS s ON s.silence_id = o.held "
        "WHERE o.held IS NOT NULL AND o.state = 'pending' AND o.within IS NULL "
        "ORDER BY o.created_at, o.alert_id, h.dedup_key"
    ).fetchall()


def _held(
    kept: Sequence[tuple[str, ...]], findings: Mapping[str, OpenFinding], ended: Ended
) -> dict[str, list[Held]]:
    found: dict[str, list[Held]] = {}
    for silence, channel, alert_id, event, at, key, said in kept:
        short = json.loads(said)
        stands, because, _ = stands_now(short, findings, ended, at)
        found.setdefault(silence, []).append(
            Held(channel, alert_id, key, event, instant(at), short, stands, because)
        )
    return found


def told_by(conn: sqlite3.Connection, word: str) -> list[tuple[str, str]]:
    """Return the matters, (dedup key, resource), that an alert tells of; empty when there is no such alert."""
    row = conn.execute("SELECT keys FROM outbox WHERE alert_id = ?", (word,)).fetchone()
    keys: list[str] = json.loads(row[0]) if row is not None else []
    return [(key, str(json.loads(_said(conn, key)).get("resource") or word)) for key in keys]


def _said(conn: sqlite3.Connection, key: str) -> str:
    row = conn.execute(
        "SELECT said FROM alerting WHERE dedup_key = ? ORDER BY channel LIMIT 1", (key,)
    ).fetchone()
    return str(row[0]) if row else "{}"


def alerting(conn: sqlite3.Connection, keys: Iterable[str]) -> dict[str, list[str]]:
    """Return the channels that were told of any of these matters and not of their end, each with which."""
    found: dict[str, list[str]] = {}
    for key in keys:
        for (channel,) in conn.execute(
            "SELECT channel FROM alerting WHERE dedup_key = ? ORDER BY channel", (key,)
        ):
            found.setdefault(channel, []).append(key)
    return found
