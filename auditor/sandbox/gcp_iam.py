"""Resource Manager and IAM: projects and what is above them, policies, roles, service accounts and their keys.

What a true answer always holds is always there: a policy's etag, a key of each account that Google manages. A policy
that has conditions and is asked for in a version below 3 comes without them, its roles under a name with `_withcond_`
(cloud.google.com/iam/docs/troubleshooting-withcond). Page sizes are those of the request classes' docstrings.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
from google.cloud import iam_admin_v1 as iam
from google.cloud import resourcemanager_v3 as manager
from google.iam.v1 import policy_pb2
from google.iam.v1.iam_policy_pb2 import (
    GetIamPolicyRequest,
    TestIamPermissionsRequest,
    TestIamPermissionsResponse,
)
from google.protobuf.json_format import ParseDict

from auditor.sandbox.gcp_store import Call, Operation, Store, raw

Json = Mapping[str, Any]
Scope = list[tuple[str, str | None]]


class AccessBook:
    """Everything that is seeded; a project that exists and was given nothing has what Google gives it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._projects: dict[str, Any] = {}
        self._folders: dict[str, Any] = {}
        self._policies: dict[str, Any] = {}
        self._roles: dict[str, Any] = {}
        self._accounts: dict[str, Any] = {}
        self._keys: dict[str, dict[str, Any]] = {}
        self.withheld: set[tuple[str, str]] = set()
        """Project and permission that the caller lacks; every other one it has."""

    def put_project(self, project: str, *, parent: str, number: str, state: str) -> None:
        message = raw(manager.Project)
        message.name, message.project_id, message.parent = f"projects/{number}", project, parent
        message.state = getattr(manager.Project.State, state)
        self._projects[project] = message

    def put_folder(self, name: str, *, parent: str) -> None:
        message = raw(manager.Folder)
        message.name, message.parent, message.state = name, parent, manager.Folder.State.ACTIVE
        self._folders[name] = message

    def put_policy(self, resource: str, policy: Json) -> None:
        """Set the policy of a resource; its audit configuration stays unless the new one has one."""
        message = ParseDict(policy, policy_pb2.Policy())
        if "auditConfigs" not in policy and resource in self._policies:
            message.audit_configs.extend(self._policies[resource].audit_configs)
        self._policies[resource] = message

    def put_audit_config(self, resource: str, service: str, types: Mapping[str, Sequence[str]]) -> None:
        """Set which log types are on for a service, each with the members it exempts."""
        policy = self._policies.setdefault(resource, policy_pb2.Policy())
        kept = [each for each in policy.audit_configs if each.service != service]
        config = policy_pb2.AuditConfig(service=service)
        for name, exempted in types.items():
            number = policy_pb2.AuditLogConfig.LogType.Value(name)
            config.audit_log_configs.add(log_type=number, exempted_members=exempted)
        del policy.audit_configs[:]
        policy.audit_configs.extend([*kept, *([config] if types else [])])

    def put_role(self, name: str, permissions: Sequence[str], *, deleted: bool) -> None:
        message = raw(iam.Role)
        message.name, message.deleted, message.etag = name, deleted, b"ACAB"
        message.included_permissions.extend(permissions)
        self._roles[name] = message

    def put_account(self, project: str, account: Json) -> None:
        message = ParseDict(account, raw(iam.ServiceAccount))
        message.project_id = project
        message.name = f"projects/{project}/serviceAccounts/{message.email}"
        self._accounts[message.email] = message
        if message.email not in self._keys:
            key = {"keyType": "SYSTEM_MANAGED", "keyOrigin": "GOOGLE_PROVIDED"}
            span = {"validAfterTime": "2026-01-01T00:00:00Z", "validBeforeTime": "2028-01-01T00:00:00Z"}
            self._keys[message.email] = {}
            self.put_key(message.email, hashlib.sha256(message.email.encode()).hexdigest()[:40], key | span)

    def drop_account(self, email: str) -> None:
        del self._accounts[email], self._keys[email]

    def put_key(self, email: str, key_id: str, key: Json) -> None:
        message = ParseDict(key, raw(iam.ServiceAccountKey))
        message.name = f"{self._accounts[email].name}/keys/{key_id}"
        self._keys[email][key_id] = message

    def drop_key(self, email: str, key_id: str) -> None:
        del self._keys[email][key_id]

    # What is answered -------------------------------------------------------------------------------------------------

    def project(self, name: str) -> Any | None:
        """Return a project by id; None when it does not exist."""
        if name not in self._projects and any(name == known for known, _ in self._store.places):
            number = str(100_000_000_000 + zlib.crc32(name.encode()))
            self.put_project(name, parent="", number=number, state="ACTIVE")
        return self._projects.get(name)

    def folder(self, name: str) -> Any | None:
        return self._folders.get(name)

    def policy(self, resource: str, version: int) -> Any:
        """Return the policy of a resource in the version that is asked for."""
        answer = policy_pb2.Policy()
        answer.CopyFrom(self._policies.get(resource, answer))
        conditional = any(each.HasField("condition") for each in answer.bindings)
        answer.version = 3 if conditional and version >= 3 else 1
        if conditional and version < 3:
            for each in answer.bindings:
                if each.HasField("condition"):
                    digest = hashlib.sha256(each.condition.expression.encode()).hexdigest()[:20]
                    each.role = f"{each.role}_withcond_{digest}"
                    each.ClearField("condition")
        body = answer.SerializeToString(deterministic=True)
        answer.etag = hashlib.sha256(body).digest()[:8]
        return answer

    def accounts(self, project: str) -> list[Any]:
        return [each for _, each in sorted(self._accounts.items()) if each.project_id == project]

    def account(self, name: str) -> Any | None:
        """Return a service account by its full name, which may leave the project open and name the unique id."""
        project, _, wanted = name.removeprefix("projects/").partition("/serviceAccounts/")
        for each in self._accounts.values():
            if wanted in (each.email, each.unique_id) and project in ("-", each.project_id):
                return each
        return None

    def keys(self, email: str) -> list[Any]:
        return [each for _, each in sorted(self._keys[email].items())]

    def roles(self, parent: str, *, deleted: bool) -> list[Any]:
        """Return the roles of a project or an organisation; the predefined ones when `parent` is empty."""
        start = f"{parent}/roles/" if parent else "roles/"
        return [
            r for n, r in sorted(self._roles.items()) if n.startswith(start) and (deleted or not r.deleted)
        ]

    def role(self, name: str) -> Any | None:
        return self._roles.get(name)


