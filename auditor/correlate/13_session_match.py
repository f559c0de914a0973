"""Which job each session belongs to, from exact to inferred, and saying which.

exact: the credentials that were issued wrote under the prefix of one fitting job, and only of that one, or wrote at
all while one job alone fits.
strong: the session name holds a job_uuid and the subject is that job's; the name alone is self-asserted.
inferred: the only job of that service account in time, which is from 5 minutes before its start to the skew after its
end. Two jobs that fit equally well leave it unknown, and so does one whose own account is not known, or a name
that holds the uuid of a job that is not there.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.running import running

TABLE = "session_match"
READS = ("sts_session", "chain_job", "output", "credential_write", "config_federation", "as_of")
ADDS = ("named_session",)
LONG = {"named_session": "sts_session"}

COLUMNS = {
    "sts_session": (
        "session_key",
        "event_name",
        "error_code",
        "role_arn",
        "session_name",
        "subject",
        "access_key_id",
        "issued_at",
    ),
    "chain_job": ("job_uuid", "job_id", "subject", "started_at", "finished_at"),
    "output": ("job_uuid", "bucket", "prefix"),
    "credential_write": ("access_key_id", "bucket", "dir"),
}
_LEFT = """sts_session WHERE event_name = 'AssumeRoleWithWebIdentity' AND coalesce(error_code, '') = ''
    AND role_arn IN (SELECT role_arn FROM config_federation)
    AND NOT EXISTS (SELECT 1 FROM named_session m WHERE m.session_key = sts_session.session_key)"""
_FIRST = "started_at - INTERVAL 5 MINUTE"
_LAST = "coalesce(finished_at, (SELECT n.as_of FROM as_of n)) + (SELECT n.skew_s FROM as_of n) * INTERVAL 1 SECOND"
WHERE = {
    "sts_session": _LEFT.removeprefix("sts_session WHERE "),
    "chain_job": f"""coalesce(subject, '') = ''
        OR EXISTS (SELECT 1 FROM credential_write WHERE access_key_id <> '')
        OR {running(_LEFT, _FIRST, _LAST)}""",
    "output": "EXISTS (SELECT 1 FROM credential_write WHERE access_key_id <> '')",
}
"""Of long tables: the sessions that are left to this step; the jobs that one of these names or that may have run when one
was issued, all of them where credentials wrote; the prefixes, which only then matter."""
_BEFORE_START = timedelta(minutes=5)
_FEW_DAYS = 2
"""Jobs on more days than this are looked for by the day: an account may run a hundred jobs an hour, and few for long."""
_UUID = re.compile(r"(?:dataproc-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
Row = Mapping[str, Any]


def derive(tables: Tables) -> Iterator[Row]:
    """Yield one row for each web-identity session of an export role."""
    (now,) = tables["as_of"]
    skew = timedelta(seconds=now["skew_s"])
    roles = {row["role_arn"] for row in tables["config_federation"]}
    by_uuid = {job["job_uuid"]: job for job in tables["chain_job"]}
    near = _Near(tables["chain_job"], now["as_of"], skew)
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
        issued = session["issued_at"]
        named = _named(session["session_name"], by_uuid)
        wrote = writes.get(session["access_key_id"] or "", [])
        own = named is not None and session["subject"] and named["subject"] == session["subject"]
        if named is not None and own and not wrote and near.runs(named["job_uuid"], issued):
            # What `_match` finds after a look at all who fit.
            yield {**_by_name(session, named), "claimed_job": named["job_uuid"]}
            continue
        fitting = near.of(session["subject"], issued) if session["subject"] else []
        unsure = near.of("", issued)
        covering = [job for job in fitting if _covers(prefixes[job["job_uuid"]], wrote)]
        match = _match(session, fitting, named, wrote, covering)
        if unsure and (match["candidates"] == 0 or match["strength"] == "inferred"):
            match = _perhaps(session, fitting, unsure)
        yield {**match, "claimed_job": match["job_uuid"] or _claimed(near, issued, named, wrote, prefixes)}


class _Near:
    """Jobs by their subject and the hours in which a session of theirs may be issued; long ones by the days."""

    def __init__(self, jobs: Collection[Row], now: datetime, skew: timedelta) -> None:
        self._hours: dict[tuple[str, int], list[tuple[datetime, datetime, Row]]] = defaultdict(list)
        self._days: dict[tuple[str, int], list[tuple[datetime, datetime, Row]]] = defaultdict(list)
        self._spans: dict[str, tuple[datetime, datetime]] = {}
        self._subjects: dict[int, set[str]] = defaultdict(set)
        for job in jobs:
            if job["started_at"] is None:
                continue
            first = job["started_at"] - _BEFORE_START
            last = (job["finished_at"] or now) + skew
            subject = job["subject"] or ""
            self._spans[job["job_uuid"]] = first, last
            run = (first, last, job)
            days = range(first.toordinal(), last.toordinal() + 1)
            for day in days:
                self._subjects[day].add(subject)
            if len(days) > _FEW_DAYS:
                for day in days:
                    self._days[subject, day].append(run)
            else:
                for hour in range(_hour(first), _hour(last) + 1):
                    self._hours[subject, hour].append(run)

    def of(self, subject: str, when: datetime | None) -> list[Row]:
        """Return the jobs of a subject that a session issued then may be of; the borders count as inside.

        Empty: the jobs whose subject is not known.
        """
        if when is None:
            return []
        short = self._hours.get((subject, _hour(when)), ())
        long = self._days.get((subject, when.toordinal()), ())
        return [job for runs in (short, long) for first, last, job in runs if first <= when <= last]

    def all(self, when: datetime) -> Iterator[Row]:
        """Yield the jobs of every subject that run then."""
        for subject in sorted(self._subjects.get(when.toordinal(), ())):
            yield from self.of(subject, when)

    def runs(self, job_uuid: str, when: datetime | None) -> bool:
        """Tell whether a session issued then may be of one job."""
        first, last = self._spans.get(job_uuid, (None, None))
        return when is not None and first is not None and last is not None and first <= when <= last


def _hour(at: datetime) -> int:
    return at.toordinal() * 24 + at.hour


def _match(
    session: Row, fitting: Sequence[Row], named: Row | None, wrote: Sequence[Row], covering: Sequence[Row]
) -> Row:
    """Choose the job, or say why none can be chosen."""
    if named is not None and any(job["job_uuid"] == named["job_uuid"] for job in fitting):
        only = len(covering) == 1 and covering[0]["job_uuid"] == named["job_uuid"]
        if only:
            return _row(session, named, "exact", 1, "its credentials wrote under this job's prefix alone")
        if wrote and not covering and len(fitting) == 1:
            words = (
                "its name holds the job_uuid, no other job of its account ran then, and its credentials wrote"
            )
            return _row(session, named, "exact", 1, words)
        if wrote and len(covering) == 1:
            return _row(session, None, "none", 2, "its name says one job and its writes say another")
        return _by_name(session, named)
    if len(covering) == 1:
        return _row(session, covering[0], "exact", 1, "its credentials wrote under this job's prefix alone")
    if len(covering) > 1:
        return _row(
            session, None, "none", len(covering), f"{len(covering)} jobs of its account fit its writes"
        )
    if len(fitting) == 1 and named is not None:
        words = (
            f"the only job of its account then is {fitting[0]['job_id']}, and its name says {named['job_id']}"
        )
        return _row(session, None, "none", 2, words)
    if len(fitting) == 1 and named is None and _UUID.fullmatch(session["session_name"] or ""):
        words = f"the only job of its account then is {fitting[0]['job_id']}, and its name holds the uuid of another"
        return _row(session, None, "none", 2, words)
    if len(fitting) == 1:
        strength = "exact" if wrote else "inferred"
        words = "the only job of its service account in time"
        return _row(
            session, fitting[0], strength, 1, words + (", and its credentials wrote" if wrote else "")
        )
    if len(fitting) > 1:
        return _row(session, None, "none", len(fitting), f"{len(fitting)} jobs of its account ran then")
    return _row(session, None, "none", 0, "no job of its service account ran then")


def _claimed(
    near: _Near,
    issued: datetime | None,
    named: Row | None,
    wrote: Sequence[Row],
    prefixes: Mapping[str, list[tuple[str, str]]],
) -> str | None:
    """Return the job that a session of another subject passes itself off as: by its name, or by where alone it wrote."""
    if named is not None and near.runs(named["job_uuid"], issued):
        return str(named["job_uuid"])
    if not wrote or issued is None:
        return None
    covering = [job for job in near.all(issued) if _covers(prefixes[job["job_uuid"]], wrote)]
    return str(covering[0]["job_uuid"]) if len(covering) == 1 else None


def _by_name(session: Row, job: Row) -> Row:
    return _row(session, job, "strong", 1, "its name holds the job_uuid and its subject is the job's")


def _perhaps(session: Row, fitting: Sequence[Row], unsure: Sequence[Row]) -> Row:
    """Leave a session unknown that a job may explain whose own account could not be established."""
    because = f"the account of {len(unsure)} jobs that ran then is not known, so one of them may be its own"
    return _row(session, None, "none", max(2, len(fitting) + len(unsure)), because)


def _row(session: Row, job: Row | None, strength: str, candidates: int, because: str) -> Row:
    return {
        "session_key": session["session_key"],
        "job_uuid": job["job_uuid"] if job else None,
        "strength": strength,
        "candidates": candidates,
        "because": because,
    }


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
