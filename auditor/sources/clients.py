"""The clients of both clouds: whatever page they are answered with is recorded (pages.py)."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from threading import Lock
from typing import Any

from auditor import __version__
from auditor.canonical import canonical, cut, safe_text
from auditor.sources._idle import Lent, give_back, lend
from auditor.sources.pages import Page, Pages

FAKE_KEY = "AUDITOR-SANDBOX-KEY"
"""Sent to a custom endpoint when there are no credentials: plainly not a secret."""


class BudgetSpent(Exception):  # noqa: N818
    """Raised in the middle of a source whose time is over."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach both clouds: what the configuration says, in the words of the clients."""

    aws_endpoint: str | None = None
    gcp_endpoint: str | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    """Account to the ARN of the role to assume there; without one, the default credentials."""
    external_ids: Mapping[str, str] = field(default_factory=dict)
    workers: int = 16
    connect_timeout_s: float = 10
    read_timeout_s: float = 60
    attempts: int = 4


class Clients:
    """Clients of both clouds, shared by the threads of one source.

    One client per service, account and region: botocore's are thread-safe, its sessions are not.
    """

    def __init__(
        self,
        access: Access | None = None,
        *,
        source: str = "",
        pages: Pages | None = None,
        budget_s: float | None = None,
        shared: _Sessions | None = None,
        owner: object = None,
    ) -> None:
        """Make clients anew, or take those that wait for `owner`: what the scans of a process have in common."""
        self.owner = owner
        self.access = access or Access()
        self.source = source
        self.pages = pages or Pages()
        self._budget_s = budget_s
        self._deadline = None if budget_s is None else time.monotonic() + budget_s
        self._shared = shared or _Sessions(self.access)
        self._lock = Lock()
        self._lent: dict[tuple[str, ...], Lent] = {}

    def for_source(self, source: str, *, budget_s: float | None = None) -> Clients:
        """Return the same access under another source's name, its time starting now."""
        return Clients(
            self.access,
            source=source,
            pages=self.pages,
            budget_s=budget_s,
            shared=self._shared,
            owner=self.owner,
        )

    def check(self) -> None:
        """Raise BudgetSpent when the source's time is over."""
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise BudgetSpent(f"the time budget of {self._budget_s:.0f} s was spent: raise budget_s")

    def aws(self, service: str, account: str, region: str = "us-east-1") -> Any:
        """Return the client of a service; its first call rises if the role cannot be assumed."""
        key = ("aws", service, account, region)
        with self._lock:
            if key not in self._lent:
                self._lent[key] = lend(
                    (*key, self.source, self._shared.identity()),
                    self,
                    lambda lent: self._shared.client(service, account, region, lent),
                )
            return self._lent[key].client

    def gcp(self, client_cls: type[Any], project: str, region: str = "global") -> Any:
        """Return a gapic client; `region` other than `global` picks Dataproc's regional host."""
        from auditor.sources.google import connect

        endpoint = self.access.gcp_endpoint or ""
        key = ("gcp", client_cls.__name__, project, region)
        with self._lock:
            if key not in self._lent:
                regional = "" if region == "global" else f"{region}-dataproc.googleapis.com:443"
                self._lent[key] = lend(
                    (*key, self.source, endpoint),
                    self,
                    lambda lent: connect(
                        client_cls, endpoint or regional or None, on_page=_paged(lent, project, region)
                    ),
                )
            return self._lent[key].client

    def close(self) -> None:
        """End the use of every client; those that the next scan may use as they are wait for it."""
        with self._lock:
            for key, lent in self._lent.items():
                # Credentials of Google are read when a client is made; a plain endpoint gets none.
                if key[0] == "aws" or (self.access.gcp_endpoint or "").startswith("http://"):
                    give_back(lent)
                else:
                    lent.client.transport.close()
            self._lent.clear()


