"""The smallest call of each permission on Google Cloud; where none proves it, TestIamPermissions is asked.

TestIamPermissions (Resource Manager API reference) tells which of some permissions the caller has on a project, needs none
itself, and so answers for what nothing is there to be asked about: reading a job by name, log entries of Data Access logs, which
ListLogEntries leaves out in silence from those who may not see them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from auditor.sources._reasons import Suspect
from auditor.sources.probes import Probe, Spot

Answer = Mapping[str, Any]
_DATAPROC, _LOGGING, _ACCESS = ("gcp_dataproc",), ("gcp_logging",), ("gcp_iam",)
PATIENCE_S = 10.0
"""Seconds that one call may take."""


def _ask(method: Callable[..., Any], **request: Any) -> Any:
    """Make one call, once: gapic would repeat what is unavailable for a minute."""
    return method(**request, timeout=PATIENCE_S, retry=None)


def _raw(answer: Any) -> Any:
    return type(answer).pb(answer) if hasattr(type(answer), "pb") else answer


def _listing(
    client: str, operation: str, items: str, tell: Callable[[Any], Answer] = lambda _item: {}
) -> Any:
    """Return a call of a regional listing of Dataproc."""

    def call(spot: Spot) -> Answer:
        from google.cloud import dataproc_v1

        request = getattr(dataproc_v1, f"{operation}Request")
        fields = request.meta.fields
        where = (
            {"project_id": spot.account, "region": spot.region}
            if "project_id" in fields
            else {"parent": f"projects/{spot.account}/{_parent(operation)}/{spot.region}"}
        )
        made = spot.clients.gcp(getattr(dataproc_v1, f"{client}Client"), spot.account, spot.region)
        method = getattr(made, _snake(operation))
        page = next(_ask(method, request=request(**where, page_size=1)).pages)
        found = getattr(_raw(page), items)
        return tell(found[0]) if found else {}

    return call


def _parent(operation: str) -> str:
    return "regions" if operation == "ListWorkflowTemplates" else "locations"


def _snake(name: str) -> str:
    return "".join(f"_{each.lower()}" if each.isupper() else each for each in name).lstrip("_")


def _cluster(found: Any) -> Answer:
    return {"cluster": found.cluster_name}


def _cluster_policy(spot: Spot) -> Answer | None:
    from google.cloud.dataproc_v1 import ClusterControllerClient

    if spot.get("cluster") is None:
        return None
    name = f"projects/{spot.account}/regions/{spot.region}/clusters/{spot.get('cluster')}"
    return _policy(spot.clients.gcp(ClusterControllerClient, spot.account, spot.region), name)


def _policy(client: Any, resource: str) -> Answer:
    from google.iam.v1.iam_policy_pb2 import GetIamPolicyRequest

    if not _ask(client.get_iam_policy, request=GetIamPolicyRequest(resource=resource)).etag:
        raise Suspect(f"the policy of {resource} has no etag")
    return {}


def _projects(spot: Spot) -> Any:
    from google.cloud.resourcemanager_v3 import ProjectsClient

    return spot.clients.gcp(ProjectsClient, spot.account)


def _project(spot: Spot) -> Answer:
    said = _ask(_projects(spot).get_project, name=f"projects/{spot.account}")
    if said.project_id != spot.account:
        raise Suspect(f"the answer about projects/{spot.account} is of another project, or of none")
    return {"parent": said.parent or None}


def _project_policy(spot: Spot) -> Answer:
    return _policy(_projects(spot), f"projects/{spot.account}")


def _above(spot: Spot, kind: str) -> str | None:
    """Return the project's parent where it is of a kind, and what is above is read at all."""
    parent = str(spot.get("parent") or "")
    read = getattr(spot.config.sources.get("gcp_iam"), "inherited", True)
    return parent if read and parent.startswith(f"{kind}/") else None


def _folder(spot: Spot) -> Answer | None:
    from google.cloud.resourcemanager_v3 import FoldersClient

    parent = _above(spot, "folders")
    if parent is None:
        return None
    said = _ask(spot.clients.gcp(FoldersClient, parent).get_folder, name=parent)
    return {"grandparent": said.parent or None}


