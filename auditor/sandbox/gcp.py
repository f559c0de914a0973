"""Google Cloud on loopback: Dataproc and Cloud Logging on one gRPC port, under the real clients.

Requests are parsed and answers built with the generated classes of google-cloud-dataproc and
google-cloud-logging, so nothing can be served that the real clients could not be told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
from google.cloud import dataproc_v1 as dataproc
from google.protobuf.json_format import ParseDict

from auditor.sandbox import gcp_dataproc, gcp_logging
from auditor.sandbox.gcp_logging import LogBook
from auditor.sandbox.gcp_store import Store, handler, raw

if TYPE_CHECKING:
    from auditor.sandbox.faults import Faults

Json = Mapping[str, Any]
"""A resource in the JSON that the REST API shows; an enum may be a number the package lacks."""


class GcpCloud:
    """One sandbox of Google Cloud; seed it at any time, before or after `start`."""

    def __init__(self, faults: Faults) -> None:
        self._store = Store(faults)
        self.logs = LogBook()
        self._server: grpc.Server | None = None

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """The calls that arrived, by (`dataproc` or `logging`, operation)."""
        return self._store.counts

    def start(self) -> str:
        """Serve on a free port of loopback; return the endpoint, `http://127.0.0.1:PORT`."""
        unbounded = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        server = grpc.server(ThreadPoolExecutor(16, "gcp"), options=unbounded)
        served = {
            **gcp_dataproc.operations(self._store),
            **gcp_logging.operations(self._store, self.logs),
        }
        for service, operations in served.items():
            methods = {each.name: handler(self._store, each) for each in operations}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self._server = server
        return f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        """Stop serving, letting go of whatever hangs."""
        self._store.faults.release()
        if self._server is not None:
            self._server.stop(1).wait()
            self._server = None

    def declare(self, project: str, *regions: str) -> None:
        """Make a project and regions exist that hold nothing yet."""
        with self._store.lock:
            self._store.places.update((project, region) for region in regions or ("",))

    def add_job(self, job: Json, project: str, region: str) -> None:
        """Add a job, or replace the one with the same jobUuid."""
        message = ParseDict(job, raw(dataproc.Job))
        message.reference.project_id = message.reference.project_id or project
        self._store.put("jobs", project, region, message.job_uuid, message)

    def remove_job(self, job_uuid: str, project: str, region: str) -> None:
        """Delete a job; KeyError when there is none."""
        self._store.drop("jobs", project, region, job_uuid)

    def add_batch(self, batch: Json, project: str, region: str) -> None:
        """Add a batch, or replace the one with the same uuid; `name` may be its last part alone."""
        message = ParseDict(batch, raw(dataproc.Batch))
        message.name = _full(message.name, f"projects/{project}/locations/{region}/batches")
        self._store.put("batches", project, region, message.uuid, message)

    def remove_batch(self, uuid: str, project: str, region: str) -> None:
        """Delete a batch; KeyError when there is none."""
        self._store.drop("batches", project, region, uuid)

    def add_session(self, session: Json, project: str, region: str) -> None:
        """Add a session, or replace the one with the same uuid; `name` as for a batch."""
        message = ParseDict(session, raw(dataproc.Session))
        message.name = _full(message.name, f"projects/{project}/locations/{region}/sessions")
        self._store.put("sessions", project, region, message.uuid, message)

    def add_cluster(self, cluster: Json, project: str, region: str) -> None:
        """Add a cluster, or replace the one with the same name."""
        message = ParseDict(cluster, raw(dataproc.Cluster))
        message.project_id = message.project_id or project
        self._store.put("clusters", project, region, message.cluster_name, message)

    def remove_cluster(self, name: str, project: str, region: str) -> None:
        """Delete a cluster: from now on no list shows it. KeyError when there is none."""
        self._store.drop("clusters", project, region, name)

    def add_template(self, template: Json, project: str, region: str) -> None:
        """Add a workflow template, or replace the one with the same name."""
        message = ParseDict(template, raw(dataproc.WorkflowTemplate))
        parent = f"projects/{project}/regions/{region}/workflowTemplates"
        message.name = _full(message.name or message.id, parent)
        self._store.put("templates", project, region, message.name, message)

    def add_entries(self, entries: Iterable[Json]) -> None:
        """Add log entries; `logName` and `timestamp` are needed. Their projects then exist."""
        with self._store.lock:
            for entry in entries:
                self.logs.add(entry)
                self._store.places.add((entry["logName"].split("/")[1], ""))


def _full(name: str, parent: str) -> str:
    return name if "/" in name else f"{parent}/{name}"
