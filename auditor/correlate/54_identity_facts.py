"""People, automations and other principals: whether their access ended, and whether they acted after it.

An activity is a call that was let through, counted when it starts: the closing entry of a long operation is none.
What an automation triggers counts for its owner apart, as a recurring trigger that outlives its owner.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.callers import bare, succeeded
from auditor.correlate.zoning import Row, parsed, seconds, strictest_declared

TABLE = "identity_facts"
READS = (
    "directory_user",
    "directory_membership",
    "gcp_audit_entry",
    "dataproc_job",
    "job_trigger",
    "config_automation",
    "config_zone",
    "as_of",
)


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a person, automation or triggering principal."""
    (now,) = tables["as_of"]
    users: dict[str, list[Row]] = defaultdict(list)
    for user in tables["directory_user"]:
        users[bare(user["email"] or user["subject"] or user["id"])].append(user)
    acts = _acts(tables)
    triggers = {row["principal"] for row in tables["job_trigger"] if row["principal"]}
    owned: dict[str, list[str]] = defaultdict(list)
    for automation in tables["config_automation"]:
        owned[bare(automation["owner"] or "")].append(bare(automation["principal"]))
    groups: dict[str, set[str]] = defaultdict(set)
    for row in tables["directory_membership"]:
        if row["until_at"] is None or row["until_at"] > now["as_of"]:
            groups[row["user_id"]].add(row["group_name"])
    subjects = {bare(u["subject"]) for u in tables["directory_user"] if u["subject"] and u["email"]}
    for key in sorted({*users, *(triggers - subjects)}):
        mine = users.get(key, [])
        names = {key, *(bare(user["subject"]) for user in mine if user["subject"])}
        times = sorted(at for name in names for at in acts[name])
        theirs = sorted(at for name in owned[key] for at in acts[name])
        ended, ended_at = _end(mine, now["as_of"])
        yield {
            "subject_key": key,
            "zone": strictest_declared(tables["config_zone"]),
            "account": None,
            "project": None,
            "owner": next((user["owner"] for user in mine if user["owner"]), None),
            "region": None,
            "in_directory": bool(mine) if tables["directory_user"] else None,
            "status": _status(mine),
            "ended": ended,
            "ended_at": ended_at,
            "groups_now": sorted({group for user in mine for group in groups[user["id"]]}),
            "triggers_jobs": key in triggers,
            "last_use_at": times[-1] if times else None,
            **_after("uses_after_end", "latest_use_after_end_s", times, ended, ended_at),
            **_after("owned_after_end", "latest_owned_after_end_s", theirs, ended, ended_at),
        }


def _acts(tables: Tables) -> dict[str, list[datetime]]:
    acts: dict[str, list[datetime]] = defaultdict(list)
    for entry in tables["gcp_audit_entry"]:
        closing = entry["operation_last"] and not entry["operation_first"]
        if closing or not succeeded(entry) or entry["at"] is None:
            continue
        chain = [entry["principal_email"], entry["principal_subject"], *(parsed(entry["delegation"]) or ())]
        for name in {bare(who) for who in chain if isinstance(who, str) and who}:
            acts[name].append(entry["at"])
    for job in tables["dataproc_job"]:
        if job["creator"] and job["submitted_at"] is not None:
            acts[bare(job["creator"])].append(job["submitted_at"])
    return acts


def _status(users: list[Row]) -> str | None:
    states = {user["status"] for user in users}
    return "active" if "active" in states else min((s for s in states if s), default=None)


def _end(users: list[Row], now: datetime) -> tuple[bool | None, datetime | None]:
    """Return whether access has ended and when: an e-mail given to a second person ends with the last of them."""
    if not users:
        return None, None
    ends = [user["disabled_at"] for user in users]
    open_ = [
        u for u in users if u["status"] == "active" and (u["disabled_at"] is None or u["disabled_at"] > now)
    ]
    if open_:
        return False, None
    if any(user["status"] is None and user["disabled_at"] is None for user in users):
        return None, None
    return True, None if None in ends else max(ends)


def _after(
    count: str, latest: str, times: list[datetime], ended: bool | None, ended_at: datetime | None
) -> dict[str, int | None]:
    if ended is False or (ended and not times):
        return {count: 0, latest: None}
    if ended_at is None:
        return {count: None, latest: None}
    late = [at for at in times if at > ended_at]
    return {count: len(late), latest: seconds(late[-1], ended_at) if late else None}
