"""Who changed a setting of Google Cloud, from the audit entries of its project, or why nobody is named.

Admin Activity entries cannot be switched off. Those of folders and organisations stand in logs of their own, which are not read.
A policy is set whole: its entry says in its delta which bindings and log types it changed, and explains no other. Of entries that
do not say, the newest that fits is named with how many did. Methods:
cloud.google.com/iam/docs/audit-logging and cloud.google.com/logging/docs/audit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from auditor.watch.gcp import ACCOUNT, AUDITED, BINDING, BUCKET, CLUSTER, KEY, PROJECT, ROLE, SINK
from auditor.watch.values import Watched, place_of

FEED = "gcp_audit_entry"
COLUMNS = (
    "entry_id", "project", "at", "method", "principal_email", "principal_subject", "caller_ip", "resource_name",
    "granted", "status_code", "cluster_uuid", "deltas", "delegation", "static_key_name",
)  # fmt: skip
"""What is read of an entry."""

_POLICY = ("SetIamPolicy", "SetIAMPolicy")
_BUCKET = ("UpdateBucket", "UpdateBucketAsync")
METHODS: dict[str, dict[str, tuple[str, ...]]] = {
    PROJECT: {"ancestors": ("MoveProject", "UpdateProject"), "state": ("DeleteProject", "UndeleteProject")},
    BINDING: {"+": _POLICY, "-": _POLICY},
    AUDITED: {"+": _POLICY, "-": _POLICY, "exempted": _POLICY},
    ROLE: {"permissions": ("UpdateRole",), "deleted": ("DeleteRole", "UndeleteRole")},
    ACCOUNT: {
        "disabled": ("DisableServiceAccount", "EnableServiceAccount"),
        "+": ("UndeleteServiceAccount",),
        "-": ("DeleteServiceAccount",),
    },
    KEY: {
        "disabled": ("DisableServiceAccountKey", "EnableServiceAccountKey"),
        "+": ("CreateServiceAccountKey", "UploadServiceAccountKey"),
        "-": ("DeleteServiceAccountKey", "DeleteServiceAccount"),
    },
    BUCKET: {
        "retention_d": _BUCKET,
        "locked": _BUCKET,
        "state": ("DeleteBucket", "UndeleteBucket"),
        "+": ("CreateBucket", "CreateBucketAsync"),
        "-": ("DeleteBucket",),
    },
    SINK: {
        **dict.fromkeys(("destination", "filter", "disabled", "own_exclusions", "exclusions"), ("UpdateSink",)),
        "+": ("CreateSink",),
        "-": ("DeleteSink",),
    },
    CLUSTER: {"user_service_accounts": ("UpdateCluster",)},
}  # fmt: skip
"""Methods, without their service, that explain a change of a column, a new row (+) or a lost one (-)."""
_TOLD = frozenset(method for of in METHODS.values() for methods in of.values() for method in methods)
_ACCOUNT = re.compile(r"/serviceAccounts/(?P<who>[^/]+)(?:/keys/(?P<key>[^/]+))?")


def changes(rows: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """Yield the entries of calls that changed something and were let through, named as management events are."""
    for row in rows:
        method = str(row["method"] or "").rpartition(".")[2]
        actor = row["principal_email"] or row["principal_subject"]
        if method in _TOLD and row["status_code"] == 0 and row["granted"] is not False and actor:
            names = {"event_id": row["entry_id"], "event_name": method, "actor": actor}
            yield {**row, **names, "source_ip": row["caller_ip"], "by": _by(row)}


def _by(row: Mapping[str, Any]) -> str:
    """Say who stands behind a service account: whoever acted through it, the first caller first, or the key that signed."""
    words = [str(each).replace(", ", " ") for each in row.get("delegation") or ()]
    said = [f"for {' through '.join(words)}"] if words else []
    if key := row.get("static_key_name"):
        said.append(f"by the key {str(key).rpartition('/')[2]}")
    return ", ".join(said)


def beyond(one: Watched) -> str:
    """Say why no entry can tell of a row; empty where one can."""
    if one.account.startswith(("folders/", "organizations/")):
        return f"the audit entries of {one.account} stand in its own log, which is not read"
    if one.table == ROLE and not one.key.startswith("projects/"):
        return f"the audit entries of {one.key} are in no log that is read"
    return ""


def concerns(row: Mapping[str, Any], one: Watched, unique_ids: Mapping[str, str], change: str = "") -> bool:
    """Say whether an entry is about the row of a setting; `unique_ids`: the numeric id of a service account by e-mail.

    `change`: `+` of a row that came, `-` of one that is gone, for entries that say what they changed.
    """
    if row["project"] != one.account:
        return False
    deltas = row.get("deltas")
    if deltas and not any(_explains(delta, one, change) for delta in deltas):
        return False
    name = str(row["resource_name"] or "")
    if one.table == CLUSTER:
        return bool(row["cluster_uuid"] == one.key)
    if one.table == PROJECT or (one.table in (BINDING, AUDITED) and not place_of(one)):
        # Its log is the project's own, which the entry may call by its number.
        return name == f"projects/{one.account}" or _NUMBERED.fullmatch(name) is not None
    if one.table in (ACCOUNT, KEY, BINDING):
        email = one.key if one.table == ACCOUNT else place_of(one).rpartition("/")[2]
        found = _ACCOUNT.search(name)
        if found is None or found["who"] not in (email, unique_ids.get(email)):
            return False
        return found["key"] in (None, one.key.rpartition("/")[2]) if one.table == KEY else True
    return name == one.key


_NUMBERED = re.compile(r"projects/\d+")
_ACTIONS = {"+": "ADD", "-": "REMOVE"}


def _explains(delta: Mapping[str, Any], one: Watched, change: str) -> bool:
    """Say whether one part of what an entry says that it changed is the row of a setting; a delta of another kind is not."""
    if "key" in delta:
        return str(delta["key"]).rpartition("/")[2] == one.key.rpartition("/")[2]
    if _ACTIONS.get(change, delta["action"]) != delta["action"]:
        return False
    if one.table == AUDITED:
        return one.key.endswith(f"/{delta.get('service')}/{delta.get('log_type')}")
    if one.table != BINDING or "role" not in delta:
        return False
    return one.key.endswith(f"/{delta['role']}/{delta['member']}/{delta['condition']}")
