"""Settings of a bucket: which call tells which columns, and what "not set" means in our words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from auditor.sources.ask import Malformed, Suspect, need

Values = dict[str, Any]

BLOCKS = {
    "block_public_acls": "BlockPublicAcls",
    "ignore_public_acls": "IgnorePublicAcls",
    "block_public_policy": "BlockPublicPolicy",
    "restrict_public_buckets": "RestrictPublicBuckets",
}
"""Column to flag of a public access block."""
UNBLOCKED: Values = dict.fromkeys(BLOCKS, False)
"""What no public access block means: nothing is blocked."""
AES256: Values = {"encryption": "AES256", "kms_key_arn": "none"}
"""What no default encryption means: S3 encrypts every new object with SSE-S3 since January 5, 2023
(Amazon S3 User Guide, "Amazon S3 now automatically encrypts all new objects")."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One call: the columns it tells, and the error that stands for "not set"."""

    operation: str
    """In snake case, as botocore's client names it."""
    action: str
    columns: tuple[str, ...]
    read: Callable[[Mapping[str, Any]], Values]
    absent: Mapping[str, Values] = field(default_factory=dict)
    """Error code to what it says of the columns."""
    bare: bool = False
    """S3 answers an empty element when nothing is set, so only its namespace tells it from no answer."""


def blocked(reply: Mapping[str, Any]) -> Values:
    """Return the four flags of a public access block, of a bucket or an account."""
    flags = need(reply, "PublicAccessBlockConfiguration")
    return {column: bool(need(flags, flag)) for column, flag in BLOCKS.items()}


def tagged(tags: list[Mapping[str, str]]) -> dict[str, str]:
    """Return a tag list as a map."""
    return {need(tag, "Key"): need(tag, "Value") for tag in tags}


def _versioning(reply: Mapping[str, Any]) -> Values:
    return {
        "versioning": reply.get("Status", "Off"),
        "mfa_delete": reply.get("MFADelete", "Disabled"),
    }


def _encryption(reply: Mapping[str, Any]) -> Values:
    rules = need(need(reply, "ServerSideEncryptionConfiguration"), "Rules")
    for rule in rules:
        if default := rule.get("ApplyServerSideEncryptionByDefault"):
            key = default.get("KMSMasterKeyID", "none")
            return {"encryption": need(default, "SSEAlgorithm"), "kms_key_arn": key}
    return AES256


def _ownership(reply: Mapping[str, Any]) -> Values:
    rules = need(need(reply, "OwnershipControls"), "Rules")
    return {"ownership": need(rules[0], "ObjectOwnership") if rules else "none"}


def _lock(reply: Mapping[str, Any]) -> Values:
    lock = need(reply, "ObjectLockConfiguration")
    if need(lock, "ObjectLockEnabled") != "Enabled":
        return {"lock_mode": "Off", "lock_d": 0}
    default = lock.get("Rule", {}).get("DefaultRetention")
    if not default:
        return {"lock_mode": "none", "lock_d": 0}
    days = default.get("Days") or 365 * default.get("Years", 0)
    return {"lock_mode": need(default, "Mode"), "lock_d": int(days)}


def _policy(reply: Mapping[str, Any]) -> Values:
    policy = need(reply, "Policy")
    try:
        json.loads(policy)
    except (ValueError, RecursionError) as error:
        # S3 keeps no policy that is not JSON, and the whole body stands for it, cut or not.
        raise Malformed(f"the answer is no policy: {error}") from None
    return {"policy": policy}


def _lifecycle(reply: Mapping[str, Any]) -> Values:
    return {"lifecycle": _list(reply, "Rules")}


def _replication(reply: Mapping[str, Any]) -> Values:
    return {"replication": _list(need(reply, "ReplicationConfiguration"), "Rules")}


def _list(reply: Mapping[str, Any], key: str) -> list[Any]:
    found = reply.get(key)
    if not isinstance(found, list):
        raise Suspect(f"the answer has no {key}")
    return found


SETTINGS = (
    Setting(
        "get_bucket_versioning",
        "s3:GetBucketVersioning",
        ("versioning", "mfa_delete"),
        _versioning,
        bare=True,
    ),
    Setting(
        "get_bucket_encryption",
        "s3:GetEncryptionConfiguration",
        ("encryption", "kms_key_arn"),
        _encryption,
        {"ServerSideEncryptionConfigurationNotFoundError": AES256},
    ),
    Setting(
        "get_public_access_block",
        "s3:GetBucketPublicAccessBlock",
        tuple(BLOCKS),
        blocked,
        {"NoSuchPublicAccessBlockConfiguration": UNBLOCKED},
    ),
    Setting(
        "get_bucket_ownership_controls",
        "s3:GetBucketOwnershipControls",
        ("ownership",),
        _ownership,
        {"OwnershipControlsNotFoundError": {"ownership": "none"}},
    ),
    Setting(
        "get_bucket_policy",
        "s3:GetBucketPolicy",
        ("policy",),
        _policy,
        {"NoSuchBucketPolicy": {"policy": "none"}},
    ),
    Setting(
        "get_bucket_logging",
        "s3:GetBucketLogging",
        ("logging_target",),
        lambda reply: {"logging_target": reply.get("LoggingEnabled", {}).get("TargetBucket", "none")},
        bare=True,
    ),
    Setting(
        "get_bucket_notification_configuration",
        "s3:GetBucketNotification",
        ("eventbridge",),
        lambda reply: {"eventbridge": "EventBridgeConfiguration" in reply},
        bare=True,
    ),
    Setting(
        "get_object_lock_configuration",
        "s3:GetBucketObjectLockConfiguration",
        ("lock_mode", "lock_d"),
        _lock,
        {"ObjectLockConfigurationNotFoundError": {"lock_mode": "Off", "lock_d": 0}},
    ),
    Setting(
        "get_bucket_lifecycle_configuration",
        "s3:GetLifecycleConfiguration",
        ("lifecycle",),
        _lifecycle,
        {"NoSuchLifecycleConfiguration": {"lifecycle": []}},
    ),
    Setting(
        "get_bucket_replication",
        "s3:GetReplicationConfiguration",
        ("replication",),
        _replication,
        {"ReplicationConfigurationNotFoundError": {"replication": []}},
    ),
)
"""Every setting that is a call of its own, but the tags."""
TAGS = Setting(
    "get_bucket_tagging",
    "s3:GetBucketTagging",
    ("tags",),
    lambda reply: {"tags": tagged(_list(reply, "TagSet"))},
    {"NoSuchTagSet": {"tags": {}}},
)
"""The tags of one bucket, where the tagging API cannot tell them."""
