"""Connect any Google Cloud client, to Google itself or to a sandbox, and record what it answers.

One construction serves both worlds: a plain `http://` endpoint never sees credentials, anything
else is TLS with the caller's Application Default Credentials. Importing this module imports gRPC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import grpc

if TYPE_CHECKING:
    from auditor.sources.ask import Ask

OnPage = Callable[[str, dict[str, Any], bytes], None]
"""Told of every answered call: the full method (`google.cloud.dataproc.v1.JobController.ListJobs`,
the word the audit log uses), the request as JSON with the vendor's field names, and the answer's
bytes as they came."""

_UNBOUNDED = ("grpc.max_receive_message_length", -1)
"""Pages of 1,000 log entries pass gRPC's default of 4 MB; gapic's own channels have the same."""


def connect(
    client_cls: type[Any],
    endpoint: str | None,
    *,
    on_page: OnPage | None = None,
) -> Any:
    """Return a gapic client of `endpoint`.

    None is Google's own host of that service, `host:port` a regional or private one over TLS,
    `http://host:port` a sandbox in plain text to which no credentials are ever sent. Dataproc needs
    the regional host `{region}-dataproc.googleapis.com:443`, as its package's samples say.
    """
    transport = client_cls.get_transport_class("grpc")
    if endpoint is not None and endpoint.startswith("http://"):
        address = endpoint.removeprefix("http://").rstrip("/")
        options = (_UNBOUNDED, ("grpc.enable_http_proxy", 0))
        channel = _Recording(grpc.insecure_channel(address, options=options), on_page)
        return client_cls(transport=transport(channel=channel))

    def secure(*args: Any, **kwargs: Any) -> grpc.Channel:
        return _Recording(transport.create_channel(*args, **kwargs), on_page)

    return client_cls(
        transport=lambda **kwargs: transport(**{**kwargs, "channel": secure}),
        client_options={"api_endpoint": endpoint} if endpoint else None,
    )


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one call may take; it ends within the sum of the two at the latest."""

    call_s: float = 60.0
    """Seconds that each attempt may take. An attempt that hangs is not repeated."""
    retry_s: float = 120.0
    """Seconds after which a throttled or unavailable call is not asked again."""

    def options(self) -> dict[str, Any]:
        """Return the `retry` and `timeout` of a gapic call.

        The defaults of gapic wait up to fifteen minutes for a dead server and never repeat a
        throttled call; a number as timeout would bound all attempts together.
        """
        from google.api_core import exceptions, retry, timeout

        transient = retry.if_exception_type(
            exceptions.ServiceUnavailable, exceptions.ResourceExhausted, exceptions.Aborted
        )
        again = retry.Retry(
            predicate=transient,
            initial=min(0.2, self.retry_s),
            maximum=max(min(10.0, self.call_s), 0.2),
            multiplier=2.0,
            timeout=self.retry_s,
        )
        return {"retry": again, "timeout": timeout.ConstantTimeout(self.call_s)}  # type: ignore[no-untyped-call]


def pages(
    method: Callable[..., Any], request: Any, patience: Patience, pace: Callable[[], None] = lambda: None
) -> Iterator[Any]:
    """Yield each page of a listing as raw protobuf, ten times faster to read than proto-plus.

    `pace` is called before each call and may wait. Raises Truncated when pages were read and the rest failed for a reason
    that a later scan may not meet, what the call raised otherwise.
    """
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from google.protobuf.message import DecodeError

    from auditor.sources.ask import BudgetSpent, Malformed, cut_short

    read: set[str] = set()
    try:
        while True:
            pace()
            answer = next(method(request=request, **patience.options()).pages)
            raw = type(answer).pb(answer)
            token = raw.next_page_token
            yield raw
            if not token:
                return
            if token in read:
                raise Malformed("the listing names the same next page twice")  # noqa: TRY301
            read.add(token)
            request.page_token = token
    except (GoogleAPIError, GoogleAuthError, DecodeError, Malformed, BudgetSpent) as error:
        if cut := cut_short(len(read), error):
            raise cut from error
        raise


