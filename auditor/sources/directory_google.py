"""Users, groups and members of a Google Workspace account, by the Directory API of its Admin SDK.

Suspended users carry no time of suspension, so since when they are suspended is not known; deleted ones are listed for 20 days
with the time of deletion. Groups may hold groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from auditor.model import Gap, Row, Seen
from auditor.sources._directory import Answer, Http, instant, named
from auditor.sources._directory_people import MEMBERSHIPS, USERS, People, told, wanted
from auditor.sources.ask import Malformed, Refused, Suspect, cut_short

if TYPE_CHECKING:
    from auditor.sources.ask import Ask

TABLES = (USERS, MEMBERSHIPS)
AFTER: tuple[str, ...] = ()
SCOPES = (
    "https://www.googleapis.com/auth/admin.directory.user.readonly",
    "https://www.googleapis.com/auth/admin.directory.group.readonly",
    "https://www.googleapis.com/auth/admin.directory.group.member.readonly",
)
ACTIONS: tuple[str, ...] = ()

_BASE = "https://admin.googleapis.com/"
_BUSY = {"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded"}
"""Reasons of a 403 that mean too many calls (Directory API, "Limits and quotas")."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A Google Workspace account as directory. Its token needs to read admin.directory.user, .group and .group.member."""

    customer: str = ""
    """Customer id, or my_customer; empty: there is no such directory."""
    token: str = ""
    """Access token, as env:NAME or file:PATH; empty: Application Default Credentials with an administrator's reading role."""
    url: str = _BASE
    """Base URL of the API."""
    groups: tuple[str, ...] = ("*",)
    """Globs of the e-mails of groups whose members are read: a call for each, and for each group within it."""


def configured(settings: Settings) -> bool:
    """Tell whether this directory is there at all."""
    return bool(settings.customer)


def collect(ask: Ask) -> Iterator[Row | Seen | Gap]:
    """Read users, deleted users, groups, then the members of each wanted group and of those within it."""
    settings: Settings = ask.settings
    if not configured(settings):
        return
    people = People("google")

    def connect() -> Http:
        headers = {"Authorization": f"Bearer {_token(settings)}"}
        return Http(ask, settings.url, service="google-admin", headers=headers, throttled=_busy)

    def users(http: Http) -> None:
        everyone = {"customer": settings.customer, "maxResults": 500, "projection": "basic"}
        for params in (everyone, {**everyone, "showDeleted": "true"}):
            for user in _listed(http, "users", params, "users.list", "users"):
                _user(people, user)

    yield from told(people, connect, users, lambda http: _memberships(people, http, settings))


def _token(settings: Settings) -> str:
    from auditor.config import secret

    if settings.token:
        return secret(settings.token)
    import google.auth
    from google.auth.transport.requests import Request

    credentials, _ = google.auth.default(scopes=list(SCOPES))
    credentials.refresh(Request())  # type: ignore[no-untyped-call]
    return str(credentials.token)


def _busy(answer: Answer) -> bool:
    if answer.status != 403:
        return False
    try:
        errors = answer.json()["error"].get("errors", ())
        return any(each.get("reason") in _BUSY for each in errors)
    except (Malformed, KeyError, TypeError, AttributeError):
        return False


def _listed(
    http: Http, path: str, params: Mapping[str, Any], operation: str, key: str
) -> Iterator[dict[str, Any]]:
    """Yield every item of a listing that is paged by `nextPageToken`."""
    token, read = "", 0
    seen: set[str] = set()
    while True:
        asked = {**params, "pageToken": token} if token else params
        try:
            answer = http.get(f"admin/directory/v1/{path}", asked, operation=operation)
        except Refused as error:
            if cut := cut_short(read, error):
                raise cut from error
            raise
        page = answer.json()
        # An empty page has its kind and no list; `{}` has neither.
        if not isinstance(page, dict) or page.get("kind") != f"admin#directory#{key}":
            raise Suspect(f"google-admin:{operation} answers no page of {key}")
        items = page.get(key, [])
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise Malformed(f"google-admin:{operation} lists what is no object")
        http.record(operation, {**params, "path": path}, answer, len(items))
        read += 1
        yield from items
        token = named(page.get("nextPageToken"))
        if not token:
            return
        if token in seen:
            raise Suspect(f"google-admin:{operation} sends us in a circle")
        seen.add(token)


def _user(people: People, user: Mapping[str, Any]) -> None:
    key = named(user.get("id"))
    if not key:
        people.fault("directory_user", "a user has no id")
        return
    status: str | None = "active"
    ended, since = None, None
    try:
        ended, since = instant(user.get("deletionTime")), instant(user.get("creationTime"))
    except Malformed as error:
        people.fault("directory_user", f"user {key}: {error}", people.id_of(key))
        status = None
    # Accounts without archived users may lack that flag; one that lacks the other has not said that access goes on.
    flags = [user.get("suspended", False if ended else None), user.get("archived", False)]
    if not all(isinstance(flag, bool) for flag in flags):
        people.fault(
            "directory_user",
            f"user {key}: suspended or archived is neither true nor false",
            people.id_of(key),
        )
        status = None
    elif ended is not None:
        status = "disabled"
    elif any(flags) and status:
        status = "suspended"  # since when, the API does not say: suspensionReason has no time
    email = named(user.get("primaryEmail"))
    if not email:
        people.fault("directory_user", f"user {key} has no primary e-mail", people.id_of(key))
    people.user(key, email=email, status=status, disabled_at=ended, active_from=since, subject=key)


def _memberships(people: People, http: Http, settings: Settings) -> None:
    params = {"customer": settings.customer, "maxResults": 200}
    names: dict[str, str] = {}
    for each in _listed(http, "groups", params, "groups.list", "groups"):
        key, email = named(each.get("id")), named(each.get("email")).lower()
        if key and email:
            names[key] = email
        else:
            people.fault(
                "directory_membership", f"group {key or email or 'without a name'} has no id or no e-mail"
            )
    left = sorted(key for key, email in names.items() if wanted(email, settings.groups))
    for key in left:
        people.group(key, names[key])
    known = set(left)
    while left:
        group = left.pop()
        for inner in _members(people, http, group, names.get(group, group)):
            if inner not in known:
                known.add(inner)
                left.append(inner)


def _members(people: People, http: Http, group: str, name: str) -> Iterator[str]:
    """Take the members of one group; yields the groups within it."""
    path = f"groups/{quote(group, safe='')}/members"
    for member in _listed(http, path, {"maxResults": 200}, "members.list", "members"):
        kind, key = named(member.get("type")), named(member.get("id"))
        match kind:
            case "USER" | "EXTERNAL" if key in people:
                people.member(group, key)
            case "USER":
                people.fault(
                    "directory_membership", f"member {key} of {name} is no listed user", people.id_of(key)
                )
            case "EXTERNAL":
                pass  # nobody of this directory, and so nobody whom a duty could mean
            case "GROUP" if key:
                people.nested(group, key)
                yield key
            case "CUSTOMER":
                people.everybody(group)
            case _:
                people.fault(
                    "directory_membership", f"a member of {name} is of the kind {kind or 'not told'}"
                )
