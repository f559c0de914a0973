"""The condition keys that a call of STS can carry: for whom, in which calls, of what type, and whether always.

Sources: the service authorization reference of STS (condition keys of AssumeRole, AssumeRoleWithWebIdentity,
AssumeRoleWithSAML, TagSession, SetSourceIdentity, SetContext), and the IAM user guide on global condition keys.
`<provider>:sub`, `:aud` and `:amr` exist for every OIDC provider though that reference does not list them.

How the feasible level reads this table. Of each request (kind, principal, action) `presence` says of a key
- ALWAYS: the key is there, so its absence is no class of values (sts:RoleSessionName on each AssumeRole call;
  aud, oaud and sub of a Google token; sub and aud of every OIDC token; aws:CurrentTime);
- NEVER: absence is its only class (aws:SourceArn of a person's call, a GitHub claim beside a Google token, any key
  that is not in the table);
- MAYBE: both (aws:MultiFactorAuthPresent, which long-term keys lack; sts:ExternalId, which callers may leave out).
`forms` adds which values a present key may have; empty means any. `homes` gives the principals that can carry a
key, to be tried where a statement names none (`"*"`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Literal

Kind = Literal["aws", "service", "oidc", "saml"]
ValueType = Literal["string", "numeric", "date", "bool", "ip", "arn"]


class Presence(StrEnum):
    """Whether a request of some kind carries a key."""

    NEVER = "never"
    MAYBE = "maybe"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What is known of one condition key."""

    key: str
    """As the reference spells it; names that vary end in `/*`."""
    provider: str
    """`aws`, `sts`, `iam`, `saml`, the name of a service, or the host and path of an OIDC provider in lower case."""
    kinds: frozenset[str]
    """Kinds of request that can carry it."""
    actions: frozenset[str]
    """Calls that can carry it, in lower case; empty means each."""
    type: ValueType = "string"
    multivalued: bool = False
    always: frozenset[str] = frozenset()
    """Kinds whose requests always carry it."""
    derived: bool = False
    """It follows from the principal."""


_ASSUME = ("sts:assumerole", "sts:assumerolewithwebidentity", "sts:assumerolewithsaml")
_TAG = (*_ASSUME, "sts:tagsession")
_EVERY = "aws service oidc saml"
_FACTS: dict[str, KeyFacts] = {}


def _add(
    names: str,
    kinds: str = _EVERY,
    actions: Iterable[str] = (),
    *,
    type_: ValueType = "string",
    many: bool = False,
    always: str = "",
    derived: bool = False,
) -> None:
    for name in names.split():
        _FACTS[name.lower()] = KeyFacts(
            key=name,
            provider=name.partition(":")[0].lower(),
            kinds=frozenset(kinds.split()),
            actions=frozenset(actions),
            type=type_,
            multivalued=many,
            always=frozenset(always.split()),
            derived=derived,
        )


