"""Whether every credential that wrote was a short-lived session of the job's own service account."""

from __future__ import annotations

from datetime import datetime, timedelta

from auditor.correlate.links.evidence import Case, Evidence, Row, duration, listed, words, writes_hidden
from auditor.correlate.links.job import unended
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

BEFORE_START = timedelta(minutes=5)
"""How long before a job's start its session may be issued."""
_LATE = timedelta(minutes=15)
_SAME_RUN = timedelta(hours=24)
"""A session issued a day later is a stranger to the objects, and nothing ties it to this run."""
_GLOBAL_STS = "us-east-1"
"""The global STS endpoint's events are logged there, so it is read besides every enabled region."""


def judge(evidence: Evidence, case: Case) -> Judgement:
    """Judge the session link of one export."""
    job = case.job
    strange = strangers(evidence, case) + _late(evidence, case)
    certain = [row for row in strange if certainly_foreign(evidence, case, row)]
    if certain:
        row = certain[0]
        why = f"{explained(evidence, case, row)}; it wrote {row['key']} on {words(row['at'])}"
        return broken(why, _events(certain))
    if job["ending"] == "running":
        return unended(evidence, case, f"the {job['kind']} has not ended: more sessions may follow")
    if case.ended_at is None:
        return unknown(f"when the {job['kind']} ended is not known, so its sessions cannot be told")
    if not evidence.federation:
        return unknown("no export role is configured, so no session can be told from another")
    if not job["service_account"]:
        return unknown(f"as whom the {job['kind']} ran is not known, so its sessions cannot be told")
    if not job["subject"]:
        return unknown(
            f"the unique id of {job['service_account']} is not configured, so its sessions cannot be told"
        )
    settled = case.ended_at + evidence.cloudtrail
    mine = evidence.sessions(job["job_uuid"])
    gaps = issue_gaps(evidence, case)
    if strange:
        row = strange[0]
        if not gaps and evidence.now < settled and row["kind"] == "no_issue":
            return pending(
                "the issue of a credential that wrote may still be logged", settled, _events(strange)
            )
        why = f"{explained(evidence, case, row)}; it wrote {row['key']} on {words(row['at'])}"
        return unknown(why, _events(strange), gaps or doubts(evidence, row))
    if not mine:
        return _none_found(evidence, case, gaps, settled)
    wrote = _wrote_here(evidence, case, mine) or mine
    flaws = [flaw for flaw in (_declared(evidence, case, session) for session in wrote) if flaw is not None]
    if flaws:
        return min(flaws, key=lambda flaw: (flaw.state != State.BROKEN, flaw.because))
    if gaps:
        return unknown("sessions of the job's time could not all be seen", _sessions(wrote), gaps)
    if evidence.now < settled:
        return pending("CloudTrail is not settled yet for the time of the export", settled, _sessions(wrote))
    return _proven(evidence, case, wrote)


def _proven(evidence: Evidence, case: Case, wrote: list[Row]) -> Judgement:
    """Judge sessions that are as declared: how strongly they are tied to the job, and whether all were seen."""
    assert case.ended_at is not None
    strength = weakest(Strength(session["match"]) for session in wrote)
    if strength == Strength.INFERRED or _by_time_alone(case, wrote):
        hidden = evidence.jobs_hidden(case.ended_at + evidence.skew)
        if hidden:
            return unknown("other jobs of the same account could not be seen", _sessions(wrote), hidden)
    unseen = writes_hidden(evidence, case, case.ended_at + evidence.skew)
    if unseen:
        return unknown("whether any other credential wrote could not be seen", _sessions(wrote), unseen)
    many = f"{len(wrote)} sessions" if len(wrote) > 1 else "one session"
    issued = min(session["issued_at"] for session in wrote)
    return proven(
        issued_to(case.job["service_account"], wrote[0]["role_arn"], issued, wrote[0]["match_because"], many),
        strength,
        _sessions(wrote),
    )


def issued_to(account: str, role: str, issued: datetime, because: str, many: str = "one session") -> str:
    """Say which sessions of an account a job wrote with, and how they are known to be its own."""
    return f"{many} of {account} on {role}, issued on {words(issued)}: {because}"


def _by_time_alone(case: Case, wrote: list[Row]) -> bool:
    """Tell whether only its time says whose a session is: where it wrote is what says where the job writes."""
    named = all(case.job["job_uuid"] in (session["session_name"] or "") for session in wrote)
    return case.output["found_by"] == "session" and not named


