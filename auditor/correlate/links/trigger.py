"""Who triggered the job, and whether they were entitled to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from auditor.correlate.links.directory import Directory, plain
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
from auditor.model import State, Strength

_NOBODY = "unknown principal"
"""What a source writes for a delegate whom the entry does not name."""
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
        self.directory = Directory(evidence)
        pairs: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for entry in evidence.tables["gcp_audit_entry"]:
            method = (entry["method"] or "").rpartition(".")[2]
            if (method in _SUBMITS or method in _WORKFLOWS) and entry["at"] is not None:
                pairs[entry["project"] or "", entry["operation_id"] or entry["entry_id"]].append(entry)
        self._by_uuid: dict[str, list[Call]] = defaultdict(list)
        self._by_id: dict[tuple[str, str], list[Call]] = defaultdict(list)
        self._workflows: dict[tuple[str, str], list[Call]] = defaultdict(list)
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
        self._namesakes: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
        for job in evidence.tables["chain_job"]:
            self._namesakes[job["project"], job["region"], job["job_id"]].append(job)

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


def _merged(entries: Sequence[Row]) -> Call:
    """Return the entries of one call as one: what either of a long-running pair tells."""
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
    own: Refs = (("dataproc_job", job["job_uuid"]),)
    if calls:
        call = calls[0]
        rivals = triggers.rivals(job, call, evidence.skew)
        if rivals:
            why = f"the audit entry names {job['job_id']} alone, and job {listed(rivals)} has the same id and time"
            return unknown(why, call.refs)
        if job["creator"] and call.principal and not _agree(job["creator"], call):
            why = f"the audit entry names {plain(call.principal)}, and the {job['kind']} itself {plain(job['creator'])}"
            return unknown(why, (*call.refs, *own))
        return _called(evidence, case, triggers.directory, call, strength)
    if job["creator"]:
        who, found_by = job["creator"], f"named by the {job['kind']} as its creator"
        return _principal(evidence, case, triggers.directory, who, at, Strength.STRONG, own, found_by)
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


def _agree(creator: str, call: Call) -> bool:
    """Tell whether a creator is among those an audit entry names."""
    names = {plain(name).lower() for name in (call.principal, *call.delegation) if name}
    return plain(creator).lower() in names


def _called(
    evidence: Evidence, case: Case, directory: Directory, call: Call, strength: Strength
) -> Judgement:
    if call.static_key:
        return broken(f"a static service-account key signed the call: {call.static_key}", call.refs)
    principal = call.delegation[0] if call.delegation else call.principal
    if not principal or principal == _NOBODY:
        return unknown("the audit entry does not say who stood at the start of the call", call.refs)
    how = f"named by the audit entry of {words(call.at)}"
    if call.delegation:
        how += f", delegated through {listed([*call.delegation[1:], call.principal or 'an unnamed account'])}"
    judged = _principal(evidence, case, directory, principal, call.at, strength, call.refs, how)
    if call.static_key is None and judged.state == State.PROVEN:
        return unknown(
            "the audit entry does not say whether a static service-account key signed it", call.refs
        )
    return judged


def _principal(
    evidence: Evidence,
    case: Case,
    directory: Directory,
    principal: str,
    at: datetime,
    strength: Strength,
    refs: Refs,
    how: str,
) -> Judgement:
    """Judge whether the principal is a person in a covering group, or an automation with an active owner."""
    name = plain(principal)
    gaps = evidence.sight.gaps("directory_user", None)
    people = directory.called(principal)
    if len(people) > 1:
        ids = listed([str(row["id"]) for row in people])
        return unknown(
            f"{name} triggered it, and the directory has that name {len(people)} times: {ids}", refs
        )
    person = people[0] if people else None
    if name.lower().endswith("gserviceaccount.com"):
        return _automation(evidence, case, directory, name, at, strength, person, refs, gaps)
    if person is None:
        if gaps:
            return unknown(f"{name} triggered it, and the directory could not all be read", refs, gaps)
        return broken(f"{name}, {how}, is not in the directory", refs)
    refs = (*refs, ("directory_user", person["id"]))
    inactive = _active(evidence, person, at)
    if inactive is not None:
        return replace(inactive, refs=refs)
    return _member(evidence, case, directory, person, at, strength, refs, how)


def _active(evidence: Evidence, person: Row, at: datetime) -> Judgement | None:
    """Return why the person was not active at the time, or None when they were."""
    who = person["email"] or person["id"]
    ended: datetime | None = person["disabled_at"]
    if ended is not None:
        if at <= ended + evidence.grace:
            return None
        if person["status"] == "active":
            return unknown(f"the directory says that {who} is active and was disabled on {words(ended)}")
        late = duration(at - ended)
        return broken(
            f"{who} was disabled on {words(ended)}, {late} before the job was triggered on {words(at)}"
        )
    if person["status"] == "active":
        return None
    return unknown(
        f"{who} is {person['status'] or 'of unknown status'}, and the directory does not say since when"
    )


def _member(
    evidence: Evidence,
    case: Case,
    directory: Directory,
    person: Row,
    at: datetime,
    strength: Strength,
    refs: Refs,
    how: str,
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
    now_known, perhaps = directory.groups(person, at)
    if covering & now_known:
        group = min(covering & now_known)
        return proven(f"{who}, {how}, was a member of {group} when the job was triggered", strength, refs)
    seen = directory.seen_groups(person, at)
    if covering & seen:
        group = min(covering & seen)
        return proven(
            f"{who}, {how}, was a member of {group} in the scans before and after the trigger",
            weakest((strength, Strength.INFERRED)),
            refs,
        )
    gaps = directory.membership_gaps(person)
    if gaps:
        return unknown(f"{who} triggered it, and the groups of {who} could not all be read", refs, gaps)
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


def _automation(
    evidence: Evidence,
    case: Case,
    directory: Directory,
    name: str,
    at: datetime,
    strength: Strength,
    listed_as: Row | None,
    refs: Refs,
    gaps: list[str],
) -> Judgement:
    job = case.job
    registered = [
        row
        for row in evidence.tables["config_automation"]
        if (row["principal"] or "").lower() == name.lower()
    ]
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
    if not registered and listed_as is None:
        if gaps:
            return unknown(f"{name} triggered it, and the directory could not all be read", refs, gaps)
        return broken(f"{name} is neither a person nor a registered automation", refs)
    if listed_as is not None:
        refs = (*refs, ("directory_user", listed_as["id"]))
        ended = _active(evidence, listed_as, at)
        if ended is not None:
            return replace(ended, refs=refs)
    owners = {row["owner"] for row in limits} or {listed_as["owner"] if listed_as else None}
    judged = [
        _owned(evidence, directory, name, owner, at, strength, refs, gaps)
        for owner in sorted(owners - {None, ""})
    ]
    # One active owner is enough.
    best = (State.PROVEN, State.UNKNOWN, State.BROKEN)
    return min(
        judged, key=lambda j: best.index(j.state), default=broken(f"the automation {name} has no owner", refs)
    )


def _owned(
    evidence: Evidence,
    directory: Directory,
    name: str,
    owner: str,
    at: datetime,
    strength: Strength,
    refs: Refs,
    gaps: list[str],
) -> Judgement:
    """Judge one owner of an automation."""
    people = directory.called(owner)
    if len(people) > 1:
        return unknown(
            f"the directory has {owner}, who owns the automation {name}, {len(people)} times", refs
        )
    if not people:
        if gaps:
            return unknown(
                f"the directory could not all be read, so who owns {name} is not known", refs, gaps
            )
        return broken(f"{owner}, who owns the automation {name}, is not in the directory", refs)
    refs = (*refs, ("directory_user", people[0]["id"]))
    inactive = _active(evidence, people[0], at)
    if inactive is not None:
        return replace(inactive, refs=refs).named(f"the automation {name} has no active owner")
    # No person is seen behind it: never more than strong (sources.md, section 3.2).
    return proven(
        f"the registered automation {name} triggered it on {words(at)}; {owner} owns it",
        weakest((strength, Strength.STRONG)),
        refs,
    )
