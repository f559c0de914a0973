"""Roles, users, managed policies, access keys and identity providers of each account.

Calls per account, for E users, groups, roles and policies together, U users, K access keys and O
OIDC providers, R of E being roles: ceil(E / 1000) GetAccountAuthorizationDetails (AWS may give less a
page) + ceil(R / 1000) ListRoles if a rule reads `max_session_s`, which the bulk leaves out + U
ListAccessKeys + K GetAccessKeyLastUsed if a rule reads `last_used_at` + 1 + O for OIDC + 1 for SAML.
A role costs no call of its own: trust, inline and attached policies and tags come in the bulk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from auditor.canonical import canonical
from auditor.model import Gap, Row, Seen
from auditor.sources._iam_documents import keep_documents, parsed, text_of
from auditor.sources._marked import marked
from auditor.sources.ask import Suspect, gap, guard, listed, need

if TYPE_CHECKING:
    from auditor.sources.ask import Ask

TABLES = ("iam_role", "iam_user", "iam_policy", "iam_access_key", "iam_provider", "second_count")
AFTER: tuple[str, ...] = ()
ACTIONS = (
    "iam:GetAccessKeyLastUsed",
    "iam:GetAccountAuthorizationDetails",
    "iam:GetAccountSummary",
    "iam:GetOpenIDConnectProvider",
    "iam:ListAccessKeys",
    "iam:ListOpenIDConnectProviders",
    "iam:ListRoles",
    "iam:ListSAMLProviders",
)
WORKERS = 2
"""IAM's rates are low, unpublished and not raised on request."""
_LISTS = {
    "UserDetailList": "iam_user",
    "GroupDetailList": "iam_user",
    "RoleDetailList": "iam_role",
    "Policies": "iam_policy",
}
"""Each list of a page, and the table that is not seen without it."""

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything is found by listing each account in scope."""


@dataclass(slots=True)
class _Details:
    """What one account's bulk listing gave, besides the rows that went out at once."""

    account: str
    max_session_s: dict[str, int] = field(default_factory=dict)
    """By role ARN; empty when it was not asked or could not be."""
    no_durations: tuple[str, str] | None = None
    """Why `max_session_s` could not be had: reason and detail."""
    users: list[Item] = field(default_factory=list)
    groups: dict[str, Item] = field(default_factory=dict)
    lists: set[str] = field(default_factory=set)
    """The lists that stood in any page."""
    whole: bool = False
    """Every user was listed."""


def collect(ask: Ask) -> Iterator[Row | Seen | Gap]:
    """Read each account; IAM is global, so coverage is of region `*`."""
    shared: set[str] = set()
    for account in ask.accounts():
        client = ask.clients.aws("iam", account)
        keep_documents(client)
        details = _Details(account)
        _durations(ask, client, details)
        yield from _bulk(client, details, shared)
        yield from _users(details)
        yield from _counted(client, details)
        yield from _access_keys(ask, client, details)
        yield from _oidc(ask, client, account)
        yield from _saml(client, account)


def _durations(ask: Ask, client: Any, details: _Details) -> None:
    """Ask for MaxSessionDuration, which RoleDetail of the bulk listing does not have."""
    wanted = ask.wanted("iam_role")
    if wanted is not None and "max_session_s" not in wanted:
        return
    with guard() as read:
        for page in marked(client.list_roles, {"Marker": "Marker"}, MaxItems=1000):
            for role in listed(page, "Roles"):
                if "MaxSessionDuration" in role:
                    details.max_session_s[need(role, "Arn")] = role["MaxSessionDuration"]
    details.no_durations = None if read.ok else (read.reason, read.detail)


def _counted(client: Any, details: _Details) -> Iterator[Row | Seen | Gap]:
    """Count users and roles by another route than the listing they were read from; nothing else depends on it."""
    scope = Seen("second_count", details.account)
    if details.max_session_s and details.no_durations is None:
        values = {"table_name": "iam_role", "account": details.account, "region": "*"}
        yield Row("second_count", values | {"counted": len(details.max_session_s), "route": "ListRoles"})
    elif details.no_durations is not None:
        yield gap(scope, *details.no_durations)
    with guard(scope, action="iam:GetAccountSummary") as read:
        users = need(need(client.get_account_summary(), "SummaryMap"), "Users")
        values = {"table_name": "iam_user", "account": details.account, "region": "*"}
        yield Row("second_count", values | {"counted": users, "route": "GetAccountSummary"})
    yield from read