def operations(store: Store, book: AccessBook) -> dict[str, list[Operation]]:
    """Return the operations served, by gRPC service."""
    answers = _Answers(store, book)
    policies = {
        f"google.cloud.resourcemanager.v3.{noun}": answers.policy("resourcemanager", answers.exists)
        for noun in ("Projects", "Folders", "Organizations")
    }
    return {
        "google.cloud.resourcemanager.v3.Projects": [
            policies["google.cloud.resourcemanager.v3.Projects"],
            Operation(
                "resourcemanager", "TestIamPermissions", TestIamPermissionsRequest, TestIamPermissionsResponse,
                _resource, answers.granted,
            ),
            Operation(
                "resourcemanager", "GetProject", manager.GetProjectRequest, manager.Project, _named, answers.project
            ),
        ],
        "google.cloud.resourcemanager.v3.Folders": [
            policies["google.cloud.resourcemanager.v3.Folders"],
            Operation(
                "resourcemanager", "GetFolder", manager.GetFolderRequest, manager.Folder, _named, answers.folder
            ),
        ],
        "google.cloud.resourcemanager.v3.Organizations": [
            policies["google.cloud.resourcemanager.v3.Organizations"]
        ],
        "google.iam.v1.IAMPolicy": [answers.policy("dataproc", answers.cluster)],
        "google.iam.admin.v1.IAM": [
            answers.policy("iamadmin", answers.has_account),
            Operation(
                "iamadmin", "ListServiceAccounts", iam.ListServiceAccountsRequest, iam.ListServiceAccountsResponse,
                _named, answers.accounts,
            ),
            Operation(
                "iamadmin", "ListServiceAccountKeys", iam.ListServiceAccountKeysRequest,
                iam.ListServiceAccountKeysResponse, _named, answers.keys,
            ),
            Operation("iamadmin", "ListRoles", iam.ListRolesRequest, iam.ListRolesResponse, _parent, answers.roles),
            Operation("iamadmin", "GetRole", iam.GetRoleRequest, iam.Role, _named, answers.role),
        ],
    }  # fmt: skip


