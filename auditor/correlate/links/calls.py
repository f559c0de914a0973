"""The calls that started work, from the audit log: a long-running pair as one, tied to the job they name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from auditor.correlate import Rows
from auditor.correlate.links.alike import Alike
from auditor.correlate.links.directory import Directory, named_by
from auditor.correlate.links.evidence import Evidence, Row
from auditor.correlate.links.judgement import Refs
from auditor.model import Strength

_SUBMITS = ("SubmitJob", "SubmitJobAsOperation", "CreateBatch", "CreateSession")
_WORKFLOWS = ("InstantiateWorkflowTemplate", "InstantiateInlineWorkflowTemplate")
_WORKFLOW_LASTS = timedelta(hours=24)
"""Dataproc ends a workflow's managed cluster at the latest after 24 h (dagTimeout's maximum)."""


@dataclass(frozen=True, slots=True)
class Call:
    """One successful or refused call that submits work; both entries of a long-running pair."""

    project: str
    region: str | None
    at: datetime
    principal: str | None
    static_key: str | None
    """Empty when no key of the user's own signed it; None when no entry of the call tells."""
    delegation: tuple[str, ...]
    job_id: str | None
    job_uuid: str | None
    workflow: bool
    workflow_jobs: tuple[str, ...]
    succeeded: bool
    refs: Refs


class Triggers:
    """The successful submissions of the audit log, a long-running pair as one, and who may have made them."""

    def __init__(self, evidence: Evidence) -> None:
        pairs: dict[tuple[str, str], list[Row]] = defaultdict(list)
        names = {job["creator"] for job in evidence.jobs.values() if job["creator"]}
        names.update(names_asked(evidence.tables["plain_asked"]))
        for entry in evidence.tables["gcp_audit_entry"]:
            names.update(named_by(entry))
            method = (entry["method"] or "").rpartition(".")[2]
            if (method in _SUBMITS or method in _WORKFLOWS) and entry["at"] is not None:
                pairs[entry["project"] or "", entry["operation_id"] or entry["entry_id"]].append(entry)
        self._by_uuid: dict[str, list[Call]] = defaultdict(list)
        self._by_id: dict[tuple[str, str], list[Call]] = defaultdict(list)
        self._workflows: dict[tuple[str, str], list[Call]] = defaultdict(list)
        self.directory = Directory(evidence, names)
        for entries in pairs.values():
            call = _merged(entries)
            if not call.succeeded:
                continue
            for name in call.workflow_jobs:
                self._workflows[call.project, name].append(call)
            if call.workflow:
                continue
            if call.job_uuid:
                self._by_uuid[call.job_uuid].append(call)
            elif call.job_id:
                self._by_id[call.project, call.job_id].append(call)
        self._jobs = evidence.jobs
        self.alike = Alike(evidence, self.directory)

    @cached_property
    def _namesakes(self) -> dict[tuple[str, str, str], list[Row]]:
        found: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
        for job in self._jobs.values():
            found[job["project"], job["region"], job["job_id"]].append(job)
        return found

    def of(self, job: Row, skew: timedelta) -> tuple[Sequence[Call], Strength]:
        """Return the calls that may have triggered the job, and how strongly they are tied to it."""
        exact = self._by_uuid.get(job["job_uuid"], [])
        if exact:
            return exact, Strength.EXACT
        at: datetime | None = job["submitted_at"]
        if at is None:
            return [], Strength.NONE
        near = [
            call
            for call in self._by_id.get((job["project"], job["job_id"]), ())
            if call.region in (None, "", job["region"]) and abs(call.at - at) <= skew
        ]
        if near:
            return near, Strength.STRONG
        flows = [
            call
            for call in self._workflows.get((job["project"], job["job_id"]), ())
            if call.region in (None, "", job["region"]) and call.at - skew <= at <= call.at + _WORKFLOW_LASTS
        ]
        return flows, Strength.STRONG

    def rivals(self, job: Row, call: Call, skew: timedelta) -> list[str]:
        """Return other jobs of the same id that a call which names no job_uuid fits as well: ids may be reused."""
        if call.job_uuid:
            return []
        last = call.at + (_WORKFLOW_LASTS if call.workflow else skew)
        return [
            other["job_uuid"]
            for other in self._namesakes[job["project"], job["region"], job["job_id"]]
            if other["job_uuid"] != job["job_uuid"]
            and not self._by_uuid.get(other["job_uuid"])
            and other["submitted_at"] is not None
            and call.at - skew <= other["submitted_at"] <= last
        ]


def names_asked(asked: Rows) -> Iterator[str]:
    """Yield the names of entries and jobs that 36_plain_asked.sql tells of: those of plain exports are not read."""
    for row in asked:
        if row["what"] == "name":
            yield from named_by(
                {
                    "principal_email": row["principal"],
                    "principal_subject": row["subject"],
                    "delegation": row["delegation"],
                }
            )


def _single(entry: Row) -> Call:
    """Return a call of which there is one entry, as most are: what `_merged` says of it, in a third of the time."""
    return Call(
        entry["project"] or "",
        entry["region"] or None,
        entry["at"],
        entry["principal_email"] or entry["principal_subject"] or None,
        entry["static_key_name"],
        tuple(map(str, entry["delegation"] or ())),
        entry["job_id"] or None,
        entry["job_uuid"] or None,
        (entry["method"] or "").endswith(_WORKFLOWS),
        tuple(sorted({str(name) for name in entry["workflow_jobs"]})) if entry["workflow_jobs"] else (),
        entry["status_code"] == 0 and entry["granted"] is not False,
        (("gcp_audit_entry", entry["entry_id"]),),
    )


def _merged(entries: Sequence[Row]) -> Call:
    """Return the entries of one call as one: what either of a long-running pair tells."""
    if len(entries) == 1:
        return _single(entries[0])
    entries = sorted(entries, key=lambda entry: (entry["at"], entry["entry_id"]))

    def told(column: str) -> Any:
        return next((entry[column] for entry in entries if entry[column]), None)

    keys = [entry["static_key_name"] for entry in entries if entry["static_key_name"] is not None]
    return Call(
        project=told("project") or "",
        region=told("region"),
        at=entries[0]["at"],
        principal=told("principal_email") or told("principal_subject"),
        static_key=max(keys, default=None),
        delegation=tuple(str(name) for name in told("delegation") or ()),
        job_id=told("job_id"),
        job_uuid=told("job_uuid"),
        workflow=any((e["method"] or "").endswith(_WORKFLOWS) for e in entries),
        workflow_jobs=tuple(sorted({str(name) for e in entries for name in e["workflow_jobs"] or ()})),
        # The last entry of a pair tells how the work ended, not whether it was let through.
        succeeded=any(e["status_code"] == 0 and e["granted"] is not False for e in entries),
        refs=tuple(("gcp_audit_entry", e["entry_id"]) for e in entries),
    )
