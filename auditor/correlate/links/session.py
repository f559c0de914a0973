"""Whether every credential that wrote was a short-lived session of the job's own service account."""

from __future__ import annotations

from datetime import datetime, timedelta

from auditor.correlate.links.evidence import Case, Evidence, Row, duration, listed, words, writes_hidden
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

_LATE = timedelta(minutes=15)
_SAME_RUN = timedelta(hours=24)
"""A session issued a day later is a stranger to the objects, and nothing ties it to this run."""
_GLOBAL_STS = "us-east-1"
"""The global STS endpoint's events are logged there, so it is read besides every enabled region."""


def judge(evidence: Evidence, case: Case) -> Judgement:
    """Judge the session link of one export."""
    job = case.job
    if case.ended_at is None:
        return pending("the job has not ended: more sessions may follow", None)
    if not evidence.federation:
        return unknown("no export role is configured, so no session can be told from another")
    if not job["service_account"]:
        return unknown("as whom the job ran is not known, so its sessions cannot be told")
    if not job["subject"]:
        return unknown(
            f"the unique id of {job['service_account']} is not configured, so its sessions cannot be told"
        )
    settled = case.ended_at + evidence.cloudtrail
    strange = strangers(evidence, case) + _late(evidence, case)
    certain = [row for row in strange if row["kind"] == "foreign" and not doubtful(evidence, row)]
    if certain:
        return broken(
            f"{certain[0]['because']}; it wrote {certain[0]['key']} on {words(certain[0]['at'])}",
            _events(certain),
        )
    mine = evidence.sessions.get(job["job_uuid"], [])
    gaps = issue_gaps(evidence, case)
    if strange:
        if not gaps and evidence.now < settled and strange[0]["kind"] == "no_issue":
            return pending(
                "the issue of a credential that wrote may still be logged", settled, _events(strange)
            )
        return unknown(strange[0]["because"], _events(strange), gaps)
    wrote = _wrote_here(evidence, case, mine)
    if not mine:
        return _none_found(evidence, case, gaps, settled)
    judged = [_declared(evidence, case, session) for session in (wrote or mine)]
    worst = [found for found in judged if found is not None]
    if worst:
        return min(worst, key=lambda found: (found.state != "broken", found.because))
    if evidence.now < settled:
        return pending("CloudTrail is not settled yet for the time of the export", settled, _sessions(mine))
    strength = weakest(Strength(session["match"]) for session in (wrote or mine))
    if strength != Strength.EXACT and gaps:
        return unknown("sessions of the job's time could not all be seen", _sessions(mine), gaps)
    if strength == Strength.INFERRED:
        hidden = evidence.sight.gaps("dataproc_job", None)
        if hidden:
            return unknown("other jobs of the same account could not be seen", _sessions(mine), hidden)
    unseen = writes_hidden(evidence, case, case.ended_at + evidence.skew)
    if unseen:
        return unknown("whether any other credential wrote could not be seen", _sessions(mine), unseen)
    many = f"{len(wrote or mine)} sessions" if len(wrote or mine) > 1 else "one session"
    return proven(
        f"{many} of {job['service_account']} on {(wrote or mine)[0]['role_arn']}: {(wrote or mine)[0]['match_because']}",
        strength,
        _sessions(wrote or mine),
    )


def strangers(evidence: Evidence, case: Case, until: datetime | None = None) -> list[Row]:
    """Return writes under the export's prefix, in its window, that no job and no declared writer explains.

    The window ends at `until`, or at the export's end. A write under a longer prefix of another export is that
    export's to tell.
    """
    end = until or (case.ended_at + evidence.skew if case.ended_at else evidence.now)
    starts = [at for at in (case.first_write_at, case.job["started_at"]) if at is not None]
    begin = min(starts, default=end) - evidence.skew
    prefix, bucket = case.output["prefix"], case.output["bucket"]
    deeper = [
        output["prefix"]
        for output in evidence.outputs.get(bucket, ())
        if len(output["prefix"]) > len(prefix) and output["prefix"].startswith(prefix)
    ]
    return sorted(
        (
            row
            for row in evidence.stray.get(bucket, ())
            if begin <= row["at"] <= end
            and row["dir"].startswith(prefix)
            and not any(row["dir"].startswith(other) for other in deeper)
        ),
        key=lambda row: (row["kind"] != "foreign", row["at"], row["event_id"]),
    )


