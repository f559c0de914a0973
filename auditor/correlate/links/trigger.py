"""Who triggered the job, and whether they were entitled to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from auditor.correlate.links.evidence import Case, Evidence, Row, duration, listed, words
from auditor.correlate.links.judgement import (
    Judgement,
    Refs,
    broken,
    pending,
    proven,
    unknown,
    weakest,
)
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
    delegation: tuple[str, ...]
    job_id: str | None
    job_uuid: str | None
    workflow: bool
    workflow_jobs: tuple[str, ...]
    failed: bool
    refs: Refs


class Triggers:
    """The successful submissions of the audit log: a long-running pair is one."""

    def __init__(self, evidence: Evidence) -> None:
        pairs: dict[str, list[Row]] = defaultdict(list)
        for entry in evidence.tables["gcp_audit_entry"]:
            method = (entry["method"] or "").rpartition(".")[2]
            if method in _SUBMITS or method in _WORKFLOWS:
                pairs[entry["operation_id"] or entry["entry_id"]].append(entry)
        self._by_uuid: dict[str, list[Call]] = defaultdict(list)
        self._by_id: dict[tuple[str, str], list[Call]] = defaultdict(list)
        self._workflows: dict[tuple[str, str], list[Call]] = defaultdict(list)
        for entries in pairs.values():
            call = _merged(entries)
            if call.failed:
                continue
            for name in call.workflow_jobs:
                self._workflows[call.project, name].append(call)
            if call.workflow:
                continue
            if call.job_uuid:
                self._by_uuid[call.job_uuid].append(call)
            elif call.job_id:
                self._by_id[call.project, call.job_id].append(call)

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
            if call.at - skew <= at <= call.at + _WORKFLOW_LASTS
        ]
        return flows, Strength.STRONG


def _merged(entries: Sequence[Row]) -> Call:
    """Return the entries of one call as one: what either of a long-running pair tells."""
    entries = sorted(entries, key=lambda entry: (entry["at"], entry["entry_id"]))

    def told(column: str) -> Any:
        return next((entry[column] for entry in entries if entry[column]), None)

    return Call(
        project=told("project") or "",
        region=told("region"),
        at=entries[0]["at"],
        principal=told("principal_email") or told("principal_subject"),
        static_key=told("static_key_name"),
        delegation=tuple(str(name) for name in told("delegation") or ()),
        job_id=told("job_id"),
        job_uuid=told("job_uuid"),
        workflow=any((e["method"] or "").endswith(_WORKFLOWS) for e in entries),
        workflow_jobs=tuple(sorted({str(name) for e in entries for name in e["workflow_jobs"] or ()})),
        failed=any(e["status_code"] not in (0, None) or e["granted"] is False for e in entries),
        refs=tuple(("gcp_audit_entry", e["entry_id"]) for e in entries),
    )


def judge(evidence: Evidence, case: Case, triggers: Triggers) -> Judgement:
    """Judge the trigger link of one export."""
    job = case.job
    at = job["submitted_at"] or job["started_at"]
    if at is None:
        return unknown("when the job was submitted is not known", (("dataproc_job", job["job_uuid"]),))
    calls, strength = triggers.of(job, evidence.skew)
    if len({(call.principal, call.static_key) for call in calls}) > 1:
        refs: Refs = tuple(ref for call in calls for ref in call.refs)
        return unknown(f"{len(calls)} audit entries fit this job equally well", refs)
    if calls:
        return _called(evidence, case, calls[0], strength)
    if job["creator"]:
        own: Refs = (("dataproc_job", job["job_uuid"]),)
        return _principal(evidence, case, job["creator"], at, Strength.STRONG, own, "its creator")
    settled = at + evidence.logging
    gaps = evidence.sight.gaps(
        "gcp_audit_entry",
        job["project"],
        from_at=at - evidence.skew,
        until_at=min(at + evidence.skew, evidence.now),
    )
    if gaps:
        return unknown("who triggered the job could not be seen", gaps=gaps)
    if evidence.now < settled:
        return pending("the audit log is not settled yet", settled)
    return unknown(
        f"no audit entry names this {job['kind']}, though the log of {job['project']} is settled: "
        "who triggered it cannot be told",
        (("dataproc_job", job["job_uuid"]),),
    )


def _called(evidence: Evidence, case: Case, call: Call, strength: Strength) -> Judgement:
    if call.static_key:
        return broken(f"a static service-account key signed the call: {call.static_key}", call.refs)
    principal = call.delegation[0] if call.delegation else call.principal
    if not principal:
        return unknown("the audit entry names no principal", call.refs)
    how = "named by the audit entry"
    if call.delegation:
        how = f"delegated through {listed([*call.delegation[1:], call.principal or 'an unnamed account'])}"
    return _principal(evidence, case, principal, call.at, strength, call.refs, how)


def _principal(
    evidence: Evidence, case: Case, principal: str, at: datetime, strength: Strength, refs: Refs, how: str
) -> Judgement:
    """Judge whether the principal is a person in a covering group, or an automation with an active owner."""
    name = plain(principal)
    gaps = evidence.sight.gaps("directory_user", None)
    person = people(evidence).get(name.lower())
    if person is None and not name.endswith("gserviceaccount.com"):
        if gaps:
            return unknown(f"{name} triggered it, and the directory could not be read", refs, gaps)
        return broken(f"{name}, {how}, is not in the directory", refs)
    if person is None or name.endswith("gserviceaccount.com"):
        return _automation(evidence, case, name, at, strength, person, refs, gaps)
    refs = (*refs, ("directory_user", person["id"]))
    inactive = _active(evidence, person, at)
    if inactive is not None:
        return replace(inactive, refs=refs)
    return _member(evidence, case, person, at, strength, refs, how)


def people(evidence: Evidence) -> dict[str, Row]:
    """Return the directory by e-mail, id and subject, lower case."""
    found: dict[str, Row] = {}
    for row in evidence.tables["directory_user"]:
        for name in (row["subject"], row["id"], row["email"]):
            if name:
                found[str(name).lower()] = row
    return found


def plain(principal: str) -> str:
    """Return a principal without its kind: `user:`, `serviceAccount:`, or a pool's `.../subject/`."""
    if "/subject/" in principal:
        return principal.rpartition("/subject/")[2]
    for kind in ("user:", "serviceAccount:"):
        principal = principal.removeprefix(kind)
    return principal


