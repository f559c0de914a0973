"""How a change of a setting is undone, where nobody meant it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from shlex import quote

from auditor.model import Drift
from auditor.watch.authors import is_late
from auditor.watch.gcp import ACCOUNT, AUDITED, BINDING, BUCKET, KEY, PROJECT, ROLE, SINK, binding_of


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
    command = f"gcloud {of} --member={quote(found['member'])} --role={quote(found['role'])}"
    condition = found["condition"]
    if not condition:
        return f"{command} --condition=None"
    if verb == "remove":  # by condition it is found by its title too, which any other may have
        return f"{command} (of those that it offers choose the condition {condition})"
    return f"{command} --condition={quote(f'^:::^expression={condition}:::title=restored')}"


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


def _project(one: Drift) -> str | None:
    name = one.subject_key.removeprefix("projects/")
    if one.field == "state":
        return f"gcloud projects undelete {quote(name)}" if one.after == "DELETE_REQUESTED" else None
    kind, _, number = next(iter(listed(one.before)), "").partition("/")
    flag = {"folders": "folder", "organizations": "organization"}.get(kind)
    return flag and f"gcloud beta projects move {quote(name)} --{flag}={quote(number)}"


def _role(one: Drift) -> str | None:
    found = re.fullmatch(r"(projects|organizations)/([^/]+)/roles/([^/]+)", one.subject_key)
    if found is None:
        return None
    of = f"{quote(found[3])} --{found[1].removesuffix('s')}={quote(found[2])}"
    if one.field == "deleted":
        return f"gcloud iam roles {'delete' if one.after == 'false' else 'undelete'} {of}"
    less, more = (",".join(listed(text)) for text in (one.before, one.after))
    flags = [
        f"--{verb}-permissions={quote(names)}" for verb, names in (("remove", more), ("add", less)) if names
    ]
    return f"gcloud iam roles update {of} {' '.join(flags)}" if flags else None


def listed(text: str | None) -> list[str]:
    """Return the texts of a list in JSON; none where it is not one."""
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return []
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


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
    if one.field == "destination" and one.before:
        return f"gcloud logging sinks update {quote(name)} {quote(one.before)} --project={quote(project)}"
    if one.field in ("exclusions", "own_exclusions"):
        shown = f"gcloud logging sinks describe {where} shows its exclusions"
        return f"gcloud logging sinks update {where} --remove-exclusions=NAME, or --update-exclusion: {shown}"
    if one.kind == "appeared":
        return f"gcloud logging sinks delete {where}"
    was = dict(part.partition("=")[::2] for part in listed(one.before))
    if one.kind == "vanished" and was.get("destination"):
        taken = f" --log-filter={quote(was['filter'])}" if was.get("filter") else ""
        return f"gcloud logging sinks create {quote(name)} {quote(was['destination'])} --project={quote(project)}{taken}"
    return None


def _audited(one: Drift) -> str | None:
    found = re.fullmatch(r"((projects|folders|organizations)/(.+))/([^/]+)/([^/]+)", one.subject_key)
    if one.kind == "appeared" or found is None:
        return None
    _, noun, name, service, kind = found.groups()
    of = f"{'resource-manager folders' if noun == 'folders' else noun}"
    if one.kind == "vanished":
        what = f"put {kind} of {service} back under auditConfigs"
    else:
        what = f"set exemptedMembers of {kind} of {service} under auditConfigs back"
    return (
        f"gcloud {of} get-iam-policy {quote(name)} --format=json > policy.json, {what}, "
        f"gcloud {of} set-iam-policy {quote(name)} policy.json"
    )


_COMMANDS: dict[str, Callable[[Drift], str | None]] = {
    PROJECT: _project,
    BINDING: _policy,
    ROLE: _role,
    KEY: _key,
    ACCOUNT: _account,
    BUCKET: _bucket,
    SINK: _sink,
    AUDITED: _audited,
}
