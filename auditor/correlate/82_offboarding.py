"""The proof of offboarding: for everybody whose access ended, what of it is left and how long it outlived them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.callers import bare
from auditor.correlate.sight import Sight
from auditor.correlate.zoning import Row, parsed, seconds

TABLE = "offboarding"
READS = (
    "identity_facts",
    "access",
    "dataproc_job",
    "job_trigger",
    "gcp_iam_binding",
    "iam_user",
    "iam_access_key",
    "config_automation",
    "coverage",
    "as_of",
)


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a person; what was not read is NULL and named."""
    (scan,) = tables["as_of"]
    now = scan["as_of"]
    sight = Sight(tables["coverage"])
    duties = {(row["person"], row["group_name"]): row["duty"] for row in tables["access"]}
    left: dict[str, Mapping[str, Any]] = {
        "bindings": _bindings(tables),
        "sessions": _running(tables),
        "keys": _keys(tables),
    }
    hidden = {
        "groups": sight.gaps("directory_membership", None),
        "bindings": sight.gaps("gcp_iam_binding", None),
        "sessions": sight.gaps("dataproc_job", None, until_at=now),
        "keys": sight.gaps("iam_access_key", None),
    }
    use = sight.gaps("gcp_audit_entry", None, until_at=now)
    owners: dict[str, list[str]] = defaultdict(list)
    for row in tables["config_automation"]:
        owners[bare(row["owner"] or "")].append(row["principal"])
    for person in tables["identity_facts"]:
        if not person["ended"]:
            continue
        key = person["subject_key"]
        groups = [
            {"group": name, "duty": duties.get((key, name), "")} for name in _list(person["groups_now"])
        ]
        # An automation that outlives its owner is access too, though not the person's own.
        owns = sorted(set(owners[key]))
        held: dict[str, list[Any] | None] = {"groups": groups}
        held |= {name: rows.get(key, []) for name, rows in left.items()}
        remains = any(held.values())
        unread = sorted(name for name in held if hidden[name])
        held = {name: rows if rows or name not in unread else None for name, rows in held.items()}
        open_ = True if remains or owns else None if unread else False
        yield {
            "person": key,
            "directories": person["directories"],
            "ended_at": person["ended_at"],
            "ended_by": person["ended_by"],
            "last_use_at": person["last_use_at"],
            "uses_after_end": person["uses_after_end"],
            "owned_after_end": person["owned_after_end"],
            **held,
            "owns": owns,
            "open": open_,
            "outlived_s": _outlived(person, now, open_, blind=bool(use)),
            "not_seen": sorted({gap for name in unread for gap in hidden[name]} | set(use)),
        }


def _outlived(person: Row, now: Any, open_: bool | None, *, blind: bool) -> int | None:
    """Return how long access outlived the person; NULL while what was not read may make it longer."""
    if person["ended_at"] is None:
        return None
    if open_:
        since: int | None = seconds(now, person["ended_at"])
        return since
    if open_ is None or blind:
        return None
    latest: list[int | None] = [person["latest_use_after_end_s"], person["latest_owned_after_end_s"]]
    return max([0, *(each for each in latest if each is not None)])


def _bindings(tables: Tables) -> dict[str, list[dict[str, str]]]:
    """Return the bindings that name a person themselves; those of their groups end with the membership."""
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in tables["gcp_iam_binding"]:
        if (row["member"] or "").startswith("user:"):
            found[bare(row["member"])].append({"resource": row["resource"], "role": row["role"]})
    return {key: sorted(rows, key=lambda row: (row["resource"], row["role"])) for key, rows in found.items()}


def _running(tables: Tables) -> dict[str, list[str]]:
    triggers = {row["job_uuid"]: row["principal"] for row in tables["job_trigger"]}
    found: dict[str, list[str]] = defaultdict(list)
    for job in tables["dataproc_job"]:
        who = bare(job["creator"]) if job["creator"] else triggers.get(job["job_uuid"])
        if who and job["done"] is False:
            found[who].append(f"{job['kind']} {job['job_id']} in {job['project']}/{job['region']}")
    return {key: sorted(rows) for key, rows in found.items()}


def _keys(tables: Tables) -> dict[str, list[str]]:
    """Return the active access keys of IAM users that are named by the person's e-mail or owned by it in their tags."""
    people: dict[str, set[str]] = {}
    for user in tables["iam_user"]:
        owner = (parsed(user["tags"]) or {}).get("owner")
        people[user["arn"]] = {bare(name) for name in (user["name"], owner) if name and "@" in str(name)}
    found: dict[str, list[str]] = defaultdict(list)
    for row in tables["iam_access_key"]:
        if row["status"] == "Active":
            for who in people.get(row["user_arn"], ()):
                found[who].append(f"{row['access_key_id']} of {row['user_arn']}")
    return {key: sorted(rows) for key, rows in found.items()}


def _list(value: Any) -> list[Any]:
    return parsed(value) or []
