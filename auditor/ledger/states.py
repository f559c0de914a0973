"""A resource as the last scan saw it, with all that its settings mean: what somebody may approve, and what nobody saw."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auditor.baselines import Row, Setting, beside, lacking, part_of
from auditor.errors import UsageError
from auditor.ledger.values import instant, maybe, stamp
from auditor.watch.gcp import ACCOUNT, AUDITED, BINDING, KEY, ROLE

_BESIDE = (
    "iam_policy",
    "aws_account",
    "backup_plan_rule",
    "backup_selection",
    "gcp_iam_binding",
    "gcp_audit_config",
    "gcp_service_account_key",
)
"""Tables whose rows may be approved with a subject of another."""

Parts = Mapping[str, tuple[Setting, ...]]


@dataclass(frozen=True, slots=True)
class Author:
    """Who made a change that is accepted, as the trail says."""

    actor: str
    table: str
    key: str
    field: str
    at: datetime
    """When the change was made, or detected where that is not known."""


@dataclass(frozen=True, slots=True)
class State:
    """A subject as the last scan saw it, ready to be approved."""

    table: str
    key: str
    parts: Parts
    unknown: tuple[str, ...]
    """What of it is not known, in words; nothing may be approved that is."""
    authors: tuple[Author, ...]
    """Who made the changes since it was last approved."""
    scan: str
    at: datetime
    """When that scan looked."""

    @property
    def settings(self) -> tuple[Setting, ...]:
        return tuple(one for name in sorted(self.parts) for one in self.parts[name])


def seen(
    conn: sqlite3.Connection,
    table: str,
    key: str,
    fields: Sequence[str],
    gaps: Iterable[Mapping[str, Any]],
    *,
    since: datetime | None,
) -> State:
    """Return a subject as the last scan saw it, with who changed it since a time; see `Baselines.state`."""
    last = conn.execute(
        "SELECT scan, at FROM scan WHERE state = 'finished' ORDER BY at DESC LIMIT 1"
    ).fetchone()
    own = _own(conn, table, key)
    if last is None or not own:
        raise UsageError(
            f"the last scan did not see {key}",
            remedy="Only a state that was seen can be approved; withdraw what was.",
        )
    parts = sorted({part_of(table, name) for name in own})
    if wrong := sorted(set(fields) - set(own) - set(parts)):
        raise UsageError(
            f"{wrong[0]} is no watched field of {table}", remedy=f"These are: {', '.join(sorted(own))}."
        )
    wanted = {name if name in parts else part_of(table, name) for name in fields} or set(parts)
    values = {name: row[0] for name, row in own.items()}
    account = next(iter(own.values()))[1]
    found: dict[str, tuple[Setting, ...]] = {}
    unknown: list[str] = []
    for part in sorted(wanted):
        rows = [(table, key, name, *row) for name, row in sorted(own.items()) if part_of(table, name) == part]
        goes = beside(table, key, account, part, values)
        more = [
            row
            for row in conn.execute(
                "SELECT table_name, key, field, value, account, region, known_at FROM watch_memory "
                f"WHERE table_name IN ({', '.join('?' * len(_BESIDE))}) ORDER BY 1, 2, 3",
                _BESIDE,
            )
            if goes((row[0], row[1], row[2]))
        ]
        # A flag of the account that is not known says nothing where the bucket's own is on.
        on = table == "s3_bucket" and values.get(part) == "true"
        more = [row for row in more if not (on and (row[3] is None or row[6] is not None))]
        unknown += lacking(table, account, part, values, ((row[0], row[1], row[2]) for row in more))
        rotated = {
            row[1] for row in more if row[2:4] == ("key_type", "SYSTEM_MANAGED")
        }  # by Google, as it likes
        more = [row for row in more if row[1] not in rotated]
        unknown += [
            f"{row[2]} of {row[1]}" if row[1] != key else row[2]
            for row in (*rows, *more)
            if row[3] is None or row[6] is not None
        ]
        found[part] = tuple(
            Setting(row[0], row[1], row[2], None if row[6] else row[3], row[4], row[5])
            for row in (*rows, *more)
        )
    region = next(iter(own.values()))[2]
    unknown += _hidden(gaps, table, key, account, region, found)
    authors = _authors(conn, table, key, found, since)
    return State(table, key, found, tuple(dict.fromkeys(unknown)), authors, str(last[0]), instant(last[1]))


_LISTED = {
    "backup_plan": ("backup_plan_rule", "backup_selection"),
    "gcp_project": (BINDING, AUDITED),
    "gcp_service_account": (BINDING, KEY),
}
"""Tables whose unseen rows would belong to a subject of another."""


_WITH_ACCESS = ("gcp_project", "gcp_service_account")
_NOT_BY_ALL = frozenset(((ACCOUNT, BINDING), (ROLE, ROLE)))
"""Subjects that a gap of a whole table is not about: that is the policy of the project, or other roles."""


def _hidden(
    gaps: Iterable[Mapping[str, Any]], table: str, key: str, account: str, region: str, parts: Parts
) -> Iterator[str]:
    """Yield what a scan did not read of the tables that a state is of, where that may be the subject's."""
    tables = {one.table for some in parts.values() for one in some} | {table}
    tables |= set(_LISTED.get(table, ())) if table not in _WITH_ACCESS or "access" in parts else set()
    keys = {one.key for some in parts.values() for one in some}
    if table == ACCOUNT:  # its policy is asked for by itself, as long as accounts could be listed
        keys |= {f"projects/{account}/serviceAccounts", f"projects/{account}/serviceAccounts/{key}"}
    for gap in gaps:
        where = str(gap["resource"]).partition("#")[0]
        if (
            gap["table"] in tables
            and gap["account"] in ("*", account)
            and (gap["region"] == region or "*" in (gap["region"], region))
            and ((where == "*" and (table, gap["table"]) not in _NOT_BY_ALL) or where == key or where in keys)
            and gap["reason"] != "not_enabled"
        ):
            yield f"{gap['table']} ({gap['detail'] or gap['reason']})"


def _own(conn: sqlite3.Connection, table: str, key: str) -> dict[str, tuple[Any, ...]]:
    """Return value, account, region and the time it was last known of each watched field of a row."""
    return {
        row[0]: row[1:]
        for row in conn.execute(
            "SELECT field, value, account, region, known_at FROM watch_memory WHERE table_name = ? AND key = ?",
            (table, key),
        )
    }


def _authors(
    conn: sqlite3.Connection, table: str, key: str, parts: Parts, since: datetime | None
) -> tuple[Author, ...]:
    """Return who made the last change of each setting since a time, where the trail names them."""
    of = {(one.table, one.key) for some in parts.values() for one in some}
    fields = {one.field for some in parts.values() for one in some if (one.table, one.key) == (table, key)}
    fields |= {*parts, *(("selections",) if table == "backup_plan" else ())}  # some are told of as one
    last: dict[Row, Author] = {}
    for row in conn.execute(
        "SELECT subject_table, subject_key, field, actor, changed_at, detected_at FROM drift "
        "WHERE rule IS NULL AND actor IS NOT NULL AND kind IN ('changed', 'appeared') AND detected_at > ? "
        "ORDER BY scan, drift_id",
        (stamp(since) if since else "",),
    ):
        where, name, what, actor, changed_at, detected_at = row
        if (where, name) in of and ((where, name) != (table, key) or what is None or what in fields):
            at = maybe(changed_at) or instant(detected_at)
            last[where, name, what or ""] = Author(actor, where, name, what or "", at)
    return tuple(last[row] for row in sorted(last))
