"""Who triggered each job, whether the directories know them, and whether a duty of their groups covers it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from auditor.correlate import Rows, Tables
from auditor.correlate.callers import bare, caller, succeeded
from auditor.correlate.duties import covers, directory_of, within
from auditor.correlate.links import directory
from auditor.correlate.links.directory import Directory
from auditor.correlate.sight import Sight
from auditor.correlate.zoning import Row, parsed

TABLE = "job_trigger"
READS = ("dataproc_job", "config_duty", "coverage", "as_of", *directory.READS)

SUBMITTING = ("SubmitJob", "SubmitJobAsOperation", "CreateBatch", "CreateSession")
WORKFLOWS = ("InstantiateWorkflowTemplate", "InstantiateInlineWorkflowTemplate")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a job."""
    (now,) = tables["as_of"]
    skew = timedelta(seconds=now["skew_s"])
    entries = _Entries(tables["gcp_audit_entry"])
    people = _People(tables, now)
    for job in tables["dataproc_job"]:
        found_by, principals = entries.of(job, skew)
        principal = next(iter(principals)) if len(principals) == 1 else None
        zone = (parsed(job["labels"]) or {}).get(now["zone_label"])
        starts = "workflow" if found_by == "workflow" else job["kind"]
        told = people.judged(principal, job, starts, zone) if principal else _NOTHING
        yield {
            "job_uuid": job["job_uuid"],
            "principal": principal,
            "found_by": found_by if principal else "none",
            "principals": len(principals),
            "trigger_known": told.known,
            "automation": told.automation,
            "covered": told.covered,
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


@dataclass(frozen=True, slots=True)
class _Told:
    known: bool | None
    """Somebody's name; NULL when the directories do not tell."""
    automation: bool | None
    covered: bool | None


_NOTHING = _Told(None, None, None)


@dataclass(frozen=True, slots=True)
class _Scan:
    """As much of the scan as the directories ask for."""

    tables: Tables
    now: datetime
    previous_at: datetime | None
    grace: timedelta
    sight: Sight


class _People:
    """The directories and the duty map, asked the way the trigger link asks them."""

    def __init__(self, tables: Tables, now: Row) -> None:
        self._tables = tables
        self._known = bool(tables["directory_user"])
        grace = timedelta(seconds=now["grace_s"])
        scan = _Scan(tables, now["as_of"], now["previous_at"], grace, Sight(tables["coverage"]))
        self._directory = Directory(scan, directory.named(tables))

    def judged(self, principal: str, job: Row, starts: str, zone: str | None) -> _Told:
        """Tell whether a principal is known, an automation within its limits, and whether a duty covers the job."""
        registered = [
            row
            for row in self._tables["config_automation"]
            if bare(row["principal"] or "") == bare(principal)
        ]
        fits = [(row, within(row, job, starts, zone)) for row in registered]
        limits = [row for row, fit in fits if fit]
        if limits:
            agents = [row for row in limits if row["kind"] == "agent"]
            covered = (
                True if len(agents) < len(limits) else _any(self._owner(a, job, starts, zone) for a in agents)
            )
            return _Told(True, True, covered)
        if self._directory.undeclared(principal) is not None:
            return _Told(None, False, None)
        users = self._directory.called(principal)
        if any(fit is None for _, fit in fits):
            return _Told(True, None, None)
        known = bool(users) if self._known else None
        if len(users) > 1:
            return _Told(True, False, None)  # which of them it was, nobody says
        if not users:
            return _Told(known, False, False if self._known and self._tables["config_duty"] else None)
        return _Told(known, False, self._covered(users[0], job, starts, zone))

    def _owner(self, automation: Row, job: Row, starts: str, zone: str | None) -> bool | None:
        owners = self._directory.called(automation["owner"] or "")
        if len(owners) != 1:
            return None if owners or not self._known else False
        return self._covered(owners[0], job, starts, zone)

    def _covered(self, user: Row, job: Row, starts: str, zone: str | None) -> bool | None:
        """Tell whether a group of theirs had the job among its duties when it was submitted.

        None when no duties are configured, or when a membership that would do so has no date and no scan saw it.
        """
        at = job["submitted_at"]
        if not self._tables["config_duty"] or at is None:
            return None
        certain, perhaps = self._directory.groups(user, at)
        certain |= self._directory.seen_groups(user, at)
        maybe = False
        for duty in self._tables["config_duty"]:
            group = duty["group_name"]
            if group not in certain | perhaps:
                continue
            # A job without a zone of its own is in no zone that a duty could name.
            if not within(duty, job, starts, zone or ""):
                continue
            meant = covers(duty, group, directory_of(user["id"]), self._directory.shared)
            if meant and group in certain:
                return True
            maybe = maybe or meant is not False
        return None if maybe else False


def _any(found: Iterator[bool | None]) -> bool | None:
    answers = list(found)
    return True if True in answers else None if None in answers else False
