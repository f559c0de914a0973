"""Which job each session belongs to, from exact to inferred, and saying which.

exact: the credentials that were issued wrote under the prefix of one fitting job, and only of that one.
strong: the session name holds a job_uuid and the subject is that job's; the name alone is self-asserted.
inferred: the only job of that service account in time. Two jobs that fit equally well leave it unknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from auditor.correlate import Tables

TABLE = "session_match"
READS = ("sts_session", "chain_job", "output", "credential_write", "config_federation", "as_of")

_BEFORE_START = timedelta(minutes=5)
Row = Mapping[str, Any]


def derive(tables: Tables) -> Iterator[Row]:
    """Yield one row for each web-identity session of an export role."""
    (now,) = tables["as_of"]
    skew = timedelta(seconds=now["skew_s"])
    roles = {row["role_arn"] for row in tables["config_federation"]}
    by_uuid = {job["job_uuid"]: job for job in tables["chain_job"]}
    by_subject: dict[str, list[Row]] = defaultdict(list)
    for job in tables["chain_job"]:
        if job["subject"]:
            by_subject[job["subject"]].append(job)
    unsure = [job for job in tables["chain_job"] if not job["subject"]]
    prefixes: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for output in tables["output"]:
        prefixes[output["job_uuid"]].append((output["bucket"], output["prefix"]))
    writes: dict[str, list[Row]] = defaultdict(list)
    for write in tables["credential_write"]:
        if write["access_key_id"]:
            writes[write["access_key_id"]].append(write)
    for session in tables["sts_session"]:
        if session["event_name"] != "AssumeRoleWithWebIdentity" or session["error_code"]:
            continue
        if session["role_arn"] not in roles:
            continue
        fitting = [
            job
            for job in by_subject.get(session["subject"] or "", ())
            if _in_time(session, job, now["as_of"], skew)
        ]
        named = _named(session["session_name"], by_uuid)
        wrote = writes.get(session["access_key_id"] or "", [])
        covering = [job for job in fitting if _covers(prefixes[job["job_uuid"]], wrote)]
        match = _match(session, fitting, named, wrote, covering)
        if match["job_uuid"] is None and match["candidates"] == 0:
            match = _perhaps(
                session, match, [job for job in unsure if _in_time(session, job, now["as_of"], skew)]
            )
        yield match


def _match(
    session: Row, fitting: Sequence[Row], named: Row | None, wrote: Sequence[Row], covering: Sequence[Row]
) -> Row:
    """Choose the job, or say why none can be chosen."""
    if named is not None and any(job["job_uuid"] == named["job_uuid"] for job in fitting):
        only = len(covering) == 1 and covering[0]["job_uuid"] == named["job_uuid"]
        sole = not covering and len(fitting) == 1 and wrote
        if only or sole:
            return _row(session, named, "exact", 1, "its credentials wrote under this job's prefix alone")
        if wrote and len(covering) == 1:
            return _row(session, None, "none", 2, "its name says one job and its writes say another")
        return _row(session, named, "strong", 1, "its name holds the job_uuid and its subject is the job's")
    if len(covering) == 1:
        return _row(session, covering[0], "exact", 1, "its credentials wrote under this job's prefix alone")
    if len(covering) > 1:
        return _row(
            session, None, "none", len(covering), f"{len(covering)} jobs of its account fit its writes"
        )
    if len(fitting) == 1 and not _elsewhere(fitting[0], named):
        strength = "exact" if wrote else "inferred"
        words = "the only job of its service account in time"
        return _row(
            session, fitting[0], strength, 1, words + (", and its credentials wrote" if wrote else "")
        )
    if len(fitting) > 1:
        return _row(session, None, "none", len(fitting), f"{len(fitting)} jobs of its account ran then")
    return _row(session, None, "none", 0, "no job of its service account ran then")


def _perhaps(session: Row, match: Row, unsure: Sequence[Row]) -> Row:
    """Leave a session unknown that a job may explain whose own account could not be established."""
    if not unsure:
        return match
    because = f"the account of {len(unsure)} jobs that ran then is not known, so one of them may be its own"
    return _row(session, None, "none", len(unsure) + 1, because)


def _elsewhere(job: Row, named: Row | None) -> bool:
    """Tell whether the session's name points at another job than the one that fits in time."""
    return named is not None and named["job_uuid"] != job["job_uuid"]


def _row(session: Row, job: Row | None, strength: str, candidates: int, because: str) -> Row:
    return {
        "session_key": session["session_key"],
        "job_uuid": job["job_uuid"] if job else None,
        "strength": strength,
        "candidates": candidates,
        "because": because,
    }


def _in_time(session: Row, job: Row, now: Any, skew: timedelta) -> bool:
    if session["issued_at"] is None or job["started_at"] is None:
        return False
    until = job["finished_at"] or now
    return bool(job["started_at"] - _BEFORE_START - skew <= session["issued_at"] <= until + skew)


def _named(name: str | None, by_uuid: Mapping[str, Row]) -> Row | None:
    """Return the job whose uuid the session name holds (`dataproc-<job_uuid>` or the uuid itself)."""
    if not name:
        return None
    return by_uuid.get(name) or by_uuid.get(name.removeprefix("dataproc-"))


def _covers(prefixes: Sequence[tuple[str, str]], wrote: Sequence[Row]) -> bool:
    return any(
        write["bucket"] == bucket and write["dir"].startswith(prefix)
        for write in wrote
        for bucket, prefix in prefixes
    )
