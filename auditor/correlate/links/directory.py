"""The directory as the trigger link asks it: whose principal is this, and in which groups were they when."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from auditor.correlate.links.evidence import Evidence, Row


class Directory:
    """People, automations and memberships, indexed once."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._names: dict[str, dict[str, Row]] = defaultdict(dict)
        self._subjects: dict[str, dict[str, Row]] = defaultdict(dict)
        for row in evidence.tables["directory_user"]:
            for name in (row["id"], row["email"]):
                if name:
                    self._names[str(name).lower()][row["id"]] = row
            if row["subject"]:
                self._subjects[str(row["subject"]).lower()][row["id"]] = row
        self._members: dict[str, list[Row]] = defaultdict(list)
        for row in evidence.tables["directory_membership"]:
            self._members[row["user_id"]].append(row)
        self._seen: dict[str, list[Row]] = defaultdict(list)
        for row in evidence.tables["history_membership"]:
            self._seen[row["user_id"]].append(row)

    def called(self, principal: str) -> list[Row]:
        """Return who a principal may be: more than one when the directory does not tell them apart.

        A pool's subject is the identity provider's word: it is compared with subjects and e-mails, never with the
        directory's own ids.
        """
        name = plain(principal).lower()
        if "/subject/" in principal:
            found = self._subjects.get(name) or (self._names.get(name) if "@" in name else None)
        else:
            found = self._names.get(name) or self._subjects.get(name)
        return [row for _, row in sorted((found or {}).items())]

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

    def _of(self, person: Row, rows: dict[str, list[Row]]) -> list[Row]:
        return [
            row for name in sorted({person["id"], person["email"]} - {None}) for row in rows.get(name, ())
        ]

    def membership_gaps(self, person: Row) -> list[str]:
        """Return what hides memberships of this person; a bad line about somebody else does not."""
        names = sorted({person["id"], person["email"]} - {None})
        gaps = self._evidence.sight.gaps
        return sorted({gap for name in names for gap in gaps("directory_membership", None, resource=name)})


def plain(principal: str) -> str:
    """Return a principal without its kind: `user:`, `serviceAccount:`, or a pool's `.../subject/`."""
    if "/subject/" in principal:
        return principal.rpartition("/subject/")[2]
    for kind in ("user:", "serviceAccount:"):
        principal = principal.removeprefix(kind)
    return principal