def _active(evidence: Evidence, person: Row, at: datetime) -> Judgement | None:
    """Return why the person was not active at the time, or None when they were."""
    who = person["email"] or person["id"]
    ended: datetime | None = person["disabled_at"]
    if ended is not None:
        if at <= ended + evidence.grace:
            return None
        late = duration(at - ended)
        return broken(f"{who} was disabled on {words(ended)}, {late} before the job was triggered")
    if person["status"] == "active":
        return None
    return unknown(
        f"{who} is {person['status'] or 'of unknown status'}, and the directory does not say since when"
    )


def _member(
    evidence: Evidence, case: Case, person: Row, at: datetime, strength: Strength, refs: Refs, how: str
) -> Judgement:
    who = person["email"] or person["id"]
    job = case.job
    duties = [
        duty
        for duty in evidence.tables["config_duty"]
        if fnmatchcase(job["project"] or "", duty["project"] or "*")
        and fnmatchcase(job["job_id"] or "", duty["job_id"] or "*")
    ]
    if not evidence.tables["config_duty"]:
        return unknown("no duty map is configured: which group may trigger the job is not known", refs)
    covering = {duty["group_name"] for duty in duties if duty["zone"] in ("*", None, "", case.zone)}
    maybe = {duty["group_name"] for duty in duties} if case.zone is None else set()
    now_known, perhaps = _groups(evidence, person, at)
    if covering & now_known:
        group = min(covering & now_known)
        return proven(f"{who}, {how}, was a member of {group} when the job was triggered", strength, refs)
    seen = _seen_groups(evidence, person, at)
    if covering & seen:
        group = min(covering & seen)
        return proven(
            f"{who}, {how}, was a member of {group} in the scans before and after the trigger",
            weakest((strength, Strength.INFERRED)),
            refs,
        )
    gaps = evidence.sight.gaps("directory_membership", None)
    if gaps:
        return unknown(f"{who} triggered it, and group memberships could not be read", refs, gaps)
    if covering & perhaps:
        group = min(covering & perhaps)
        return unknown(f"{who} is a member of {group}, and since when is not known", refs)
    if (maybe & (now_known | perhaps)) - covering:
        return unknown(
            f"the zone is not known, so whether a group of {who} covers the job is not known", refs
        )
    if not covering:
        return broken(
            f"no group may trigger {job['job_id']} in zone {case.zone or 'unknown'}; {who} did", refs
        )
    return broken(f"{who} was in none of {listed(sorted(covering))} when the job was triggered", refs)


