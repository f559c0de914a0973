"""IAM's answers in bulk: moto's pages hold everything at once, and its uses of keys and roles are today's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from auditor.sandbox.aws.books import Here, Params, Record, Refused, derived_id, given
from auditor.sandbox.aws.moto_world import moto
from auditor.sandbox.aws.paging import offset, token

_LISTS = {
    "User": "UserDetailList",
    "Group": "GroupDetailList",
    "Role": "RoleDetailList",
    "LocalManagedPolicy": "Policies",
    "AWSManagedPolicy": "Policies",
}

_FIRST = datetime(2015, 2, 6, 18, 40, tzinfo=UTC)
"""When AWS's own policies are said to be made."""


def get_account_authorization_details(here: Here, asked: Params) -> Record:
    """Give users, groups, roles, the account's own policies and AWS's that are in use, a page at a time across all of them."""
    backend = _backend(here)
    wanted = asked.get("Filter") or list(_LISTS)
    rows: list[tuple[str, Record]] = []
    if "User" in wanted:
        rows += [("User", _user(backend, user)) for user in _by_name(backend.users.values())]
    if "Group" in wanted:
        rows += [("Group", _group(group)) for group in _by_name(backend.groups.values())]
    if "Role" in wanted:
        rows += [("Role", _role(backend, role)) for role in _by_name(backend.roles.values())]
    if "LocalManagedPolicy" in wanted:
        rows += [
            ("LocalManagedPolicy", _policy(backend, policy))
            for policy in _by_name(backend.managed_policies.values())
            if policy.account_id == here.account
        ]
    if "AWSManagedPolicy" in wanted:
        rows += [("AWSManagedPolicy", row) for row in _of_aws(here, backend)]
    start, size = offset(asked.get("Marker")), int(asked.get("MaxItems") or 100)
    reply: Record = {name: [] for name in _LISTS.values()}
    for kind, row in rows[start : start + size]:
        reply[_LISTS[kind]].append(row)
    return _more(reply, start, size, len(rows))


def list_access_keys(here: Here, asked: Params) -> Record:
    """List the access keys of a user."""
    user = _backend(here).users.get(asked.get("UserName"))
    if user is None:
        raise Refused("NoSuchEntity", f"The user with name {asked.get('UserName')} cannot be found.", 404)
    rows = [
        {
            "UserName": user.name,
            "AccessKeyId": key.access_key_id,
            "Status": key.status,
            "CreateDate": _aware(key.create_date),
        }
        for key in user.access_keys
    ]
    start, size = offset(asked.get("Marker")), int(asked.get("MaxItems") or 100)
    return _more({"AccessKeyMetadata": rows[start : start + size]}, start, size, len(rows))


def get_access_key_last_used(here: Here, asked: Params) -> Record:
    """Say when a key was last used: N/A when it never was."""
    key = _backend(here).access_keys.get(asked["AccessKeyId"])
    if key is None or key.user_name is None:
        raise Refused("AccessDenied", f"Access key {asked['AccessKeyId']} is not of this account", 403)
    used = here.books.keys_used.get(key.access_key_id, {"ServiceName": "N/A", "Region": "N/A"})
    return {"UserName": key.user_name, "AccessKeyLastUsed": dict(used)}


def _backend(here: Here) -> Any:
    return moto("iam.models").iam_backends[here.account]["aws"]


def _by_name(rows: Iterable[Any]) -> list[Any]:
    return sorted(rows, key=lambda row: str(row.name))


def _more(reply: Record, start: int, size: int, of: int) -> Record:
    reply["IsTruncated"] = start + size < of
    if reply["IsTruncated"]:
        reply["Marker"] = token(start + size)
    return reply


def _user(backend: Any, user: Any) -> Record:
    boundary = getattr(user, "permissions_boundary_arn", None)
    fence = {"PermissionsBoundaryType": "PermissionsBoundaryPolicy", "PermissionsBoundaryArn": boundary}
    return given(_bare_user(backend, user) | {"PermissionsBoundary": fence if boundary else None})


def _bare_user(backend: Any, user: Any) -> Record:
    return {
        "Path": user.path,
        "UserName": user.name,
        "UserId": user.id.upper(),
        "Arn": user.arn,
        "CreateDate": _aware(user.create_date),
        "UserPolicyList": _inline(user),
        "GroupList": sorted(group.name for group in backend.groups.values() if user in group.users),
        "AttachedManagedPolicies": _attached(user),
        "Tags": backend.tagger.list_tags_for_resource(user.arn)["Tags"],
    }


