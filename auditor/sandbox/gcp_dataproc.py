"""Dataproc's list and get calls for jobs, clusters, batches, sessions and workflow templates.

Page sizes: ListBatches documents 20 and at most 1,000; the other lists document neither, and are
served with 100 and 1,000. Filters are those of the request classes' docstrings, anything else is
refused with INVALID_ARGUMENT.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import grpc
from google.cloud import dataproc_v1 as dataproc

from auditor.sandbox.gcp_query import (
    CLAUSES,
    RESOURCES,
    Comparison,
    FilterError,
    Test,
    matcher,
    parse,
)
from auditor.sandbox.gcp_store import Call, Operation, Store, raw

_PACKAGE = "google.cloud.dataproc.v1"
_TERMINAL_JOBS = {"CANCELLED", "DONE", "ERROR"}
_ACTIVE_CLUSTERS = {"CREATING", "UPDATING", "RUNNING"}
_INACTIVE_CLUSTERS = {"DELETING", "ERROR", "STOPPING", "STOPPED"}


def operations(store: Store) -> dict[str, list[Operation]]:
    """Return the operations served, by gRPC service."""
    make = _Maker(store)
    return {
        f"{_PACKAGE}.JobController": [
            make.listing(dataproc, "Jobs", "jobs", _job_test, order=_inserted),
            make.getter(dataproc.GetJobRequest, dataproc.Job, "GetJob", "jobs", "job_id"),
        ],
        f"{_PACKAGE}.ClusterController": [
            make.listing(dataproc, "Clusters", "clusters", _cluster_test),
            make.getter(
                dataproc.GetClusterRequest,
                dataproc.Cluster,
                "GetCluster",
                "clusters",
                "cluster_name",
            ),
        ],
        f"{_PACKAGE}.BatchController": [
            make.listing(dataproc, "Batches", "batches", _resource_test("batch"), default=20),
            make.getter(dataproc.GetBatchRequest, dataproc.Batch, "GetBatch", "batches", "name"),
        ],
        f"{_PACKAGE}.SessionController": [
            make.listing(dataproc, "Sessions", "sessions", _resource_test("session"), default=20),
            make.getter(dataproc.GetSessionRequest, dataproc.Session, "GetSession", "sessions", "name"),
        ],
        f"{_PACKAGE}.WorkflowTemplateService": [
            make.listing(dataproc, "WorkflowTemplates", "templates", None),
        ],
    }


class _Maker:
    """Makes operations over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def listing(
        self,
        package: Any,
        noun: str,
        kind: str,
        filters: Callable[[Comparison], Test] | None,
        *,
        default: int = 100,
        order: Callable[[Any], Any] | None = None,
    ) -> Operation:
        """Return the list call of one kind of resource."""
        response = getattr(package, f"List{noun}Response")
        request_cls = getattr(package, f"List{noun}Request")

        def answer(request: Any, call: Call) -> Any:
            project, region = self._place(request, call)
            rows = self._store.every(kind, project, region)
            if order is not None:
                rows.sort(key=order, reverse=True)
            rows = _matching(rows, request, call, filters)
            query = [project, region]
            query += [str(getattr(request, name, "")) for name in _ASKED]
            page, token = call.page(rows, request, default=default, cap=1000, query=query)
            message = raw(response)
            getattr(message, kind).extend(page)
            message.next_page_token = token
            return message

        return Operation("dataproc", f"List{noun}", request_cls, response, _scope, answer)

    def getter(self, request_cls: Any, response: Any, name: str, kind: str, field: str) -> Operation:
        """Return the get call of one kind of resource."""

        def answer(request: Any, call: Call) -> Any:
            project, region = self._place(request, call)
            wanted = getattr(request, field)
            for row in self._store.every(kind, project, region):
                if _name(row, kind) == wanted:
                    return row
            return call.refuse(grpc.StatusCode.NOT_FOUND, f"Not found: {kind} {wanted}")

        return Operation("dataproc", name, request_cls, response, _scope, answer)

    def _place(self, request: Any, call: Call) -> tuple[str, str]:
        ((project, region),) = _scope(request)
        if not any(project == known for known, _ in self._store.places):
            call.refuse(
                grpc.StatusCode.PERMISSION_DENIED,
                f"Permission denied on resource project {project} (or it may not exist)",
            )
        if (project, region) not in self._store.places:
            call.invalid(f"Region '{region}' is invalid or not supported in project '{project}'")
        return project, region or ""


_ASKED = ("filter", "cluster_name", "job_state_matcher", "order_by")


def _scope(request: Any) -> Sequence[tuple[str, str | None]]:
    if hasattr(request, "project_id"):
        return [(request.project_id, request.region)]
    parts = (getattr(request, "parent", "") or getattr(request, "name", "")).split("/")
    known = len(parts) >= 4 and parts[0] == "projects" and parts[2] in ("locations", "regions")
    return [(parts[1], parts[3])] if known else [("", None)]


