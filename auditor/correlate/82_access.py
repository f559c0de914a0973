"""Who is in a group that a duty means: the rows of an access review, with what the latest review decided."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.callers import bare
from auditor.correlate.duties import covers, directory_of, shared_groups
from auditor.correlate.zoning import Row, parsed

TABLE = "access"
READS = (
    "directory_user",
    "directory_membership",
    "config_duty",
    "history_membership",
    "history_signoff",
    "identity_facts",
    "as_of",
)

KIND = "access-review"
"""Kind of the sign-offs that are decisions of an access review."""


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row for each person and group; what a duty may mean counts as meant: reviewing too much harms nobody."""
    (scan,) = tables["as_of"]
    duties: dict[str, list[Row]] = defaultdict(list)
    for duty in tables["config_duty"]:
        duties[duty["group_name"]].append(duty)
    shared = shared_groups(tables["directory_membership"])
    used = {row["subject_key"]: row["last_use_at"] for row in tables["identity_facts"]}
    seen = _seen(tables, scan)
    decided = decisions(tables["history_signoff"])
    members: dict[str, list[Row]] = defaultdict(list)
    for row in tables["directory_membership"]:
        if row["group_name"] in duties and (row["until_at"] is None or row["until_at"] > scan["as_of"]):
            members[row["user_id"]].append(row)
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for user in tables["directory_user"]:
        home, key = directory_of(user["id"]), bare(user["email"] or user["subject"] or user["id"])
        for row in members.get(user["id"], ()):
            group = row["group_name"]
            meant = [duty for duty in duties[group] if covers(duty, group, home, shared) is not False]
            if not meant:
                continue
            decision = decided.get((key, home, group), {})
            since = row["from_at"] or seen.get((user["id"], group))
            found[key, home, group] = {
                "person": key,
                "directory": home,
                "group_name": group,
                "duty": "; ".join(sorted({words(duty) for duty in meant})),
                "since_at": since,
                "status": user["status"],
                "last_use_at": used.get(key),
                "decision": decision.get("decision", ""),
                "decided_by": decision.get("signer", ""),
                "decided_at": decision.get("at"),
                "period": decision.get("period", ""),
            }
    for name in sorted(found):
        yield found[name]


def _seen(tables: Tables, scan: Row) -> dict[tuple[str, str], Any]:
    previous = scan["previous_at"]
    return {
        (row["user_id"], row["group_name"]): row["from_seen_at"]
        for row in tables["history_membership"]
        if previous is not None and row["until_seen_at"] >= previous
    }


def decisions(signed: Any) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Return the latest decision on each person and group, in the order of the chain."""
    latest: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in sorted((row for row in signed if row["kind"] == KIND), key=lambda row: row["seq"] or 0):
        said = parsed(row["details"]) or {}
        key = (said.get("person", ""), said.get("directory", ""), said.get("group", ""))
        latest[key] = {**row, "period": said.get("period", "")}
    return latest


def words(duty: Row) -> str:
    """Return what a duty lets a group start, in words."""
    what = "anything" if duty["starts"] in ("*", "", None) else f"a {duty['starts']}"
    job = "" if duty["job_id"] in ("*", "", None) else f" named {duty['job_id']}"
    project = "any project" if duty["project"] in ("*", "", None) else duty["project"]
    region = "" if duty["region"] in ("*", "", None) else f"/{duty['region']}"
    zone = "any zone" if duty["zone"] in ("*", "", None) else f"zone {duty['zone']}"
    return f"start {what}{job} in {project}{region} into {zone}"
