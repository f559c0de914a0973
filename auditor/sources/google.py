"""Connect any Google Cloud client, to Google itself or to a sandbox, and record what it answers.

One construction serves both worlds: a plain `http://` endpoint never sees credentials, anything
else is TLS with the caller's Application Default Credentials. Importing this module imports gRPC.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import grpc

if TYPE_CHECKING:
    from google.api_core.retry import Retry

OnPage = Callable[[str, dict[str, Any], bytes], None]
"""Told of every answered call: the full method (`google.cloud.dataproc.v1.JobController.ListJobs`,
the word the audit log uses), the request as JSON with the vendor's field names, and the answer's
bytes as they came."""

_UNBOUNDED = ("grpc.max_receive_message_length", -1)
"""Pages of 1,000 log entries pass gRPC's default of 4 MB; gapic sets the same on its own channels."""


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


def patience(*, call_s: float, budget_s: float) -> Retry:
    """Return the retry of one call that gives up after `budget_s`; no wait is longer than `call_s`.

    The defaults of gapic wait up to fifteen minutes for a dead server and never retry a throttled
    call. A hung call (DEADLINE_EXCEEDED) is not asked again: it has had its `timeout`.
    """
    from google.api_core import exceptions, retry

    transient = retry.if_exception_type(
        exceptions.ServiceUnavailable, exceptions.ResourceExhausted, exceptions.Aborted
    )
    return retry.Retry(
        predicate=transient,
        initial=min(0.2, budget_s),
        maximum=max(min(10.0, call_s), 0.2),
        multiplier=2.0,
        timeout=budget_s,
    )


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
        assert request_serializer is not None  # noqa: S101 - gapic always gives both
        assert response_deserializer is not None  # noqa: S101
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


__all__: Sequence[str] = ("OnPage", "connect", "patience")