def _folder_policy(spot: Spot) -> Answer | None:
    from google.cloud.resourcemanager_v3 import FoldersClient

    parent = _above(spot, "folders")
    return None if parent is None else _policy(spot.clients.gcp(FoldersClient, parent), parent)


def _organization_policy(spot: Spot) -> Answer | None:
    """Read the policy of the organization, where it is the project's parent or that of its folder."""
    from google.cloud.resourcemanager_v3 import OrganizationsClient

    over = str(spot.get("grandparent") or "")
    parent = _above(spot, "organizations") or (over if over.startswith("organizations/") else None)
    return None if parent is None else _policy(spot.clients.gcp(OrganizationsClient, parent), parent)


def _accounts(spot: Spot) -> Answer:
    from google.cloud.iam_admin_v1 import IAMClient, ListServiceAccountsRequest

    request = ListServiceAccountsRequest(name=f"projects/{spot.account}", page_size=1)
    page = next(_ask(spot.clients.gcp(IAMClient, spot.account).list_service_accounts, request=request).pages)
    found = _raw(page).accounts
    return {"service_account": found[0].name} if found else {}


def _keys(spot: Spot) -> Answer | None:
    from google.cloud.iam_admin_v1 import IAMClient

    name = spot.get("service_account")
    if name is None:
        return None
    _ask(spot.clients.gcp(IAMClient, spot.account).list_service_account_keys, name=name)
    return {}


def _account_policy(spot: Spot) -> Answer | None:
    from google.cloud.iam_admin_v1 import IAMClient

    name = spot.get("service_account")
    return None if name is None else _policy(spot.clients.gcp(IAMClient, spot.account), name)


def _roles(spot: Spot) -> Answer:
    from google.cloud.iam_admin_v1 import IAMClient, ListRolesRequest

    request = ListRolesRequest(parent=f"projects/{spot.account}", page_size=1)
    next(_ask(spot.clients.gcp(IAMClient, spot.account).list_roles, request=request).pages)
    return {}


def _configured(operation: str, parent: str) -> Callable[[Spot], Answer]:
    def call(spot: Spot) -> Answer:
        from google.cloud.logging_v2 import types
        from google.cloud.logging_v2.services.config_service_v2 import ConfigServiceV2Client

        request = getattr(types, f"{operation}Request")(parent=parent.format(spot.account), page_size=1)
        client = spot.clients.gcp(ConfigServiceV2Client, spot.account)
        next(_ask(getattr(client, _snake(operation)), request=request).pages)
        return {}

    return call


def _entries(spot: Spot) -> Answer | None:
    from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
    from google.cloud.logging_v2.types import ListLogEntriesRequest

    from auditor.sources.google import rfc3339

    if not getattr(spot.config.sources.get("gcp_logging"), "api", True):
        return None
    start, project = rfc3339(spot.now - timedelta(minutes=5)), f"projects/{spot.account}"
    log = f"{project}/logs/cloudaudit.googleapis.com%2Factivity"
    request = ListLogEntriesRequest(
        resource_names=[project], filter=f'logName="{log}" AND timestamp>="{start}"', page_size=1
    )
    client = spot.clients.gcp(LoggingServiceV2Client, spot.account)
    next(_ask(client.list_log_entries, request=request).pages)
    return {}


def _granted(permission: str) -> Callable[[Spot], Answer]:
    def call(spot: Spot) -> Answer:
        from google.api_core.exceptions import PermissionDenied
        from google.iam.v1.iam_policy_pb2 import TestIamPermissionsRequest

        request = TestIamPermissionsRequest(resource=f"projects/{spot.account}", permissions=[permission])
        said = _ask(_projects(spot).test_iam_permissions, request=request)
        if permission not in said.permissions:
            raise PermissionDenied(f"TestIamPermissions of projects/{spot.account} leaves it out")  # type: ignore[no-untyped-call]
        return {}

    return call


