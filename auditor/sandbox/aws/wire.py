"""The wire: which operation a request is, and how AWS's protocols write replies and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Any, TypeVar
from xml.sax.saxutils import escape

from auditor.sandbox.aws.books import Params, Record, Refused

_T = TypeVar("_T")
SERVICES = {"tagging": "resourcegroupstaggingapi"}
"""Names in signatures that are not botocore's names of the service."""
_NAMED_BY = (
    "Bucket",
    "BackupVaultName",
    "BackupPlanId",
    "TrailName",
    "Name",
    "ResourceArn",
    "RoleName",
    "UserName",
    "RoleArn",
    "OpenIDConnectProviderArn",
    "KeyId",
)
"""Input members that name the resource of a call, for faults; the first that is given wins."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Asked:
    """One request, understood: who signed it, what it asks, where."""

    request: Any
    service: str
    region: str
    access_key: str
    operation: str = ""
    model: Any = None
    params: Params = field(default_factory=dict)

    @property
    def protocol(self) -> str:
        """How this caller speaks: botocore's name of the protocol."""
        return (
            "json" if "HTTP_X_AMZ_TARGET" in self.request.environ else str(self.model.service_model.protocol)
        )

    @property
    def resource(self) -> str | None:
        """The name of what is asked about, where the call has one."""
        return next((str(self.params[name]) for name in _NAMED_BY if self.params.get(name)), None)


def understand(environ: dict[str, Any]) -> Asked:
    """Learn service, operation and parameters of a request; raises Refused when it is none that AWS knows."""
    from moto.core.request import Request

    request = Request(environ)
    access_key, region, service = _scope(request)
    if service == "s3" and request.path.startswith("/v20180820/"):
        service = "s3control"
    asked = Asked(request, SERVICES.get(service, service), region, access_key)
    _route(asked)
    return asked


def _scope(request: Any) -> tuple[str, str, str]:
    """Return access key, region and service of the signature; unsigned calls are STS's by their body."""
    authorization = request.headers.get("Authorization", "")
    scope = request.args.get("X-Amz-Credential", "")
    if "Credential=" in authorization:
        scope = authorization.split("Credential=", 1)[1].split(",")[0]
    if scope.count("/") >= 4:
        access_key, _, region, service, _ = scope.rsplit("/", 4)
        return access_key, region, service.lower()
    return "", "us-east-1", "sts" if "Action" in request.form else "s3"


_SAID_TO_ALL = ("AUTHORIZATION", "X_AMZ_DATE", "X_AMZ_CONTENT_SHA256", "X_AMZ_SECURITY_TOKEN", "USER_AGENT")
_PER_CALL = frozenset(
    f"HTTP_{name}" for name in (*_SAID_TO_ALL, "AMZ_SDK_INVOCATION_ID", "AMZ_SDK_REQUEST", "ACCEPT_ENCODING")
)
"""Headers that say who calls, when and how, never what is asked."""
_ROUTED: dict[tuple[Any, ...], tuple[Any, Params]] = {}
"""Requests without a body to operation and parameters: both follow from the request alone."""
_MOST_ROUTED = 4096


MAKING_ROUTES = Lock()
"""Held while routes are made: werkzeug compiles them from syntax trees, and CPython 3.11 counts the depth of the trees of
all threads as one (SystemError: AST constructor recursion depth mismatch)."""


def _route(asked: Asked) -> None:
    """Find operation and parameters; those of a request without a body are found once."""
    environ = asked.request.environ
    if environ["REQUEST_METHOD"] not in {"GET", "HEAD"} or environ.get("CONTENT_LENGTH", "0") != "0":
        _understand(asked)
        return
    said = sorted(
        (name, value) for name, value in environ.items() if name.startswith("HTTP_") and name not in _PER_CALL
    )
    asks = environ["REQUEST_METHOD"], environ["RAW_URI"], environ.get("CONTENT_TYPE"), *said
    key = (asked.service, *asks)
    if key not in _ROUTED:
        _understand(asked)
        if any(isinstance(value, dict | list) for value in asked.params.values()):
            return
        if len(_ROUTED) >= _MOST_ROUTED:
            _ROUTED.clear()
        _ROUTED[key] = asked.model, dict(asked.params)
        return
    asked.model, params = _ROUTED[key]
    asked.operation, asked.params = str(asked.model.name), dict(params)