# Who calls
_add("aws:PrincipalArn", "aws", type_="arn", always="aws", derived=True)
_add("aws:PrincipalAccount", "aws", always="aws", derived=True)
_add("aws:PrincipalOrgID aws:PrincipalTag/* aws:username aws:SourceIdentity aws:FederatedProvider", "aws")
_add(
    "aws:ChatbotSourceArn ec2:SourceInstanceArn lambda:SourceFunctionArn ssm:SourceInstanceArn",
    "aws",
    type_="arn",
)
_add("aws:PrincipalOrgPaths aws:CalledVia", "aws", many=True)
_add("aws:CalledViaFirst aws:CalledViaLast aws:CalledViaAWSMCP aws:Ec2InstanceSourceVpc", "aws")
_add("glue:RoleAssumedBy glue:CredentialIssuingService identitystore:UserId", "aws")
_add("ec2:RoleDelivery", "aws", type_="numeric")
_add("aws:Ec2InstanceSourcePrivateIPv4", "aws", type_="ip")
_add("aws:AssumedRoot aws:ViaAWSMCPService aws:IsMcpServiceAction", "aws", type_="bool")
_add("aws:MultiFactorAuthPresent", "aws", type_="bool")
_add("aws:MultiFactorAuthAge", "aws", type_="numeric")
_add("aws:TokenIssueTime", "aws", type_="date")
_add("aws:PrincipalType aws:userid", always="aws")
_add("aws:PrincipalIsAWSService", "aws service", type_="bool", always="aws service")
_add("aws:ViaAWSService", "aws service", type_="bool", always="aws")
_add("aws:PrincipalServiceName", "service", always="service")
_add("aws:PrincipalServiceNamesList", "service", many=True)
# For whom a service calls
_add("aws:SourceAccount aws:SourceOrgID aws:SourceOwner", "service")
_add("aws:SourceArn", "service", type_="arn")
_add("aws:SourceOrgPaths", "service", many=True)
# From where, when and how; a call through a VPC endpoint carries no aws:SourceIp
_add("aws:SourceIp aws:VpcSourceIp", "aws oidc saml", type_="ip")
_add("aws:SourceVpc aws:SourceVpce aws:VpceAccount aws:VpceOrgID", "aws oidc saml")
_add("aws:SourceVpcArn", "aws oidc saml", type_="arn")
_add("aws:VpceOrgPaths", "aws oidc saml", many=True)
_add("aws:CurrentTime aws:EpochTime", type_="date", always=_EVERY)
_add("aws:SecureTransport", type_="bool", always=_EVERY)
_add("aws:RequestedRegion", always=_EVERY)
_add("aws:UserAgent aws:referer")
# The role itself
_add("aws:ResourceAccount aws:ResourceOrgID aws:ResourceTag/* iam:ResourceTag/*")
_add("aws:ResourceOrgPaths", many=True)
# What the call asks for
_add("aws:RequestTag/*", actions=_TAG)
_add("aws:TagKeys sts:TransitiveTagKeys", actions=_TAG, many=True)
_add("sts:ExternalId", "aws", ["sts:assumerole"])
_add("sts:RoleSessionName", always=_EVERY)
_add("sts:SourceIdentity", actions=(*_ASSUME, "sts:setsourceidentity"))
_add("sts:RequestContext/*", "aws service", ["sts:assumerole", "sts:setcontext"])
_add(
    "sts:RequestContextProviders", "aws service", ["sts:assumerole", "sts:setcontext"], type_="arn", many=True
)
_add("sts:RoleAuthorizedByIdp", "oidc", ["sts:assumerolewithwebidentity"], type_="bool")
# Calls that no trust policy is asked about
_add(
    "sts:AWSServiceName sts:SigningAlgorithm", "aws", ["sts:getservicebearertoken", "sts:getwebidentitytoken"]
)
_add("sts:DurationSeconds", "aws", ["sts:getservicebearertoken", "sts:getwebidentitytoken"], type_="numeric")
_add("sts:IdentityTokenAudience", "aws", ["sts:getwebidentitytoken"], many=True)
_add("sts:TaskPolicyArn", "aws", ["sts:assumeroot"], type_="arn")
# SAML
_add("saml:aud saml:iss saml:sub saml:sub_type saml:doc saml:namequalifier", "saml", always="saml")
_add(
    "saml:commonName saml:edupersonorgdn saml:edupersonprimaryaffiliation saml:edupersonprimaryorgunitdn"
    " saml:edupersonprincipalname saml:givenName saml:mail saml:name saml:organizationStatus saml:primaryGroupSID"
    " saml:surname saml:uid saml:x500UniqueIdentifier",
    "saml",
)
_add(
    "saml:cn saml:eduorghomepageuri saml:eduorgidentityauthnpolicyuri saml:eduorglegalname saml:eduorgsuperioruri"
    " saml:eduorgwhitepagesuri saml:edupersonaffiliation saml:edupersonassurance saml:edupersonentitlement"
    " saml:edupersonnickname saml:edupersonorgunitdn saml:edupersonscopedaffiliation saml:edupersontargetedid",
    "saml",
    many=True,
)

