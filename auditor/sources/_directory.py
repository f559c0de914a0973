"""How directories behind an HTTPS API are asked: politely, of one host alone, each answered page recorded.

Nothing is sent to another host than the configured one: redirects are not followed, and a next page elsewhere is refused. How
long to wait is what the answer says (`Retry-After`, or `X-Rate-Limit-Reset` against its own `Date`), never our clock.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from auditor import __version__
from auditor.canonical import canonical
from auditor.sources.ask import Malformed, Refused, safe_text
from auditor.sources.pages import Page

if TYPE_CHECKING:
    from requests import Response

    from auditor.sources.ask import Ask

_LARGEST = 64 * 2**20
"""A page of more bytes than this is not read."""
_LONGEST_WAIT_S = 120
"""A service that asks for more patience than this is throttling us for this scan."""
_LATER = {429, 500, 502, 503, 504}

wait: Callable[[float], None] = time.sleep


def base_url(url: str) -> str:
    """Return a base URL that ends in a slash; Refused unless it is https, or http on this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    local = host == "localhost"
    with suppress(ValueError):
        local = local or ip_address(host).is_loopback
    if not host or parts.username or parts.scheme not in {"https", "http"}:
        raise Refused("failed", f"{safe_text(url)!r} is no base URL such as https://directory.example.com/")
    if parts.scheme == "http" and not local:
        raise Refused("failed", f"{safe_text(url)}: a directory is read by https only")
    return url if url.endswith("/") else url + "/"


@dataclass(slots=True)
class Answer:
    """One answered call."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def json(self) -> Any:
        """Return the body; Malformed when it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise Malformed(f"the answer of {path_of(self.url)} is not JSON: {error}") from None


class Http:
    """GETs below one base URL, each answered page recorded like those of the clouds."""

    def __init__(
        self,
        ask: Ask,
        url: str,
        *,
        service: str,
        headers: Mapping[str, str],
        throttled: Callable[[Answer], bool] = lambda _answer: False,
    ) -> None:
        """Ask below `url`; `throttled` tells a refusal that only means too many calls from others."""
        from requests import Session

        self.base = base_url(url)
        self.service = service
        self._ask = ask
        self._throttled = throttled
        self._session = Session()
        self._session.trust_env = False  # no .netrc, and no proxy that the configuration does not name
        self._session.headers.update({"Accept": "application/json", "User-Agent": f"auditor/{__version__}"})
        self._session.headers.update(headers)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def get(self, url: str, params: Mapping[str, Any] | None = None, *, operation: str) -> Answer:
        """Return a successful answer; Refused says why there is none, and what to do."""
        answer = self.answered(url, params, operation=operation)
        if answer.status == 200:
            return answer
        raise refusal(self.service, operation, answer)

    def answered(self, url: str, params: Mapping[str, Any] | None = None, *, operation: str) -> Answer:
        """Return the answer, whatever it says, after as many attempts as a call may have."""
        url = urljoin(self.base, url)
        if _origin(url) != _origin(self.base):
            raise Refused(
                "suspect", f"{self.service} sends us on to {_origin(url)}, another host: not followed"
            )
        answer = self._once(url, params)
        for attempt in range(self._ask.clients.access.attempts - 1):
            if answer.status not in _LATER and not self._throttled(answer):
                break
            self._ask.clients.pages.failed(f"{self.service}:{operation}")
            pause = _pause(answer, attempt)
            if pause > _LONGEST_WAIT_S:
                raise Refused("throttled", f"{self.service}:{operation} asks us to wait {pause:.0f} s")
            wait(pause)
            answer = self._once(url, params)
        if answer.status != 200:
            self._ask.clients.pages.failed(f"{self.service}:{operation}")
        if answer.status == 429 or self._throttled(answer):
            raise Refused(
                "throttled", f"{self.service}:{operation} answers {answer.status}: scan at a quieter time"
            )
        if answer.status in _LATER:
            raise Refused("failed", f"{self.service}:{operation} answers {answer.status}")
        return answer

    def _once(self, url: str, params: Mapping[str, Any] | None) -> Answer:
        from requests import RequestException, Timeout

        self._ask.clients.check()
        access = self._ask.clients.access
        try:
            with self._session.get(
                url,
                params=params,
                timeout=(access.connect_timeout_s, access.read_timeout_s),
                allow_redirects=False,
                stream=True,
            ) as response:
                return Answer(response.status_code, response.headers, _body(response), str(response.url))
        except Timeout as error:
            raise Refused("hung", f"{self.service}: {_said(error)}") from None
        except RequestException as error:
            raise Refused("failed", f"{self.service}: {_said(error)}") from None

    def record(self, operation: str, params: Mapping[str, Any], answer: Answer, rows: int) -> None:
        """Record an answered page; `params` without the token that only says which page."""
        page = Page(
            self._ask.source,
            "directory",
            self.service,
            operation,
            canonical(dict(params)),
            "*",
            "*",
            rows,
            0,
            "",
        )
        self._ask.clients.pages.answered(page, answer.body)


def _body(response: Response) -> bytes:
    body = bytearray()
    for part in response.iter_content(65_536):
        body += part
        if len(body) > _LARGEST:
            raise Refused("failed", f"a page of more than {_LARGEST // 2**20} MB was not read")
    return bytes(body)


def _said(error: object) -> str:
    """Return what went wrong without the URL, whose query may hold names."""
    return f"{type(error).__name__}: the directory could not be reached"


def path_of(url: str) -> str:
    """Return the path of a URL, without host and query."""
    return safe_text(urlsplit(url).path)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return safe_text(f"{parts.scheme}://{parts.netloc}".lower())


def refusal(service: str, operation: str, answer: Answer) -> Refused:
    """Return why a call was not answered well."""
    head = f"{service}:{operation} answers {answer.status}"
    if answer.status == 401:
        return Refused("expired", f"{head}: renew the token of [sources.*]")
    if answer.status == 403:
        return Refused("denied", f"{head}: let the token read users and groups")
    if 300 <= answer.status < 400:
        return Refused("suspect", f"{head}, a redirection: not followed")
    return Refused("failed", head)


def _pause(answer: Answer, attempt: int) -> float:
    """Return the seconds to wait before the next attempt."""
    headers = answer.headers
    with suppress(KeyError, ValueError):
        return max(0.0, float(headers["Retry-After"]))
    with suppress(KeyError, ValueError, TypeError, OverflowError):
        # Okta: seconds of UTC at which the limit is lifted; compared with the answer's own clock.
        said = parsedate_to_datetime(headers["Date"])
        return max(0.0, float(headers["X-Rate-Limit-Reset"]) - said.timestamp()) + 1
    return float(min(2**attempt, 8))


def instant(value: object) -> datetime | None:
    """Return a time as a directory writes it, in UTC; None for none. Malformed when it is none."""
    if value is None or value == "":
        return None
    try:
        at = datetime.fromisoformat(str(value))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Malformed(f"{safe_text(str(value))[:40]!r} is no time") from None


def named(value: object) -> str:
    """Return a name or an id as text; empty when there is none."""
    return (
        safe_text(value.strip()) if isinstance(value, str) else str(value) if isinstance(value, int) else ""
    )