def unread(
    ask: Ask, table: str, account: str, region: str = "*", *, overlap: timedelta = timedelta()
) -> datetime:
    """Return the start of the first time that no earlier scan has read to its end.

    It may lie before the window: what a scan missed, later ones make good. `overlap` is read again:
    what may have arrived late.
    """
    whole = sorted(
        (seen.from_at, seen.until_at)
        for seen in ask.covered(table)
        if (seen.account, seen.region, seen.resource) == (account, region, "*")
        and seen.from_at is not None
        and seen.until_at is not None
    )
    first = reached = min([ask.window.from_at, *(from_at for from_at, _ in whole)])
    for from_at, until_at in whole:
        if from_at > reached:
            break
        reached = max(reached, until_at)
    return max(first, min(reached, ask.window.until_at) - overlap)


def moment(stamp: Any) -> datetime | None:
    """Return a protobuf Timestamp as UTC to the microsecond; None when unset or out of range."""
    return instant(stamp.seconds, stamp.nanos)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(seconds: int, nanos: int) -> datetime | None:
    """Return a time in UTC to the microsecond; None for 0 and 0, which is unset, and out of range."""
    if not (seconds or nanos):
        return None
    try:
        return _EPOCH + timedelta(0, seconds, nanos // 1000)
    except OverflowError:
        return None


def rfc3339(at: datetime) -> str:
    """Return a time as Google's filters take it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def word(message: Any, field: str) -> str:
    """Return an enum's name, or its number as text when the API is newer than the package."""
    number = getattr(message, field)
    values = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number
    return str(values[number].name) if number in values else str(number)


class _Recording(grpc.Channel):  # type: ignore[misc]
    """A channel that hands each answer's bytes to `on_page` before they are parsed.

    Parsing here, in the caller's thread, lets bytes that do not parse rise as protobuf's own
    DecodeError; gRPC would report them as INTERNAL, which looks like a failure of the service.
    """

    def __init__(self, channel: grpc.Channel, on_page: OnPage | None) -> None:
        self._channel = channel
        self._on_page = on_page

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> grpc.UnaryUnaryMultiCallable:
        assert request_serializer is not None
        assert response_deserializer is not None
        raw = self._channel.unary_unary(method)
        name = method.removeprefix("/").replace("/", ".")
        return _Call(name, raw, request_serializer, response_deserializer, self._on_page)

    def subscribe(self, callback: Any, try_to_connect: bool | None = False) -> None:
        self._channel.subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Any) -> None:
        self._channel.unsubscribe(callback)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._channel.unary_stream(*args, **kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._channel.stream_unary(*args, **kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._channel.stream_stream(*args, **kwargs)

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Call(grpc.UnaryUnaryMultiCallable):  # type: ignore[misc]
    """One method of a recording channel."""

    def __init__(
        self,
        name: str,
        raw: grpc.UnaryUnaryMultiCallable,
        encode: Callable[[Any], bytes],
        decode: Callable[[bytes], Any],
        on_page: OnPage | None,
    ) -> None:
        self._name = name
        self._raw = raw
        self._encode = encode
        self._decode = decode
        self._on_page = on_page

    def __call__(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return self.with_call(request, *args, **kwargs)[0]

    def with_call(self, request: Any, *args: Any, **kwargs: Any) -> tuple[Any, grpc.Call]:
        body, call = self._raw.with_call(self._encode(request), *args, **kwargs)
        if self._on_page is not None:
            self._on_page(self._name, _as_json(request), body)
        return self._decode(body), call

    def future(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{self._name}: a recorded call waits for its answer")


def _as_json(request: Any) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    message = type(request).pb(request) if hasattr(type(request), "pb") else request
    fields: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return fields
