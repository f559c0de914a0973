"""Who may do what in each project: policies and what they inherit, roles, service accounts, keys, log buckets.

A project's policy is read with the policies of its folders and its organisation, in version 3: anything less leaves
conditions out of the answer. Cloud IAM has no bulk call for policies and keys of service accounts, so they are asked
for those alone that export or trigger. Deny policies, and policies of Cloud Storage buckets, are not read.

An empty message is a legal answer of gRPC and looks like a project in which nobody may do anything. So an answer must
hold what every true one does: a policy its etag, a project its buckets and sinks `_Required`, a service account a key
that Google manages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from auditor.model import Gap, Row, Seen
from auditor.sources._gcp_access import (
    Holder,
    of_account,
    of_known_role,
    of_log_bucket,
    of_policy,
    of_role,
    of_sink,
)
from auditor.sources.ask import Ask, Suspect, gap, guard

if TYPE_CHECKING:
    from auditor.sources.google import Patience

TABLES = (
    "gcp_project",
    "gcp_iam_binding",
    "gcp_audit_config",
    "gcp_role",
    "gcp_service_account",
    "gcp_service_account_key",
    "gcp_log_bucket",
    "gcp_log_sink",
)
AFTER = ("gcp_dataproc", "gcp_logging", "aws_iam")
ACTIONS = (
    "resourcemanager.projects.get",
    "resourcemanager.projects.getIamPolicy",
    "resourcemanager.folders.get",
    "resourcemanager.folders.getIamPolicy",
    "resourcemanager.organizations.getIamPolicy",
    "dataproc.clusters.getIamPolicy",
    "iam.roles.list",
    "iam.roles.get",
    "iam.serviceAccounts.list",
    "iam.serviceAccounts.getIamPolicy",
    "iam.serviceAccountKeys.list",
    "logging.buckets.list",
    "logging.sinks.list",
)

Item = Row | Seen | Gap


@dataclass(frozen=True, slots=True)
class Settings:
    """How access in Google Cloud is read."""

    call_timeout_s: float = 60.0
    """Seconds that one call may take."""
    retry_s: float = 60.0
    """Seconds for which a throttled or unavailable call is repeated."""
    workers: int = 4
    """Calls at once: projects, clusters and service accounts side by side."""
    inherited: bool = True
    """Read the policies of folders and the organisation, which needs roles there; false leaves them a gap."""

    @property
    def patience(self) -> Patience:
        """The budget of one call."""
        from auditor.sources.google import Patience

        return Patience(self.call_timeout_s, self.retry_s)


def collect(ask: Ask) -> Iterator[Item]:
    """Yield projects in their order with what they inherit, then clusters, accounts, and the roles that are named."""
    from auditor.sources._gcp_chain import asked

    names = ask.accounts("gcp")
    if not names:
        return
    workers = ask.settings.workers
    projects = list(ask.side_by_side(workers, lambda name: _project(ask, name), names))
    above: dict[str, _Node] = {}
    items: list[Item] = []
    for project in projects:
        items += project.items
        items += _lineage(ask, project, above)
    for node in above.values():
        items += node.items
    numbers = {each.number: each.name for each in projects if each.number}
    for found in ask.side_by_side(workers, lambda one: one(), asked(ask, items, numbers)):
        items += found
    yield from items
    roles = {
        each.values["role"] for each in items if isinstance(each, Row) and each.table == "gcp_iam_binding"
    }
    unread = [each for each in items if isinstance(each, Gap) and each.table == "gcp_iam_binding"]
    yield from _roles(ask, sorted(roles), names[0], unread)


Why = tuple[str, str]
"""Reason and detail of a gap."""


@dataclass(slots=True)
class _Project:
    """What was read of one project alone."""

    name: str
    items: list[Item] = field(default_factory=list)
    number: str = ""
    state: str = ""
    parent: str | None = None
    """Its folder or organisation; empty when it has none, None when that was not read."""
    lost: list[tuple[str, Why]] = field(default_factory=list)
    """Policies that act here and were not read."""


@dataclass(slots=True)
class _Node:
    """What was read of one folder or organisation."""

    items: list[Item]
    parent: str | None
    lost: list[tuple[str, Why]]


def _project(ask: Ask, name: str) -> _Project:
    from google.cloud.resourcemanager_v3 import ProjectsClient

    found, full = _Project(name), f"projects/{name}"
    client = ask.clients.gcp(ProjectsClient, name)
    with guard(Seen("gcp_project", name), action="resourcemanager.projects.get") as read:
        message = client.get_project(name=full, **ask.settings.patience.options())
        if message.project_id != name or not message.name:
            raise Suspect(f"the answer about {full} is of another project, or of none")
        found.number = message.name.removeprefix("projects/")
        found.state, found.parent = message.state.name, message.parent
    found.items += read
    if not read.ok:
        found.lost.append((f"{full}/inherited", (read.reason, read.detail)))
    rows, why = policy(ask, client, Holder(full, "project", name), Seen("gcp_iam_binding", name))
    found.items += rows
    if why:
        found.lost.append((full, why))
    members = {row.values["member"] for row in rows if isinstance(row, Row) and "member" in row.values}
    found.items += _accounts(ask, name, members)
    found.items += _log_buckets(ask, name)
    found.items += _log_sinks(ask, name)
    return found


def policy(ask: Ask, client: Any, held: Holder, scope: Seen) -> tuple[list[Item], Why | None]:
    """Return the rows and the coverage of one policy, and why it was not read where it was not.

    A cluster or a service account that is gone meanwhile has none.
    """
    from google.api_core.exceptions import NotFound
    from google.iam.v1.iam_policy_pb2 import GetIamPolicyRequest
    from google.iam.v1.options_pb2 import GetPolicyOptions

    options = GetPolicyOptions(requested_policy_version=3)
    request = GetIamPolicyRequest(resource=held.resource, options=options)
    noun = _NOUNS.get(held.kind, f"resourcemanager.{held.kind}s")
    found: list[Item] = []
    with guard(scope, action=f"{noun}.getIamPolicy") as read:
        try:
            answer = client.get_iam_policy(request=request, **ask.settings.patience.options())
        except NotFound:
            if held.kind not in _NOUNS:
                raise
        else:
            found += of_policy(answer, held)
    return [*found, *read], None if read.ok else (read.reason, read.detail)


_NOUNS = {"cluster": "dataproc.clusters", "service_account": "iam.serviceAccounts"}


def _lineage(ask: Ask, project: _Project, above: dict[str, _Node]) -> Iterator[Item]:
    """Yield a project's row with its ancestors, and whether every policy that acts on it was read."""
    lost, parent = list(project.lost), project.parent
    ancestors: list[str] = []
    while parent and parent not in ancestors:
        if parent not in above:
            above[parent] = _node(ask, parent)
        ancestors.append(parent)
        lost += above[parent].lost
        parent = above[parent].parent
    name = project.name
    if project.number:
        values = {
            "name": f"projects/{name}",
            "project": name,
            "number": project.number,
            "state": project.state,
        }
        yield Row("gcp_project", {**values, "ancestors": None if parent is None else ancestors})
    for resource, (reason, detail) in lost:
        here = "*" if resource == f"projects/{name}" else resource
        yield Gap("gcp_audit_config", name, "*", here, reason, detail)
        if resource == f"projects/{name}/inherited":
            yield from _unknown_above(resource, (reason, detail))
    if not lost:
        yield Seen("gcp_audit_config", name)


