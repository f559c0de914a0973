"""People, automations and their groups, from two CSV files that the directory's owner exports.

Makes no API call. A line that cannot be understood is named as `file:line` in a gap and left out;
the other lines are kept. `Settings` says what the columns mean.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.model import Gap, Row, Seen
from auditor.sources.ask import safe_text

if TYPE_CHECKING:
    from auditor.sources.ask import Ask

TABLES = ("directory_user", "directory_membership")
AFTER: tuple[str, ...] = ()
ACTIONS: tuple[str, ...] = ()

USER_COLUMNS = ("id", "email", "status", "disabled_at", "subject", "owner")
STATUSES = frozenset({"active", "disabled", "suspended"})
NAMED_LINES = 20
"""Bad lines named one by one in each table; the rest are counted in one more gap."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the directory's export is. Both files are UTF-8, with or without a byte order mark.

    A date without a time means 00:00 UTC of that day; a time without an offset is UTC.
    """

    users: str = ""
    """Path of `users.csv`: `id,email,status,disabled_at,subject,owner`, in any order. `status` is
    active, disabled or suspended; `owner` is the e-mail of the person behind an automation."""
    memberships: str = ""
    """Path of `memberships.csv`: `user,group,from,until`. `user` is an id or an e-mail of
    `users.csv`; the last two columns may be missing or empty."""


def configured(settings: Settings) -> bool:
    """Tell whether this directory is there at all."""
    return bool(settings.users or settings.memberships)


def collect(ask: Ask) -> Iterator[Row | Seen | Gap]:
    """Read both files; no API calls. Yields users first, since memberships name them."""
    settings: Settings = ask.settings
    users = _Users()
    yield from _read(settings.users, "directory_user", USER_COLUMNS, users.take, "id")
    yield from users.rows()
    memberships = _Memberships(users)
    columns = ("user", "group")
    yield from _read(settings.memberships, "directory_membership", columns, memberships.take, "user", "group")
    yield from memberships.rows()


class _Fault(Exception):  # noqa: N818
    """One line's mistake, and the resource it is about (`*`: it may be about anybody)."""

    def __init__(self, why: str, resource: str = "*") -> None:
        super().__init__(why)
        self.why = why
        self.resource = resource


_Line = dict[str, str]


class _Users:
    """The users of one file by id, with what two lines disagree about taken out."""

    def __init__(self) -> None:
        self.by_id: dict[str, dict[str, Any]] = {}
        self.by_email: dict[str, set[str]] = {}

    def take(self, line: _Line) -> list[_Fault]:
        user, faults = _user(line)
        key = user["id"]
        known = self.by_id.get(key)
        if known is not None:
            faults.append(_Fault(f"user {key!r} is listed before", key))
            for name in user.keys() | known.keys():
                if known.get(name) != user.get(name):
                    known[name] = None  # two lines disagree, so it is not known
            return faults
        self.by_id[key] = user
        if email := user.get("email"):
            owners = self.by_email.setdefault(email, set())
            owners.add(key)
            if len(owners) > 1:
                faults.append(_Fault(f"e-mail {email!r} belongs to another id too", key))
        return faults

    def rows(self) -> Iterator[Row]:
        for key in sorted(self.by_id):
            yield Row("directory_user", self.by_id[key])

    def named(self, user: str) -> str:
        """Return the id of a user given by id or e-mail; raises _Fault when it is not one user."""
        if user in self.by_id:
            return user
        ids = self.by_email.get(user.lower(), set())
        if len(ids) == 1:
            return next(iter(ids))
        if not ids:
            raise _Fault(f"user {user!r} is not in the users file", user)
        raise _Fault(f"e-mail {user!r} belongs to {len(ids)} users", user)


def _user(line: _Line) -> tuple[dict[str, Any], list[_Fault]]:
    key = line["id"]
    if not key:
        raise _Fault("the id is empty")
    user: dict[str, Any] = {"id": key, "directory": "csv"}
    faults = []
    if "email" in line:
        user["email"] = line["email"].lower()
    for name in ("subject", "owner"):
        if name in line:
            user[name] = line[name].lower() if name == "owner" else line[name]
    if "status" in line:
        status = line["status"].lower()
        user["status"] = status if status in STATUSES else None
        if status not in STATUSES:
            known = ", ".join(sorted(STATUSES))
            faults.append(_Fault(f"status {line['status']!r} of {key!r} is none of {known}", key))
    try:
        user["disabled_at"] = _time(line.get("disabled_at", ""))
    except ValueError:
        faults.append(_Fault(f"disabled_at of {key!r} is no date: {line['disabled_at']!r}", key))
        user["status"] = None  # whether access had ended at any time cannot be told
    return user, faults