def strangers(
    evidence: Evidence, case: Case, until: datetime | None = None, since: datetime | None = None
) -> list[Row]:
    """Return writes under the export's prefix, in its window, that no job and no declared writer explains.

    The window begins `since`, or when the job started or first wrote, and ends at `until`, or at the export's end.
    A write under a longer prefix of another export is that export's to tell, as attribution has it: of those that
    run at the time, or when this one does not run, of those that began before.
    """
    strays = evidence.stray.get(case.output["bucket"])
    if strays is None:
        return []
    end = until or (case.ended_at + evidence.skew if case.ended_at else evidence.now)
    starts = [at for at in (case.first_write_at, case.job["started_at"]) if at is not None]
    begin = (since or min(starts, default=end)) - evidence.skew
    return sorted(
        (
            row
            for row in strays.under(case.output["prefix"], begin, end)
            if not _told_deeper(evidence, case, row)
        ),
        key=lambda row: (row["kind"] != "foreign", row["at"], row["event_id"]),
    )


def _told_deeper(evidence: Evidence, case: Case, row: Row) -> bool:
    deeper = [
        output
        for output in evidence.outputs_over(row["bucket"], row["dir"])
        if output["plen"] > case.output["plen"]
        and output["from_at"] is not None
        and output["from_at"] <= row["at"]
    ]
    if not deeper:
        return False
    running = case.output["from_at"] is not None and row["at"] <= case.output["until_at"]
    return not running or any(row["at"] <= output["until_at"] for output in deeper)


def _late(evidence: Evidence, case: Case) -> list[Row]:
    """Return writes after the export's end by sessions of the job's own account issued long after the job's end."""
    finished = case.job["finished_at"]
    if finished is None or not case.job["subject"]:
        return []
    return [
        row
        for row in strangers(evidence, case, evidence.now, finished)
        if (session := evidence.issued.get(row["session_key"] or "")) is not None
        and session["subject"] == case.job["subject"]
        and session["issued_at"] is not None
        and _LATE < session["issued_at"] - finished < _SAME_RUN
    ]


def certainly_foreign(evidence: Evidence, case: Case, row: Row) -> bool:
    """Tell whether a write is for certain by none of the job's own sessions, nor by one of another job.

    A session of the job's own account that fits no job's time is broken only when it was issued long after the end;
    one of another account may be of a job that was not seen.
    """
    if row["kind"] != "foreign":
        return False
    session = _web_session(evidence, row)
    if session is None:
        return True
    if doubts(evidence, row) or session["issued_at"] is None or not session["subject"]:
        return False
    if session["subject"] != case.job["subject"]:
        return bool(case.job["subject"])
    finished = case.job["finished_at"]
    return finished is not None and session["issued_at"] - finished > _LATE


def _web_session(evidence: Evidence, row: Row) -> Row | None:
    """Return the session on an export role that a write was made with; None for every other credential."""
    session = evidence.issued.get(row["session_key"] or "")
    proper = session is not None and session["event_name"] == "AssumeRoleWithWebIdentity"
    return session if session is not None and proper and session["role_arn"] in evidence.federation else None


def doubts(evidence: Evidence, row: Row) -> list[str]:
    """Return what may hide the job that a stranger's session belongs to: it was issued properly, as a job's are."""
    session = _web_session(evidence, row)
    if session is None or session["issued_at"] is None:
        return []
    return evidence.jobs_hidden(session["issued_at"] + BEFORE_START)


def explained(evidence: Evidence, case: Case, row: Row) -> str:
    """Say why a write is no job's; of a session of the job's own account, when it was issued."""
    session, job = _web_session(evidence, row), case.job
    if session is None or session["subject"] != job["subject"] or session["issued_at"] is None:
        return str(row["because"])
    span = f"from {words(job['started_at'])} to {words(job['finished_at'])}"
    return (
        f"{row['principal_arn']} wrote with a session of {job['service_account']} issued on "
        f"{words(session['issued_at'])}, and the {job['kind']} ran {span}"
    )


def issue_gaps(evidence: Evidence, case: Case) -> list[str]:
    """Return what hides session issues: every enabled region of the account and us-east-1 must be read."""
    start, end = case.job["started_at"], case.ended_at
    if start is None or end is None:
        return ["the time of the job is not known"]
    home = () if case.bucket is None else (case.bucket["account"],)
    first, last = start - BEFORE_START, min(end + evidence.skew, evidence.now)
    found: set[str] = set()
    for owner, region in issued_in(evidence, case.job["service_account"], home):
        found.update(evidence.sight.gaps("sts_session", owner, region=region, from_at=first, until_at=last))
    return sorted(found)


def issued_in(
    evidence: Evidence, service_account: str | None, home: tuple[str, ...]
) -> list[tuple[str, str]]:
    """Return the accounts and regions where sessions of a service account are issued; `home` where no role tells."""
    return evidence.once((_issued_in, service_account, home), _issued_in)


