"""What the sandbox's Google projects hold, and the answers and errors all its services share."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING, Any, NoReturn

import grpc

if TYPE_CHECKING:
    from auditor.sandbox.faults import Faults

_REFUSALS = {
    "deny": (grpc.StatusCode.PERMISSION_DENIED, "The caller does not have permission"),
    "throttle": (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "Quota exceeded for quota metric 'Read requests'",
    ),
    "fail": (grpc.StatusCode.INTERNAL, "Internal error encountered."),
    "hang": (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "Deadline expired before operation could complete.",
    ),
    "expire": (
        grpc.StatusCode.UNAUTHENTICATED,
        "Request had invalid authentication credentials. Expected OAuth 2 access token.",
    ),
}
_TORN = b"\x0a\xff\x01"
"""Field 1 with a length of 255 and nothing behind it: no message parses with this at its end."""
_GARBAGE = b"\xff\xff\xff\xff<html><body>502 Bad Gateway</body></html>"


@dataclass(slots=True)
class Store:
    """Everything that was seeded, by (project, region); messages are raw protobuf."""

    faults: Faults
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Calls that arrived, by (service, operation): `("dataproc", "ListJobs")`."""
    lock: RLock = field(default_factory=RLock)
    places: set[tuple[str, str]] = field(default_factory=set)
    resources: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    """(kind, project, region) -> key -> message, in the order of their seeding."""

    def put(self, kind: str, project: str, region: str, key: str, message: Any) -> None:
        """Add a resource, or replace the one with the same key."""
        with self.lock:
            self.places.add((project, region))
            self.resources.setdefault((kind, project, region), {})[key] = message

    def drop(self, kind: str, project: str, region: str, key: str) -> None:
        """Remove a resource; KeyError when there is none."""
        with self.lock:
            del self.resources[kind, project, region][key]

    def every(self, kind: str, project: str, region: str) -> list[Any]:
        """Return the resources of one place, the newest seeded first."""
        with self.lock:
            return list(self.resources.get((kind, project, region), {}).values())[::-1]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one service: how it is called and what it answers."""

    service: str
    """The fault and count name: `dataproc`, `logging`, `resourcemanager` or `iamadmin`."""
    name: str
    request: Any
    """The generated request class."""
    response: Any
    """The generated response class."""
    scope: Callable[[Any], Sequence[tuple[str, str | None]]]
    """The (project, region) pairs that a request asks about."""
    answer: Callable[[Any, Call], Any]
    """Request -> raw protobuf response."""


class Call:
    """One call under way: aborts like Google and turns pages."""

    def __init__(self, context: grpc.ServicerContext, *, torn: bool) -> None:
        self._context = context
        self._torn = torn

    def refuse(self, code: grpc.StatusCode, message: str) -> NoReturn:
        """End the call with an error."""
        self._context.abort(code, message)
        raise AssertionError("abort always raises")

    def invalid(self, message: str) -> NoReturn:
        """End the call with INVALID_ARGUMENT."""
        self.refuse(grpc.StatusCode.INVALID_ARGUMENT, message)

    def page(
        self, rows: Sequence[Any], request: Any, *, default: int, cap: int, query: Sequence[str]
    ) -> tuple[Sequence[Any], str]:
        """Return one page of `rows` and the token of the next, which is good for `query` alone."""
        bound = hashlib.sha256("\x00".join(query).encode()).hexdigest()[:16]
        start = self._offset(request.page_token, bound)
        size = min(request.page_size or default, cap)
        if self._torn:
            if request.page_token:
                self.refuse(*_REFUSALS["fail"])
            size = min(size, max(len(rows) // 2, 1))
        end = start + size
        more = self._torn or end < len(rows)
        token = base64.urlsafe_b64encode(json.dumps([end, bound]).encode()).decode()
        return rows[start:end], token if more else ""

    def _offset(self, token: str, bound: str) -> int:
        if not token:
            return 0
        try:
            offset, asked = json.loads(base64.urlsafe_b64decode(token.encode()))
        except ValueError:
            self.invalid("page_token is not valid")
        if asked != bound or not isinstance(offset, int):
            self.invalid("page_token does not match the other request parameters")
        return offset


def handler(store: Store, operation: Operation) -> grpc.RpcMethodHandler:
    """Return the gRPC handler of one operation: counts it, meets its faults, answers it."""

    def serve(request: Any, context: grpc.ServicerContext) -> bytes:
        kind = None
        with store.lock:
            store.counts[operation.service, operation.name] += 1
        for project, region in operation.scope(request):
            kind = store.faults.hit(operation.service, operation.name, project, region)
            if kind is not None:
                break
        call = Call(context, torn=kind == "truncate")
        if kind == "hang":
            store.faults.hold()
        if kind in _REFUSALS:
            call.refuse(*_REFUSALS[kind])
        if kind == "empty":
            return b""
        if kind == "garbage":
            return _GARBAGE
        body: bytes = operation.answer(request, call).SerializeToString(deterministic=True)
        if kind == "truncate" and not hasattr(request, "page_token"):
            call.refuse(*_REFUSALS["fail"])
        return body[: len(body) // 2] + _TORN if kind == "cut" else body

    def decode(body: bytes) -> Any:
        return _raw(operation.request).FromString(body)

    return grpc.unary_unary_rpc_method_handler(serve, request_deserializer=decode)


def _raw(cls: Any) -> Any:
    """Return the protobuf class behind a generated one."""
    return cls.pb() if hasattr(cls, "pb") else cls


def raw(cls: Any) -> Any:
    """Return an empty protobuf message of a generated class."""
    return _raw(cls)()