def _paged(lent: Lent, project: str, region: str) -> Callable[[str, dict[str, Any], bytes], None]:
    """Return what records each page that a gapic client is answered with."""

    def on_page(method: str, request: dict[str, Any], body: bytes) -> None:
        service, _, operation = method.rpartition(".")
        params = canonical(request)
        page = Page(lent.to.source, "gcp", service, operation, params, project, region, None, 0, "")
        lent.to.pages.answered(page, body)
        lent.to.check()

    return on_page


def _watch(lent: Lent, client: Any, service: str, account: str, region: str) -> None:
    """Hook a client's events: parameters before, the body between, the page after."""
    events = client.meta.events

    def asked(params: Mapping[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        lent.to.check()
        context["auditor_params"] = _params(params)
        context["auditor_operation"] = model.name

    def received(response_dict: dict[str, Any] | None, context: dict[str, Any], **_: Any) -> None:
        context["auditor_body"] = response_dict["body"] if response_dict else b""
        told = response_dict["headers"].get("date") if response_dict else None
        if told:
            lent.to.pages.told_time("aws", service, told)
        if response_dict and response_dict["status_code"] >= 300:
            lent.to.pages.failed(f"{service}:{context['auditor_operation']}")

    def answered(parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        body = context.pop("auditor_body", b"")
        if parsed.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 300:
            parsed["Auditor"] = {"service": service, "account": account, "region": region}
            return
        page = Page(
            lent.to.source,
            "aws",
            service,
            model.name,
            context.pop("auditor_params", "{}"),
            account,
            region,
            _rows(parsed),
            0,
            "",
        )
        if isinstance(body, bytes):
            lent.to.pages.answered(page, body)
        elif model.has_streaming_output:
            _follow(parsed, model, lent.to.pages, page)

    events.register("before-parameter-build", asked)
    events.register("response-received", received)
    events.register("after-call", answered)


_TOKENS = {"NextToken", "nextToken", "Marker", "ContinuationToken", "KeyMarker", "VersionIdMarker"}
"""Parameters that only say which page."""


def _params(params: Mapping[str, Any]) -> str:
    """Return a call's parameters canonically, without the token that only says which page."""
    left = {key: value for key, value in params.items() if key not in _TOKENS}
    try:
        return canonical(left)
    except (TypeError, ValueError):
        return safe_text(cut(repr(sorted(left.items())), 1000))


def _rows(parsed: Mapping[str, Any]) -> int:
    """Count what a page lists: the items of its lists on the first level."""
    return sum(len(value) for value in parsed.values() if isinstance(value, list))


def _follow(parsed: dict[str, Any], model: Any, pages: Pages, page: Page) -> None:
    """Let a streamed body tell the record its size and digest while the source reads it."""
    from botocore.response import StreamingBody

    member = model.output_shape.serialization.get("payload")
    pages.streamed(page)
    if member in parsed:
        parsed[member] = StreamingBody(_Followed(parsed[member], page), None)  # type: ignore[arg-type]


class _Followed:
    """A body that is read once, from start to end."""

    def __init__(self, inner: Any, page: Page) -> None:
        self._inner = inner
        self._page = page
        self._sha = hashlib.sha256()

    def read(self, amount: int | None = None) -> bytes:
        read: bytes = self._inner.read(amount)
        self._sha.update(read)
        self._page.size += len(read)
        self._page.sha256 = self._sha.hexdigest()
        return read

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._inner.close()


@cache
def _loader() -> Any:
    """Return the process's one loader of service models: what it read, no session reads again."""
    import botocore.session

    return botocore.session.get_session().get_component("data_loader")


def _base() -> Any:
    """Return a session of botocore's with the credentials of the environment."""
    import botocore.session

    session = botocore.session.get_session()
    session.register_component("data_loader", _loader())
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
    return session


def _timestamp(value: Any) -> datetime:
    """Read a time as AWS writes it; botocore's own reader tries every form there is, for each object of a listing."""
    with suppress(ValueError, OverflowError, OSError):
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str) and value[10:11] == "T" and value.endswith("Z"):
            return datetime.fromisoformat(value)
    from botocore.utils import parse_timestamp

    found: datetime = parse_timestamp(value)
    return found


@cache
def _user_agent() -> str:
    """Return what CloudTrail shows of us; botocore's own is put together anew for each call."""
    from botocore import __version__ as botocore

    return f"auditor/{__version__} Botocore/{botocore}"


@dataclass(slots=True)
class _Remembering:
    """A fetch of credentials that is not tried again for a while after it failed.

    Every call of an account asks for them: a role that hangs would cost each call its whole patience.
    """

    fetch: Callable[[], Any]
    _error: Exception | None = None
    _until: float = 0.0

    def __call__(self) -> Any:
        if self._error is not None and time.monotonic() < self._until:
            raise self._error.with_traceback(None)
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            return self.fetch()
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            self._error, self._until = error, time.monotonic() + _AGAIN_S
            raise


_AGAIN_S = 30
"""Seconds after which a role that could not be assumed is asked for again."""


class _Sessions:
    """Credentials of each account, shared by every source."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._lock = Lock()
        self._sessions: dict[str, Any] = {}
        self._identity = ""

    def client(self, service: str, account: str, region: str, lent: Lent) -> Any:
        """Make a client that tells `lent`; sessions are not thread-safe, so one at a time."""
        from botocore.config import Config

        access = self._access
        custom = bool(access.aws_endpoint)
        settings = self._patience() | {"max_pool_connections": access.workers}
        if custom and service == "s3":
            settings["s3"] = {"addressing_style": "path"}
        if custom and service == "s3control":
            settings["inject_host_prefix"] = False
        with self._lock:
            if account not in self._sessions:
                self._sessions[account] = self._session(account)
            client = self._sessions[account].create_client(
                service,
                region_name=region,
                endpoint_url=access.aws_endpoint or None,
                config=Config(**settings),
            )
        _watch(lent, client, service, account, region)
        return client

    def _patience(self) -> dict[str, Any]:
        """Return how long every call may take and how often it is made, for credentials as for all others."""
        access = self._access
        return {
            "retries": {"mode": "standard", "total_max_attempts": access.attempts},
            "connect_timeout": access.connect_timeout_s,
            "read_timeout": access.read_timeout_s,
            "user_agent": _user_agent(),
            "parameter_validation": False,  # parameters are ours or come from answers; it costs a fifth of a call
        }

    def identity(self) -> str:
        """Return a digest of how the clouds are reached and of the credentials that clients are made from now."""
        with self._lock:
            if not self._identity:
                from botocore.session import Session

                base = Session(
                    include_builtin_handlers=False
                )  # they cost more than the question, which needs none
                made = base.get_credentials()
                told = [repr(self._access), str(base.profile)]
                if made is not None:
                    told.append(str(made.method))
                    if not hasattr(made, "refresh_needed"):  # those that have it renew themselves
                        told += map(str, (made.access_key, made.secret_key, made.token))
                self._identity = hashlib.sha256("\0".join(told).encode()).hexdigest()
            return self._identity

    def _session(self, account: str) -> Any:
        import botocore.credentials
        from botocore.config import Config

        base = _base()
        if self._access.aws_endpoint and base.get_credentials() is None:
            base.set_credentials(FAKE_KEY, FAKE_KEY)
        role = self._access.roles.get(account)
        if not role:
            return base
        extra = {"RoleSessionName": "auditor"}
        if external := self._access.external_ids.get(account):
            extra["ExternalId"] = external

        def sts(service: str, **options: Any) -> Any:
            options.setdefault("region_name", "us-east-1")
            options["config"] = Config(**self._patience())
            return base.create_client(service, endpoint_url=self._access.aws_endpoint or None, **options)

        fetcher = botocore.credentials.AssumeRoleCredentialFetcher(
            client_creator=sts,
            source_credentials=base.get_credentials(),
            role_arn=role,
            extra_args=extra,
        )
        assumed = _base()
        # botocore offers no public way to give a session credentials that renew themselves
        renewed = botocore.credentials.DeferredRefreshableCredentials(
            method="assume-role", refresh_using=_Remembering(fetcher.fetch_credentials)
        )
        vars(assumed)["_credentials"] = renewed
        return assumed
