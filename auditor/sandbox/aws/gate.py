"""The door of the emulated AWS: counts a call, breaks it as planned, answers it from our books, or lets moto answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, Any

from botocore import xform_name

from auditor.sandbox.aws import wire
from auditor.sandbox.aws.books import Here, Record, Refused
from auditor.sandbox.aws.buckets import bucket_of, date_by_clock
from auditor.sandbox.aws.judge import Lie, data_loader, judge_reply

if TYPE_CHECKING:
    from auditor.sandbox.aws.cloud import AwsCloud

Answer = Callable[[Here, dict[str, Any]], Record]
"""How we answer one operation: where it arrives and its parameters -> the reply, or Refused."""

ANSWERS = {
    "backup": ("backup_vaults", "backup_plans", "backup_points", "backup_jobs", "backup_audit"),
    "cloudtrail": ("trail_answers",),
    "iam": ("iam_answers",),
    "kms": ("kms_answers",),
    "resourcegroupstaggingapi": ("tag_answers",),
    "s3": ("s3_buckets", "s3_inventory", "s3_objects"),
    "s3control": ("s3_account",),
    "sts": ("sts_answers",),
}
"""Modules that hold our answers: a function named as the operation, in snake case, is its answer."""

NOT_EMULATED = frozenset({"backup", "cloudtrail", "kms", "resourcegroupstaggingapi"})
"""Services whose state is ours alone: moto must not answer what we do not."""

REFUSALS = {
    "deny": {
        "": ("AccessDenied", 403),
        "backup": ("AccessDeniedException", 403),
        "cloudtrail": ("AccessDeniedException", 400),
        "kms": ("AccessDeniedException", 400),
        "resourcegroupstaggingapi": ("AccessDeniedException", 400),
    },
    "throttle": {
        "": ("Throttling", 400),
        "s3": ("SlowDown", 503),
        "s3control": ("SlowDown", 503),
        "backup": ("ThrottlingException", 400),
        "cloudtrail": ("ThrottlingException", 400),
        "kms": ("ThrottlingException", 400),
        "resourcegroupstaggingapi": ("ThrottledException", 400),
    },
    "fail": {
        "": ("InternalFailure", 500),
        "s3": ("InternalError", 500),
        "s3control": ("InternalError", 500),
        "iam": ("ServiceFailure", 500),
        "backup": ("ServiceUnavailableException", 503),
        "kms": ("KMSInternalException", 500),
        "resourcegroupstaggingapi": ("InternalServiceException", 500),
    },
    "expire": {
        "": ("ExpiredTokenException", 400),
        "s3": ("ExpiredToken", 400),
        "s3control": ("ExpiredToken", 400),
        "iam": ("ExpiredToken", 403),
        "sts": ("ExpiredToken", 403),
        "backup": ("ExpiredTokenException", 403),
    },
    "off": {
        "": ("UnrecognizedClientException", 400),
        "s3": ("InvalidToken", 400),
        "s3control": ("InvalidToken", 400),
        "iam": ("InvalidClientTokenId", 403),
        "sts": ("InvalidClientTokenId", 403),
    },
}
"""What each service says of a fault: error code and HTTP status, by its API reference (Common Errors)."""

WORDS = {
    "deny": "User: {caller} is not authorized to perform: {action}",
    "throttle": "Rate exceeded",
    "fail": "We encountered an internal error. Please try again.",
    "expire": "The security token included in the request is expired",
    "off": "The security token included in the request is invalid.",
}
GARBAGE = b"\xff\xfe\x00\xc3\x28 this is not the protocol \x80\x81"


OWN_HEADERS = frozenset({"content-length", "date", "x-amz-request-id", "x-amzn-requestid"})
"""Headers that the gate writes itself: the wall clock and moto's random ids stay out of replies."""


class Dropped(ConnectionError):  # noqa: N818 - what happened to the connection
    """Raised to close a connection without an answer."""