def _bulk(client: Any, details: _Details, shared: set[str]) -> Iterator[Row | Seen | Gap]:
    """Read the bulk listing; `shared` holds AWS's own policies that another account showed."""
    account = details.account
    tables = sorted(set(_LISTS.values()))
    scopes = [Seen(table, account) for table in tables]
    with guard(*scopes, also=[Seen("iam_access_key", account)]) as read:
        for page in marked(client.get_account_authorization_details, {"Marker": "Marker"}, MaxItems=1000):
            here = _LISTS.keys() & page.keys()
            if not here:
                raise Suspect(f"the answer has none of {', '.join(_LISTS)}")
            details.lists |= here
            details.users += page.get("UserDetailList", ())
            details.groups |= {need(one, "GroupName"): one for one in page.get("GroupDetailList", ())}
            for role in page.get("RoleDetailList", ()):
                yield Row("iam_role", _role(details, role))
                if details.no_durations:
                    scope = Seen("iam_role", account, "*", f"{role['Arn']}#max_session_s")
                    yield gap(scope, *details.no_durations)
            for policy in page.get("Policies", ()):
                arn = need(policy, "Arn")
                if _used(policy) and arn not in shared:
                    yield Row("iam_policy", _policy(account, policy))
                    if ":iam::aws:policy/" in arn:
                        shared.add(arn)
    if not read.ok:
        yield from read
        return
    details.whole = "UserDetailList" in details.lists
    missing = {table: key for key, table in _LISTS.items() if key not in details.lists}
    for scope in scopes:
        if scope.table in missing:
            yield gap(scope, "suspect", f"no page has {missing[scope.table]}")
            if scope.table == "iam_user":
                yield gap(Seen("iam_access_key", account), "suspect", "the users are not known")
        else:
            yield scope


def _role(details: _Details, role: Item) -> dict[str, Any]:
    trust = text_of(role["AssumeRolePolicyDocument"]) if "AssumeRolePolicyDocument" in role else None
    return {
        "arn": need(role, "Arn"),
        "name": need(role, "RoleName"),
        "account": details.account,
        "unique_id": role.get("RoleId"),
        "created_at": role.get("CreateDate"),
        "max_session_s": details.max_session_s.get(role["Arn"]),
        "trust_policy": trust,
        "trust_error": None if trust is None else parsed(trust)[1],
        "inline_policies": _inline(role, "RolePolicyList"),
        "attached_policies": _attached(role),
        "boundary_arn": _boundary(role),
        "last_used_at": role.get("RoleLastUsed", {}).get("LastUsedDate"),
        "tags": _tags(role),
    }


def _users(details: _Details) -> Iterator[Row]:
    for user in details.users:
        names = user.get("GroupList", [])
        # A group whose details did not come leaves its members' permissions unknown.
        groups = [details.groups[name] for name in names if name in details.groups]
        whole = len(groups) == len(names)
        inline: dict[str, Any] = _inline(user, "UserPolicyList")
        attached = set(_attached(user))
        for group in groups:
            name = group["GroupName"]
            theirs = _inline(group, "GroupPolicyList")
            inline |= {f"group/{name}/{policy}": theirs[policy] for policy in theirs}
            attached |= set(_attached(group))
        yield Row(
            "iam_user",
            {
                "arn": need(user, "Arn"),
                "name": need(user, "UserName"),
                "account": details.account,
                "created_at": user.get("CreateDate"),
                "groups": sorted(names),
                "inline_policies": inline if whole else None,
                "attached_policies": sorted(attached) if whole else None,
                "boundary_arn": _boundary(user),
                "tags": _tags(user),
            },
        )


def _used(policy: Item) -> bool:
    counts = ("AttachmentCount", "PermissionsBoundaryUsageCount")
    return any(policy.get(count) != 0 for count in counts if count in policy) or not any(
        count in policy for count in counts
    )


def _policy(account: str, policy: Item) -> dict[str, Any]:
    versions = policy.get("PolicyVersionList", [])
    default: Item = next((one for one in versions if one.get("IsDefaultVersion")), {})
    return {
        "arn": policy["Arn"],
        "name": policy.get("PolicyName"),
        "account": account,
        "version": policy.get("DefaultVersionId"),
        "document": _canonical_text(default["Document"]) if "Document" in default else None,
    }


def _canonical_text(sent: str) -> str:
    """Return a document as canonical JSON; as it is, when it cannot be read as one thing."""
    text = text_of(sent)
    document, error = parsed(text)
    return text if error else canonical(document)


