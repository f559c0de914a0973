"""What each member of each binding may do, by the permissions of its role, and whether a duty covers it.

A condition is never taken for none: unless it only sets times, which are compared with the scan's, what it guards is
not known. Nothing follows from a role whose permissions were not read. Whether a duty covers a binding is asked of the
projects in scope that it reaches; deny policies, and duties of single jobs and zones, are finer than a binding.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.callers import bare
from auditor.correlate.members import Member, member
from auditor.correlate.zoning import Row, matches, parsed, strictest_declared

TABLE = "iam_binding_facts"
READS = (
    "gcp_iam_binding",
    "gcp_role",
    "gcp_project",
    "directory_user",
    "directory_membership",
    "config_duty",
    "config_automation",
    "config_federation",
    "config_subject",
    "config_place",
    "config_zone",
    "as_of",
)

SUBMITS = frozenset(
    {
        "dataproc.jobs.create",
        "dataproc.batches.create",
        "dataproc.sessions.create",
        "dataproc.workflowTemplates.instantiate",
        "dataproc.workflowTemplates.instantiateInline",
        "dataproc.clusters.create",
    }
)
ACTS = frozenset(
    {
        "iam.serviceAccounts.actAs",
        "iam.serviceAccounts.getAccessToken",
        "iam.serviceAccounts.getOpenIdToken",
        "iam.serviceAccounts.implicitDelegation",
        "iam.serviceAccounts.signBlob",
        "iam.serviceAccounts.signJwt",
        "iam.serviceAccountKeys.create",
    }
)
WRITES = frozenset({"storage.objects.create", "storage.objects.delete", "storage.objects.update"})
READING = frozenset(
    {
        "logging.logEntries.list",
        "logging.privateLogEntries.list",
        "logging.views.access",
        "storage.objects.get",
        "monitoring.timeSeries.list",
    }
)
JUDGED = SUBMITS | ACTS | WRITES | READING
"""What is asked of a binding here; drift watches permissions to give others these as well."""
_TIME = r"""request\.time\s*(<=?|>=?)\s*timestamp\(\s*(["'])([^"']+)\2\s*\)"""
_TIMES = re.compile(rf"\s*{_TIME}(?:\s*&&\s*{_TIME})?\s*")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a member of a binding."""
    (now,) = tables["as_of"]
    roles = {row["name"]: row for row in tables["gcp_role"]}
    duties = _Duties(tables, now["as_of"])
    zone = strictest_declared(tables["config_zone"])
    exporters = {row["service_account"].lower() for row in tables["config_subject"]}
    exporters |= {row["subject_of"].lower() for row in tables["config_federation"] if row["subject_of"]}
    for row in tables["gcp_iam_binding"]:
        who = member(row["member"])
        covered, says = duties.cover(who, row)
        exports = who.name in exporters and who.name.endswith(f"@{row['project']}.iam.gserviceaccount.com")
        yield {
            "subject_key": key_of(row),
            "zone": zone,
            "account": None,
            "project": row["project"],
            "owner": None,
            "region": "*",
            **{name: row[name] for name in ("resource", "kind", "role", "member", "condition")},
            "member_kind": who.kind,
            "individual": who.individual,
            **_may(row, roles.get(row["role"]), now["as_of"]),
            "duty_covers": covered,
            "duty_says": f"{says}; it exports from this project" if exports else says,
            "people": duties.people(who),
            "exports_here": exports,
        }


def key_of(row: Row) -> str:
    """Return how a binding names itself: a condition by its digest, since titles repeat."""
    condition = f"/if:{sha256(row['condition'].encode()).hexdigest()[:12]}" if row["condition"] else ""
    return f"{row['resource']}/{row['role']}/{row['member']}{condition}"


def _may(row: Row, role: Row | None, now: datetime) -> dict[str, Any]:
    """Return what a binding lets its member do now."""
    names = {"lets_submit": SUBMITS, "lets_act": ACTS, "lets_write": WRITES, "lets_read": READING}
    if role is None:
        why = f"what {row['role']} grants is not known"
        return {"grants": None, "grants_says": why, **dict.fromkeys(names)}
    grants = set() if role["deleted"] else JUDGED.intersection(parsed(role["permissions"]))
    held = in_force(row["condition"], now)
    may = {name: bool(grants & wanted) and held for name, wanted in names.items()}
    why = (
        f"only where its condition holds, which is not judged: {row['condition']}"
        if held is None and grants
        else ""
    )
    return {"grants": sorted(grants), "grants_says": why, **may}


def in_force(condition: str, now: datetime) -> bool | None:
    """Tell whether a condition holds at a time; None when it asks for more than the time."""
    if not condition:
        return True
    found = _TIMES.fullmatch(condition)
    if found is None:
        return None
    holds = True
    for operator, text in ((found[1], found[3]), (found[4], found[6])):
        if operator is None:
            continue
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            return None
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        late = now.replace(tzinfo=UTC) if now.tzinfo is None else now
        holds = holds and {"<": late < at, "<=": late <= at, ">": late > at, ">=": late >= at}[operator]
    return holds


class _Duties:
    """Duties, registered automations and the directory, as questions about a member."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        self._duties = tables["config_duty"]
        self._automations = tables["config_automation"]
        self._projects = {row["account"] for row in tables["config_place"] if row["cloud"] == "gcp"}
        self._ancestors = {row["project"]: parsed(row["ancestors"]) for row in tables["gcp_project"]}
        users = tables["directory_user"]
        self._known = bool(users)
        self._domains = {str(user["email"]).rpartition("@")[2].lower() for user in users if user["email"]}
        self._users: dict[str, Row] = {}
        for user in users:
            for name in (user["email"], user["subject"]):
                if name:
                    self._users[bare(name)] = user
        self._groups: dict[str, set[str]] = defaultdict(set)
        self._members: dict[str, set[str]] = defaultdict(set)
        named = {user["id"]: user["email"] or user["subject"] or user["id"] for user in users}
        for each in tables["directory_membership"]:
            begun = each["from_at"] is None or each["from_at"] <= now
            if begun and (each["until_at"] is None or each["until_at"] > now):
                self._groups[each["user_id"]].add(each["group_name"])
                if each["user_id"] in named:
                    self._members[each["group_name"]].add(named[each["user_id"]])

    def names(self, who: Member) -> set[str]:
        """Return the names by which the directory may know a group: its e-mail, or that before the @ in a domain of ours."""
        local, _, domain = who.name.partition("@")
        return {who.name, local} if domain in self._domains else {who.name}

    def people(self, who: Member) -> list[str] | None:
        """Return the people of a group; None when the directory has no such group."""
        if who.kind != "group":
            return None
        held = {
            each
            for name in self.names(who)
            for group, mine in self._members.items()
            if group.lower() == name.lower()
            for each in mine
        }
        return sorted(held) or None

    def cover(self, who: Member, row: Row) -> tuple[bool | None, str]:
        """Tell whether a duty, or a registered automation, covers what a member may do in every project it reaches."""
        reached = self._reached(row)
        if who.kind in ("service_account", "workload"):
            return self._automated(who, reached)
        if not self._duties:
            return None, "no duties are configured"
        if who.kind == "group":
            groups = self.names(who)
            pooled = "@" not in who.name and who.name not in self._members
            covered = self._covering(groups, reached)
            if covered is False and pooled and not any(d["group_name"] in groups for d in self._duties):
                return None, f"the directory has no group {who.name}"
            return covered, self._said(groups, covered)
        if who.kind == "user":
            user = self._users.get(who.name)
            if not self._known:
                return None, "no directory was read"
            groups = self._groups[user["id"]] if user and user["status"] == "active" else set()
            covered = self._covering(groups, reached)
            return covered, self._said(groups, covered)
        if who.kind == "unknown":
            return None, "what this member is is not known"
        return False, "no duty covers such a member"

    def _reached(self, row: Row) -> list[str] | None:
        """Return the projects in scope that a binding reaches; None when one of them, or what is above it, was not read."""
        if not row["project"].startswith(("folders/", "organizations/")):
            return [row["project"]]
        unread = self._projects - self._ancestors.keys()
        if unread or any(above is None for above in self._ancestors.values()):
            return None
        return [project for project, above in self._ancestors.items() if row["project"] in above]

    def _covering(self, groups: set[str], reached: list[str] | None) -> bool | None:
        lowered = {group.lower() for group in groups}
        mine = [duty for duty in self._duties if duty["group_name"].lower() in lowered]
        if not mine:
            return False
        if reached is None:
            return None
        return all(any(matches(project, duty["project"]) for duty in mine) for project in reached)

    def _automated(self, who: Member, reached: list[str] | None) -> tuple[bool | None, str]:
        names = {who.name, f"principal:{who.name}"}
        mine = [each for each in self._automations if bare(each["principal"]) in names]
        if not mine:
            known = self._automations or self._duties
            return (False, "it is no registered automation") if known else (None, "nothing is registered")
        if reached is None:
            return None, "which projects it reaches is not known"
        covered = all(any(matches(project, each["project"]) for each in mine) for project in reached)
        return covered, "a registered automation" + ("" if covered else " of other projects")

    def _said(self, groups: set[str], covered: bool | None) -> str:
        lowered = {group.lower() for group in groups}
        held = sorted({d["group_name"] for d in self._duties if d["group_name"].lower() in lowered})
        if covered is None:
            return "which projects it reaches is not known"
        if covered:
            return f"duty of {', '.join(held)}"
        return f"the duties of {', '.join(held)} are in other projects" if held else "no duty names it"
