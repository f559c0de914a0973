"""What came or went among those who may trigger jobs: mappings of the duty map, members of its groups, their accounts.

Only groups that have a duty are watched, so that a large directory costs nothing. Who is in a group that gets its first
duty is told by the mapping alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from auditor.watch.told import Told
from auditor.watch.values import Fields, Row

MAPPING, MEMBER, PERSON = "config_duty", "directory_membership", "directory_user"
TABLES = (MAPPING, MEMBER, PERSON)
_WHERE = ("directory", "project", "region", "job", "zone", "kind")
_ANY = frozenset(("", "*"))
_ENDED = ("disabled", "suspended")


def duties(rows: Mapping[Row, Fields]) -> frozenset[str]:
    """Return the groups that have a duty."""
    return frozenset(key.partition("/")[0] for table, key in rows if table == MAPPING)


def begun(rows: Mapping[Row, Fields]) -> frozenset[str]:
    """Return those of these tables of which something was remembered: what was never watched cannot come."""
    held = {table for table, _ in rows}
    return frozenset(held | ({MEMBER} if PERSON in held else set()))


def mapping(key: str, *, come: bool) -> Told:
    """Tell of a mapping of the duty map."""
    group, *where = key.split("/")
    limits = ", ".join(
        f"{name} {text}" for name, text in zip(_WHERE, where, strict=False) if text not in _ANY
    )
    which = f"jobs of {limits}" if limits else "any job"
    if come:
        return Told("worse", f"is new: members of {group} may now trigger {which}")
    return Told("better", f"is gone: members of {group} may no longer trigger {which} by it")


def member(one: Fields, email: str | None, *, come: bool) -> Told:
    """Tell of a member of a group that has a duty."""
    (group,) = one.values()
    who = email or group.key.partition("/")[0]
    if come:
        return Told("worse", f"is new: {who} is in {group.value} now, whose members may trigger jobs")
    return Told("better", f"is gone: {who} is no longer in {group.value}, whose members may trigger jobs")


def account(was: str, has: str, email: str | None, key: str) -> Told:
    """Tell of the state of a person's account."""
    who = email or key
    if has in _ENDED and was not in _ENDED:
        return Told("better", f"{who} may no longer trigger jobs")
    if was in _ENDED and has not in _ENDED:
        return Told("worse", f"{who} may trigger jobs again")
    return Told()


def watched_rows(
    rows: Callable[[str], Iterable[Mapping[str, Any]]], now: datetime
) -> dict[str, list[Mapping[str, Any]]]:
    """Return the members of groups that have a duty now, and their accounts; `rows` reads a table."""
    groups = {row["group_name"] for row in rows(MAPPING)}
    if not groups:
        return {MEMBER: [], PERSON: []}
    members = [row for row in rows(MEMBER) if row["group_name"] in groups and _lasts(row, now)]
    holders = {row["user_id"] for row in members}
    return {
        MEMBER: members,
        PERSON: [row for row in rows(PERSON) if not holders.isdisjoint((row["id"], row["email"]))],
    }


def _lasts(row: Mapping[str, Any], now: datetime) -> bool:
    return row["until_at"] is None or row["until_at"] > now