def _inline(holder: Item, key: str) -> dict[str, Any]:
    """Return name to document: an object, or the text where it cannot be read as one thing."""
    found: dict[str, Any] = {}
    for policy in holder.get(key, ()):
        text = text_of(need(policy, "PolicyDocument"))
        document, error = parsed(text)
        found[need(policy, "PolicyName")] = text if error else document
    return found


def _attached(holder: Item) -> list[str]:
    return sorted(need(one, "PolicyArn") for one in holder.get("AttachedManagedPolicies", ()))


def _boundary(holder: Item) -> str:
    arn: str = holder.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", "none")
    return arn


def _tags(holder: Item) -> dict[str, str]:
    return {need(tag, "Key"): need(tag, "Value") for tag in holder.get("Tags", ())}


def _access_keys(ask: Ask, client: Any, details: _Details) -> Iterator[Row | Seen | Gap]:
    """List the keys of every user; the account is seen when each user's keys are."""
    wanted = ask.wanted("iam_access_key")
    last_used = wanted is None or "last_used_at" in wanted
    each = partial(_keys_of, client, details.account, last_used)
    for rows, gaps in ask.side_by_side(WORKERS, each, details.users):
        yield from rows
        yield from gaps
    if details.whole:
        yield Seen("iam_access_key", details.account)


def _keys_of(client: Any, account: str, last_used: bool, user: Item) -> tuple[Sequence[Row], Sequence[Gap]]:
    rows: list[Row] = []
    gaps: list[Gap] = []
    with guard(Seen("iam_access_key", account, "*", user["Arn"])) as read:
        for page in marked(client.list_access_keys, {"Marker": "Marker"}, UserName=user["UserName"]):
            for key in listed(page, "AccessKeyMetadata"):
                values = {
                    "access_key_id": need(key, "AccessKeyId"),
                    "user_arn": user["Arn"],
                    "account": account,
                    "status": key.get("Status"),
                    "created_at": key.get("CreateDate"),
                }
                rows.append(Row("iam_access_key", values))
    if not read.ok:
        gaps.append(gap(Seen("iam_access_key", account, "*", user["Arn"]), read.reason, read.detail))
    for index, row in enumerate(rows if last_used else ()):
        key_id = row.values["access_key_id"]
        with guard(Seen("iam_access_key", account, "*", f"{key_id}#last_used_at")) as used:
            said = need(client.get_access_key_last_used(AccessKeyId=key_id), "AccessKeyLastUsed")
            at = said.get("LastUsedDate")
            rows[index] = Row("iam_access_key", {**row.values, "last_used_at": at})
        gaps += [one for one in used if isinstance(one, Gap)]
    return rows, gaps


def _oidc(ask: Ask, client: Any, account: str) -> Iterator[Row | Seen | Gap]:
    found: list[Item] = []
    with guard(Seen("iam_provider", account)) as read:
        found = listed(client.list_open_id_connect_providers(), "OpenIDConnectProviderList")
        arns = sorted(need(one, "Arn") for one in found)
        for row, gaps in ask.side_by_side(WORKERS, partial(_provider, client, account), arns):
            yield row
            yield from gaps
    yield from read


def _provider(client: Any, account: str, arn: str) -> tuple[Row, list[Gap]]:
    """Return a provider; its ARN alone tells the issuer, so a refusal leaves the rest unknown."""
    values: dict[str, Any] = {
        "arn": arn,
        "account": account,
        "kind": "oidc",
        "url": arn.partition(":oidc-provider/")[2],
    }
    with guard(Seen("iam_provider", account, "*", arn)) as read:
        said = client.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
        values |= {
            "url": need(said, "Url").removeprefix("https://"),
            "client_ids": sorted(said.get("ClientIDList", [])),
            "thumbprints": sorted(said.get("ThumbprintList", [])),
            "created_at": said.get("CreateDate"),
        }
    return Row("iam_provider", values), [one for one in read if isinstance(one, Gap)]


def _saml(client: Any, account: str) -> Iterator[Row | Gap]:
    """List SAML providers: no audiences, no thumbprints; the issuer stands in metadata not asked for."""
    with guard(Seen("iam_provider", account)) as read:
        for one in listed(client.list_saml_providers(), "SAMLProviderList"):
            values = {
                "arn": need(one, "Arn"),
                "account": account,
                "kind": "saml",
                "client_ids": [],
                "thumbprints": [],
                "created_at": one.get("CreateDate"),
            }
            yield Row("iam_provider", values)
    yield from (one for one in read if isinstance(one, Gap))
