"""Users and groups of any directory that speaks SCIM 2.0 (RFC 7643, RFC 7644), by `scim2-client`.

SCIM knows `active` and when a user was last modified, and not when access ended: an inactive user was disabled at that time or
before. It dates no membership. The library makes the requests and checks status and content type; what a page holds is read one
user at a time, so that one bad user does not hide the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from auditor.model import Gap, Row, Seen
from auditor.sources._directory import Http, instant, named
from auditor.sources._directory_people import MEMBERSHIPS, USERS, People, told, wanted
from auditor.sources.ask import Malformed, Refused, Suspect, Truncated, cut_short

if TYPE_CHECKING:
    from auditor.sources.ask import Ask

TABLES = (USERS, MEMBERSHIPS)
AFTER: tuple[str, ...] = ()
ACTIONS: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """A SCIM 2.0 service as directory."""

    url: str = ""
    """Base URL, the one that /Users stands under; empty: there is no such directory."""
    token: str = ""
    """Bearer token, as env:NAME or file:PATH; empty: none is sent."""
    page: int = 200
    """Users asked for in a page; the service may send fewer."""
    subject: Literal["externalId", "userName", "id"] = "externalId"
    """The attribute that holds the identity provider's subject."""
    groups: tuple[str, ...] = ("*",)
    """Globs of the groups whose members count."""


def configured(settings: Settings) -> bool:
    """Tell whether this directory is there at all."""
    return bool(settings.url)


def collect(ask: Ask) -> Iterator[Row | Seen | Gap]:
    """Read users, then groups with their members."""
    settings: Settings = ask.settings
    if not configured(settings):
        return
    people = People("scim")

    def connect() -> Http:
        from auditor.config import secret

        headers = {"Authorization": f"Bearer {secret(settings.token)}"} if settings.token else {}
        return Http(ask, settings.url, service="scim", headers={**headers, "Accept": "application/scim+json"})

    def users(http: Http) -> None:
        for user in _listed(http, "User", "ListUsers", settings.page):
            _user(people, user, settings)

    yield from told(people, connect, users, lambda http: _groups(people, http, settings))


def _listed(http: Http, kind: str, operation: str, count: int) -> Iterator[Mapping[str, Any]]:
    """Yield every resource of a kind; Truncated when fewer come than the service counts."""
    try:
        from auditor.sources._scim_client import page
    except ModuleNotFoundError as error:
        raise Refused("failed", f"{error}: install auditor[scim]") from None

    first, read, ids = 1, 0, set[str]()
    while True:
        try:
            answer, found = page(http, kind, first, count, operation)
        except Refused as error:
            if cut := cut_short(read, error):
                raise cut from error
            raise
        total, items = found.get("totalResults"), found.get("Resources", [])
        if not isinstance(total, int) or isinstance(total, bool) or not isinstance(items, list):
            raise Suspect(f"scim:{operation} answers no list of a counted total")
        http.record(operation, {"count": count}, answer, len(items))
        read += 1
        for item in items:
            if not isinstance(item, dict):
                raise Malformed(f"scim:{operation} lists what is no object")
            ids.add(named(item.get("id")))
            yield item
        first += len(items)
        if first > total:
            break
        if not items:
            raise Truncated(f"scim:{operation} counts {total} and lists {first - 1}")
    if len(ids) < total:
        # Somebody left or joined between two pages, and the pages moved: some were listed twice, others not at all.
        raise Truncated(f"scim:{operation} counts {total} and lists {len(ids)} different ones")


def _user(people: People, user: Mapping[str, Any], settings: Settings) -> None:
    key = named(user.get("id"))
    if not key:
        people.fault("directory_user", "a user has no id")
        return
    active, meta = user.get("active"), user.get("meta")
    status: str | None = None
    if isinstance(active, bool):
        status = "active" if active else "disabled"
    else:
        people.fault("directory_user", f"whether user {key} is active is not told", people.id_of(key))
    changed, since = None, None
    if isinstance(meta, dict):
        try:
            changed, since = instant(meta.get("lastModified")), instant(meta.get("created"))
        except Malformed as error:
            people.fault("directory_user", f"user {key}: {error}", people.id_of(key))
    email = _email(user)
    if not email:
        people.fault(
            "directory_user", f"user {key} has neither a user name with @ nor one e-mail", people.id_of(key)
        )
    people.user(
        key,
        email=email,
        status=status,
        disabled_by=changed if status == "disabled" else None,
        active_from=since,
        subject=named(user.get(settings.subject)),
    )


def _email(user: Mapping[str, Any]) -> str:
    """Return the user name where it is an e-mail, else the primary or the only e-mail."""
    name = named(user.get("userName"))
    if "@" in name:
        return name
    emails = [each for each in user.get("emails") or () if isinstance(each, dict)]
    primary = [each for each in emails if each.get("primary") is True]
    chosen = primary or emails
    return named(chosen[0].get("value")) if len(chosen) == 1 else ""


def _groups(people: People, http: Http, settings: Settings) -> None:
    """Take every group; a service that leaves the members out of all of them has said of none that it is empty.

    RFC 7644 3.4.2.1 lets a service omit attributes of what it lists; AWS IAM Identity Center never lists members.
    """
    groups = members = 0
    for group in _listed(http, "Group", "ListGroups", settings.page):
        groups += 1
        members += group.get("members") is not None
        _group(people, group, settings)
    if groups and not members:
        people.fault("directory_membership", f"none of {groups} groups was listed with its members")


def _group(people: People, group: Mapping[str, Any], settings: Settings) -> None:
    key, name = named(group.get("id")), named(group.get("displayName"))
    if not key:
        people.fault("directory_membership", "a group has no id")
        return
    if not name or wanted(name, settings.groups):
        people.group(key, name)
    members = group.get("members") or []
    if not isinstance(members, list):
        people.fault("directory_membership", f"the members of {name} are no list")
        return
    for member in members:
        value = named(member.get("value")) if isinstance(member, dict) else ""
        kind = _kind(member) if value else ""
        if kind == "Group":
            people.nested(key, value)
        elif value in people:
            people.member(key, value)
        elif value:
            people.fault(
                "directory_membership", f"member {value} of {name} is no listed user", people.id_of(value)
            )
        else:
            people.fault("directory_membership", f"a member of {name} has no value")


def _kind(member: Mapping[str, Any]) -> str:
    """Return User or Group: its type, else what its reference says; empty when neither tells."""
    said = named(member.get("type"))
    if said in {"User", "Group"}:
        return said
    reference = named(member.get("$ref")).rstrip("/").split("/")
    where = reference[-2] if len(reference) > 1 else ""
    return {"Users": "User", "Groups": "Group"}.get(where, "")