BUILT_IN = frozenset(
    ("accounts.google.com", "cognito-identity.amazonaws.com", "graph.facebook.com", "www.amazon.com")
)
"""OIDC providers that every role may name without an IAM provider of the account."""
_CLAIMS: Mapping[str, Mapping[str, ValueType]] = {
    "accounts.google.com": {
        "aud": "string", "oaud": "string", "sub": "string", "google/organization_number": "numeric",
    },
    "cognito-identity.amazonaws.com": {"amr": "string", "aud": "string", "sub": "string"},
    "graph.facebook.com": {"app_id": "string", "id": "string"},
    "www.amazon.com": {"app_id": "string", "user_id": "string"},
}  # fmt: skip
"""Claims of the built-in providers: these and no others."""
_GITHUB = (
    "actor", "actor_id", "enterprise_id", "environment", "job_workflow_ref", "ref", "repository", "repository_id",
    "repository_owner_id", "workflow",
)  # fmt: skip
_BUILDKITE = (
    "build_branch", "cluster_id", "cluster_name", "organization_id", "organization_slug", "pipeline_id",
    "pipeline_slug",
)  # fmt: skip
_GITLAB = (
    "namespace_id", "pipeline_source", "project_id", "ref_protected", "runner_environment", "user_access_level",
    "user_email", "user_id", "user_login",
)  # fmt: skip
_MORE: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (
        re.compile(r"token\.actions\.githubusercontent\.com(/[^:]+)?|token\.actions\.[^./:]+\.ghe\.com"),
        _GITHUB,
    ),
    (re.compile(r"github\.com/enterprises/[^:/]+"), _GITHUB),
    (re.compile(r"agent\.buildkite\.com|agent\.[^.:/]+\.buildkite\.(dev|site)"), _BUILDKITE),
    (re.compile(r"gitlab\.com"), _GITLAB),
    (re.compile(r"idcs-[^.:/]+\.identity\.oraclecloud\.com"), ("rpst_id",)),
    (re.compile(r"oidc\.circleci\.com/org/[^:/]+"), ("oidc.circleci.com/project-id",)),
)
"""Claims that STS passes on for some providers beside sub, aud and amr."""
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+(/[^:]*)?")
_OIDC_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:oidc-provider/(.+)", re.DOTALL)
_POD_TAGS = frozenset(
    f"aws:requesttag/{name}"
    for name in (
        "eks-cluster-arn", "eks-cluster-name", "kubernetes-namespace", "kubernetes-pod-name", "kubernetes-pod-uid",
        "kubernetes-service-account",
    )
)  # fmt: skip
POD_IDENTITY = "pods.eks.amazonaws.com"
_TEMPLATE_CLAIMS = (
    "actor", "actor_id", "base_ref", "context", "enterprise", "enterprise_id", "environment", "event_name",
    "head_ref", "job_workflow_ref", "ref", "ref_type", "repository", "repository_id", "repository_owner",
    "repository_owner_id", "repository_visibility", "run_id", "runner_environment", "workflow", "workflow_ref",
)  # fmt: skip


@lru_cache(4096)
def known(key: str) -> KeyFacts | None:
    """Return what is known of a key in any case, or None: IAM stores such a test, and no call ever carries the key."""
    key = key.lower()
    facts = _FACTS.get(key)
    if facts is not None and not key.endswith("/*"):
        return facts
    head, slash, tail = key.partition("/")
    family = _FACTS.get(f"{head}/*") if slash and tail else None
    return replace(family, key=family.key[:-1] + tail) if family else _claim(key)


def _claim(key: str) -> KeyFacts | None:
    """Return the facts of a claim of an OIDC token."""
    provider, _, claim = key.partition(":")
    provider = provider.rstrip("/")
    if not claim or not _HOST.fullmatch(provider):
        return None
    known_claims = _CLAIMS.get(provider)
    if known_claims is not None:
        kind = known_claims.get(claim)
        if kind is None:
            return None
        many, always = claim == "amr", "oidc" if claim != "google/organization_number" else ""
        return _token(key, provider, kind, many=many, always=always)
    if claim in ("sub", "aud"):
        return _token(key, provider, "string", always="oidc")
    if claim == "amr":
        return _token(key, provider, "string", many=True)
    if any(pattern.fullmatch(provider) and claim in claims for pattern, claims in _MORE):
        return _token(key, provider, "string")
    return None


def _token(key: str, provider: str, type_: ValueType, *, many: bool = False, always: str = "") -> KeyFacts:
    # A role session that began with a token of a built-in provider shows its claims when it assumes the next role.
    chained = provider in BUILT_IN and key.rpartition(":")[2] not in ("oaud", "google/organization_number")
    kinds = frozenset(["oidc", "aws"] if chained else ["oidc"])
    return KeyFacts(key, provider, kinds, frozenset(), type_, many, frozenset(always.split()))


