"""Who triggered each job, whether the directory knows them, and whether a duty of their groups covers it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from auditor.correlate import Rows, Tables
from auditor.correlate.callers import bare, caller, succeeded
from auditor.correlate.zoning import Row, matches, parsed

TABLE = "job_trigger"
READS = (
    "dataproc_job",
    "gcp_audit_entry",
    "directory_user",
    "directory_membership",
    "config_duty",
    "config_automation",
    "as_of",
)

SUBMITTING = ("SubmitJob", "SubmitJobAsOperation", "CreateBatch", "CreateSession")
WORKFLOWS = ("InstantiateWorkflowTemplate", "InstantiateInlineWorkflowTemplate")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a job."""
    (now,) = tables["as_of"]
    skew = timedelta(seconds=now["skew_s"])
    grace = timedelta(seconds=now["grace_s"])
    entries = _Entries(tables["gcp_audit_entry"])
    people = _People(tables)
    for job in tables["dataproc_job"]:
        found_by, principals = entries.of(job, skew)
        principal = next(iter(principals)) if len(principals) == 1 else None
        automation = _automated(tables["config_automation"], principal, job)
        at = job["submitted_at"]
        zone = (parsed(job["labels"]) or {}).get(now["zone_label"])
        user = people.named(principal)
        known = automation or (bool(user) if people.known else None)
        yield {
            "job_uuid": job["job_uuid"],
            "principal": principal,
            "found_by": found_by if principal else "none",
            "principals": len(principals),
            "trigger_known": known if principal else None,
            "automation": automation if principal else None,
            "covered": people.covered(user, job, zone, at, grace)
            if principal and not automation
            else True
            if principal
            else None,
        }


class _Entries:
    """Audit entries that start work, found by what they name."""

    def __init__(self, entries: Rows) -> None:
        self._by_uuid: dict[str, set[str]] = defaultdict(set)
        self._by_id: dict[tuple[str, str, str], list[tuple[datetime, str]]] = defaultdict(list)
        self._flows: dict[tuple[str, str, str], list[tuple[datetime, str]]] = defaultdict(list)
        for entry in entries:
            who = caller(entry)
            method = (entry["method"] or "").rpartition(".")[2]
            if who is None or not succeeded(entry):
                continue
            place = (entry["project"], entry["region"])
            if method in WORKFLOWS:
                for job_id in parsed(entry["workflow_jobs"]) or ():
                    self._flows[(*place, job_id)].append((entry["at"], who))
            elif method in SUBMITTING and entry["job_uuid"]:
                self._by_uuid[entry["job_uuid"]].add(who)
            elif method in SUBMITTING and entry["job_id"]:
                self._by_id[(*place, entry["job_id"])].append((entry["at"], who))

    def of(self, job: Row, skew: timedelta) -> tuple[str, set[str]]:
        """Return how the job's trigger was found, and who fits best: two are an ambiguity."""
        if exact := self._by_uuid.get(job["job_uuid"]):
            return "job uuid", exact
        if job["creator"]:
            return "creator", {bare(job["creator"])}
        name = (job["project"], job["region"], job["job_id"])
        at = job["submitted_at"]
        if at is None:
            return "none", set()
        near = {who for when, who in self._by_id[name] if abs(when - at) <= skew}
        if near:
            return "job id and time", near
        return "workflow", {who for when, who in self._flows[name] if abs(when - at) <= timedelta(days=1)}


class _People:
    """The directory: who is in which group, and which duty that is."""

    def __init__(self, tables: Tables) -> None:
        self.known = bool(tables["directory_user"])
        self._duties = tables["config_duty"]
        self._users: dict[str, Row] = {}
        for user in tables["directory_user"]:
            for name in (user["email"], user["subject"]):
                if name:
                    self._users[bare(name)] = user
        self._groups: dict[str, list[Row]] = defaultdict(list)
        for membership in tables["directory_membership"]:
            self._groups[membership["user_id"]].append(membership)

    def named(self, principal: str | None) -> Row | None:
        """Return the person or automation that a principal is."""
        return self._users.get(principal) if principal else None

    def covered(
        self, user: Row | None, job: Row, zone: str | None, at: datetime | None, grace: timedelta
    ) -> bool | None:
        """Tell whether a group of theirs has the job among its duties at that time.

        None when no duties are configured, or when a membership that would do so has no dates.
        """
        if not self._duties or at is None or not self.known:
            return None
        if user is None:
            return False
        maybe = False
        for membership in self._groups[user["id"]]:
            if not any(_duty(duty, membership["group_name"], job, zone) for duty in self._duties):
                continue
            if membership["until_at"] is not None and membership["until_at"] + grace < at:
                continue
            if membership["from_at"] is None:
                maybe = True
            elif membership["from_at"] <= at:
                return True
        return None if maybe else False


def _duty(duty: Row, group: str, job: Row, zone: str | None) -> bool:
    return (
        duty["group_name"] == group
        and matches(job["project"], duty["project"])
        and matches(job["job_id"], duty["job_id"])
        and duty["zone"] in ("*", zone)
    )


def _automated(automations: Rows, principal: str | None, job: Row) -> bool:
    return principal is not None and any(
        bare(row["principal"]) == principal
        and matches(job["project"], row["project"])
        and matches(job["job_id"], row["job_id"])
        for row in automations
    )