def _first_file(scheme: str) -> Callable[[Spot], Answer | None]:
    """Return a call that lists the first place of log files of a kind, as the source itself does."""

    def call(spot: Spot) -> Answer | None:
        from auditor.model import Window
        from auditor.sources._log_places import place
        from auditor.sources.ask import Ask

        settings = spot.config.sources.get("gcp_logging")
        url = next((each for each in getattr(settings, "files", ()) if each.startswith(f"{scheme}://")), None)
        if url is None:
            return None
        clients = spot.clients.for_source("gcp_logging")
        ask = Ask("gcp_logging", settings, (), Window(spot.now, spot.now), spot.now, clients)
        there = place(ask, url)
        return {"log_place": there, "log_file": next(iter(there.files("", "")), None)}

    return call


def _of_file(spot: Spot) -> Answer | None:
    there, file = spot.get("log_place"), spot.get("log_file")
    if there is None or file is None:
        return None
    next(iter(there.chunks(file)), None)
    return {}


_GET = "resourcemanager.projects.get"
_LIST_ACCOUNTS, _LIST_CLUSTERS, _LIST_FILES = (
    "iam.serviceAccounts.list",
    "dataproc.clusters.list",
    "storage.objects.list",
)
_DATAPROC_LISTS = (
    ("dataproc.jobs.list", "JobController", "ListJobs", "jobs"),
    ("dataproc.batches.list", "BatchController", "ListBatches", "batches"),
    ("dataproc.sessions.list", "SessionController", "ListSessions", "sessions"),
    ("dataproc.workflowTemplates.list", "WorkflowTemplateService", "ListWorkflowTemplates", "templates"),
)
PROBES = (
    *(
        Probe(permission, _DATAPROC, _listing(client, operation, items), regional=True)
        for permission, client, operation, items in _DATAPROC_LISTS
    ),
    Probe(
        _LIST_CLUSTERS,
        (*_DATAPROC, *_ACCESS),
        _listing("ClusterController", "ListClusters", "clusters", _cluster),
        regional=True,
    ),
    Probe("dataproc.clusters.getIamPolicy", _ACCESS, _cluster_policy, (_LIST_CLUSTERS,), regional=True),
    *(
        Probe(permission, of, _granted(permission))
        for permission, of in (
            ("dataproc.jobs.get", _DATAPROC),
            ("dataproc.batches.get", _DATAPROC),
            ("dataproc.sessions.get", _DATAPROC),
            ("iam.roles.get", _ACCESS),
            ("logging.privateLogEntries.list", _LOGGING),
        )
    ),
    Probe(_GET, _ACCESS, _project),
    Probe("resourcemanager.projects.getIamPolicy", _ACCESS, _project_policy),
    Probe("resourcemanager.folders.get", _ACCESS, _folder, (_GET,)),
    Probe("resourcemanager.folders.getIamPolicy", _ACCESS, _folder_policy, (_GET,)),
    Probe(
        "resourcemanager.organizations.getIamPolicy",
        _ACCESS,
        _organization_policy,
        (_GET, "resourcemanager.folders.get"),
    ),
    Probe("iam.roles.list", _ACCESS, _roles),
    Probe(_LIST_ACCOUNTS, _ACCESS, _accounts),
    Probe("iam.serviceAccounts.getIamPolicy", _ACCESS, _account_policy, (_LIST_ACCOUNTS,)),
    Probe("iam.serviceAccountKeys.list", _ACCESS, _keys, (_LIST_ACCOUNTS,)),
    Probe("logging.buckets.list", _ACCESS, _configured("ListBuckets", "projects/{}/locations/-")),
    Probe("logging.sinks.list", (*_ACCESS, *_LOGGING), _configured("ListSinks", "projects/{}")),
    Probe("logging.logEntries.list", _LOGGING, _entries),
    Probe(_LIST_FILES, _LOGGING, _first_file("gs")),
    Probe("storage.objects.get", _LOGGING, _of_file, (_LIST_FILES,)),
)
"""Every probe of Google Cloud."""
