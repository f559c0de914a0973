"""The smallest call of each action on AWS: S3 and IAM here, the rest beside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from auditor.sources import probes_backup, probes_trails
from auditor.sources._s3_settings import SETTINGS, TAGS, Setting, blocked
from auditor.sources.ask import Suspect, listed, need
from auditor.sources.probes import IDENTITY, Probe, Spot
from auditor.sources.probes_calls import Answer, Params, asking, first, given, has, no_more

_USERS = 5
"""Users whose keys are listed until one has a key."""
_IAM, _S3, _TRAIL = ("aws_iam",), ("aws_s3",), ("aws_cloudtrail",)


def _one(_spot: Spot) -> Params:
    return {"MaxItems": 1}


def _few_users(_spot: Spot) -> Params:
    return {"Filter": ["User"], "MaxItems": _USERS}


def _users(answer: Answer) -> Answer:
    return {"users": [need(each, "UserName") for each in listed(answer, "UserDetailList")] or None}


def _access_key(spot: Spot) -> Answer | None:
    """List the keys of one user after another until one has a key: most people have none."""
    if spot.get("users") is None:
        return None
    client = spot.clients.aws("iam", spot.account)
    for user in spot.get("users"):
        found = listed(client.list_access_keys(UserName=user, MaxItems=1), "AccessKeyMetadata")
        if found:
            return {"access_key": need(found[0], "AccessKeyId")}
    return {}


_DETAILS, _ACCESS_KEYS, _OIDC = (
    "iam:GetAccountAuthorizationDetails",
    "iam:ListAccessKeys",
    "iam:ListOpenIDConnectProviders",
)
_OF_IAM = (
    Probe("iam:GetAccountSummary", _IAM, asking("iam", "get_account_summary", tell=has("SummaryMap"))),
    Probe("iam:ListRoles", _IAM, asking("iam", "list_roles", _one, has("Roles"))),
    Probe("iam:ListSAMLProviders", _IAM, asking("iam", "list_saml_providers", tell=has("SAMLProviderList"))),
    Probe(
        _DETAILS,
        _IAM,
        asking("iam", "get_account_authorization_details", _few_users, _users),
    ),
    Probe(
        _ACCESS_KEYS,
        _IAM,
        _access_key,
        (_DETAILS,),
    ),
    Probe(
        "iam:GetAccessKeyLastUsed",
        _IAM,
        asking("iam", "get_access_key_last_used", given(AccessKeyId="access_key"), has("AccessKeyLastUsed")),
        (_DETAILS, _ACCESS_KEYS),
    ),
    Probe(
        _OIDC,
        _IAM,
        asking("iam", "list_open_id_connect_providers", tell=first("OpenIDConnectProviderList", oidc="Arn")),
    ),
    Probe(
        "iam:GetOpenIDConnectProvider",
        _IAM,
        asking("iam", "get_open_id_connect_provider", given(OpenIDConnectProviderArn="oidc"), has("Url")),
        (_OIDC,),
    ),
)


def _listed_buckets(spot: Spot) -> Answer | None:
    """List the buckets; take the first in scope, one that exports are declared to go to before any other."""
    from fnmatch import fnmatchcase

    client = spot.clients.aws("s3", spot.account)
    include = spot.config.scope.buckets.include
    out = [each.match for each in spot.config.scope.buckets.exclude]
    found = {
        str(need(one, "Name")): str(one.get("BucketRegion") or "us-east-1")
        for one in listed(client.list_buckets(MaxBuckets=1000), "Buckets")
    }
    inside = sorted(
        name
        for name in found
        if any(fnmatchcase(name, glob) for glob in include)
        and not any(fnmatchcase(name, glob) for glob in out)
    )
    declared = {each.bucket for each in (*spot.config.exports, *spot.config.federation)}
    exports = [name for name in inside if name in declared]
    chosen = next(iter(exports or inside), None)
    told: dict[str, Any] = {"bucket": chosen, "bucket_region": found.get(chosen) if chosen else None}
    if exports:
        told |= {"export": exports[0], "export_region": found[exports[0]]}
    return told


_BUCKETS, _LIST_VERSIONS = "s3:ListAllMyBuckets", "s3:ListBucketVersions"
_of_bucket = given(**{"Bucket": "bucket", "@region": "bucket_region"})
_of_export = given(**{"Bucket": "export", "@region": "export_region"})


def _one_version(spot: Spot) -> Params | None:
    named = _of_bucket(spot)
    return None if named is None else {**named, "MaxKeys": 1}


def _version(answer: Answer) -> Answer:
    need(answer, "Name")
    versions = answer.get("Versions") or ()
    return {"object": versions[0]["Key"], "version": versions[0]["VersionId"]} if versions else {}


def _object_version(spot: Spot) -> Params | None:
    """Return a version in a bucket that exports are declared to go to; contents of others are not ours to read."""
    if spot.get("export") is None or spot.get("export") != spot.get("bucket"):
        return None
    return given(**{"Bucket": "bucket", "@region": "bucket_region", "Key": "object", "VersionId": "version"})(
        spot
    )


def _own_account(spot: Spot) -> Params:
    return {"AccountId": spot.account}


def _one_tag(_spot: Spot) -> Params:
    return {"ResourceTypeFilters": ["s3"], "ResourcesPerPage": 1}


def _readable_block(answer: Answer) -> Answer:
    blocked(answer)
    return {}


def _caller(answer: Answer) -> Answer:
    return {"caller": need(answer, "Arn")}


def _bare(
    operation: str, tell: Callable[[Answer], Answer] = no_more, *, absent: Sequence[str] = ()
) -> Callable[[Spot], Answer | None]:
    """Return a call about the bucket whose answer may be bare: then only its namespace tells it from none."""

    def call(spot: Spot) -> Answer | None:
        from auditor.sources.aws_s3 import _note_namespace

        if spot.get("bucket") is None:
            return None
        client = spot.clients.aws("s3", spot.account, spot.get("bucket_region"))
        name = client.meta.method_to_api_mapping[operation]
        client.meta.events.register(f"after-call.s3.{name}", _note_namespace, unique_id=f"auditor-{name}")

        def whole(answer: Answer) -> Answer:
            if not answer.get("Namespaced"):
                raise Suspect("the answer is empty, and not as S3 writes it")
            return tell(answer)

        return asking("s3", operation, _of_bucket, whole, absent=absent)(spot)

    return call


def _setting(setting: Setting) -> Callable[[Spot], Answer | None]:
    """Return the call of a setting, which must be readable too."""

    def readable(answer: Answer) -> Answer:
        setting.read(answer)
        return {}

    if setting.bare:
        return _bare(setting.operation, readable, absent=tuple(setting.absent))
    return asking("s3", setting.operation, _of_bucket, readable, absent=tuple(setting.absent))


_OF_S3 = (
    Probe(
        "s3:GetAccountPublicAccessBlock",
        _S3,
        asking(
            "s3control",
            "get_public_access_block",
            _own_account,
            _readable_block,
            absent=("NoSuchPublicAccessBlockConfiguration",),
        ),
    ),
    Probe(_BUCKETS, (*_S3, *_TRAIL), _listed_buckets),
    Probe("s3:GetBucketLocation", _S3, _bare("get_bucket_location"), (_BUCKETS,)),
    *(Probe(each.action, _S3, _setting(each), (_BUCKETS,)) for each in (*SETTINGS, TAGS)),
    Probe(
        "s3:GetInventoryConfiguration",
        _S3,
        asking("s3", "list_bucket_inventory_configurations", _of_bucket, has("IsTruncated")),
        (_BUCKETS,),
    ),
    Probe("s3:ListBucket", _S3, asking("s3", "head_bucket", _of_export), (_BUCKETS,)),
    Probe(_LIST_VERSIONS, _S3, asking("s3", "list_object_versions", _one_version, _version), (_BUCKETS,)),
    Probe(
        "s3:GetObjectVersion",
        _S3,
        asking("s3", "head_object", _object_version, has("LastModified")),
        (_BUCKETS, _LIST_VERSIONS),
    ),
    Probe(
        "tag:GetResources",
        _S3,
        asking("resourcegroupstaggingapi", "get_resources", _one_tag, has("ResourceTagMappingList")),
        regional=True,
    ),
)
PROBES = (
    Probe(IDENTITY, (), asking("sts", "get_caller_identity", tell=_caller)),
    *_OF_S3,
    *_OF_IAM,
    *probes_backup.PROBES,
    *probes_trails.PROBES,
)
"""Every probe of AWS; who we are is asked whatever the sources are."""