def _group(group: Any) -> Record:
    return {
        "Path": group.path,
        "GroupName": group.name,
        "GroupId": group.id.upper(),
        "Arn": group.arn,
        "CreateDate": _aware(group.create_date),
        "GroupPolicyList": _inline(group),
        "AttachedManagedPolicies": _attached(group),
    }


def _role(backend: Any, role: Any) -> Record:
    boundary = role.permissions_boundary_arn
    return given(
        {
            "Path": role.path,
            "RoleName": role.name,
            "RoleId": role.id,
            "Arn": role.arn,
            "CreateDate": _aware(role.create_date),
            "AssumeRolePolicyDocument": quote(role.assume_role_policy_document, safe=""),
            "InstanceProfileList": [
                {
                    "Path": profile.path,
                    "InstanceProfileName": profile.name,
                    "InstanceProfileId": profile.id.upper(),
                    "Arn": profile.arn,
                    "CreateDate": _aware(profile.create_date),
                    "Roles": [],
                }
                for profile in _by_name(backend.instance_profiles.values())
                if role in profile.roles
            ],
            "RolePolicyList": _inline(role),
            "AttachedManagedPolicies": _attached(role),
            "PermissionsBoundary": {
                "PermissionsBoundaryType": "PermissionsBoundaryPolicy",
                "PermissionsBoundaryArn": boundary,
            }
            if boundary
            else None,
            "Tags": role.tags if isinstance(role.tags, list) else list(role.tags.values()),
            "RoleLastUsed": {},
        }
    )


def _policy(backend: Any, policy: Any) -> Record:
    holders = [*backend.users.values(), *backend.groups.values(), *backend.roles.values()]
    bounded = [one for one in holders if getattr(one, "permissions_boundary_arn", None) == policy.arn]
    return {
        "PolicyName": policy.name,
        "PolicyId": policy.id,
        "Arn": policy.arn,
        "Path": policy.path,
        "DefaultVersionId": policy.default_version_id,
        "AttachmentCount": sum(policy.arn in holder.managed_policies for holder in holders),
        "PermissionsBoundaryUsageCount": len(bounded),
        "IsAttachable": True,
        "CreateDate": _aware(policy.create_date),
        "UpdateDate": _aware(policy.update_date),
        "PolicyVersionList": [
            {
                "Document": quote(version.document, safe=""),
                "VersionId": version.version_id,
                "IsDefaultVersion": version.version_id == policy.default_version_id,
                "CreateDate": _aware(version.create_date),
            }
            for version in policy.versions
        ],
    }


def _of_aws(here: Here, backend: Any) -> Iterator[Record]:
    """Yield AWS's own policies that something in the account uses, those whose documents are known."""
    holders = [*backend.users.values(), *backend.groups.values(), *backend.roles.values()]
    fenced = [getattr(holder, "permissions_boundary_arn", None) for holder in holders]
    for arn, text in sorted(here.books.aws_policies.items()):
        attached = sum(arn in holder.managed_policies for holder in holders)
        if attached or arn in fenced:
            name = arn.rpartition("/")[2]
            yield {
                "PolicyName": name,
                "PolicyId": derived_id("ANPA", "aws", name),
                "Arn": arn,
                "Path": "/",
                "DefaultVersionId": "v1",
                "AttachmentCount": attached,
                "PermissionsBoundaryUsageCount": fenced.count(arn),
                "IsAttachable": True,
                "CreateDate": _FIRST,
                "UpdateDate": _FIRST,
                "PolicyVersionList": [
                    {
                        "Document": quote(text, safe=""),
                        "VersionId": "v1",
                        "IsDefaultVersion": True,
                        "CreateDate": _FIRST,
                    }
                ],
            }


def _inline(holder: Any) -> list[Record]:
    return [
        {"PolicyName": name, "PolicyDocument": quote(document, safe="")}
        for name, document in sorted(holder.policies.items())
    ]


def _attached(holder: Any) -> list[Record]:
    return [
        {"PolicyName": policy.name, "PolicyArn": arn}
        for arn, policy in sorted(holder.managed_policies.items())
    ]


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