def _node(ask: Ask, resource: str) -> _Node:
    """Read a folder or an organisation: its policy, and what is above it."""
    from google.cloud.resourcemanager_v3 import FoldersClient, OrganizationsClient

    kind = "folder" if resource.startswith("folders/") else "organization"
    bindings, configs = Seen("gcp_iam_binding", resource), Seen("gcp_audit_config", resource)
    if not ask.settings.inherited:
        why = ("not_configured", "inherited is off in [sources.gcp_iam]")
        return _Node([gap(each, *why) for each in (bindings, configs)], None, [(resource, why)])
    client = ask.clients.gcp(FoldersClient if kind == "folder" else OrganizationsClient, resource)
    items, why_not = policy(ask, client, Holder(resource, kind, resource), bindings)
    lost = [(resource, why_not)] if why_not else []
    items.append(gap(configs, *why_not) if why_not else configs)
    parent: str | None = ""
    if kind == "folder":
        over = Seen("gcp_iam_binding", resource, "*", f"{resource}/inherited")
        with guard(over, action="resourcemanager.folders.get") as read:
            message = client.get_folder(name=resource, **ask.settings.patience.options())
            if message.name != resource or not message.parent:
                raise Suspect(f"the answer about {resource} is of another folder, or of none")
            parent = message.parent
        if not read.ok:
            parent, why = None, (read.reason, read.detail)
            items += _unknown_above(f"{resource}/inherited", why)
            lost.append((f"{resource}/inherited", why))
    return _Node(items, parent, lost)


def _unknown_above(resource: str, why: Why) -> Iterator[Gap]:
    """Yield the gaps of policies that nobody can name, since what is above a project or folder was not told."""
    for table in ("gcp_iam_binding", "gcp_audit_config"):
        yield Gap(table, "*", "*", resource, *why)


def _accounts(ask: Ask, project: str, members: set[str]) -> Iterator[Item]:
    from google.cloud.iam_admin_v1 import IAMClient, ListServiceAccountsRequest

    from auditor.sources.google import pages

    client = ask.clients.gcp(IAMClient, project)
    count = 0
    with guard(Seen("gcp_service_account", project), action="iam.serviceAccounts.list") as read:
        request = ListServiceAccountsRequest(name=f"projects/{project}", page_size=100)
        for page in pages(client.list_service_accounts, request, ask.settings.patience):
            for account in page.accounts:
                count += 1
                yield of_account(account, project)
        own = f"@{project}.iam.gserviceaccount.com"
        known = {member.partition(":")[2] for member in members if member.startswith("serviceAccount:")}
        known |= {row["email"] for row in ask.before("gcp_service_account") if row["project"] == project}
        if not count and (missed := sorted(each for each in known if each.endswith(own))):
            raise Suspect(f"the answer lists no service accounts, but {missed[0]} should be there")
    yield from read
    if not read.ok:  # whose keys and policies to ask for comes from this listing too
        yield Gap("gcp_service_account_key", project, "*", "*", read.reason, read.detail)
        yield Gap(
            "gcp_iam_binding", project, "*", f"projects/{project}/serviceAccounts", read.reason, read.detail
        )