class Gate:
    """A WSGI application in front of moto's."""

    def __init__(self, cloud: AwsCloud, moto: Any) -> None:
        self.cloud = cloud
        self.moto = moto
        self.counting = Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        """Answer one request."""
        from werkzeug.exceptions import ClientDisconnected  # moto's own server

        _buffer(environ)
        with self.cloud.world.entered():
            try:
                reply, length = self._answer(environ)
            except (Dropped, ClientDisconnected):  # ours to drop, or the client was killed while it asked
                raise
            except BaseException as error:  # a crash of the sandbox must not pass for a failure of AWS
                self.cloud.books.lies.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}: {error!r}")
                raise
        headers = [(name, value) for name, value in reply.headers if name.lower() not in OWN_HEADERS]
        headers.append(("x-amzn-RequestId", "SANDBOX"))
        if environ["REQUEST_METHOD"] == "HEAD":
            length = int(dict(reply.headers).get("Content-Length", "0"))
        headers.append(("Content-Length", str(length)))
        start_response(f"{reply.status} {'OK' if reply.status < 400 else 'Refused'}", headers)
        return [reply.body]

    def _answer(self, environ: dict[str, Any]) -> tuple[wire.Reply, int]:
        """Return the answer, and the length it claims: a cut body is shorter."""
        cloud = self.cloud
        try:
            asked = wire.understand(environ)
        except Refused as refused:
            body = str(refused).encode()
            return wire.Reply(refused.status, body, (("Content-Type", "text/plain"),)), len(body)
        here = Here(cloud.books, cloud.account_of(asked.access_key), asked.region, asked.access_key)
        with self.counting:
            cloud.calls[asked.service, asked.operation] += 1
        kind = cloud.faults.hit(asked.service, asked.operation, here.account, here.region, asked.resource)
        if kind in REFUSALS:
            reply = self._refusal(asked, here, kind)
        elif kind == "hang":
            cloud.faults.hold()
            raise Dropped(f"{asked.service}:{asked.operation} hung")
        elif kind == "empty":
            reply = wire.nothing(asked)
        elif kind == "garbage":
            reply = wire.Reply(200, GARBAGE, (("Content-Type", "application/octet-stream"),))
        elif kind == "truncate":
            reply = self._truncated(asked, here)
        else:
            reply = self._true(asked, here, environ)
        length = len(reply.body)
        if kind == "cut":
            reply = wire.Reply(reply.status, reply.body[: length // 2], reply.headers)
        return reply, length

    def _refusal(self, asked: wire.Asked, here: Here, kind: str) -> wire.Reply:
        by_service = REFUSALS[kind]
        code, status = by_service.get(asked.service, by_service[""])
        action = f"{asked.service}:{asked.operation}"
        words = WORDS[kind].format(caller=f"arn:aws:sts::{here.account}:assumed-role/auditor", action=action)
        return wire.refusal(asked, Refused(code, words, status))

    def _true(self, asked: wire.Asked, here: Here, environ: dict[str, Any]) -> wire.Reply:
        answer = _answer_of(asked.service, asked.operation)
        if answer is None:
            if asked.service in NOT_EMULATED:
                code = "NotImplemented"
                return wire.refusal(
                    asked,
                    Refused(code, f"the sandbox has no {asked.service}:{asked.operation}", 501),
                )
            return self._moto(asked, here, environ)
        return self._ours(asked, here, answer)

    def _ours(self, asked: wire.Asked, here: Here, answer: Answer) -> wire.Reply:
        try:
            reply = answer(here, asked.params)
            if self.cloud.judged:
                judge_reply(asked.service, asked.operation, reply)
        except Refused as refused:
            return wire.refusal(asked, refused)
        except Lie as lie:
            here.books.lies.append(str(lie))
            return wire.refusal(asked, Refused("SandboxLied", str(lie), 400))
        return wire.written(asked, reply)

    def _truncated(self, asked: wire.Asked, here: Here) -> wire.Reply:
        """Serve a first page of one row that promises a second, and fail that one."""
        answer = _answer_of(asked.service, asked.operation)
        paging = _paging(asked.service).get(asked.operation)
        if (
            answer is None
            or paging is None
            or any(asked.params.get(name) for name in _names(paging["input_token"]))
        ):
            return self._refusal(asked, here, "fail")

        def first_page(here: Here, params: dict[str, Any]) -> Record:
            reply = answer(here, {**params, paging["limit_key"]: 1} if "limit_key" in paging else params)
            for name in _names(paging["output_token"]):
                reply.setdefault(name, "sandbox-second-page")
            if "more_results" in paging:
                reply[paging["more_results"]] = True
            return reply

        return self._ours(asked, here, first_page)

    def _moto(self, asked: wire.Asked, here: Here, environ: dict[str, Any]) -> wire.Reply:
        """Let moto answer, on the caller's account; of another account's bucket only where its policy says so."""
        if asked.service == "s3" and "Bucket" in asked.params and asked.operation != "CreateBucket":
            try:
                bucket_of(here, asked.params["Bucket"])
            except Refused as refused:
                return wire.refusal(asked, refused)
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = here.account
        environ["wsgi.input"].seek(0)
        said: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            said[:] = [int(status.split(maxsplit=1)[0]), headers]

        # By the signature we know the service; moto would search the names of all its backends for it.
        app = self.moto.app_instances.get(asked.service, self.moto)
        body = b"".join(app(environ, start_response))
        for name, value in said[1]:
            if name.lower() in OWN_HEADERS and "requestid" in name.lower():
                body = body.replace(value.encode(), b"SANDBOX")
        if asked.service == "s3" and said[0] < 300:
            date_by_clock(here, asked.operation, asked.params)
        return wire.Reply(said[0], body, tuple(said[1]))


@cache
def _answer_of(service: str, operation: str) -> Answer | None:
    """Find our answer to an operation by its name."""
    for name in ANSWERS.get(service, ()):
        answer: Answer | None = getattr(
            import_module(f"auditor.sandbox.aws.{name}"), xform_name(operation), None
        )
        if answer is not None:
            return answer
    return None


@cache
def _paging(service: str) -> dict[str, Any]:
    pages: dict[str, Any] = data_loader().load_service_model(service, "paginators-1")["pagination"]
    return pages


def _names(token: str | list[str]) -> list[str]:
    return [token] if isinstance(token, str) else token


def _buffer(environ: dict[str, Any]) -> None:
    """Read the body once, so that both we and moto can."""
    import io

    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        body = stream.read()
        environ["CONTENT_LENGTH"] = str(len(body))
    else:
        body = stream.read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
