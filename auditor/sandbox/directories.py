"""Okta's and Google's directories as small servers on this machine, answering in their vendors' documented JSON.

Okta: Users API and Groups API (`Link` headers, `X-Rate-Limit-*`, deactivated users only when filtered for). Google: Directory API
of the Admin SDK, users.list, groups.list and members.list (`nextPageToken`, no list on an empty page).
"""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

Reply = tuple[int, dict[str, str], Any]


class Directory(ABC):
    """One server; what it answers is its subclass's."""

    def __init__(self, token: str = "a-token") -> None:  # noqa: S107 - a sandbox's own
        self.token = token
        self.calls: Counter[str] = Counter()
        self.planned: list[Reply] = []
        """Answers that come before the true ones, the first first."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.serve(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        parts = urlsplit(request.path)
        self.calls[parts.path] += 1
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if self.planned:
            status, headers, body = self.planned.pop(0)
        elif not (request.headers.get("Authorization") or "").endswith(f" {self.token}"):
            status, headers, body = self.refused()
        else:
            status, headers, body = self.answer(parts.path, asked)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.send_response_only(status)  # the answer brings its own Date
        for name, value in {"Content-Type": "application/json", **headers}.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    @abstractmethod
    def refused(self) -> Reply:
        """Answer a wrong token."""

    @abstractmethod
    def answer(self, path: str, asked: Mapping[str, str]) -> Reply:
        """Answer a request."""


class Okta(Directory):
    """An organisation of Okta's."""

    def __init__(self, *, largest_page: int = 200) -> None:
        super().__init__()
        self.users: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.members: dict[str, list[str]] = {}
        self.largest_page = largest_page

    def user(self, key: str, login: str, status: str = "ACTIVE", **more: Any) -> None:
        """Add a user; `more` in the vendor's words: statusChanged, activated ..."""
        made = {"created": "2024-01-01T00:00:00.000Z", "activated": "2024-01-01T00:00:00.000Z"}
        self.users[key] = {
            "id": key, "status": status, **made, "statusChanged": "2024-01-01T00:00:00.000Z", "lastLogin": None,
            "lastUpdated": "2024-01-02T00:00:00.000Z", "passwordChanged": None, "type": {"id": "oty1"},
            "profile": {"login": login, "email": login, "firstName": "A", "lastName": "B", "mobilePhone": None},
            "credentials": {"provider": {"type": "OKTA", "name": "OKTA"}}, **more,
        }  # fmt: skip

    def group(self, key: str, name: str, *members: str) -> None:
        """Add a group with its members."""
        self.groups[key] = {
            "id": key, "created": "2024-01-01T00:00:00.000Z", "lastUpdated": "2024-01-01T00:00:00.000Z",
            "lastMembershipUpdated": "2024-01-01T00:00:00.000Z", "objectClass": ["okta:user_group"],
            "type": "OKTA_GROUP", "profile": {"name": name, "description": None},
        }  # fmt: skip
        self.members[key] = list(members)

    def refused(self) -> Reply:
        """Answer a wrong token as Okta does."""
        return 401, {}, {"errorCode": "E0000011", "errorSummary": "Invalid token provided", "errorCauses": []}

    def answer(self, path: str, asked: Mapping[str, str]) -> Reply:
        """Answer a listing."""
        parts = [unquote(part) for part in path.strip("/").split("/")][2:]
        match parts:
            case ["users"]:
                gone = asked.get("filter") == 'status eq "DEPROVISIONED"'
                found = [u for u in self.users.values() if (u["status"] == "DEPROVISIONED") == gone]
            case ["groups"]:
                found = list(self.groups.values())
            case ["groups", key, "users"] if key in self.members:
                found = [self.users.get(user, {"id": user}) for user in self.members[key]]
            case _:
                return 404, {}, {"errorCode": "E0000007", "errorSummary": "Not found", "errorCauses": []}
        return self._page(path, asked, found)

    def _page(self, path: str, asked: Mapping[str, str], found: list[dict[str, Any]]) -> Reply:
        first = int(asked.get("after", "0"))
        last = first + min(int(asked.get("limit", "200")), self.largest_page)
        url = self.url.rstrip("/") + path
        links = [f'<{url}?{urlencode(asked)}>; rel="self"']
        if last < len(found):
            links.append(f'<{url}?{urlencode({**asked, "after": str(last)})}>; rel="next"')
        headers = {
            "Link": ", ".join(links), "X-Rate-Limit-Limit": "600", "X-Rate-Limit-Remaining": "599",
            "X-Rate-Limit-Reset": "0",
        }  # fmt: skip
        return 200, headers, found[first:last]

    def busy(self, seconds: int) -> Reply:
        """Return the answer to too many calls; the limit is lifted in so many seconds."""
        at = 1_900_000_000
        headers = {
            "X-Rate-Limit-Remaining": "0",
            "X-Rate-Limit-Reset": str(at + seconds),
            "Date": formatdate(at, usegmt=True),
        }
        return (
            429,
            headers,
            {"errorCode": "E0000047", "errorSummary": "API call exceeded rate limit", "errorCauses": []},
        )


