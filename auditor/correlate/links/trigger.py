"""Who triggered the job, and whether they were entitled to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from auditor.correlate.duties import covers, directory_of, within
from auditor.correlate.links.calls import Call, Triggers
from auditor.correlate.links.directory import Directory, plain, registered
from auditor.correlate.links.evidence import Evidence, Row, duration, listed, words
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


@dataclass(frozen=True, slots=True)
class Run:
    """What of an export its trigger is judged by: its job, and the zone it writes into."""

    job: Row
    zone: str | None


def judge(evidence: Evidence, run: Run, triggers: Triggers) -> Judgement:
    """Judge the trigger link of one export."""
    job = run.job
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
        return _like_others(evidence, run, triggers, call, strength)
    if job["creator"]:
        how = f"named by the {job['kind']} as its creator"
        act = _Act(job["creator"], at, job["kind"], Strength.STRONG, own, how)
        return _principal(evidence, run, triggers.directory, act)
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


@dataclass(frozen=True, slots=True)
class _Act:
    """Who started the job, when, by what, and how that is known."""

    principal: str
    at: datetime
    starts: str
    """job, batch or session; workflow for a job that a workflow template started."""
    strength: Strength
    refs: Refs
    how: str

    def also(self, *refs: tuple[str, str]) -> _Act:
        """Return the same with more evidence."""
        return _Act(self.principal, self.at, self.starts, self.strength, (*self.refs, *refs), self.how)


def _like_others(
    evidence: Evidence, run: Run, triggers: Triggers, call: Call, strength: Strength
) -> Judgement:
    """Judge a call, in the words of another that nothing but its time and entries tells it from."""

    def judged() -> Judgement:
        return called(evidence, run, triggers.directory, call, strength)

    if call.delegation or call.static_key != "" or not call.principal:
        return judged()
    kind = (run.job["kind"], call.workflow, run.zone, str(strength))
    return triggers.alike.judged(call.principal, call.at, call.refs, run.job, kind, judged)


def called(evidence: Evidence, run: Run, directory: Directory, call: Call, strength: Strength) -> Judgement:
    """Judge a call that is tied to a job."""
    if call.static_key:
        return broken(f"a static service-account key signed the call: {call.static_key}", call.refs)
    principal = call.delegation[0] if call.delegation else call.principal
    if not principal or principal == _NOBODY:
        return unknown("the audit entry does not say who stood at the start of the call", call.refs)
    how = f"named by the audit entry of {words(call.at)}"
    if call.delegation:
        how += f", delegated through {listed([*call.delegation[1:], call.principal or 'an unnamed account'])}"
    starts = "workflow" if call.workflow else run.job["kind"]
    act = _Act(principal, call.at, starts, strength, call.refs, how)
    judged = _principal(evidence, run, directory, act)
    if call.static_key is None and judged.state == State.PROVEN:
        return unknown(
            "the audit entry does not say whether a static service-account key signed it", call.refs
        )
    return judged


def _principal(evidence: Evidence, run: Run, directory: Directory, act: _Act) -> Judgement:
    """Judge whether the principal is a person in a covering group, or an automation with an active owner."""
    name = plain(act.principal)
    gaps = evidence.sight.gaps("directory_user", None)
    pool = directory.undeclared(act.principal)
    if pool is not None:
        return unknown(
            f"{name} of the workforce pool {pool} triggered it, and no directory is declared for that pool",
            act.refs,
        )
    people = directory.called(act.principal)
    if len(people) > 1:
        ids = listed([str(row["id"]) for row in people])
        return unknown(
            f"{name} triggered it, and the directory has that name {len(people)} times: {ids}", act.refs
        )
    person = people[0] if people else None
    registrations = evidence.once((registered, act.principal), registered)
    if registrations or name.lower().endswith("gserviceaccount.com"):
        return _automation(evidence, run, directory, act, registrations, person, gaps)
    if person is None:
        if gaps:
            return unknown(f"{name} triggered it, and the directory could not all be read", act.refs, gaps)
        return broken(f"{name}, {act.how}, is not in the directory", act.refs)
    act = act.also(("directory_user", person["id"]))
    inactive = _active(evidence, person, act.at)
    if inactive is not None:
        return replace(inactive, refs=act.refs)
    return _member(evidence, run, directory, person, act)


def _active(evidence: Evidence, person: Row, at: datetime) -> Judgement | None:
    """Return why the person was not active at the time, or None when they were."""
    who = person["email"] or person["id"]
    ended: datetime | None = person["disabled_at"]
    since: datetime | None = person["active_from"]
    if since is not None and at + evidence.grace < since:
        return unknown(
            f"{who} is known to the directory since {words(since)}, after the job was triggered on {words(at)}"
        )
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
    latest: datetime | None = person["disabled_by"]
    if person["status"] is not None and latest is not None and at > latest + evidence.grace:
        return broken(
            f"{who} was disabled on {words(latest)} at the latest, before the job was triggered on {words(at)}"
        )
    return unknown(
        f"{who} is {person['status'] or 'of unknown status'}, and the directory does not say since when"
    )


def _member(evidence: Evidence, run: Run, directory: Directory, person: Row, act: _Act) -> Judgement:
    """Judge whether a group of the person's had the job among its duties when it was triggered."""
    who = person["email"] or person["id"]
    job = run.job
    if not evidence.tables["config_duty"]:
        return unknown("no duty map is configured: which group may trigger the job is not known", act.refs)
    covering: set[str] = set()
    maybe: set[str] = set()
    shared: set[str] = set()
    for duty in evidence.tables["config_duty"]:
        group = duty["group_name"]
        fits = within(duty, job, act.starts, run.zone)
        meant = fits is not False and covers(duty, group, directory_of(person["id"]), directory.shared)
        if meant is None:
            shared.add(group)
        elif meant:
            (covering if fits else maybe).add(group)
    shared -= covering | maybe
    now_known, perhaps = directory.groups(person, act.at)
    if covering & now_known:
        group = min(covering & now_known)
        return proven(
            f"{who}, {act.how}, was a member of {group} when the job was triggered", act.strength, act.refs
        )
    seen = directory.seen_groups(person, act.at)
    if covering & seen:
        group = min(covering & seen)
        return proven(
            f"{who}, {act.how}, was a member of {group} in the scans before and after the trigger",
            weakest((act.strength, Strength.INFERRED)),
            act.refs,
        )
    gaps = directory.membership_gaps(person)
    if gaps:
        return unknown(f"{who} triggered it, and the groups of {who} could not all be read", act.refs, gaps)
    if shared & (now_known | perhaps | seen):
        group = min(shared & (now_known | perhaps | seen))
        return unknown(
            f"two directories have a group {group}, and the duty does not say which it means", act.refs
        )
    if covering & perhaps:
        group = min(covering & perhaps)
        return unknown(f"{who} is a member of {group}, and since when is not known", act.refs)
    if maybe & (now_known | perhaps | seen):
        return unknown(
            f"the zone is not known, so whether a group of {who} covers the job is not known", act.refs
        )
    if not covering | shared:
        where = f"in zone {run.zone or 'unknown'}"
        return broken(f"no group may trigger {job['job_id']} {where}; {who} did", act.refs)
    groups = listed(sorted(covering | shared))
    return broken(f"{who} was in none of {groups} when the job was triggered", act.refs)