def _groups(evidence: Evidence, person: Row, at: datetime) -> tuple[set[str], set[str]]:
    """Return the groups the person was in at the time for certain, and those where the start is not told."""
    certain: set[str] = set()
    perhaps: set[str] = set()
    names = {person["id"], person["email"]}
    for row in evidence.tables["directory_membership"]:
        if row["user_id"] not in names:
            continue
        if row["until_at"] is not None and at > row["until_at"] + evidence.grace:
            continue
        if row["from_at"] is None:
            perhaps.add(row["group_name"])
        elif row["from_at"] <= at:
            certain.add(row["group_name"])
    return certain, perhaps


def _seen_groups(evidence: Evidence, person: Row, at: datetime) -> set[str]:
    """Return the groups the person was in both in the last scan before and in the first after the time."""
    names = {person["id"], person["email"]}
    listed_now = evidence.tables["directory_membership"]
    member = {(row["user_id"], row["group_name"]) for row in listed_now if row["until_at"] is None}
    dated = {
        row["group_name"]
        for row in listed_now
        if row["user_id"] in names and (row["from_at"] is not None or row["until_at"] is not None)
    }
    found = set()
    for row in evidence.tables["history_membership"]:
        if row["user_id"] not in names or row["group_name"] in dated or row["from_seen_at"] > at:
            continue  # a date the directory gives is never overridden by what was seen
        unbroken = evidence.previous_at is not None and row["until_seen_at"] >= evidence.previous_at
        goes_on = unbroken and (row["user_id"], row["group_name"]) in member
        if at <= (evidence.now if goes_on else row["until_seen_at"]):
            found.add(row["group_name"])
    return found


def _automation(
    evidence: Evidence,
    case: Case,
    name: str,
    at: datetime,
    strength: Strength,
    listed_as: Row | None,
    refs: Refs,
    gaps: list[str],
) -> Judgement:
    job = case.job
    registered = [row for row in evidence.tables["config_automation"] if row["principal"] == name]
    limits = [
        row
        for row in registered
        if fnmatchcase(job["project"] or "", row["project"] or "*")
        and fnmatchcase(job["job_id"] or "", row["job_id"] or "*")
    ]
    if registered and not limits:
        return broken(
            f"the automation {name} is not registered for {job['job_id']} in {job['project']}", refs
        )
    owner = limits[0]["owner"] if limits else (listed_as["owner"] if listed_as else None)
    if not registered and listed_as is None:
        if gaps:
            return unknown(f"{name} triggered it, and the directory could not be read", refs, gaps)
        return broken(f"{name} is neither a person nor a registered automation", refs)
    if not owner:
        return broken(f"the automation {name} has no owner", refs)
    person = people(evidence).get(str(owner).lower())
    if person is None:
        if gaps:
            return unknown(
                f"the directory could not be read, so the owner of {name} is not known", refs, gaps
            )
        return broken(f"{owner}, who owns the automation {name}, is not in the directory", refs)
    inactive = _active(evidence, person, at)
    refs = (*refs, ("directory_user", person["id"]))
    if inactive is not None:
        return replace(inactive, refs=refs).named(f"the automation {name} has no active owner")
    # No person is seen behind it: never more than strong (sources.md, section 3.2).
    return proven(
        f"the registered automation {name} triggered it; {owner} owns it",
        weakest((strength, Strength.STRONG)),
        refs,
    )
