"""What each credential that wrote to a bucket is: a job's session, a declared writer, or a stranger.

`job`: a session matched with one job. `ambiguous`: several jobs fit it. `no_issue`: it says it is a session of an
export role, and no event tells of its issue. `declared`: a writer of the configuration. `foreign`: anybody else,
a session of an export role that no job explains among them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

from auditor.correlate import Rows, Tables

TABLE = "credential"
READS = ("credential_write", "session_match", "sts_session", "config_federation", "config_writer", "as_of")
COLUMNS = {
    "credential_write": (
        "access_key_id",
        "principal_arn",
        "principal_type",
        "role_arn",
        "session_name",
        "bucket",
        "first_at",
        "last_at",
    ),
    "session_match": ("session_key", "job_uuid", "candidates", "because"),
    "sts_session": (
        "session_key",
        "event_name",
        "error_code",
        "role_arn",
        "session_name",
        "access_key_id",
        "issued_at",
        "expires_at",
    ),
}

Row = Mapping[str, Any]


def derive(tables: Tables) -> Iterator[Row]:
    """Yield one row a credential and bucket."""
    (now,) = tables["as_of"]
    skew = timedelta(seconds=now["skew_s"])
    roles = {row["role_arn"] for row in tables["config_federation"]}
    wrote = _by_credential(tables["credential_write"])
    if not wrote:
        return
    keys = {key for key, _, _ in wrote if key}
    issued: dict[str, Row] = {}
    keyless: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in tables["sts_session"]:
        if row["access_key_id"] in keys:
            issued[row["access_key_id"]] = row
        elif not row["access_key_id"] and not row["error_code"]:
            keyless[row["role_arn"], row["session_name"]].append(row)
    sessions = {row["session_key"] for rows in (issued.values(), *keyless.values()) for row in rows}
    matches = {row["session_key"]: row for row in tables["session_match"] if row["session_key"] in sessions}
    for name, writes in wrote.items():
        write = writes[0]
        session = issued.get(write["access_key_id"]) or _by_name(writes, keyless, matches, skew)
        match = matches.get(session["session_key"]) if session else None
        kind, because = _kind(write, session, match, roles, tables["config_writer"])
        yield {
            "access_key_id": name[0],
            "principal_arn": name[1],
            "bucket": name[2],
            "principal_type": write["principal_type"],
            "kind": kind,
            "job_uuid": match["job_uuid"] if match and kind == "job" else None,
            "session_key": session["session_key"] if session else None,
            "because": because,
        }


def _by_credential(writes: Rows) -> dict[tuple[str, str, str], list[Row]]:
    """Return the writes of each credential to each bucket."""
    found: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for write in writes:
        found[write["access_key_id"], write["principal_arn"], write["bucket"]].append(write)
    return found


def _by_name(
    writes: Sequence[Row],
    keyless: Mapping[tuple[str, str], Sequence[Row]],
    matches: Mapping[str, Row],
    skew: timedelta,
) -> Row | None:
    """Return the session of a credential whose issue event does not hold its access key id.

    By role, session name and time: it must be valid for all that was written, the skew on either side. Several
    are no answer unless all of them are one job's.
    """
    first, last = min(write["first_at"] for write in writes), max(write["last_at"] for write in writes)
    fitting = [
        row
        for row in keyless.get((writes[0]["role_arn"], writes[0]["session_name"]), ())
        if row["issued_at"] is not None
        and row["issued_at"] - skew <= first
        and last <= (row["expires_at"] or row["issued_at"]) + skew
    ]
    jobs = {(matches.get(row["session_key"]) or {}).get("job_uuid") for row in fitting}
    return fitting[0] if len(jobs) == 1 else None


def _kind(
    write: Row, session: Row | None, match: Row | None, roles: set[str], writers: Any
) -> tuple[str, str]:
    who = write["principal_arn"] or write["access_key_id"]
    for writer in writers:
        if fnmatchcase(who, writer["match"]) and fnmatchcase(write["bucket"], writer["bucket"] or "*"):
            return "declared", f"{who} is a declared writer ({writer['reason']})"
    if match is not None and match["job_uuid"]:
        return "job", match["because"]
    if match is not None and match["candidates"] > 1:
        return "ambiguous", match["because"]
    if session is not None and not roles:
        return (
            "no_issue",
            f"no export role is configured, so the session of {who} cannot be told from another",
        )
    if session is not None:
        how = f"a session issued by {session['event_name']} on {session['role_arn']}"
        return "foreign", f"{who} wrote with {how}, which no job explains"
    if not write["principal_type"]:
        return "no_issue", f"the event does not say what kind of principal {who or 'it'} is"
    if write["principal_type"] == "AssumedRole" and not roles:
        return (
            "no_issue",
            f"no export role is configured, so the session of {who} cannot be told from another",
        )
    if write["role_arn"] in roles or _maybe_of(write, roles):
        return (
            "no_issue",
            f"no event tells of the issue of {write['access_key_id'] or 'its credentials'} to {who}",
        )
    return "foreign", f"{who} ({write['principal_type']}) is neither a job's session nor declared"


def _maybe_of(write: Row, roles: set[str]) -> bool:
    """Tell whether a session whose event does not hold its role may be of an export role, by the role's name."""
    if write["principal_type"] != "AssumedRole" or write["role_arn"]:
        return False
    _, _, session = write["principal_arn"].partition(":assumed-role/")
    name = session.partition("/")[0]
    return not name or any(role.endswith(f"/{name}") for role in roles)
