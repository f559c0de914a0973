"""Clients of AWS whose requests leave by the one way out."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from auditor.alerts.address import RefusedAddressError
from auditor.alerts.deliver import Answer
from auditor.alerts.outgoing import Out, post, quoted

_LATER = frozenset(
    {
        "ExpiredToken", "ExpiredTokenException", "RequestExpired", "InternalError", "InternalErrorException",
        "InternalException", "InternalFailure", "KMSThrottling", "KMSThrottlingException", "RequestTimeout",
        "ServiceUnavailable", "Throttled", "Throttling", "ThrottlingException", "TooManyRequestsException",
        "RequestThrottled", "RequestLimitExceeded", "IncompleteSignature", "RequestTimeTooSkewed",
    }
)  # fmt: skip
"""Errors that pass: of the service, and of credentials and clocks that are set right."""


class _Raw(BytesIO):
    """A body as botocore reads it."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        """Yield what there is."""
        while chunk := self.read(65_536):
            yield chunk


def client(service: str, region: str, endpoint: str, out: Out, timeout_s: float) -> Any:
    """Return a client that makes one attempt a call: the outbox repeats it."""
    import boto3
    from botocore.awsrequest import AWSResponse
    from botocore.compat import HTTPHeaders
    from botocore.config import Config

    config = Config(retries={"total_max_attempts": 1}, user_agent_extra="auditor", proxies={})
    session: Any = boto3.session.Session()
    made = session.client(service, region_name=region, endpoint_url=endpoint or None, config=config)

    def through(request: Any, **_: Any) -> Any:
        headers = {
            name: value.decode() if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
        }
        body = request.body or b""
        sent = body.encode() if isinstance(body, str) else bytes(body)
        reply = post(request.url, sent, headers, out, timeout_s=timeout_s, method=request.method)
        return AWSResponse(
            request.url, reply.status, HTTPHeaders.from_dict(dict(reply.headers)), _Raw(reply.heard)
        )

    made.meta.events.register_first(f"before-send.{service}", through)
    return made


def attempted(call: Any) -> Answer | Any:
    """Make a call; return what it returned, or how the attempt ended."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return call()
    except RefusedAddressError as error:
        return Answer("dead", f"refused: {error}")
    except ClientError as error:
        told = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = str(told.get("Code", ""))
        return Answer(ended(code, status), quoted(f"{code}: {told.get('Message', '')}"))
    except (BotoCoreError, OSError, http.client.HTTPException) as error:
        return Answer("retry", quoted(f"{type(error).__name__}: {error}"))


def ended(code: str, status: int = 0) -> Any:
    """Say whether an error of AWS passes."""
    return "retry" if code in _LATER or status >= 500 or status == 429 else "dead"
