"""What changes of access and logs in Google Cloud come to: bindings, roles, keys, audit configurations, sinks, user maps.

A binding is told by what it lets its member do on its resource, of all that rules judge: one whose permissions another
binding of the member gives as well, there or above, is no change. Conditions are not compared with each other; where one is
replaced by another, that is not decided, and counts as weaker. Passing of time, as a condition or a key may set it, is none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any

from auditor.plans.compare import some
from auditor.watch.told import NOT_DECIDED, Told, only, weighed
from auditor.watch.values import Fields, Row, Watched, place_of

BINDING, ROLE, AUDITED = "gcp_iam_binding", "gcp_role", "gcp_audit_config"
ACCOUNT, KEY = "gcp_service_account", "gcp_service_account_key"
BUCKET, SINK, CLUSTER = "gcp_log_bucket", "gcp_log_sink", "dataproc_cluster"
PROJECT = "gcp_project"
TABLES = (PROJECT, BINDING, ROLE, AUDITED, ACCOUNT, KEY, BUCKET, SINK, CLUSTER)
_SILENT = frozenset((ROLE, CLUSTER))
"""Rows that come and go with what names them: a role with its bindings, a cluster with its jobs."""
_EVERY = "allServices"
_SYSTEM = "SYSTEM_MANAGED"
_DELETED = "deleted:"
_OWN = re.compile(r"@([a-z0-9-]+)\.iam\.gserviceaccount\.com$")

SINCE: Mapping[int, frozenset[str]] = {
    2: frozenset(
        {
            "iam.roles.update",
            "iam.serviceAccounts.setIamPolicy",
            "resourcemanager.folders.setIamPolicy",
            "resourcemanager.organizations.setIamPolicy",
            "resourcemanager.projects.setIamPolicy",
        }
    )
}
"""Permissions that were not listed before a generation of the list: then roles have them, and did not come by them."""

Rows = Mapping[Row, Fields]


def watched_rows(
    rows: Callable[[str], Iterable[Mapping[str, Any]]],
) -> dict[str, list[Mapping[str, Any]]]:
    """Return the bindings that outlive a job, and the clusters that stand; `rows` reads a table.

    Policies of clusters end with them, and so do the maps of users of clusters that are gone.
    """
    return {
        BINDING: lasting(rows(BINDING)),
        CLUSTER: [row for row in rows(CLUSTER) if row["origin"] == "api" and row["deleted_at"] is None],
    }


def project_of(key: str) -> str:
    """Return the project, folder or organisation that a key names; empty where it names none."""
    kind, _, rest = key.partition("/")
    name = rest.partition("/")[0]
    if kind == "projects":
        return name
    if kind in ("folders", "organizations"):
        return f"{kind}/{name}"
    found = _OWN.search(key)
    return found[1] if found else ""


_PARTS_OF_KEY = re.compile(
    r"(?P<of>(?:projects|folders|organizations)/(?P<name>[^/]+)(?:/serviceAccounts/(?P<email>[^/]+))?)"
    r"/(?P<role>(?:projects/[^/]+/|organizations/[^/]+/)?roles/[^/]+)"
    r"/(?P<member>principal(?:Set)?:.+(?=/$)|[^/]+)/(?P<condition>.*)",
    re.DOTALL,
)


def binding_of(key: str) -> re.Match[str] | None:
    """Return `of`, `name`, `email`, `role`, `member` and `condition` of a binding's key; None where they cannot be told apart."""
    return _PARTS_OF_KEY.fullmatch(key)


def judged_as(table: str, key: str) -> Iterator[str]:
    """Yield the other keys under which rules judge what a row is part of: a binding, an account, a project."""
    if table == BINDING and (found := binding_of(key)):
        condition = found["condition"]
        digest = (
            f"/if:{sha256(condition.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}" if condition else ""
        )
        yield f"{found['of']}/{found['role']}/{found['member']}{digest}"
    elif table == KEY:
        yield key.rpartition("/keys/")[0].rpartition("/")[2]
    elif table == AUDITED:
        yield key.rsplit("/", 2)[0]


def holder_of(table: str, key: str) -> tuple[str, str] | None:
    """Return table and key of the project or service account whose policy or keys a row is part of; None for other rows."""
    if table not in (BINDING, AUDITED, KEY):
        return None
    found = _HOLDER.match(key)
    if found is None:
        return None
    return (ACCOUNT, found["email"]) if found["email"] else (PROJECT, found["project"])