def _place(name: str) -> Scope:
    """Return the project that a name is in; a folder or an organisation stands for itself."""
    parts = name.split("/")
    if parts[0] == "projects" and len(parts) > 1:
        return [(parts[1], parts[3] if len(parts) > 4 and parts[2] == "regions" else None)]
    return [(name, None)]


def _named(request: Any) -> Scope:
    return _place(request.name)


def _parent(request: Any) -> Scope:
    return _place(request.parent)


def _resource(request: Any) -> Scope:
    return _place(request.resource)


class _Answers:
    """Answers over one book."""

    def __init__(self, store: Store, book: AccessBook) -> None:
        self._store = store
        self._book = book

    def policy(self, service: str, admit: Callable[[str, Call], None]) -> Operation:
        """Return GetIamPolicy of one service; `admit` refuses resources that it does not have."""

        def answer(request: Any, call: Call) -> Any:
            admit(request.resource, call)
            with self._store.lock:
                return self._book.policy(request.resource, request.options.requested_policy_version)

        return Operation(service, "GetIamPolicy", GetIamPolicyRequest, policy_pb2.Policy, _resource, answer)

    def exists(self, resource: str, call: Call) -> None:
        kind, _, name = resource.partition("/")
        known = {"projects": self._book.project(name), "folders": self._book.folder(resource)}
        if known.get(kind, resource) is None:
            _deny(call, resource)

    def granted(self, request: Any, call: Call) -> Any:
        self.exists(request.resource, call)
        project = request.resource.removeprefix("projects/")
        has = [each for each in request.permissions if (project, each) not in self._book.withheld]
        return TestIamPermissionsResponse(permissions=has)

    def cluster(self, resource: str, call: Call) -> None:
        parts = resource.split("/")
        if len(parts) != 6 or parts[4] != "clusters":
            call.invalid(f"{resource} is no cluster")
        if not any(
            each.cluster_name == parts[5] for each in self._store.every("clusters", parts[1], parts[3])
        ):
            call.refuse(grpc.StatusCode.NOT_FOUND, f"Not found: Cluster {resource}")

    def has_account(self, resource: str, call: Call) -> None:
        self._account(resource, call)

    def _account(self, name: str, call: Call) -> Any:
        found = self._book.account(name)
        if found is None:
            call.refuse(grpc.StatusCode.NOT_FOUND, f"Unknown service account {name}")
        return found

    def project(self, request: Any, call: Call) -> Any:
        return self._book.project(request.name.removeprefix("projects/")) or _deny(call, request.name)

    def folder(self, request: Any, call: Call) -> Any:
        return self._book.folder(request.name) or _deny(call, request.name)

    def accounts(self, request: Any, call: Call) -> Any:
        self.exists(request.name, call)
        message = raw(iam.ListServiceAccountsResponse)
        rows = self._book.accounts(request.name.removeprefix("projects/"))
        page, message.next_page_token = call.page(rows, request, default=20, cap=100, query=[request.name])
        message.accounts.extend(page)
        return message

    def keys(self, request: Any, call: Call) -> Any:
        message = raw(iam.ListServiceAccountKeysResponse)
        wanted = set(request.key_types)
        keys = self._book.keys(self._account(request.name, call).email)
        message.keys.extend(key for key in keys if not wanted or key.key_type in wanted)
        return message

    def roles(self, request: Any, call: Call) -> Any:
        if request.parent.startswith("projects/"):
            self.exists(request.parent, call)
        message = raw(iam.ListRolesResponse)
        rows = self._book.roles(request.parent, deleted=request.show_deleted)
        query = [request.parent, str(request.view), str(request.show_deleted)]
        page, message.next_page_token = call.page(rows, request, default=300, cap=1000, query=query)
        for role in page:
            told = message.roles.add()
            told.CopyFrom(role)
            if request.view != iam.RoleView.FULL:
                told.ClearField("included_permissions")
        return message

    def role(self, request: Any, call: Call) -> Any:
        found = self._book.role(request.name)
        if found is None:
            call.refuse(grpc.StatusCode.NOT_FOUND, f"The role named {request.name} was not found.")
        return found


def _deny(call: Call, resource: str) -> Any:
    message = f"The caller does not have permission on {resource} (or it may not exist)"
    return call.refuse(grpc.StatusCode.PERMISSION_DENIED, message)