def _log_buckets(ask: Ask, project: str) -> Iterator[Item]:
    from google.cloud.logging_v2.services.config_service_v2 import ConfigServiceV2Client
    from google.cloud.logging_v2.types import ListBucketsRequest

    from auditor.sources.google import pages

    client = ask.clients.gcp(ConfigServiceV2Client, project)
    required = False
    with guard(Seen("gcp_log_bucket", project), action="logging.buckets.list") as read:
        request = ListBucketsRequest(parent=f"projects/{project}/locations/-", page_size=1000)
        for page in pages(client.list_buckets, request, ask.settings.patience):
            for bucket in page.buckets:
                required = required or bucket.name.endswith("/buckets/_Required")
                yield of_log_bucket(bucket, project)
        if not required:
            raise Suspect("the answer lacks the log bucket _Required, which nobody can delete")
    yield from read


def _log_sinks(ask: Ask, project: str) -> Iterator[Item]:
    from google.cloud.logging_v2.services.config_service_v2 import ConfigServiceV2Client
    from google.cloud.logging_v2.types import ListSinksRequest

    from auditor.sources.google import pages

    client = ask.clients.gcp(ConfigServiceV2Client, project)
    required = False
    with guard(Seen("gcp_log_sink", project), action="logging.sinks.list") as read:
        request = ListSinksRequest(parent=f"projects/{project}", page_size=1000)
        for page in pages(client.list_sinks, request, ask.settings.patience):
            for sink in page.sinks:
                required = required or sink.name == "_Required"
                yield of_sink(sink, project)
        if not required:
            raise Suspect("the answer lacks the sink _Required, which nobody can delete")
    yield from read


def _roles(ask: Ask, names: list[str], project: str, unread: Sequence[Gap]) -> Iterator[Item]:
    """Yield what the roles that bindings name grant; one that nobody tells of is a gap of its own.

    Own roles are listed by project or organisation; a predefined one that our table lacks is asked for by name. Roles
    that `unread` policies name are not known either.
    """
    lost = bool(unread)
    for each in unread[:1]:
        yield Gap(
            "gcp_role",
            "*",
            "*",
            "*",
            each.reason,
            f"not every policy that names roles was read: {each.detail}",
        )
    listed: dict[str, Mapping[str, Row] | Why] = {}
    for name in names:
        parent, _, _ = name.rpartition("/roles/")
        if not parent:
            item = of_known_role(name) or _role(ask, name, project)
        else:
            if parent not in listed:
                listed[parent] = _own_roles(ask, parent, project)
            own = listed[parent]
            missing = ("suspect", f"{name} is bound, but the roles of {parent} do not have it")
            why = missing if isinstance(own, Mapping) else own
            found = own.get(name) if isinstance(own, Mapping) else None
            item = found or Gap("gcp_role", _account(parent), "*", name, *why)
        lost = lost or isinstance(item, Gap)
        yield item
    if not lost:
        yield Seen("gcp_role", "*")


def _account(parent: str) -> str:
    """Return where the roles of a parent belong: to their project, or to everybody."""
    kind, _, name = parent.partition("/")
    return name if kind == "projects" else "*"


def _role(ask: Ask, name: str, project: str) -> Row | Gap:
    from google.cloud.iam_admin_v1 import GetRoleRequest, IAMClient

    client = ask.clients.gcp(IAMClient, project)
    with guard(Seen("gcp_role", "*", "*", name), action="iam.roles.get") as read:
        role = client.get_role(request=GetRoleRequest(name=name), **ask.settings.patience.options())
        if role.name != name:
            raise Suspect(f"the answer about {name} is of another role, or of none")
        return of_role(role, "*")
    return next(each for each in read if isinstance(each, Gap))


def _own_roles(ask: Ask, parent: str, project: str) -> Mapping[str, Row] | Why:
    from google.cloud.iam_admin_v1 import IAMClient, ListRolesRequest, RoleView

    from auditor.sources.google import pages

    client = ask.clients.gcp(IAMClient, project)
    request = ListRolesRequest(parent=parent, view=RoleView.FULL, show_deleted=True, page_size=1000)
    found: dict[str, Row] = {}
    with guard(Seen("gcp_role", "*", "*", parent), action="iam.roles.list") as read:
        for page in pages(client.list_roles, request, ask.settings.patience):
            for role in page.roles:
                found[role.name] = of_role(role, _account(parent))
    return found if read.ok else (read.reason, read.detail)
