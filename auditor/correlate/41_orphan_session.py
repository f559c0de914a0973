"""Sessions on an export role, and whether a job explains each (CHN-005)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from auditor.correlate import Rows, Tables
from auditor.correlate.beside import Beside
from auditor.correlate.links.evidence import words
from auditor.correlate.running import running
from auditor.correlate.sight import Sight

TABLE = "orphan_session"
READS = (
    "sts_session",
    "chain_job",
    "session_match",
    "config_federation",
    "config_subject",
    "coverage",
    "as_of",
)
ADDS = ("matched_session",)
LONG = {"matched_session": "sts_session"}
COLUMNS = {
    "sts_session": (
        "session_key",
        "event_name",
        "error_code",
        "account",
        "role_arn",
        "subject",
        "issued_at",
        "source_ip",
    ),
    "chain_job": ("subject", "started_at", "finished_at"),
    "session_match": ("session_key", "job_uuid", "candidates", "because"),
}
_LEFT = """event_name = 'AssumeRoleWithWebIdentity' AND coalesce(error_code, '') = ''
    AND role_arn IN (SELECT role_arn FROM config_federation)
    AND NOT EXISTS (SELECT 1 FROM matched_session m WHERE m.session_key = sts_session.session_key)"""
_FIRST = "started_at - INTERVAL 5 MINUTE"
_LAST = "coalesce(finished_at, (SELECT n.as_of FROM as_of n)) + INTERVAL 5 MINUTE"
WHERE = {
    "sts_session": _LEFT,
    "chain_job": running(f"sts_session WHERE {_LEFT}", _FIRST, _LAST),
    "session_match": "NOT EXISTS (SELECT 1 FROM matched_session m WHERE m.session_key = session_match.session_key)",
}
"""Of long tables: the sessions that are left to this step, their matches, and the jobs of their subjects then."""
_ROUND = timedelta(minutes=5)


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a web-identity session of an export role."""
    (now,) = tables["as_of"]
    sight = Sight(tables["coverage"])
    roles = {row["role_arn"] for row in tables["config_federation"]}
    matched = Beside(tables["session_match"], "session_key")
    accounts = {row["subject"]: row["service_account"] for row in tables["config_subject"]}
    jobs = _by_day(tables["chain_job"], now["as_of"])
    for session in tables["sts_session"]:
        if session["event_name"] != "AssumeRoleWithWebIdentity" or session["error_code"]:
            continue
        if session["role_arn"] not in roles:
            continue
        match = next(iter(matched.of(session["session_key"])), None)
        orphan, because = _judged(session, match, jobs, accounts, sight, now["as_of"])
        yield {
            **{
                name: session[name]
                for name in ("session_key", "account", "role_arn", "subject", "issued_at", "source_ip")
            },
            "orphan": orphan,
            "because": because,
        }


_Times = Mapping[tuple[str, date], list[tuple[datetime, datetime]]]
"""From when to when a session of each job may be issued, by the job's subject and each day of that."""


def _by_day(jobs: Rows, now: datetime) -> _Times:
    found: dict[tuple[str, date], list[tuple[datetime, datetime]]] = defaultdict(list)
    for job in jobs:
        if job["subject"] and job["started_at"] is not None:
            first, last = job["started_at"] - _ROUND, (job["finished_at"] or now) + _ROUND
            for day in range(first.toordinal(), last.toordinal() + 1):
                found[job["subject"], date.fromordinal(day)].append((first, last))
    return found


def _judged(
    session: Mapping[str, Any],
    match: Mapping[str, Any] | None,
    jobs: _Times,
    accounts: Mapping[str, str],
    sight: Sight,
    now: datetime,
) -> tuple[bool | None, str]:
    at = session["issued_at"]
    who = accounts.get(session["subject"] or "", session["subject"])
    if at is None or not session["subject"]:
        return None, "the issue event lacks its time or its subject"
    if match is not None and match["job_uuid"]:
        return False, match["because"]
    active = sum(first <= at <= last for first, last in jobs.get((session["subject"], at.date()), ()))
    if active:
        return False, f"{active} jobs of {who} ran when it was issued"
    if match is not None and match["candidates"] > 0:
        return None, match["because"]
    if unread := sight.jobs_gaps(min(at + _ROUND, now)):
        return None, f"the jobs of {who} could not all be seen: {unread[0]}"
    return (
        True,
        f"no job, batch, session or workflow of {who} ran when it was issued on {words(at)}",
    )
