"""The users and memberships of a directory behind an API: what is wrong with them is named, and nothing is guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from auditor.model import Gap, Row, Seen
from auditor.sources.ask import guard, safe_text

if TYPE_CHECKING:
    from auditor.sources._directory import Http

USERS, MEMBERSHIPS = "directory_user", "directory_membership"
NAMED = 20
"""Mistakes that are named one by one in each table; the rest are counted in one more gap."""

_User = tuple[str, str | None, datetime | None, datetime | None, datetime | None, str | None]
"""email, status, disabled_at, disabled_by, active_from, subject."""


@dataclass(slots=True)
class People:
    """The users and memberships of one directory; what is wrong with them is named and nothing is guessed.

    Users are kept as tuples: 200,000 of them take some 100 MB.
    """

    directory: str
    """The word for this directory, which stands before its ids: two directories may use the same."""
    gaps: list[Gap] = field(default_factory=list)
    _users: dict[str, _User] = field(default_factory=dict)
    _emails: dict[str, str] = field(default_factory=dict)
    _groups: dict[str, str] = field(default_factory=dict)
    """Name by the directory's id of the group."""
    _members: dict[str, set[str]] = field(default_factory=dict)
    """Ids of users by group id."""
    _nested: dict[str, set[str]] = field(default_factory=dict)
    """Ids of groups by the id of the group they are members of."""
    _counted: dict[str, int] = field(default_factory=dict)

    def user(
        self,
        key: str,
        *,
        email: str,
        status: str | None,
        disabled_at: datetime | None = None,
        disabled_by: datetime | None = None,
        active_from: datetime | None = None,
        subject: str | None = None,
    ) -> None:
        """Take a user; one that is listed twice and differs is not known in what differs."""
        values: _User = (email.lower(), status, disabled_at, disabled_by, active_from, subject or None)
        known = self._users.get(key)
        if known is not None:
            if known != values:
                both = zip(known, values, strict=True)
                self._users[key] = tuple(a if a == b else None for a, b in both)  # type: ignore[assignment]
                self.fault(USERS, f"user {key} is listed twice and differs", self.id_of(key))
            return
        self._users[key] = values
        if email:
            other = self._emails.setdefault(email.lower(), key)
            if other != key:
                self.fault(USERS, f"e-mail {email.lower()} belongs to {other} and to {key}", self.id_of(key))

    def __len__(self) -> int:
        return len(self._users)

    def __contains__(self, key: str) -> bool:
        return key in self._users

    def id_of(self, key: str) -> str:
        """Return the id of a user as our tables write it."""
        return f"{self.directory}:{key}"

    def group(self, key: str, name: str) -> None:
        """Take a group; a name that two groups share would let one stand for the other."""
        if not name:
            self.fault(MEMBERSHIPS, f"group {key} has no name")
            return
        if self._groups.setdefault(key, name) != name:
            self.fault(MEMBERSHIPS, f"group {key} is listed with two names")

    def member(self, group: str, key: str) -> None:
        """Take a member of a group that is a user."""
        self._members.setdefault(group, set()).add(key)

    def nested(self, group: str, key: str) -> None:
        """Take a member of a group that is a group itself."""
        self._nested.setdefault(group, set()).add(key)

    def everybody(self, group: str) -> None:
        """Take all users as members of a group."""
        self._members.setdefault(group, set()).update(self._users)

    def fault(self, table: str, detail: str, resource: str = "*") -> None:
        """Name what is wrong; after the first, only count."""
        self._counted[table] = count = self._counted.get(table, 0) + 1
        if count <= NAMED:
            words = safe_text(f"{self.directory}: {detail}")
            self.gaps.append(Gap(table, "*", resource=safe_text(resource), reason="malformed", detail=words))

    def hides(self, table: str) -> bool:
        """Tell whether something that is wrong may be about anybody."""
        return self._counted.get(table, 0) > NAMED or any(
            gap.table == table and gap.resource == "*" for gap in self.gaps
        )

    def users(self) -> Iterator[Row | Seen | Gap]:
        """Yield every user, then what is wrong with the listing or that it is whole."""
        for key in sorted(self._users):
            email, status, disabled_at, disabled_by, active_from, subject = self._users[key]
            yield Row(
                USERS,
                {
                    "id": self.id_of(key),
                    "email": email or None,
                    "status": status,
                    "disabled_at": disabled_at,
                    "disabled_by": disabled_by,
                    "active_from": active_from,
                    "subject": subject,
                    "directory": self.directory,
                },
            )
        yield from self._end(USERS)

    def memberships(self) -> Iterator[Row | Seen | Gap]:
        """Yield who is in which group, through nested groups too; a cycle of groups is named and walked once."""
        self._name_cycles()
        shared = _shared(self._groups)
        for group in sorted(self._groups, key=lambda key: (self._groups[key], key)):
            name = self._groups[group]
            if name in shared:
                continue  # its members are not told apart from another group's
            for key in sorted(self._all(group)):
                if key in self._users:
                    yield Row(MEMBERSHIPS, {"user_id": self.id_of(key), "group_name": name})
        for name, keys in sorted(shared.items()):
            self.fault(MEMBERSHIPS, f"{len(keys)} groups are named {name}: {', '.join(keys)}")
        yield from self._end(MEMBERSHIPS)

    def _end(self, table: str) -> Iterator[Seen | Gap]:
        yield from (gap for gap in self.gaps if gap.table == table)
        more = self._counted.get(table, 0) - NAMED
        if more > 0:
            yield Gap(table, "*", reason="malformed", detail=f"{self.directory}: {more} more mistakes")
        if table == USERS and not self._users and not self.hides(table):
            yield Gap(table, "*", reason="suspect", detail=f"{self.directory} lists no user at all")
        elif not self.hides(table):
            yield Seen(table, "*")

    def _all(self, group: str) -> set[str]:
        """Return the users in a group and in the groups within it."""
        found: set[str] = set()
        known, left = {group}, [group]
        while left:
            each = left.pop()
            found |= self._members.get(each, set())
            inner = self._nested.get(each, set()) - known
            known |= inner
            left += inner
        return found

    def _name_cycles(self) -> None:
        """Name groups that contain themselves: their members are known all the same."""
        for group in sorted(self._nested):
            known, left = set[str](), list(self._nested[group])
            while left:
                each = left.pop()
                if each not in known:
                    known.add(each)
                    left += self._nested.get(each, ())
            if group in known:
                name = self._groups.get(group, group)
                self.fault(MEMBERSHIPS, f"group {name} contains itself", f"{self.directory}:group:{group}")


def _shared(groups: Mapping[str, str]) -> dict[str, list[str]]:
    by_name: dict[str, list[str]] = {}
    for key, name in sorted(groups.items()):
        by_name.setdefault(name, []).append(key)
    return {name: keys for name, keys in by_name.items() if len(keys) > 1}


def told(
    people: People,
    connect: Callable[[], Http],
    users: Callable[[Http], None],
    memberships: Callable[[Http], None],
) -> Iterator[Row | Seen | Gap]:
    """Read users, then memberships, into `people`, and yield what came of it; the connection is closed in any case.

    Without every user no membership is told: a member would be nobody.
    """
    with ExitStack() as opened:
        with guard(Seen(USERS, "*"), also=(Seen(MEMBERSHIPS, "*"),)) as read:
            http = connect()
            opened.callback(http.close)
            users(http)
        if not read.ok:
            yield from read
            return
        yield from people.users()
        with guard(Seen(MEMBERSHIPS, "*")) as read:
            memberships(http)
        yield from people.memberships() if read.ok else read


def wanted(name: str, globs: Iterable[str]) -> bool:
    """Tell whether the configuration asks for the members of a group."""
    return any(fnmatchcase(name, glob) for glob in globs)
