"""Cloud Logging's ListLogEntries, as its documentation describes it.

Limits from the docstring of `ListLogEntriesRequest` in google-cloud-logging: 100 resource names, a
filter of 20,000 characters, pages of 50 unless asked, more than 1,000 or less than 0 rejected, an
empty page may still have a next one. A missing field of a payload or label fails every comparison,
`!=` too; a field of LogEntry itself that is not set has its default; a field that LogEntry does not
have is an error (cloud.google.com/logging/docs/view/logging-query-language#missing-fields).
"""

from __future__ import annotations

import re
from bisect import insort
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
from google.cloud.audit import audit_log_pb2
from google.cloud.logging_v2.types import ListLogEntriesRequest, ListLogEntriesResponse, LogEntry
from google.protobuf.descriptor_pool import Default
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass

from auditor.sandbox.gcp_query import LOGGING, Comparison, FilterError, Test, matcher, parse, texts
from auditor.sandbox.gcp_store import Call, Operation, Store, raw

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor

SERVICE = "google.logging.v2.LoggingServiceV2"
_AUDIT_LOG = audit_log_pb2.AuditLog.DESCRIPTOR.full_name
"""Naming it keeps the import, which registers the type of `protoPayload` for JSON."""
_SEVERITIES = (
    "DEFAULT",
    "DEBUG",
    "INFO",
    "NOTICE",
    "WARNING",
    "ERROR",
    "CRITICAL",
    "ALERT",
    "EMERGENCY",
)
_FREE = {"google.protobuf.Struct", "google.protobuf.Any", "google.protobuf.Value"}
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d))?")
_NOT_RE2 = re.compile(r"\(\?(?:[=!>]|<[=!])|\\[1-9]")
_ORDERS = {"", "timestamp asc", "timestamp desc"}
_KEPT_QUERIES = 32


def _in_one_order(payload: Any) -> None:
    """Write a packed payload anew with its maps sorted: protobuf's own order differs from process to process."""
    if payload.type_url:
        inner = GetMessageClass(Default().FindMessageTypeByName(payload.TypeName()))()
        inner.ParseFromString(payload.value)
        payload.value = inner.SerializeToString(deterministic=True)


