"""Users, groups and memberships of an Okta organisation, by its Users and Groups APIs.

Okta leaves deactivated users out of its listing unless they are asked for, so users are listed twice. A page of members says
who is in a group now, never since when: earlier scans know that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from auditor.model import Gap, Row, Seen
from auditor.sources._directory import Answer, Http, instant, named
from auditor.sources._directory_people import MEMBERSHIPS, USERS, People, told, wanted
from auditor.sources.ask import Malformed, Refused, Suspect, cut_short

if TYPE_CHECKING:
    from auditor.sources.ask import Ask

TABLES = (USERS, MEMBERSHIPS)
AFTER: tuple[str, ...] = ()
ACTIONS: tuple[str, ...] = ()

_STATUS = {
    "ACTIVE": "active",
    "RECOVERY": "active",
    "LOCKED_OUT": "active",
    "PASSWORD_EXPIRED": "active",
    "STAGED": "suspended",
    "PROVISIONED": "suspended",
    "SUSPENDED": "suspended",
    "DEPROVISIONED": "disabled",
}
"""A locked or expired password ends no entitlement; a user who is not activated yet, or again, has none."""
_ENDS = {"SUSPENDED", "DEPROVISIONED"}
"""States whose `statusChanged` is the end of access."""


@dataclass(frozen=True, slots=True)
class Settings:
    """An Okta organisation as directory. Its token needs okta.users.read and okta.groups.read, nothing else."""

    url: str = ""
    """Base URL, such as https://acme.okta.com; empty: there is no such directory."""
    token: str = ""
    """Token, as env:NAME or file:PATH."""
    scheme: Literal["SSWS", "Bearer"] = "SSWS"
    """SSWS for an API token, Bearer for an access token of OAuth 2.0."""
    groups: tuple[str, ...] = ("*",)
    """Globs of the groups whose members are read: a call for each of them."""


def configured(settings: Settings) -> bool:
    """Tell whether this directory is there at all."""
    return bool(settings.url)


def collect(ask: Ask) -> Iterator[Row | Seen | Gap]:
    """Read users, then groups, then the members of each wanted group."""
    settings: Settings = ask.settings
    if not configured(settings):
        return
    people = People("okta")

    def connect() -> Http:
        from auditor.config import secret

        headers = {"Authorization": f"{settings.scheme} {secret(settings.token)}"}
        return Http(ask, settings.url, service="okta", headers=headers)

    def users(http: Http) -> None:
        for params in ({"limit": 200}, {"limit": 200, "filter": 'status eq "DEPROVISIONED"'}):
            for user in _listed(http, "api/v1/users", params, "ListUsers"):
                _user(people, user)

    def memberships(http: Http) -> None:
        for group in _listed(http, "api/v1/groups", {"limit": 200}, "ListGroups"):
            _group(people, http, group, settings)

    yield from told(people, connect, users, memberships)


def _listed(http: Http, path: str, params: Mapping[str, Any], operation: str) -> Iterator[dict[str, Any]]:
    """Yield every item of a listing that is paged by `Link: <...>; rel="next"`."""
    url: str | None = path
    asked: Mapping[str, Any] | None = params
    read = 0
    seen: set[str] = set()
    while url:
        try:
            answer = http.get(url, asked, operation=operation)
        except Refused as error:
            if cut := cut_short(read, error):
                raise cut from error
            raise
        items = answer.json()
        if not isinstance(items, list):
            raise Suspect(f"okta:{operation} answers no list")
        http.record(operation, {**params, "path": path}, answer, len(items))
        read += 1
        for item in items:
            if not isinstance(item, dict):
                raise Malformed(f"okta:{operation} lists what is no object")
            yield item
        if len(items) >= params["limit"] and not answer.headers.get("Link"):
            # Okta links every page of a listing to itself at least: without that nobody can tell whether more follow.
            raise Suspect(f"okta:{operation} answers a full page without a Link header; a proxy may drop it")
        url, asked = _next(answer), None
        if url in seen:
            raise Suspect(f"okta:{operation} sends us in a circle")
        seen.add(url or "")


_LINK = re.compile(r"<([^<>]*)>((?:\s*;[^,<>]*)*)")


def _next(answer: Answer) -> str | None:
    """Return the URL of the next page; None on the last."""
    for url, attributes in _LINK.findall(answer.headers.get("Link", "") or ""):
        if re.search(r';\s*rel="?next"?\s*(?:;|\Z)', attributes):
            return str(url)
    return None


def _user(people: People, user: Mapping[str, Any]) -> None:
    key, profile = named(user.get("id")), user.get("profile")
    if not key or not isinstance(profile, dict):
        people.fault(
            "directory_user", f"a user has no {'profile' if key else 'id'}", people.id_of(key) if key else "*"
        )
        return
    said = named(user.get("status"))
    status, ended, since = _STATUS.get(said), None, None
    if status is None:
        people.fault("directory_user", f"status {said!r} of {key} is unknown", people.id_of(key))
    try:
        changed = instant(user.get("statusChanged"))
        ended = changed if said in _ENDS else None
        since = instant(user.get("activated")) or instant(user.get("created"))
    except Malformed as error:
        people.fault("directory_user", f"user {key}: {error}", people.id_of(key))
        status = None  # whether access had ended at any time cannot be told
    # The login is what the organisation signs in with; the e-mail may be anything the person typed.
    login = named(profile.get("login"))
    email = login if "@" in login else named(profile.get("email"))
    if not email:
        people.fault("directory_user", f"user {key} has neither login nor e-mail", people.id_of(key))
    people.user(key, email=email, status=status, disabled_at=ended, active_from=since, subject=key)


def _group(people: People, http: Http, group: Mapping[str, Any], settings: Settings) -> None:
    key, profile = named(group.get("id")), group.get("profile")
    name = named(profile.get("name")) if isinstance(profile, dict) else ""
    if not key:
        people.fault("directory_membership", "a group has no id")
        return
    if name and not wanted(name, settings.groups):
        return
    people.group(key, name)
    for member in _listed(http, f"api/v1/groups/{_segment(key)}/users", {"limit": 200}, "ListGroupUsers"):
        user = named(member.get("id"))
        if user in people:
            people.member(key, user)
        elif user:
            # Added between the two listings, or of a kind that the listing of users leaves out.
            people.fault(
                "directory_membership", f"member {user} of {name} is no listed user", people.id_of(user)
            )
        else:
            people.fault("directory_membership", f"a member of {name} has no id")


def _segment(key: str) -> str:
    from urllib.parse import quote

    return quote(key, safe="")