class Google(Directory):
    """A Google Workspace account."""

    def __init__(self, *, largest_page: int = 500) -> None:
        super().__init__()
        self.users: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.members: dict[str, list[dict[str, Any]]] = {}
        self.largest_page = largest_page

    def user(self, key: str, email: str, **more: Any) -> None:
        """Add a user; `more` in the vendor's words: suspended, suspensionReason, deletionTime ..."""
        self.users[key] = {
            "kind": "admin#directory#user", "id": key, "etag": '"x"', "primaryEmail": email, "isAdmin": False,
            "name": {"givenName": "A", "familyName": "B"}, "suspended": False, "archived": False,
            "creationTime": "2024-01-01T00:00:00.000Z", "customerId": "C01", "orgUnitPath": "/", **more,
        }  # fmt: skip

    def group(self, key: str, email: str, *members: tuple[str, str]) -> None:
        """Add a group; members as (type, id)."""
        self.groups[key] = {
            "kind": "admin#directory#group", "id": key, "etag": '"x"', "email": email, "name": email,
            "directMembersCount": str(len(members)), "description": "", "adminCreated": True,
        }  # fmt: skip
        self.members[key] = [
            {
                "kind": "admin#directory#member",
                "etag": '"x"',
                "id": each,
                "role": "MEMBER",
                "type": kind,
                "status": "ACTIVE",
            }
            for kind, each in members
        ]

    def refused(self) -> Reply:
        """Answer a wrong token as Google does."""
        return (
            401,
            {},
            {"error": {"code": 401, "message": "Invalid Credentials", "errors": [{"reason": "authError"}]}},
        )

    def busy(self) -> Reply:
        """Return the answer to too many calls."""
        error = {"domain": "usageLimits", "reason": "userRateLimitExceeded", "message": "Quota exceeded"}
        return 403, {}, {"error": {"code": 403, "message": "Quota exceeded", "errors": [error]}}

    def answer(self, path: str, asked: Mapping[str, str]) -> Reply:
        """Answer a listing."""
        match [unquote(part) for part in path.strip("/").split("/")][3:]:
            case ["users"]:
                deleted = asked.get("showDeleted") == "true"
                found = [user for user in self.users.values() if ("deletionTime" in user) == deleted]
                return self._page("users", asked, found)
            case ["groups"]:
                return self._page("groups", asked, list(self.groups.values()))
            case ["groups", key, "members"] if key in self.members:
                return self._page("members", asked, self.members[key])
        return (
            404,
            {},
            {"error": {"code": 404, "message": "Resource Not Found", "errors": [{"reason": "notFound"}]}},
        )

    def _page(self, key: str, asked: Mapping[str, str], found: list[dict[str, Any]]) -> Reply:
        first = int(asked.get("pageToken", "0"))
        last = first + min(int(asked.get("maxResults", "100")), self.largest_page)
        page: dict[str, Any] = {"kind": f"admin#directory#{key}", "etag": '"x"'}
        if found[first:last]:
            page[key] = found[first:last]
        if last < len(found):
            page["nextPageToken"] = str(last)
        return 200, {}, page
