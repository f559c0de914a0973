"""What rules judge of the identity that the scan acts as: which of its permissions change something, anywhere.

A session tells its role by name alone, so the role is looked for by name in the session's account.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.permitting import listed, unlisted
from auditor.correlate.zoning import Row, parsed, strictest_declared
from auditor.policy.carried import carried, documents, role, user
from auditor.policy.powers import changes

TABLE = "scanner_facts"
READS = ("aws_account", "iam_role", "iam_user", "iam_policy", "config_zone")
_SESSION = re.compile(
    r"arn:(?P<partition>[^:]*):sts::(?P<account>\d{12}):assumed-role/(?P<name>[^/]+)/.*", re.DOTALL
)


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row for each identity that answered for an account; none where nobody did."""
    zone = strictest_declared(tables["config_zone"])
    managed = documents(tables["iam_policy"])
    known = {row["arn"]: row for row in (*tables["iam_role"], *tables["iam_user"])}
    named = {(row["account"], row["name"]): row for row in tables["iam_role"]}
    met: set[str] = set()
    for account in sorted(tables["aws_account"], key=lambda row: str(row["account"])):
        caller = account["caller_arn"]
        if caller is None:
            continue
        session = _SESSION.fullmatch(caller)
        found = named.get((session["account"], session["name"])) if session else known.get(caller)
        arn = found["arn"] if found else _guessed(caller, session)
        if arn in met:
            continue
        met.add(arn)
        yield {
            "subject_key": arn,
            "zone": zone,
            "account": arn.split(":")[4] if arn.count(":") > 4 else account["account"],
            "project": None,
            "owner": (parsed(found["tags"]) or {}).get("owner") if found else None,
            "region": "*",
            "name": arn.rpartition("/")[2],
            "caller": caller,
            **_changes(caller, arn, found, managed),
        }


def _guessed(caller: str, session: re.Match[str] | None) -> str:
    """Return the ARN of a role that was not found, without the path that a session does not tell."""
    if session is None:
        return caller
    return f"arn:{session['partition']}:iam::{session['account']}:role/{session['name']}"


def _changes(caller: str, arn: str, found: Row | None, managed: Mapping[str, str | None]) -> dict[str, Any]:
    if caller.endswith(":root"):
        says = "the account's root user may do everything"
        return {"changes": ["*"], "changes_decided": True, "changes_says": says, "changes_open": ""}
    if found is None:
        return unlisted("changes", f"{arn} is not among the users and roles that were listed")
    held = carried(found["inline_policies"], found["attached_policies"], found["boundary_arn"], managed)
    if held.why:
        return unlisted("changes", held.why)
    return listed("changes", changes(user(arn, found["name"], held) if ":user/" in arn else role(arn, held)))