_HOLDER = re.compile(r"(?P<project>projects/[^/]+)/(?:serviceAccounts/(?P<email>[^/]+)/)?")


def role_of(table: str, key: str) -> str:
    """Return the role that a judged binding names, which may have changed in its place; empty for all else."""
    found = _ROLE.search(key) if table == "iam_binding" else None
    return found[1] if found else ""


_ROLE = re.compile(r"/((?:projects/[^/]+/|organizations/[^/]+/)?roles/[^/]+)/")


def lasting(bindings: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the bindings of what outlives a job."""
    return [row for row in bindings if row["kind"] != "cluster"]


class Access:
    """Both states of what Google Cloud says of access and logs."""

    def __init__(self, old: Rows, new: Rows, listed: frozenset[tuple[str, str, str]]) -> None:
        self._old, self._new = _Side(old), _Side(new)
        self._listed = listed
        self._begun = {table for table, _ in old}
        self._begun |= {AUDITED} if BINDING in self._begun else set()

    def may_be_new(self, one: Watched) -> bool:
        """Say whether a row came, as far as can be told: where its listing had been read, or its account is new as well."""
        if one.table not in self._begun:
            return False  # what was never watched cannot come
        place = place_of(one)
        if (one.table, one.account, place or "*") in self._listed:
            return True
        email = (place or "").rpartition("/")[2]
        known = email in self._old.accounts or (ACCOUNT, one.account, "*") not in self._listed
        return bool(place) and not known

    def came(self, one: Watched, has: Fields) -> Told | None:
        """Say what a row comes to that came; None when there is nothing to tell of it."""
        if one.table in _SILENT:
            return None
        if one.table == BINDING:
            return self._bound(has)
        if one.table == KEY:
            return _key(one, has, "is new: whoever holds it can act as the account", "worse")
        if one.table == AUDITED:
            return self._logged(one, has)
        return _sink_new(one, has) if one.table == SINK else Told("neutral", "is new")

    def went(self, one: Watched, was: Fields) -> Told | None:
        """Say what a row comes to that is gone; None when there is nothing to tell of it."""
        if one.table in _SILENT:
            return None
        if one.table == BINDING:
            return self._unbound(was)
        if one.table == KEY:
            return _key(one, was, "is gone", "better")
        if one.table == AUDITED:
            return self._unlogged(one)
        if one.table == SINK:
            return _sink_gone(was)
        return Told("worse" if one.table == BUCKET else "neutral", "is gone")

    # Bindings.

    def _bound(self, has: Fields) -> Told | None:
        resource, role, member, condition = _binding(has)
        if member.startswith(_DELETED):
            return None
        grants, had = self._new.grants(role), self._old.held(resource, member)
        if grants is None:
            if (role, "") in self._old.bound.get((resource, member), ()):
                return None
            return Told(
                "worse",
                f"is new: {member} has {role} on {resource} now, which {NOT_DECIDED} what it grants is not known",
            )
        if not (more := sorted(grants - had)):
            return None
        may = f"{member} may now {some(more)} on {resource}"
        if not (twins := self._old.conditions(resource, member, role)):
            return Told("worse", f"is new: {may}" + (f", where {condition}" if condition else ""))
        if not condition:
            return Told("worse", f"no longer has a condition: {may}, and not only where {twins[0]}")
        return Told(
            "worse",
            f"{may} where {condition}, which {NOT_DECIDED} conditions are not compared (it was: {twins[0]})",
        )

    def _unbound(self, was: Fields) -> Told | None:
        resource, role, member, condition = _binding(was)
        if member.startswith(_DELETED):
            return None
        grants, has = self._old.grants(role), self._new.held(resource, member)
        if grants is None:
            return Told(
                says=f"is gone: {member} no longer has {role} on {resource}, whose grants are not known"
            )
        if not (less := sorted(grants - has)):
            return None
        if not self._new.known(resource, member):
            return Told(says=f"is gone: whether {member} may still {some(less)} on {resource} is not known")
        twins = self._new.conditions(resource, member, role)
        if twins and condition:
            return None  # told with the other condition
        if twins:
            return Told("better", f"{member} may {some(less)} on {resource} only where {twins[0]} now")
        return Told("better", f"is gone: {member} may no longer {some(less)} on {resource}")

    # What is logged.

    def _logged(self, one: Watched, has: Fields) -> Told | None:
        where, service, kind = _audited(one)
        spared = _names(has)
        everywhere = self._old.audited.get((where, _EVERY, kind))
        if everywhere is not None and service != _EVERY:
            more = sorted(set(spared) - set(_names(everywhere)))
            return Told("worse", f"calls of {some(more)} are no longer logged") if more else None
        but = f", but for those of {some(spared)}" if spared else ""
        return Told("better", f"is new: {kind} calls of {_service(service)} are now logged in {where}{but}")

    def _unlogged(self, one: Watched) -> Told | None:
        where, service, kind = _audited(one)
        if service != _EVERY and (where, _EVERY, kind) in self._new.audited:
            return None
        return Told("worse", f"is gone: {kind} calls of {_service(service)} are no longer logged in {where}")


class _Side:
    """One state: bindings by resource and member, roles by name, what is audited, and the accounts."""

    def __init__(self, rows: Rows) -> None:
        self.bound: dict[tuple[str, str], list[tuple[str, str]]] = {}
        self.audited: dict[tuple[str, str, str], Fields] = {}
        self.accounts: set[str] = set()
        self._roles: dict[str, Fields] = {}
        self._above: dict[str, list[str]] = {}
        for (table, key), fields in rows.items():
            if table == PROJECT:
                self._above[key] = _listed(fields, "ancestors")
            elif table == BINDING and len(fields) == len(_PARTS):
                resource, role, member, condition = _binding(fields)
                self.bound.setdefault((resource, member), []).append((role, condition))
            elif table == ROLE:
                self._roles[key] = fields
            elif table == AUDITED:
                self.audited[_audited(next(iter(fields.values())))] = fields
            elif table == ACCOUNT:
                self.accounts.add(key)

    def grants(self, role: str) -> frozenset[str] | None:
        """Return what a role grants; None where that is not known."""
        found = self._roles.get(role, {})
        if "deleted" in found and found["deleted"].value == "true":
            return frozenset()
        text = found["permissions"].value if "permissions" in found else None
        return None if text is None else frozenset(json.loads(text))

    def held(self, resource: str, member: str) -> frozenset[str]:
        """Return all that a member may do on a resource without a condition, as far as it is known, by what it inherits too."""
        project = "/".join(resource.split("/", 2)[:2])
        bound = [
            each
            for place in dict.fromkeys((resource, project, *self._above.get(project, ())))
            for each in self.bound.get((place, member), ())
        ]
        return frozenset().union(*(self.grants(role) or () for role, condition in bound if not condition))

    def known(self, resource: str, member: str) -> bool:
        """Say whether it is known of each binding of a member on a resource what it grants."""
        return all(self.grants(role) is not None for role, _ in self.bound.get((resource, member), ()))

    def conditions(self, resource: str, member: str, role: str) -> list[str]:
        """Return the conditions under which a member has a role."""
        bound = self.bound.get((resource, member), ())
        return sorted(condition for name, condition in bound if name == role and condition)


_PARTS = ("role", "member", "condition")


def _binding(fields: Fields) -> tuple[str, str, str, str]:
    """Return resource, role, member and condition: the key begins with the first, and the others are its columns."""
    role, member, condition = (fields[name].value or "" for name in _PARTS)
    return (
        fields["role"].key.removesuffix(f"/{role}/{member}/{condition}"),
        role,
        member,
        condition,
    )


def _audited(one: Watched) -> tuple[str, str, str]:
    resource, service, kind = one.key.rsplit("/", 2)
    return resource, service, kind


def _service(name: str) -> str:
    return "every service" if name == _EVERY else name


def _names(fields: Fields) -> list[str]:
    return _listed(fields, "exempted")


def _listed(fields: Fields, name: str) -> list[str]:
    return [str(each) for each in json.loads(fields[name].value or "[]")] if name in fields else []


def _key(one: Watched, fields: Fields, says: str, direction: str) -> Told | None:
    kind = fields["key_type"].value if "key_type" in fields else None
    if kind == _SYSTEM:
        return None  # Google makes and ends these by itself
    name = one.key.rpartition("/")[2]
    return Told(direction, f"{says} (user-managed key {name} of {place_of(one)})")


# Columns.


def permissions(was: Fields, has: Fields) -> Told | None:
    """Tell of what a role grants; a predefined one changes by Google's doing, or by that of the table it is read from."""
    old, new = (json.loads(each["permissions"].value or "[]") for each in (was, has))
    then, now = (int(each["judged"].value or 1) if "judged" in each else 1 for each in (was, has))
    unasked = {name for generation, names in SINCE.items() if then < generation <= now for name in names}
    less, more = only(old, new), [each for each in only(new, old) if each not in unasked]
    if not (less or more):
        return None
    name = has["permissions"].key
    said = weighed(
        [f"{name} now grants {some(more)}"] if more else [],
        [f"{name} no longer grants {some(less)}"] if less else [],
        sides=(less, more),
    )
    if name.startswith("roles/"):
        return Told("neutral", f"{said.says} (a role of Google's own)", said.before, said.after)
    return said


def sink_filter(was: str, has: str) -> Told:
    """Tell of what a sink takes; two filters are compared only where one is the other AND something more.

    AND binds least of all operators (cloud.google.com/logging/docs/view/logging-query-language#boolean-operators), so that
    whatever stands behind it takes away from all that stands before.
    """
    if not has:
        return Told("better", "it takes everything now")
    if not was:
        return Told("worse", f"it no longer takes everything, only {has}")
    if "--" not in was + has:  # behind which a comment may stand
        if has.startswith(f"{was} AND "):
            return Told("worse", f"it takes only what meets{has.removeprefix(f'{was} AND')} as well")
        if was.startswith(f"{has} AND "):
            return Told("better", f"it takes also what does not meet{was.removeprefix(f'{has} AND')}")
    return Told("worse", f"{NOT_DECIDED} filters are not compared", word="changed")


def own_exclusions(was: Fields, has: Fields) -> Told | None:
    """Tell of how many exclusions a sink has, where not of each."""
    if all("exclusions" in side and side["exclusions"].value is not None for side in (was, has)):
        return None
    before, after = (int(side["own_exclusions"].value or 0) for side in (was, has))
    return Told("worse" if after > before else "better")


def _sink_new(one: Watched, has: Fields) -> Told:
    """Tell of a sink that came: what it copies to where others may read is not known to be theirs."""
    to, takes = _sink(has)
    says = f"is new: it copies {takes} to {to}"
    if f"/projects/{one.account}/" in f"/{to.partition('/')[2]}":
        return Told("neutral", says)
    return Told("worse", f"{says}, which {NOT_DECIDED} who reads there is not known")


def _sink_gone(was: Fields) -> Told:
    to, takes = _sink(was)
    kept = [f"{name}={was[name].value or ''}" for name in ("destination", "filter") if name in was]
    return Told("worse", f"is gone: it copied {takes} to {to}", before=json.dumps(kept))


def _sink(fields: Fields) -> tuple[str, str]:
    to, takes = (fields[name].value if name in fields else None for name in ("destination", "filter"))
    return to or "a place that is not known", takes or "everything"


def sink_destination(was: str, has: str) -> Told:
    """Tell of where a sink delivers."""
    return Told(
        "worse", f"{has} instead of {was}; {NOT_DECIDED} what places keep is not compared", word="changed"
    )


def ancestors(was: str, has: str) -> Told | None:
    """Tell of what is above a project, whose policies act on it."""
    old, new = json.loads(was), json.loads(has)
    come, gone = only(new, old), only(old, new)
    if not come:
        return Told(says=f"{some(gone)} is no longer above it") if gone else None
    return Told(
        "worse",
        f"{some(come)} is above it now, which {NOT_DECIDED} what policies there let through was not compared",
        word="changed",
    )


def user_map(was: str, has: str) -> Told | None:
    """Tell of the accounts that users of a cluster run as."""
    old, new = json.loads(was), json.loads(has)
    come = [f"{user} now runs as {new[user]}" for user in sorted(new) if old.get(user) != new[user]]
    gone = [f"{user} no longer runs as {old[user]}" for user in sorted(old) if user not in new]
    return weighed(come, gone) if come or gone else None