def _made(make: Callable[[], _T]) -> _T:
    """Return what needs routes, which are made on first use; made again when another thread's trees came between.

    The lock holds back our own threads alone: whatever else of the process reads syntax trees is counted too.
    """
    with MAKING_ROUTES:
        for _ in range(9):
            with suppress(SystemError):
                return make()
        return make()


def only_matched() -> None:
    """Let routes of operations be matched alone: nobody asks them for a URL, and to prepare for that is most of making one."""
    from moto.core.routing import SmithyRule

    def unbuilt(_rule: Any, _append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        def build(*_: Any, **__: Any) -> tuple[str, str]:
            raise NotImplementedError("routes of the sandbox are matched, not built")

        return build

    SmithyRule._compile_builder = unbuilt  # type: ignore[method-assign,assignment]  # noqa: SLF001


def one_loader() -> None:
    """Let moto list the folders of botocore's models once: it makes a loader for each model, and each lists them all."""
    import moto.core.utils

    vars(moto.core.utils)["create_loader"] = _loader  # imported there, not exported


@cache
def _loader() -> Any:
    from moto.core.loaders import create_loader

    return create_loader()


def _understand(asked: Asked) -> None:
    from moto.core.parse import PROTOCOL_PARSERS
    from moto.core.routing import get_service_router
    from werkzeug.exceptions import NotFound

    request = asked.request
    try:
        asked.model, labels = _made(lambda: get_service_router(asked.service).match(request))
    except (NotFound, NotImplementedError) as error:
        raise Refused(
            "UnknownOperationException", f"nothing is asked by {request.method} {request.path}"
        ) from error
    asked.operation = str(asked.model.name)
    if asked.operation in {"PutObject", "UploadPart"}:  # moto reads these bodies itself
        asked.params = dict(labels)
        return
    parser = PROTOCOL_PARSERS[asked.protocol](asked.model, map_type=dict)
    asked.params = parser.parse(
        {
            "method": request.method,
            "values": request.values,
            "headers": request.headers,
            "body": request.get_data(),
            "url_path": request.path,
            "url_params": labels,
        }
    )


def written(asked: Asked, reply: Record) -> Reply:
    """Write a reply in the caller's protocol."""
    from auditor.sandbox.aws.serializers import serializer

    answer = serializer(asked.service, asked.protocol, asked.model).serialize(reply)
    body = answer["body"]
    return Reply(
        answer["status_code"],
        body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass"),
        tuple((name, str(value)) for name, value in answer["headers"].items()),
    )


def refusal(asked: Asked, refused: Refused) -> Reply:
    """Write a refusal in the caller's protocol, as the service itself would."""
    code, message = refused.code, str(refused)
    if asked.request.method == "HEAD":
        return Reply(refused.status, b"")
    if asked.service == "s3":
        text = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message><RequestId>SANDBOX</RequestId></Error>"
        return Reply(refused.status, text.encode(), (("Content-Type", "application/xml"),))
    if asked.service in {"iam", "sts", "s3control"}:
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message>"
            "</Error><RequestId>SANDBOX</RequestId></ErrorResponse>"
        )
        return Reply(refused.status, text.encode(), (("Content-Type", "text/xml"),))
    text = json.dumps({"__type": code, "message": message, "Message": message})
    return Reply(
        refused.status,
        text.encode(),
        (("Content-Type", "application/json"), ("x-amzn-ErrorType", code)),
    )


def nothing(asked: Asked) -> Reply:
    """Write a success with nothing in it."""
    if asked.request.method == "HEAD":
        return Reply(200, b"")
    if asked.service in {"iam", "sts"}:
        name = asked.operation
        text = f"<{name}Response><{name}Result/></{name}Response>"
        return Reply(200, text.encode(), (("Content-Type", "text/xml"),))
    if asked.service in {"s3", "s3control"}:
        return Reply(200, f"<{asked.operation}Result/>".encode(), (("Content-Type", "application/xml"),))
    return Reply(200, b"{}", (("Content-Type", "application/json"),))