def provider_of(principal: str) -> str | None:
    """Return host and path of an OIDC provider named as a principal, in lower case; None for anything else."""
    if principal.lower() in BUILT_IN:
        return principal.lower()
    found = _OIDC_ARN.fullmatch(principal)
    return found[1].rstrip("/").lower() if found else None


def presence(kind: str, principal: str, action: str, key: str) -> Presence:
    """Say whether the call of such a principal carries a key: never, maybe or always."""
    facts = known(key)
    if facts is None or kind not in facts.kinds or (facts.actions and action.lower() not in facts.actions):
        return Presence.NEVER
    if "." in facts.provider and kind == "aws":
        return Presence.MAYBE if action.lower() == "sts:assumerole" else Presence.NEVER
    if kind == "oidc" and "." in facts.provider:
        if provider_of(principal) != facts.provider:
            return Presence.NEVER
    elif (own := _of_the_principal(kind, principal, action, key.lower())) is not None:
        return own
    return Presence.ALWAYS if kind in facts.always else Presence.MAYBE


def _of_the_principal(kind: str, principal: str, action: str, key: str) -> Presence | None:
    """Return what the very principal or call adds to the table."""
    if key == "aws:username" and kind == "aws":
        if principal.endswith(":root"):  # also stands for everyone of the account, users among them
            return Presence.MAYBE
        return Presence.ALWAYS if ":user/" in principal else Presence.NEVER
    if key == "sts:rolesessionname" and action.lower() not in _ASSUME:
        return Presence.MAYBE
    if key == "sts:sourceidentity" and action.lower() == "sts:setsourceidentity":
        return Presence.ALWAYS
    if key in _POD_TAGS and principal == POD_IDENTITY:
        return Presence.ALWAYS
    return None


def presentable(kind: str, principal: str, action: str, key: str) -> bool:
    """Say whether the call of such a principal can carry a key."""
    return presence(kind, principal, action, key) is not Presence.NEVER


def forms(kind: str, principal: str, key: str) -> tuple[str, ...]:
    """Return patterns (`*`, `?` as in StringLike), one of which every value of a present key has; empty: any value.

    A GitHub subject starts with its repository and goes on with what ran, unless its owner made a template of other
    claims; a Kubernetes subject names a namespace and a service account.
    """
    key = key.lower()
    if key == "aws:principalisawsservice":
        return ("true",) if kind == "service" else ("false",)
    if key == "aws:principalservicename":
        return (principal,) if kind == "service" else ()
    provider, _, claim = key.partition(":")
    if claim != "sub":
        return ()
    if is_github(provider):
        return ("repo:?*/?*:?*", *(f"{name}:?*" for name in _TEMPLATE_CLAIMS))
    if is_eks(provider):
        return ("system:serviceaccount:?*:?*",)
    return ()


def is_github(provider: str) -> bool:
    """Say whether this provider signs the tokens of GitHub Actions: github.com, an enterprise's own path, ghe.com."""
    return bool(_MORE[0][0].fullmatch(provider.lower()))


def is_eks(provider: str) -> bool:
    """Say whether this provider is that of an EKS cluster, in any partition."""
    return bool(re.fullmatch(r"oidc\.eks\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/id/.+", provider.lower()))


def homes(key: str, account: str = "111111111111") -> tuple[tuple[str, str], ...]:
    """Return principals (kind, name) that can carry a key which belongs to one provider; empty for the others."""
    facts = known(key)
    if facts is None or "oidc" not in facts.kinds or "." not in facts.provider:
        return ()
    if facts.provider in BUILT_IN:
        return (("oidc", facts.provider),)
    return (("oidc", f"arn:aws:iam::{account}:oidc-provider/{facts.provider}"),)


def multivalued(key: str) -> bool:
    """Say whether a request may carry several values of a key."""
    facts = known(key)
    return facts is not None and facts.multivalued


def value_type(key: str) -> ValueType | None:
    """Return the type of a key's values; None for an unknown key."""
    facts = known(key)
    return facts.type if facts else None
