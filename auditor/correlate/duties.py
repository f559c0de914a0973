"""Who may start what: the limits of duties and automations, and whose people a workforce pool's subjects are.

Shared by the trigger link and by the facts that rules judge, so that they cannot tell two stories.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

Row = Mapping[str, Any]

_POOL = re.compile(
    r"principal://iam\.googleapis\.com/locations/global/workforcePools/([^/]+)/subject/(.+)\Z", re.DOTALL
)
_DIRECTORIES = ("scim", "okta", "google")


def within(limits: Row, job: Row, starts: str, zone: str | None) -> bool | None:
    """Tell whether a job is within the limits of one row of a duty or an automation; None while its zone is not known.

    `starts` is job, batch or session, or workflow for a job that a workflow template started.
    """
    if limits["starts"] not in ("*", "", None, starts):
        return False
    for name in ("project", "region", "job_id"):
        pattern = limits[name] or "*"
        if pattern != "*" and not fnmatchcase(job[name] or "", pattern):
            return False
    if limits["zone"] in ("*", "", None):
        return True
    return None if zone is None else limits["zone"] == zone


def workforce(principal: str) -> tuple[str, str] | None:
    """Return the pool and the subject of a principal of a workforce pool; None for every other principal."""
    found = _POOL.match(principal)
    return (found[1], found[2]) if found else None


def directory_of(user_id: str) -> str:
    """Return which directory an id of a user belongs to."""
    word = user_id.partition(":")[0]
    return word if word in _DIRECTORIES else "csv"


def of_pool(users: Iterable[Row], pool: Row, subject: str) -> list[Row]:
    """Return the users of the pool's own directory that a subject is mapped to."""
    column = pool["subject"] or "subject"
    return [
        user
        for user in users
        if directory_of(user["id"]) == pool["directory"] and (user[column] or "").lower() == subject.lower()
    ]


def covers(duty: Row, group: str, directory: str, shared: Collection[str]) -> bool | None:
    """Tell whether a duty means a group of a directory; None when it names none and two have a group of that name."""
    if duty["group_name"] != group:
        return False
    if duty["directory"]:
        return bool(duty["directory"] == directory)
    return None if group in shared else True


def shared_groups(memberships: Iterable[Row]) -> frozenset[str]:
    """Return the names of groups that more than one directory has."""
    homes: dict[str, str] = {}
    shared = set()
    for row in memberships:
        home = directory_of(row["user_id"])
        if homes.setdefault(row["group_name"], home) != home:
            shared.add(row["group_name"])
    return frozenset(shared)
