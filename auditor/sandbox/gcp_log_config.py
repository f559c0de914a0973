"""Where Cloud Logging keeps what it is told: log buckets and sinks.

Every project has `_Required`, kept 400 days and locked, and `_Default`, kept 30 days unless raised, each with a sink of
the same name (cloud.google.com/logging/docs/routing/overview).
"""

from __future__ import annotations

from typing import Any

from google.cloud.logging_v2.types import (
    ListBucketsRequest,
    ListBucketsResponse,
    ListSinksRequest,
    ListSinksResponse,
    LogBucket,
    LogSink,
)
from google.protobuf.json_format import ParseDict

from auditor.sandbox.gcp_store import Call, Operation, Store, raw

SERVICE = "google.logging.v2.ConfigServiceV2"
_REQUIRED = (
    'LOG_ID("cloudaudit.googleapis.com/activity") OR LOG_ID("externalaudit.googleapis.com/activity") OR '
    'LOG_ID("cloudaudit.googleapis.com/system_event") OR LOG_ID("externalaudit.googleapis.com/system_event") OR '
    'LOG_ID("cloudaudit.googleapis.com/access_transparency") OR '
    'LOG_ID("externalaudit.googleapis.com/access_transparency")'
)
_GIVEN = (
    {"name": "_Required", "retentionDays": 400, "locked": True},
    {"name": "_Default", "retentionDays": 30},
)


class LogConfig:
    """The buckets and sinks of all projects."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._buckets: dict[str, dict[str, Any]] = {}
        self._sinks: dict[str, dict[str, Any]] = {}

    def put_bucket(self, project: str, location: str, bucket: dict[str, Any]) -> None:
        message = ParseDict({"lifecycleState": "ACTIVE", **bucket}, raw(LogBucket))
        message.name = f"projects/{project}/locations/{location}/buckets/{message.name}"
        self._of(project)[0][message.name] = message

    def put_sink(self, project: str, sink: dict[str, Any]) -> None:
        message = ParseDict(sink, raw(LogSink))
        self._of(project)[1][message.name] = message

    def drop_sink(self, project: str, name: str) -> None:
        del self._of(project)[1][name]

    def _of(self, project: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return buckets and sinks of a project, which has Google's own from the start."""
        if project not in self._buckets:
            self._buckets[project], self._sinks[project] = {}, {}
            for given in _GIVEN:
                self.put_bucket(project, "global", given)
            for name, query in (("_Required", _REQUIRED), ("_Default", " AND ".join(_not(_REQUIRED)))):
                to = f"logging.googleapis.com/projects/{project}/locations/global/buckets/{name}"
                self.put_sink(project, {"name": name, "destination": to, "filter": query})
        return self._buckets[project], self._sinks[project]

    def buckets(self, request: Any, call: Call) -> Any:
        parts = request.parent.split("/")
        if len(parts) != 4 or parts[2] != "locations":
            call.invalid(f"{request.parent} is no location")
        found = self._admitted(parts[1], call)[0].values()
        rows = [each for each in found if parts[3] in ("-", each.name.split("/")[3])]
        message = raw(ListBucketsResponse)
        page, token = call.page(_sorted(rows), request, default=100, cap=1000, query=[request.parent])
        message.buckets.extend(page)
        message.next_page_token = token
        return message

    def sinks(self, request: Any, call: Call) -> Any:
        parts = request.parent.split("/")
        if len(parts) != 2:
            call.invalid(f"{request.parent} is no project")
        rows = _sorted(list(self._admitted(parts[1], call)[1].values()))
        message = raw(ListSinksResponse)
        page, token = call.page(rows, request, default=100, cap=1000, query=[request.parent])
        message.sinks.extend(page)
        message.next_page_token = token
        return message

    def _admitted(self, project: str, call: Call) -> tuple[dict[str, Any], dict[str, Any]]:
        import grpc

        if not any(project == known for known, _ in self._store.places):
            call.refuse(grpc.StatusCode.PERMISSION_DENIED, f"Permission denied on projects/{project}")
        return self._of(project)


def _not(query: str) -> list[str]:
    return [f"NOT {part}" for part in query.split(" OR ")]


def _sorted(rows: list[Any]) -> list[Any]:
    return sorted(rows, key=lambda each: str(each.name))


def operations(config: LogConfig) -> dict[str, list[Operation]]:
    """Return the operations served, by gRPC service."""

    def place(request: Any) -> list[tuple[str, str | None]]:
        return [(request.parent.split("/")[1] if "/" in request.parent else "", None)]

    return {
        SERVICE: [
            Operation(
                "logging", "ListBuckets", ListBucketsRequest, ListBucketsResponse, place, config.buckets
            ),
            Operation("logging", "ListSinks", ListSinksRequest, ListSinksResponse, place, config.sinks),
        ]
    }