def _automation(
    evidence: Evidence,
    run: Run,
    directory: Directory,
    act: _Act,
    registrations: list[Row],
    listed_as: Row | None,
    gaps: list[str],
) -> Judgement:
    """Judge an automation: within its own limits, and under an owner who was active."""
    job, name = run.job, plain(act.principal)
    fits = [(row, within(row, job, act.starts, run.zone)) for row in registrations]
    limits = [row for row, fit in fits if fit]
    if registrations and not limits:
        if any(fit is None for _, fit in fits):
            return unknown(
                f"the zone is not known, so whether {name} may write into it is not known", act.refs
            )
        where = f"in {job['project']}"
        if any(
            within({**row, "region": "*", "starts": "*", "zone": "*"}, job, act.starts, run.zone)
            for row in registrations
        ):
            where += f" as a {act.starts} in {job['region'] or 'an unknown region'} into zone {run.zone or 'unknown'}"
        return broken(f"the automation {name} is not registered for {job['job_id']} {where}", act.refs)
    if not registrations and listed_as is None:
        if gaps:
            return unknown(f"{name} triggered it, and the directory could not all be read", act.refs, gaps)
        return broken(f"{name} is neither a person nor a registered automation", act.refs)
    if listed_as is not None:
        act = act.also(("directory_user", listed_as["id"]))
        ended = _active(evidence, listed_as, act.at)
        if ended is not None:
            return replace(ended, refs=act.refs)
    owners = {(row["owner"], row["kind"] == "agent") for row in limits}
    owners = owners or {(listed_as["owner"] if listed_as else None, False)}
    judged = [
        _owned(evidence, run, directory, act, owner, gaps, agent=agent)
        for owner, agent in sorted((o, a) for o, a in owners if o)
    ]
    # One active owner is enough.
    best = (State.PROVEN, State.UNKNOWN, State.BROKEN)
    nobody = broken(f"the automation {name} has no owner", act.refs)
    return min(judged, key=lambda j: best.index(j.state), default=nobody)


def _owned(
    evidence: Evidence,
    run: Run,
    directory: Directory,
    act: _Act,
    owner: str,
    gaps: list[str],
    *,
    agent: bool,
) -> Judgement:
    """Judge one owner of an automation.

    What a service account or a workflow may start was decided beforehand, by who registered it: its owner answers for it and
    must be there. An agent decides by itself, with its owner's authority: it may start nothing that its owner may not.
    """
    name = plain(act.principal)
    people = directory.called(owner)
    if len(people) > 1:
        return unknown(
            f"the directory has {owner}, who owns the automation {name}, {len(people)} times", act.refs
        )
    if not people:
        if gaps:
            return unknown(
                f"the directory could not all be read, so who owns {name} is not known", act.refs, gaps
            )
        return broken(f"{owner}, who owns the automation {name}, is not in the directory", act.refs)
    act = act.also(("directory_user", people[0]["id"]))
    inactive = _active(evidence, people[0], act.at)
    if inactive is not None:
        return replace(inactive, refs=act.refs).named(f"the automation {name} has no active owner")
    # No person is seen behind it: never more than strong (sources.md, section 3.2).
    strength = weakest((act.strength, Strength.STRONG))
    if agent:
        entitled = _member(evidence, run, directory, people[0], act)
        if entitled.state != State.PROVEN:
            return entitled.named(f"the agent {name} acts for {owner}, who must be entitled too")
        strength = weakest((strength, entitled.strength or Strength.STRONG))
    what = "agent" if agent else "registered automation"
    return proven(f"the {what} {name} triggered it on {words(act.at)}; {owner} owns it", strength, act.refs)