class LogBook:
    """The entries of all projects, in Google's order: by time, then by insert id."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, str, dict[str, Any], Any]] = []
        self._answers: OrderedDict[tuple[Any, ...], list[Any]] = OrderedDict()
        self.sparse = False
        """Answer every first page without an entry but with a token, as a slow search does."""

    def add(self, entry: Mapping[str, Any]) -> None:
        """Keep one LogEntry given in JSON; raises ValueError when it has no log name or time.

        `{"@type": URL, "@bytes": BYTES, ...}` as `protoPayload` stands for a payload that is stored
        as those bytes, whether they parse or not; filters see the other members.
        """
        given = dict(entry)
        payload = given.get("protoPayload")
        sealed = payload if isinstance(payload, Mapping) and "@bytes" in payload else None
        if sealed is not None:
            del given["protoPayload"]
        given.setdefault("receiveTimestamp", given.get("timestamp"))  # Cloud Logging sets it, always
        message = ParseDict(given, raw(LogEntry))
        _in_one_order(message.proto_payload)
        fields = MessageToDict(message)
        if not message.log_name or not message.HasField("timestamp"):
            raise ValueError("a log entry needs logName and timestamp")
        if sealed is not None:
            message.proto_payload.type_url = sealed["@type"]
            message.proto_payload.value = sealed["@bytes"]
            fields["protoPayload"] = {k: v for k, v in sealed.items() if k != "@bytes"}
        at = message.timestamp.seconds * 10**9 + message.timestamp.nanos
        self._answers.clear()
        insort(self._entries, (at, message.insert_id, fields, message), key=lambda e: e[:2])

    def find(self, names: Sequence[str], query: str, order: str) -> list[Any]:
        """Return the entries under any of `names` that meet the query; raises FilterError."""
        key = (*names, query, order)
        if key not in self._answers:
            test = matcher(parse(query, LOGGING), _comparison, _search)
            under = tuple(f"{name}/logs/" for name in names)
            found = [
                (at, insert_id, message)
                for at, insert_id, fields, message in self._entries
                if message.log_name.startswith(under) and test(fields)
            ]
            if order == "timestamp desc":
                found.sort(key=lambda entry: (-entry[0], entry[1]))
            self._answers[key] = [message for *_, message in found]
            if len(self._answers) > _KEPT_QUERIES:
                self._answers.popitem(last=False)
        return self._answers[key]


def operations(store: Store, book: LogBook) -> dict[str, list[Operation]]:
    """Return the operations served, by gRPC service."""

    def projects(request: Any) -> list[tuple[str, str | None]]:
        return [(name.removeprefix("projects/"), None) for name in request.resource_names]

    def list_entries(request: Any, call: Call) -> Any:
        _admit(request, call, {project for project, _ in store.places})
        query = (*sorted(request.resource_names), request.filter, request.order_by)
        try:
            with store.lock:
                found = book.find(sorted(request.resource_names), request.filter, request.order_by)
        except FilterError as error:
            call.invalid(str(error))
        answer = raw(ListLogEntriesResponse)
        if book.sparse and not request.page_token:
            _, answer.next_page_token = call.page([0], request, default=0, cap=0, query=query)
            return answer
        entries, answer.next_page_token = call.page(found, request, default=50, cap=1000, query=query)
        answer.entries.extend(entries)
        return answer

    listing = Operation(
        "logging",
        "ListLogEntries",
        ListLogEntriesRequest,
        ListLogEntriesResponse,
        projects,
        list_entries,
    )
    return {SERVICE: [listing]}


def _admit(request: Any, call: Call, projects: set[str]) -> None:
    names = request.resource_names
    if not names or len(names) > 100:
        call.invalid("resource_names must name between 1 and 100 resources")
    for name in names:
        if not name.startswith("projects/") or name.removeprefix("projects/") not in projects:
            call.refuse(
                grpc.StatusCode.PERMISSION_DENIED,
                f"Permission 'logging.logEntries.list' denied on '{name}' (or it may not exist)",
            )
    if len(request.filter) > 20_000:
        call.invalid("The filter is longer than 20000 characters")
    if not 0 <= request.page_size <= 1000:
        call.invalid("page_size must be between 0 and 1000")
    if request.order_by not in _ORDERS:
        call.invalid(f"order_by {request.order_by!r} is not supported")


def _search(needle: str) -> Test:
    sought = needle.lower()
    return lambda entry: any(sought in text.lower() for text in texts(entry))


def _comparison(node: Comparison) -> Test:
    path, default = _resolve(node.path)
    operator, value = node.operator, node.value
    if value is None:
        if operator != ":":
            raise FilterError(f"Unparseable filter: * is compared by : alone, not by {operator}")
        return lambda entry: bool(_values(entry, path))
    if operator in ("=~", "!~"):
        return _pattern(path, default, operator, value)
    if operator == ":":
        sought = value.lower()
        return lambda entry: any(
            sought in text.lower() for found in _values(entry, path, default) for text in texts(found)
        )
    scale = _scale(path)
    want = scale(value)
    if want is None:
        raise FilterError(f"Unparseable filter: {value!r} cannot be compared with {'.'.join(path)}")
    return lambda entry: any(_holds(operator, scale(found), want) for found in _values(entry, path, default))


def _pattern(path: tuple[str, ...], default: Any, operator: str, value: str) -> Test:
    if _NOT_RE2.search(value):
        raise FilterError(f"Unparseable filter: RE2 has no lookaround or backreference: {value!r}")
    try:
        pattern = re.compile(value)
    except re.error as error:
        raise FilterError(f"Unparseable filter: {value!r} is not a regular expression: {error}") from None
    wanted = operator == "=~"
    return lambda entry: any(
        bool(pattern.search(text)) == wanted
        for found in _values(entry, path, default)
        for text in texts(found)
    )


def _resolve(path: tuple[str, ...]) -> tuple[tuple[str, ...], Any]:
    """Return a path in JSON names, and the default of a LogEntry field (None inside payloads)."""
    message: Descriptor | None = raw(LogEntry).DESCRIPTOR
    names: list[str] = []
    default: Any = None
    for at, name in enumerate(path):
        if message is None:
            raise FilterError(f"Unparseable filter: unknown field {'.'.join(path)!r}")
        known = {f.json_name: f for f in message.fields} | {f.name: f for f in message.fields}
        if name not in known:
            raise FilterError(f"Unparseable filter: unknown field {'.'.join(path)!r}")
        field = known[name]
        names.append(field.json_name)
        message = field.message_type
        if message is None:
            default = _default(field)
            continue
        if message.full_name in _FREE or message.GetOptions().map_entry:
            return (*names, *path[at + 1 :]), None
        if message.full_name.startswith("google.protobuf."):
            message = None
            if at + 1 == len(path):
                return tuple(names), None
    return tuple(names), default


def _default(field: FieldDescriptor) -> Any:
    return field.enum_type.values_by_number[0].name if field.enum_type else field.default_value


def _values(entry: Any, path: Sequence[str], default: Any = None) -> list[Any]:
    if isinstance(entry, list):
        return [value for inner in entry for value in _values(inner, path)]
    if not path:
        return [entry]
    if isinstance(entry, Mapping) and path[0] in entry:
        return _values(entry[path[0]], path[1:], default)
    return [] if default is None else [default]


def _scale(path: tuple[str, ...]) -> Any:
    """Return what makes values of one field comparable; it answers None for what cannot be."""
    if path == ("severity",):
        return _severity
    if path[0] in ("timestamp", "receiveTimestamp"):
        return _instant
    return _plain


def _severity(value: Any) -> int | None:
    word = str(value).upper()
    if word.isdecimal():
        return int(word)
    return _SEVERITIES.index(word) * 100 if word in _SEVERITIES else None


def _instant(value: Any) -> int | None:
    found = _INSTANT.fullmatch(str(value))
    if found is None:
        return None
    day, clock, fraction, zone = found.groups(default="")
    moment = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}{zone or 'Z'}")
    return int(moment.astimezone(UTC).timestamp()) * 10**9 + int(fraction.ljust(9, "0") or 0)


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, int, float)):
        return str(value).lower() if isinstance(value, bool) else value
    return value.lower() if isinstance(value, str) else None


def _holds(operator: str, found: Any, want: Any) -> bool:
    if isinstance(found, (int, float)) and isinstance(want, str):
        try:
            want = float(want)
        except ValueError:
            return operator == "!="
    if found is None:
        return False
    match operator:
        case "=":
            return bool(found == want)
        case "!=":
            return bool(found != want)
        case "<":
            return bool(found < want)
        case "<=":
            return bool(found <= want)
        case ">":
            return bool(found > want)
        case _:
            return bool(found >= want)
