"""Google Cloud on loopback: Dataproc, Logging, IAM and Resource Manager on one gRPC port, under the real clients.

Requests are parsed and answers built with the generated classes of the client packages, so nothing can be served that
the real clients could not be told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
from google.cloud import dataproc_v1 as dataproc
from google.protobuf.json_format import ParseDict

from auditor.sandbox import gcp_dataproc, gcp_iam, gcp_log_config, gcp_logging
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
        self._access = gcp_iam.AccessBook(self._store)
        self._log_config = gcp_log_config.LogConfig(self._store)
        self._server: grpc.Server | None = None

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """The calls that arrived, by service (`dataproc`, `logging`, `resourcemanager`, `iamadmin`) and operation."""
        return self._store.counts

    def start(self) -> str:
        """Serve on a free port of loopback; return the endpoint, `http://127.0.0.1:PORT`."""
        unbounded = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        server = grpc.server(ThreadPoolExecutor(16, "gcp"), options=unbounded)
        served = {
            **gcp_dataproc.operations(self._store),
            **gcp_logging.operations(self._store, self.logs),
            **gcp_iam.operations(self._store, self._access),
            **gcp_log_config.operations(self._log_config),
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

    def put_project(self, project: str, *, parent: str = "", number: str, state: str = "ACTIVE") -> None:
        """Say what a project is beside its id: its number, and its folder or organisation."""
        with self._store.lock:
            self._access.put_project(project, parent=parent, number=number, state=state)

    def put_folder(self, name: str, *, parent: str) -> None:
        """Add a folder, `folders/N`, below another one or an organisation."""
        with self._store.lock:
            self._access.put_folder(name, parent=parent)

    def put_policy(self, resource: str, policy: Json) -> None:
        """Set the IAM policy, in its JSON form, of a resource by its full name.

        That is `projects/ID`, `folders/N`, `organizations/N`, a cluster or a service account. The audit configuration
        stays unless the new policy has one.
        """
        with self._store.lock:
            self._access.put_policy(resource, policy)

    def withhold(self, project: str, permission: str) -> None:
        """Let TestIamPermissions say that the caller lacks a permission."""
        with self._store.lock:
            self._access.withheld.add((project, permission))

    def put_audit_config(self, resource: str, service: str, types: Mapping[str, Sequence[str]]) -> None:
        """Set which Data Access log types are on for a service, each with the members it exempts."""
        with self._store.lock:
            self._access.put_audit_config(resource, service, types)

    def put_role(self, name: str, permissions: Sequence[str], *, deleted: bool = False) -> None:
        """Add a role by its full name, or replace it."""
        with self._store.lock:
            self._access.put_role(name, permissions, deleted=deleted)

    def put_service_account(self, project: str, account: Json) -> None:
        """Add a service account, or replace the one with the same e-mail; it has a key that Google manages."""
        with self._store.lock:
            self._access.put_account(project, account)

    def remove_service_account(self, email: str) -> None:
        """Delete a service account with its keys; KeyError when there is none."""
        with self._store.lock:
            self._access.drop_account(email)

    def put_key(self, email: str, key_id: str, key: Json | None = None) -> None:
        """Add a key to a service account, or replace it: user-managed and made by Google unless told."""
        with self._store.lock:
            given = {"keyType": "USER_MANAGED", "keyOrigin": "GOOGLE_PROVIDED", **(key or {})}
            self._access.put_key(email, key_id, given)

    def remove_key(self, email: str, key_id: str) -> None:
        """Delete a key; KeyError when there is none."""
        with self._store.lock:
            self._access.drop_key(email, key_id)

    def put_log_bucket(
        self,
        project: str,
        name: str,
        *,
        location: str = "global",
        days: int,
        locked: bool = False,
        **more: Any,
    ) -> None:
        """Add a log bucket, or replace it: `_Default` too, which every project has from the start."""
        with self._store.lock:
            given = {"name": name, "retentionDays": days, "locked": locked, **more}
            self._log_config.put_bucket(project, location, given)

    def put_sink(self, project: str, name: str, destination: str, **more: Any) -> None:
        """Add a sink, or replace it; `more` as in its JSON form: filter, disabled, exclusions."""
        with self._store.lock:
            self._log_config.put_sink(project, {"name": name, "destination": destination, **more})

    def remove_sink(self, project: str, name: str) -> None:
        """Delete a sink; KeyError when there is none."""
        with self._store.lock:
            self._log_config.drop_sink(project, name)


def _full(name: str, parent: str) -> str:
    return name if "/" in name else f"{parent}/{name}"
