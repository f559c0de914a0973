"""The directories as the trigger link asks them: whose principal is this, and in which groups were they when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Protocol

from auditor.correlate import Tables
from auditor.correlate.duties import directory_of, of_pool, shared_groups, workforce
from auditor.correlate.sight import Sight
from auditor.correlate.zoning import Row, parsed

READS = (
    "directory_user",
    "directory_membership",
    "history_membership",
    "gcp_audit_entry",
    "config_automation",
    "config_workforce_pool",
)
"""Tables that a directory is made of, beside those that name the creators of jobs."""


class Known(Protocol):
    """What the directories must know of the scan: `Evidence`, or as much of it."""

    @property
    def tables(self) -> Tables: ...
    @property
    def now(self) -> datetime: ...
    @property
    def previous_at(self) -> datetime | None: ...
    @property
    def grace(self) -> timedelta: ...
    @property
    def sight(self) -> Sight: ...


class Directory:
    """People, automations and memberships, indexed once: of 200,000 users those whom something names."""

    def __init__(self, evidence: Known, names: Iterable[str]) -> None:
        """Index whom some names and the automations name."""
        self._evidence = evidence
        named = {plain(name).lower() for name in set(names)} | set(_automations(evidence.tables))
        self._names: dict[str, dict[str, Row]] = defaultdict(dict)
        self._subjects: dict[str, dict[str, Row]] = defaultdict(dict)
        self._pools = {row["pool"]: row for row in evidence.tables["config_workforce_pool"]}
        keys = set()
        for row in evidence.tables["directory_user"]:
            for name in (row["id"], row["email"]):
                if name and str(name).lower() in named:
                    self._names[str(name).lower()][row["id"]] = row
                    keys |= {row["id"], row["email"]}
            if row["subject"] and str(row["subject"]).lower() in named:
                self._subjects[str(row["subject"]).lower()][row["id"]] = row
                keys |= {row["id"], row["email"]}
        self._members = _by_user(evidence.tables["directory_membership"], keys)
        self._seen = _by_user(evidence.tables["history_membership"], keys)
        self._called: dict[str, list[Row]] = {}
        self.shared = shared_groups(evidence.tables["directory_membership"])
        """Names of groups that two directories have."""

    def undeclared(self, principal: str) -> str | None:
        """Return the workforce pool of a principal when no directory is declared for it: then nobody is known by it."""
        found = workforce(principal)
        return found[0] if found and found[0] not in self._pools else None

    def called(self, principal: str) -> list[Row]:
        """Return who a principal may be: more than one when the directories do not tell them apart.

        A workforce pool's subject is looked for in its own directory alone, by what the configuration says it is mapped to;
        the subject of any other pool is nobody of a directory.
        """
        if principal not in self._called:
            self._called[principal] = self._found(principal)
        return self._called[principal]

    def _found(self, principal: str) -> list[Row]:
        found = workforce(principal)
        if found:
            pool = self._pools.get(found[0])
            if pool is None:
                return []
            index = self._names if pool["subject"] == "email" else self._subjects
            users = index.get(found[1].lower(), {}).values()
            return sorted(of_pool(users, pool, found[1]), key=lambda row: str(row["id"]))
        if "/subject/" in principal:
            return []
        name = plain(principal).lower()
        named = self._names.get(name) or self._subjects.get(name)
        return [row for _, row in sorted((named or {}).items())]

    def groups(self, person: Row, at: datetime) -> tuple[set[str], set[str]]:
        """Return the groups the person was in at the time for certain, and those where the start is not told."""
        certain: set[str] = set()
        perhaps: set[str] = set()
        for row in self._of(person, self._members):
            if row["until_at"] is not None and at > row["until_at"] + self._evidence.grace:
                continue
            if row["from_at"] is None:
                perhaps.add(row["group_name"])
            elif row["from_at"] <= at:
                certain.add(row["group_name"])
        return certain, perhaps

    def seen_groups(self, person: Row, at: datetime) -> set[str]:
        """Return the groups the person was in both in the last scan before and in the first after the time.

        A date the directory gives is never overridden by what was seen.
        """
        evidence = self._evidence
        listed_now = self._of(person, self._members)
        member = {row["group_name"] for row in listed_now if row["until_at"] is None}
        dated = {
            row["group_name"]
            for row in listed_now
            if row["from_at"] is not None or row["until_at"] is not None
        }
        found = set()
        for row in self._of(person, self._seen):
            if row["group_name"] in dated or row["from_seen_at"] > at:
                continue
            unbroken = evidence.previous_at is not None and row["until_seen_at"] >= evidence.previous_at
            goes_on = unbroken and row["group_name"] in member
            if at <= (evidence.now if goes_on else row["until_seen_at"]):
                found.add(row["group_name"])
        return found

    def turns(self, person: Row) -> Iterator[datetime]:
        """Yield every time that is compared with another to tell whether a person was active, or in which groups."""
        grace = self._evidence.grace
        for name, later in (("disabled_at", grace), ("disabled_by", grace), ("active_from", -grace)):
            if person[name] is not None:
                yield person[name] + later
        for row in self._of(person, self._members):
            if row["from_at"] is not None:
                yield row["from_at"]
            if row["until_at"] is not None:
                yield row["until_at"] + grace
        for row in self._of(person, self._seen):
            yield row["from_seen_at"]
            yield row["until_seen_at"]

    def _of(self, person: Row, rows: dict[str, list[Row]]) -> list[Row]:
        """Return a person's rows. An e-mail names them in the CSV export alone: another directory's writes its own ids."""
        names = {person["id"], person["email"]} if directory_of(person["id"]) == "csv" else {person["id"]}
        return [row for name in sorted(names - {None}) for row in rows.get(name, ())]

    def membership_gaps(self, person: Row) -> list[str]:
        """Return what hides memberships of this person; a bad line about somebody else does not."""
        names = sorted({person["id"], person["email"]} - {None})
        gaps = self._evidence.sight.gaps
        return sorted({gap for name in names for gap in gaps("directory_membership", None, resource=name)})


def registered(known: Known, principal: str) -> list[Row]:
    """Return the registrations of an automation; that of a pool's principal names the whole of it, never its subject alone."""
    names = {principal.lower()} if "/subject/" in principal else {principal.lower(), plain(principal).lower()}
    return [row for row in known.tables["config_automation"] if (row["principal"] or "").lower() in names]


def _by_user(rows: object, keys: set[str]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:  # type: ignore[attr-defined]
        if row["user_id"] in keys:
            found[row["user_id"]].append(row)
    return found


def named(tables: Tables) -> Iterator[str]:
    """Yield every name of an audit entry or of the creator of a job by which somebody may be looked for."""
    for entry in tables["gcp_audit_entry"]:
        yield from named_by(entry)
    for job in tables["dataproc_job"]:
        if job["creator"]:
            yield job["creator"]


def named_by(entry: Row) -> Iterator[str]:
    """Yield the names of an audit entry."""
    for who in (
        entry["principal_email"],
        entry["principal_subject"],
        *(parsed(entry["delegation"]) or ()),
    ):
        if who:
            yield str(who)


def _automations(tables: Tables) -> Iterator[str]:
    for automation in tables["config_automation"]:
        yield from (str(automation[name]).lower() for name in ("principal", "owner") if automation[name])


def plain(principal: str) -> str:
    """Return a principal without its kind: `user:`, `serviceAccount:`, or a pool's `.../subject/`."""
    if "/subject/" in principal:
        return principal.partition("/subject/")[2]
    for kind in ("user:", "serviceAccount:"):
        principal = principal.removeprefix(kind)
    return principal