class _Memberships:
    """The memberships of one file."""

    def __init__(self, users: _Users) -> None:
        self._users = users
        self._rows: dict[tuple[str, str, str], dict[str, Any]] = {}

    def take(self, line: _Line) -> list[_Fault]:
        given, group = line["user"], line["group"]
        if not given or not group:
            raise _Fault(f"the {'group' if given else 'user'} is empty", given or "*")
        user = self._users.named(given)
        values: dict[str, Any] = {"user_id": user, "group_name": group}
        for name, column in (("from", "from_at"), ("until", "until_at")):
            try:
                values[column] = _time(line.get(name, ""))
            except ValueError:
                raise _Fault(f"{name} of {given!r} is no date: {line[name]!r}", user) from None
        if values["from_at"] and values["until_at"] and values["until_at"] < values["from_at"]:
            raise _Fault(f"{given!r} leaves {group!r} before joining it", user)
        key = (user, group, values["from_at"].isoformat() if values["from_at"] else "")
        if key in self._rows:
            if self._rows[key] == values:
                return []
            raise _Fault(f"{given!r} is in {group!r} twice from the same time on", user)
        self._rows[key] = values
        return []

    def rows(self) -> Iterator[Row]:
        for key in sorted(self._rows):
            yield Row("directory_membership", self._rows[key])


def _time(text: str) -> datetime | None:
    """Return an ISO 8601 time in UTC, None for an empty text; raises ValueError."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(text) from error


@dataclass(slots=True)
class _Faults:
    """The gaps of one file: the first bad lines by name, the rest as a number."""

    table: str
    file: str
    gaps: list[Gap] = field(default_factory=list)
    uncounted: int = 0
    whole: bool = False
    """A fault may hide anybody: the table was not read to its end."""

    def add(self, line: int, fault: _Fault) -> None:
        if len(self.gaps) >= NAMED_LINES:
            self.uncounted += 1
            self.whole = True
            return
        self.whole = self.whole or fault.resource == "*"
        detail = safe_text(f"{self.file}:{line}: {fault.why}")
        self.gaps.append(_gap(self.table, "malformed", detail, resource=safe_text(fault.resource)))

    def all(self) -> Iterator[Gap]:
        yield from self.gaps
        if self.uncounted:
            why = f"{self.file}: {self.uncounted} more lines cannot be read"
            yield _gap(self.table, "malformed", why)


def _gap(table: str, reason: str, detail: str, *, resource: str = "*") -> Gap:
    return Gap(table, "*", resource=resource, reason=reason, detail=detail)


def _read(
    path: str,
    table: str,
    columns: Sequence[str],
    take: Callable[[_Line], list[_Fault]],
    *needed: str,
) -> Iterator[Seen | Gap]:
    """Hand each line of one file to `take`; without the `needed` columns no line can be read."""
    if not path:
        option = "users" if table == "directory_user" else "memberships"
        yield _gap(table, "not_configured", f"set `{option}` in [sources.directory]")
        return
    file = Path(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        reason = "denied" if isinstance(error, PermissionError) else "failed"
        yield _gap(table, reason, f"{path}: {error.strerror}")
        return
    text, clean = _decoded(content)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    faults = _Faults(table, file.name)
    count = 0
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        missing = [name for name in columns if name not in header]
        if not header:
            yield _gap(table, "suspect", f"{file.name} is empty: not even a header line")
            return
        if missing:
            faults.add(1, _Fault(f"no column {', '.join(missing)} in the header line"))
        if len(set(header)) != len(header):
            faults.add(1, _Fault("a column is named twice in the header line"))
        elif not set(needed) - set(header):
            count = _lines(reader, header, clean, take, faults)
    except csv.Error as error:
        faults.add(reader.line_num, _Fault(f"{error}; the lines from here on were not read"))
    yield from faults.all()
    if not count and not faults.whole:
        yield _gap(table, "suspect", f"{file.name} has a header line and nothing else")
    elif not faults.whole:
        yield Seen(table, "*")


def _lines(
    reader: Any,
    header: list[str],
    clean: bool,
    take: Callable[[_Line], list[_Fault]],
    faults: _Faults,
) -> int:
    """Take every line under the header; returns how many there were. Raises csv.Error."""
    count, start = 0, reader.line_num + 1
    for cells in reader:
        line, start = start, reader.line_num + 1
        if not cells:
            continue
        count += 1
        try:
            if not clean:
                "".join(cells).encode()  # refuses the surrogates that stand for foreign bytes
            if len(cells) != len(header):
                faults.add(line, _Fault(f"{len(cells)} cells under {len(header)} columns"))
                continue
            for fault in take(dict(zip(header, map(str.strip, cells), strict=True))):
                faults.add(line, fault)
        except _Fault as fault:
            faults.add(line, fault)
        except UnicodeEncodeError:
            faults.add(line, _Fault("not UTF-8"))
    return count


def _decoded(content: bytes) -> tuple[str, bool]:
    """Return the text, and whether every byte of it is UTF-8; what is not becomes surrogates."""
    try:
        return content.decode("utf-8-sig"), True
    except UnicodeDecodeError:
        return content.decode("utf-8-sig", "surrogateescape"), False