def _matching(
    rows: list[Any], request: Any, call: Call, filters: Callable[[Comparison], Test] | None
) -> list[Any]:
    if getattr(request, "cluster_name", ""):
        rows = [row for row in rows if row.placement.cluster_name == request.cluster_name]
    if getattr(request, "order_by", "") not in ("", "create_time desc"):
        call.invalid(f"order_by {request.order_by!r} is not supported")
    if getattr(request, "order_by", ""):
        rows = sorted(rows, key=lambda row: row.create_time.ToNanoseconds(), reverse=True)
    if filters is None:
        return rows
    if not request.filter:
        state = getattr(request, "job_state_matcher", 0)
        return rows if not state else [row for row in rows if _job_active(row) == (state == 1)]
    try:
        dialect = CLAUSES if hasattr(request, "project_id") else RESOURCES
        test = matcher(parse(request.filter, dialect), filters, _no_search)
    except FilterError as error:
        call.invalid(str(error))
    return [row for row in rows if test(row)]


def _no_search(text: str) -> Test:
    raise FilterError(f"Unparseable filter: {text!r} alone is not a comparison")


def _name(row: Any, kind: str) -> str:
    names = {"jobs": lambda: row.reference.job_id, "clusters": lambda: row.cluster_name}
    return str(names.get(kind, lambda: row.name)())


def _inserted(job: Any) -> int:
    first = job.status_history[0] if job.status_history else job.status
    return int(first.state_start_time.ToNanoseconds())


def _state(row: Any) -> str:
    holder = row.status if hasattr(row, "status") else row
    values = holder.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number
    return str(values[holder.state].name) if holder.state in values else str(holder.state)


def _job_active(job: Any) -> bool:
    return _state(job) not in _TERMINAL_JOBS


def _job_test(node: Comparison) -> Test:
    match node.path, node.operator, node.value:
        case ("status", "state"), "=", "ACTIVE" | "NON_ACTIVE" | None as word:
            return lambda job: word is None or _job_active(job) == (word == "ACTIVE")
        case ("insertTime",), operator, str(value):
            return _compared(operator, _nanoseconds(value), _inserted)
        case ("labels", *key), "=", value:
            return _label(key, value)
    raise _unsupported(node)


def _cluster_test(node: Comparison) -> Test:
    match node.path, node.operator, node.value:
        case ("status", "state"), "=", None:
            return lambda _: True
        case ("status", "state"), "=", "ACTIVE":
            return lambda cluster: _state(cluster) in _ACTIVE_CLUSTERS
        case ("status", "state"), "=", "INACTIVE":
            return lambda cluster: _state(cluster) in _INACTIVE_CLUSTERS
        case ("status", "state"), "=", str(word) if word in _ACTIVE_CLUSTERS | _INACTIVE_CLUSTERS:
            return lambda cluster: _state(cluster) == word
        case ("clusterName",), "=", value:
            return lambda cluster: value is None or cluster.cluster_name == value
        case ("labels", *key), "=", value:
            return _label(key, value)
    raise _unsupported(node)


def _resource_test(noun: str) -> Callable[[Comparison], Test]:
    """Return the test of a batch or session, whose fields are named alike."""

    def test(node: Comparison) -> Test:
        match node.path, node.operator, node.value:
            case (name,), "=" | "!=" as operator, str(value) if name == f"{noun}_id":
                return _compared(operator, value, lambda row: row.name.rpartition("/")[2])
            case (name,), "=" | "!=" as operator, str(value) if name == f"{noun}_uuid":
                return _compared(operator, value, lambda row: row.uuid)
            case ("state",), "=" | "!=" as operator, str(value):
                return _compared(operator, value, _state)
            case ("create_time",), operator, str(value) if operator != ":":
                return _compared(operator, _nanoseconds(value), lambda row: row.create_time.ToNanoseconds())
            case ("labels", *key), "=" | ":", value:
                return _label(key, value)
        raise _unsupported(node)

    return test


def _label(key: Sequence[str], value: str | None) -> Test:
    name = ".".join(key)
    if not name:
        raise FilterError("Unparseable filter: labels needs a key")
    return lambda row: name in row.labels and value in (None, row.labels[name])


def _compared(operator: str, want: Any, read: Callable[[Any], Any]) -> Test:
    tests: dict[str, Test] = {
        "=": lambda row: read(row) == want,
        "!=": lambda row: read(row) != want,
        "<": lambda row: read(row) < want,
        "<=": lambda row: read(row) <= want,
        ">": lambda row: read(row) > want,
        ">=": lambda row: read(row) >= want,
    }
    return tests[operator]


def _nanoseconds(value: str) -> int:
    try:
        moment: datetime | None = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise FilterError(f"Unparseable filter: {value!r} is not an RFC 3339 timestamp")
    return int(moment.timestamp()) * 10**9 + moment.microsecond * 1000


def _unsupported(node: Comparison) -> FilterError:
    clause = f"{'.'.join(node.path)} {node.operator} {node.value or '*'}"
    return FilterError(f"Unparseable filter: {clause} is not supported")
