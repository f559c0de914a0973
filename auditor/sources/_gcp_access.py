"""Rows from the messages of Resource Manager, IAM and the configuration of Cloud Logging, read as raw protobuf."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from auditor.model import Row
from auditor.sources.ask import Malformed, Suspect

GENERATION = 2
"""Raised when permissions are added to the list; `auditor.watch.gcp.SINCE` says which."""
AUDITED = ("project", "folder", "organization")
"""Kinds of resources whose policy says what is logged."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A resource that has an IAM policy."""

    resource: str
    kind: str
    project: str
    """Where its rows belong: a project, or itself where projects inherit from it."""


@dataclass(frozen=True, slots=True)
class KnownRoles:
    """What predefined roles grant of the permissions that rules judge, as of a day."""

    as_of: str
    permissions: frozenset[str]
    roles: dict[str, list[str]]


@cache
def known_roles() -> KnownRoles:
    """Return our table of predefined roles; `gcp_roles.json` says where it is from."""
    said = json.loads(files("auditor.sources").joinpath("gcp_roles.json").read_text(encoding="utf-8"))
    return KnownRoles(said["as_of"], frozenset(said["permissions"]), said["roles"])


def of_policy(policy: Any, holder: Holder) -> Iterator[Row]:
    """Yield a row for each member of each binding, and one for each log type that is switched on.

    A true answer always has an etag, a policy without bindings too; an empty message has none.
    """
    if not policy.etag:
        raise Suspect(f"the policy of {holder.resource} has no etag")
    seen: set[tuple[str, str, str]] = set()
    for binding in policy.bindings:
        if not binding.role:
            raise Malformed(f"a binding of {holder.resource} names no role")
        for member in binding.members:
            key = (binding.role, member, binding.condition.expression)
            if key in seen:
                continue
            seen.add(key)
            yield Row(
                "gcp_iam_binding",
                {
                    "resource": holder.resource,
                    "kind": holder.kind,
                    "project": holder.project,
                    "region": "*",
                    "role": binding.role,
                    "member": member,
                    "condition": _condition(binding),
                    "condition_title": binding.condition.title,
                },
            )
    if holder.kind in AUDITED:
        yield from _audit_configs(policy, holder)


def _condition(binding: Any) -> str:
    """Return a binding's condition; one that is there and says nothing is not the same as none."""
    if not binding.HasField("condition"):
        return ""
    return str(binding.condition.expression) or "(empty)"


def _audit_configs(policy: Any, holder: Holder) -> Iterator[Row]:
    from auditor.sources.google import word

    on: dict[tuple[str, str], set[str]] = {}
    for config in policy.audit_configs:
        for log in config.audit_log_configs:
            # The union of several entries is what acts: types that any names, and members that any exempts.
            on.setdefault((config.service, word(log, "log_type")), set()).update(log.exempted_members)
    for (service, log_type), exempted in sorted(on.items()):
        yield Row(
            "gcp_audit_config",
            {
                "resource": holder.resource,
                "project": holder.project,
                "service": service,
                "log_type": log_type,
                "exempted": sorted(exempted),
            },
        )


def of_role(role: Any, project: str) -> Row:
    """Return a role that was asked for."""
    if not role.name:
        raise Malformed("a role has no name")
    granted = known_roles().permissions.intersection(role.included_permissions)
    values = {"name": role.name, "project": project, "permissions": sorted(granted)}
    return Row("gcp_role", {**values, "origin": "api", "deleted": role.deleted, "judged": GENERATION})


def of_known_role(name: str) -> Row | None:
    """Return a predefined role as our table has it; None when it is not there."""
    known = known_roles()
    if name not in known.roles:
        return None
    values = {"name": name, "project": "*", "permissions": known.roles[name]}
    origin = f"table of {known.as_of}"
    return Row("gcp_role", {**values, "origin": origin, "deleted": False, "judged": GENERATION})


def of_account(account: Any, project: str) -> Row:
    """Return a service account."""
    if not account.email or not account.unique_id:
        raise Malformed("a service account has no e-mail or no unique id")
    return Row(
        "gcp_service_account",
        {
            "email": account.email,
            "project": project,
            "unique_id": account.unique_id,
            "display_name": account.display_name,
            "description": account.description,
            "disabled": account.disabled,
        },
    )


def of_key(key: Any, email: str, project: str) -> Row:
    """Return a key of a service account."""
    from auditor.sources.google import moment, word

    if not key.name or not key.key_type:
        raise Malformed(f"a key of {email} has no name or no type")
    return Row(
        "gcp_service_account_key",
        {
            "name": key.name,
            "email": email,
            "project": project,
            "key_type": word(key, "key_type"),
            "key_origin": word(key, "key_origin"),
            "created_at": moment(key.valid_after_time),
            "expires_at": moment(key.valid_before_time),
            "disabled": key.disabled,
        },
    )


def of_log_bucket(bucket: Any, project: str) -> Row:
    """Return a bucket of Cloud Logging."""
    from auditor.sources.google import word

    parts = bucket.name.split("/")
    if len(parts) != 6:
        raise Malformed("a log bucket has no full name")
    return Row(
        "gcp_log_bucket",
        {
            "name": bucket.name,
            "project": project,
            "location": parts[3],
            "retention_d": bucket.retention_days or None,
            "locked": bucket.locked,
            "state": word(bucket, "lifecycle_state"),
        },
    )


def of_sink(sink: Any, project: str) -> Row:
    """Return a sink; its name comes without the project."""
    if not sink.name or not sink.destination:
        raise Malformed("a sink has no name or no destination")
    return Row(
        "gcp_log_sink",
        {
            "name": f"projects/{project}/sinks/{sink.name}",
            "project": project,
            "destination": sink.destination,
            "filter": sink.filter,
            "disabled": sink.disabled,
            "own_exclusions": sum(not each.disabled for each in sink.exclusions),
            "exclusions": sorted(each.filter for each in sink.exclusions if not each.disabled),
        },
    )
