"""How a change of a setting is undone, where nobody meant it."""

from __future__ import annotations

import re
from collections.abc import Callable
from shlex import quote

from auditor.model import Drift
from auditor.watch.authors import is_late
from auditor.watch.gcp import ACCOUNT, AUDITED, BINDING, BUCKET, KEY, SINK, binding_of


def undo(one: Drift) -> str | None:
    """Return how a change of a setting is undone; None where that is not known, and for findings."""
    if one.rule is not None or is_late(one):
        return None  # how a change is undone was told with it
    known = _COMMANDS.get(one.subject_table)
    if known and (command := known(one)):
        return f"If nobody meant this: {command}"
    if one.kind == "changed":
        return f"If nobody meant this, set {one.field} back to what it was before."
    return None


def _policy(one: Drift) -> str | None:
    found = binding_of(one.subject_key)
    if found is None:
        return None
    verb = "remove" if one.kind == "appeared" else "add"
    if found["email"]:
        of = f"iam service-accounts {verb}-iam-policy-binding {quote(found['email'])} --project={found['name']}"
    else:
        noun = found["of"].partition("/")[0]
        of = ("resource-manager folders" if noun == "folders" else noun) + f" {verb}-iam-policy-binding "
        of += quote(found["name"])
    condition = quote(f"expression={found['condition']}") if found["condition"] else "None"
    return (
        f"gcloud {of} --member={quote(found['member'])} --role={quote(found['role'])} --condition={condition}"
    )


def _key(one: Drift) -> str | None:
    found = re.fullmatch(r"projects/.+/serviceAccounts/([^/]+)/keys/([^/]+)", one.subject_key)
    if found is None:
        return None
    email, name = found.groups()
    verb = {"appeared": "delete", "changed": "disable" if one.after == "false" else "enable"}.get(one.kind)
    return verb and f"gcloud iam service-accounts keys {verb} {quote(name)} --iam-account={quote(email)}"


def _account(one: Drift) -> str | None:
    if one.field != "disabled":
        return None
    return f"gcloud iam service-accounts {'disable' if one.after == 'false' else 'enable'} {quote(one.subject_key)}"


def _bucket(one: Drift) -> str | None:
    parts = one.subject_key.split("/")
    if len(parts) != 6:
        return None
    where = f"{quote(parts[5])} --location={quote(parts[3])} --project={quote(parts[1])}"
    if one.field == "retention_d" and one.before:
        return f"gcloud logging buckets update {where} --retention-days={one.before.removesuffix(' d')}"
    if one.field == "state":
        return f"gcloud logging buckets undelete {where}"
    return None


def _sink(one: Drift) -> str | None:
    found = re.fullmatch(r"projects/([^/]+)/sinks/(.+)", one.subject_key)
    if found is None:
        return None
    project, name = found.groups()
    where = f"{quote(name)} --project={quote(project)}"
    if one.field == "disabled":
        return (
            f"gcloud logging sinks update {where} {'--no-disabled' if one.after == 'true' else '--disabled'}"
        )
    if one.field == "filter":
        return f"gcloud logging sinks update {where} --log-filter={quote(one.before or '')}"
    return None


def _audited(one: Drift) -> str | None:
    found = re.fullmatch(r"(.+)/([^/]+)/([^/]+)", one.subject_key)
    if one.kind == "appeared" or found is None:
        return None
    resource, service, kind = found.groups()
    return f"put {kind} of {service} back under auditConfigs of the policy of {resource} (get-iam-policy, set-iam-policy)"


_COMMANDS: dict[str, Callable[[Drift], str | None]] = {
    BINDING: _policy,
    KEY: _key,
    ACCOUNT: _account,
    BUCKET: _bucket,
    SINK: _sink,
    AUDITED: _audited,
}
