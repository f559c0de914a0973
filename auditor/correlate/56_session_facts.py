"""What rules judge of a session on an export role: how it was issued, for which job, and how long it was used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from auditor.correlate import Tables, addressing
from auditor.correlate.sight import Sight
from auditor.correlate.zoning import Row, parsed, ranks, seconds, strictest

TABLE = "session_facts"
READS = (
    "sts_session",
    "session_match",
    "orphan_session",
    "credential_use",
    "export",
    "dataproc_job",
    "config_federation",
    "config_subject",
    "config_zone",
    "bucket_zone",
    "coverage",
    "params",
    "as_of",
)

PLACES = "session-from-expected-place"
"""The rule (CHN-012) whose parameter `cidrs` declares the places: networks are compared here, once an address."""


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row for each success on a declared export role; a refused attempt is no session."""
    (now,) = tables["as_of"]
    sight = Sight(tables["coverage"])
    rank = ranks(tables["config_zone"])
    matches = {row["session_key"]: row for row in tables["session_match"]}
    orphans = {row["session_key"]: row for row in tables["orphan_session"]}
    used = {row["access_key_id"]: row["last_at"] for row in tables["credential_use"]}
    jobs = {row["job_uuid"]: row for row in tables["dataproc_job"]}
    subjects = {row["service_account"].lower(): row["subject"] for row in tables["config_subject"]}
    exports: dict[str, Row] = {}
    for row in tables["export"]:
        exports.setdefault(row["job_uuid"], row)
    buckets = {row["bucket"]: row for row in tables["bucket_zone"]}
    roles: dict[str, list[Row]] = defaultdict(list)
    for role in tables["config_federation"]:
        roles[role["role_arn"]].append(role)
    places = _Places(tables["params"])
    for session in tables["sts_session"]:
        if session["role_arn"] not in roles or session["error_code"]:
            continue
        match = matches.get(session["session_key"], {})
        orphan = orphans.get(session["session_key"])
        job = jobs.get(match.get("job_uuid") or "")
        export = exports.get(match.get("job_uuid") or "")
        declared = [buckets[row["bucket"]] for row in roles[session["role_arn"]] if row["bucket"] in buckets]
        claimed = match.get("claimed_job") or ""
        account = (exports.get(claimed) or {}).get("service_account") or (jobs.get(claimed) or {}).get(
            "service_account"
        )
        expected = subjects.get(account.lower()) if account else None
        key = session["access_key_id"]
        last = used.get(key) if key else None
        ended = job["finished_at"] if job else None
        zone = (export["zone"] if export else None) or strictest(declared, rank)
        yield {
            "subject_key": session["session_key"],
            "zone": zone,
            "account": session["account"],
            "project": job["project"] if job else None,
            "owner": export["owner"] if export else None,
            "region": session["region"],
            "role_arn": session["role_arn"],
            "session_name": session["session_name"],
            "event_name": session["event_name"],
            "caller": session["caller_arn"] or "",
            "source_ip": session["source_ip"],
            **_place(session, places(zone)),
            "issued_at": session["issued_at"],
            "age_s": seconds(now["as_of"], session["issued_at"]),
            "duration_s": session["duration_s"],
            "matched_job": match.get("job_uuid"),
            "claimed_job": match.get("claimed_job"),
            "match_strength": match.get("strength"),
            "match_candidates": match.get("candidates"),
            "orphan": orphan["orphan"] if orphan else False if match.get("job_uuid") else None,
            "orphan_because": orphan["because"] if orphan else match.get("because"),
            "used_after_job_s": _used_after(key, last, ended, seen=_writes_seen(sight, session, export, now)),
            "web_subject": session["subject"],
            "expected_subject": expected,
            "job_service_account": account,
            "subject_matches": _equal(session["subject"], expected),
        }


class _Places:
    """The declared places of each zone; None where nothing is declared, or where zones differ and there is no zone."""

    def __init__(self, params: Iterable[Row]) -> None:
        self._given = {
            row["zone"]: None if row["value"] is None else tuple(map(str, parsed(row["value"])))
            for row in params
            if row["rule"] == PLACES and row["name"] == "cidrs"
        }

    def __call__(self, zone: str | None) -> tuple[str, ...] | None:
        default = self._given.get("default")
        if zone is None:
            return default if all(given == default for given in self._given.values()) else None
        return self._given.get(zone, default)


def _place(session: Row, declared: tuple[str, ...] | None) -> dict[str, Any]:
    """Return whether a session was asked for from a declared place, and why that is not known."""
    source, unread = session["source_ip"], addressing.unreadable(declared or ())
    expected = None if declared is None else addressing.within(source, declared)
    says = ""
    if expected is None:
        says = (
            "its source is not an address"
            if declared and not unread
            else "no network is declared for its zone"
        )
        if unread:
            says = f"{', '.join(unread)} is no network"
        if not source:
            says = "the record holds no source"
    return {"from_declared_place": expected, "place_says": says, "user_agent": session["user_agent"]}


def _used_after(key: str | None, last: Any, ended: Any, *, seen: bool) -> int | None:
    """Return seconds from the job's end to the credential's last write: 0 when there was none after it.

    None when writes of its time were not all seen: a later one may be among them.
    """
    if key is None or ended is None or not seen:
        return None
    return max(0, seconds(last, ended) or 0)


def _writes_seen(sight: Sight, session: Row, export: Row | None, now: Row) -> bool:
    """Say whether data events of the session's bucket were read for as long as it could write.

    A session without an export may have written anywhere in its account.
    """
    if session["issued_at"] is None:
        return False
    until = session["expires_at"] or session["issued_at"] + timedelta(hours=12)
    return not sight.gaps(
        "s3_data_event",
        (export or {}).get("account") or session["account"],
        resource=export["bucket_arn"] if export else None,
        from_at=session["issued_at"],
        until_at=min(until, now["as_of"]),
    )


def _equal(one: str | None, other: str | None) -> bool | None:
    return None if one is None or other is None else one == other