def _late(evidence: Evidence, case: Case) -> list[Row]:
    """Return writes after the export's end by sessions of the job's own account issued long after the job's end."""
    finished = case.job["finished_at"]
    issued = {row["session_key"]: row for row in evidence.tables["sts_session"]}
    found = []
    for row in strangers(evidence, case, evidence.now):
        session = issued.get(row["session_key"] or "")
        if session is None or session["subject"] != case.job["subject"] or session["issued_at"] is None:
            continue
        if finished is not None and _LATE < session["issued_at"] - finished < _SAME_RUN:
            found.append(row)
    return found


def doubtful(evidence: Evidence, row: Row) -> bool:
    """Tell whether a stranger may yet be a job's session: it was issued properly, and jobs were not all seen."""
    return row["session_key"] is not None and bool(evidence.sight.gaps("dataproc_job", None))


def issue_gaps(evidence: Evidence, case: Case) -> list[str]:
    """Return what hides session issues: every enabled region of the account and us-east-1 must be read."""
    account = case.bucket["account"] if case.bucket else None
    start, end = case.job["started_at"], case.ended_at
    if start is None or end is None:
        return ["the time of the job is not known"]
    regions = {
        place["region"]
        for place in evidence.tables["config_place"]
        if place["cloud"] == "aws" and account in (None, place["account"])
    } | {_GLOBAL_STS}
    accounts = {role.split(":")[4] for role in evidence.federation if role.count(":") >= 5}
    found: list[str] = []
    for owner in sorted(accounts or {account or ""}):
        for region in sorted(regions):
            found += evidence.sight.gaps(
                "sts_session",
                owner,
                region=region,
                from_at=start - timedelta(minutes=5),
                until_at=min(end + evidence.skew, evidence.now),
            )
    return sorted(set(found))


def _wrote_here(evidence: Evidence, case: Case, mine: list[Row]) -> list[Row]:
    keys = {
        write["access_key_id"]
        for write in evidence.credential_writes.get(case.output["bucket"], ())
        if write["dir"].startswith(case.output["prefix"])
    }
    return [session for session in mine if session["access_key_id"] in keys]


def _none_found(evidence: Evidence, case: Case, gaps: list[str], settled: datetime) -> Judgement:
    if gaps:
        return unknown("session issues of the job's time could not be seen", gaps=gaps)
    if evidence.now < settled:
        return pending("no session is logged yet", settled)
    several = [
        session["session_key"]
        for session in evidence.ambiguous_sessions.values()
        if session["session_key"] in _subject_sessions(evidence, case)
    ]
    if several:
        return unknown(
            f"{len(several)} sessions of {case.job['service_account']} fit several jobs, and nothing tells them apart",
            tuple(("sts_session", key) for key in several[:5]),
        )
    return unknown(
        f"no session of {case.job['service_account']} was issued on an export role in the job's time"
    )


def _subject_sessions(evidence: Evidence, case: Case) -> set[str]:
    return {
        row["session_key"] for row in evidence.tables["sts_session"] if row["subject"] == case.job["subject"]
    }


def _declared(evidence: Evidence, case: Case, session: Row) -> Judgement | None:
    """Return what is wrong with a session of the job; None when it is as the configuration declares."""
    refs = _sessions([session])
    ways = evidence.federation.get(session["role_arn"], [])
    if not session["provider"]:
        return unknown("the issue event does not name the identity provider", refs)
    if all(session["provider"] != way["provider"] for way in ways):
        declared = listed(sorted({way["provider"] for way in ways}))
        return broken(f"the session came through {session['provider']}; {declared} is declared", refs)
    if not session["audience"]:
        return unknown("the issue event does not hold the audience", refs)
    if all(session["audience"] not in (way["audiences"] or ()) for way in ways):
        return broken(
            f"the session's audience {session['audience']} is not declared for {session['role_arn']}", refs
        )
    owners = {way["subject_of"] for way in ways if way["subject_of"]}
    if owners and case.job["service_account"] not in owners:
        return broken(
            f"{session['role_arn']} is for {listed(sorted(owners))}, and {case.job['service_account']} took it",
            refs,
        )
    outside = [
        write
        for write in evidence.credential_writes.get(case.output["bucket"], ())
        if write["access_key_id"] == session["access_key_id"]
        and session["expires_at"] is not None
        and write["last_at"] > session["expires_at"] + evidence.skew
    ]
    if outside:
        late = duration(outside[0]["last_at"] - session["expires_at"])
        return unknown(f"its credentials wrote {late} after they expired", refs)
    return None


def _sessions(sessions: list[Row]) -> Refs:
    return tuple(("sts_session", session["session_key"]) for session in sessions[:5])


def _events(rows: list[Row]) -> Refs:
    return tuple(("s3_data_event", row["event_id"]) for row in rows[:5])