def _issued_in(
    evidence: Evidence, service_account: str | None, home: tuple[str, ...]
) -> list[tuple[str, str]]:
    roles = [
        role
        for role, ways in evidence.federation.items()
        if any(way["subject_of"] in (None, "", service_account) for way in ways)
    ]
    accounts = {role.split(":")[4] for role in roles if role.count(":") >= 5}
    accounts = accounts or set(home)
    return [
        (owner, region)
        for owner in sorted(accounts)
        for region in sorted(
            {
                place["region"]
                for place in evidence.tables["config_place"]
                if (place["cloud"], place["account"]) == ("aws", owner)
            }
            | {_GLOBAL_STS}
        )
    ]


def _wrote_here(evidence: Evidence, case: Case, mine: list[Row]) -> list[Row]:
    return [session for session in mine if _writes_here(evidence, case, session)]


def _writes_here(evidence: Evidence, case: Case, session: Row) -> list[Row]:
    return [
        write
        for write in evidence.session_writes.get(session["session_key"], ())
        if write["bucket"] == case.output["bucket"] and write["dir"].startswith(case.output["prefix"])
    ]


def _none_found(evidence: Evidence, case: Case, gaps: list[str], settled: datetime) -> Judgement:
    if gaps:
        return unknown("session issues of the job's time could not be seen", gaps=gaps)
    if evidence.now < settled:
        return pending("no session is logged yet", settled)
    assert case.ended_at is not None
    start = case.job["started_at"]
    several = [
        session["session_key"]
        for session in evidence.ambiguous_sessions.get(case.job["subject"], ())
        if start is not None
        and session["issued_at"] is not None
        and start - BEFORE_START <= session["issued_at"] <= case.ended_at + evidence.skew
    ]
    if several:
        return unknown(
            f"{len(several)} sessions of {case.job['service_account']} fit several jobs, and nothing tells them apart",
            tuple(("sts_session", key) for key in several[:5]),
        )
    return unknown(
        f"no session of {case.job['service_account']} was issued on an export role between "
        f"{words(start)} and {words(case.ended_at)}"
    )


def _declared(evidence: Evidence, case: Case, session: Row) -> Judgement | None:
    """Return what is wrong with a session of the job; None when it is as declared, and wrote while it was valid."""
    asked = (session["role_arn"], session["provider"], session["audience"], case.job["service_account"])
    sound = evidence.once((_as_declared, *asked), _as_declared)
    flaw = None if sound else undeclared(evidence, session, case.job["service_account"])
    return _valid(evidence, case, session, _sessions([session])) if flaw is None else flaw


def _as_declared(
    evidence: Evidence, role: str | None, provider: str | None, audience: str | None, account: str
) -> bool:
    session = {
        "session_key": "",
        "role_arn": role,
        "provider": provider,
        "audience": audience,
        "issued_at": None,
    }
    return undeclared(evidence, session, account) is None


def undeclared(evidence: Evidence, session: Row, account: str) -> Judgement | None:
    """Return how the session of an account differs from what the configuration declares; None when it does not."""
    refs = _sessions([session])
    role = session["role_arn"]
    ways = evidence.federation.get(role, [])
    if not session["provider"]:
        return unknown("the issue event does not name the identity provider", refs)
    through = [way for way in ways if way["provider"] == session["provider"]]
    if not through:
        declared = listed(sorted({way["provider"] for way in ways}))
        return broken(
            f"the session on {role} came through {session['provider']}; {declared} is declared", refs
        )
    if not session["audience"]:
        return unknown("the issue event does not hold the audience", refs)
    meant = [way for way in through if session["audience"] in (way["audiences"] or ())]
    if not meant:
        return broken(f"the session's audience {session['audience']} is not declared for {role}", refs)
    if all(way["subject_of"] not in (None, "", account) for way in meant):
        owners = listed(sorted({way["subject_of"] for way in meant}))
        return broken(f"{role} is for {owners}, and {account} took it on {words(session['issued_at'])}", refs)
    return None


def _valid(evidence: Evidence, case: Case, session: Row, refs: Refs) -> Judgement | None:
    """Return why writes were not all inside the session's validity, the skew on either side; None when they were."""
    writes = _writes_here(evidence, case, session)
    issued, expires = session["issued_at"], session["expires_at"]
    if writes and (issued is None or expires is None):
        return unknown("from when to when the session was valid is not known", refs)
    for write in writes:
        if write["last_at"] > expires + evidence.skew:
            late = duration(write["last_at"] - expires)
            return unknown(f"its credentials wrote under {write['dir']} {late} after they expired", refs)
        if write["first_at"] < issued - evidence.skew:
            soon = duration(issued - write["first_at"])
            return unknown(f"its credentials wrote under {write['dir']} {soon} before they were issued", refs)
    return None


def _sessions(sessions: list[Row]) -> Refs:
    return tuple(("sts_session", session["session_key"]) for session in sessions[:5])


def _events(rows: list[Row]) -> Refs:
    return tuple(("s3_data_event", row["event_id"]) for row in rows[:5])
