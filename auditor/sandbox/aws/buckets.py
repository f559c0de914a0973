"""What a bucket is here: moto keeps its objects, we keep its settings, in the shapes S3 answers with.

moto drops EventBridge, mistakes some settings and obeys bucket policies without their conditions; settings of our own
are given back as they were put, and a policy blocks nobody but other accounts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any
from weakref import WeakKeyDictionary

from auditor.sandbox.aws.books import Here, Params, Record, Refused
from auditor.sandbox.aws.moto_world import moto

Settings = dict[str, Any]

_SETTINGS: WeakKeyDictionary[Any, Settings] = WeakKeyDictionary()
"""moto's bucket -> its settings by name; they go when the bucket goes."""

BLOCK = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def settings_of(bucket: Any) -> Settings:
    """Return the settings of moto's bucket; a fresh one has S3's defaults since April 2023."""
    if bucket not in _SETTINGS:
        _SETTINGS[bucket] = {
            "versioning": {},
            "public_block": dict.fromkeys(BLOCK, True),
            "ownership": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "encryption": encryption_setting("AES256", None),
        }
    return _SETTINGS[bucket]


def moto_bucket(name: str) -> Any:
    """Return moto's bucket, whoever owns it; raises Refused."""
    if name not in moto("s3.models").s3_backends.bucket_accounts:
        raise Refused("NoSuchBucket", "The specified bucket does not exist", 404)
    partition, account = moto("s3.models").s3_backends.bucket_accounts[name]
    return moto("s3.models").s3_backends[account][partition].buckets[name]


def bucket_of(here: Here, name: str) -> Any:
    """Return moto's bucket for a caller who may see it: its account, or one that its policy names."""
    bucket = moto_bucket(name)
    if bucket.account_id != here.account and here.account not in settings_of(bucket).get("policy", ""):
        raise Refused("AccessDenied", "Access Denied", 403)
    return bucket


def date_by_clock(here: Here, operation: str, asked: Params) -> None:
    """Date what moto just wrote by the sandbox's clock: moto knows the wall's alone."""
    if operation == "CreateBucket":
        moto_bucket(asked["Bucket"]).creation_date = here.now
    elif operation in {"PutObject", "CopyObject", "CompleteMultipartUpload", "DeleteObject"}:
        versions = moto_bucket(asked["Bucket"]).keys.getlist(asked["Key"], [])
        if versions and not asked.get("VersionId"):
            versions[-1].last_modified = here.now.astimezone(UTC).replace(tzinfo=None, microsecond=0)


def encryption_setting(algorithm: str, kms_key: str | None) -> Record:
    """Return a default encryption in S3's shape."""
    by: Record = {"SSEAlgorithm": algorithm}
    if kms_key and algorithm.startswith("aws:kms"):
        by["KMSMasterKeyID"] = kms_key
    rule = {
        "ApplyServerSideEncryptionByDefault": by,
        "BucketKeyEnabled": algorithm.startswith("aws:kms"),
    }
    return {"Rules": [rule]}


def write_setting(bucket: Any, name: str, value: Any) -> None:
    """Keep a setting, None taking it away, and tell moto where it decides how objects are kept."""
    settings = settings_of(bucket)
    if value is None:
        settings.pop(name, None)
    else:
        settings[name] = value
    if name == "versioning":
        bucket.versioning_status = (value or {}).get("Status")
    elif name == "encryption":
        bucket.encryption = {"Rule": value["Rules"][0]} if value else None
    elif name == "lock":
        bucket.object_lock_enabled = value is not None


def seeded(setting: str, value: Any, kms_key: str | None = None) -> tuple[str, Any]:
    """Turn a setting as the seeds name it into our name and S3's shape."""
    if setting == "versioning":
        return "versioning", {} if value == "Off" else {"Status": value}
    if setting == "eventbridge":
        return "notification", {"EventBridgeConfiguration": {}} if value else {}
    if setting == "encryption":
        return "encryption", None if value is None else encryption_setting(value, kms_key)
    if setting == "public_block":
        return "public_block", block_setting(value)
    if setting == "ownership":
        return "ownership", None if value is None else {"Rules": [{"ObjectOwnership": value}]}
    if setting == "lifecycle":
        return "lifecycle", {"Rules": [dict(rule) for rule in value]} if value else None
    if setting == "replication":
        return "replication", dict(value) if value else None
    if setting == "policy":
        return "policy", json.dumps(value, sort_keys=True) if isinstance(value, Mapping) else value
    if setting == "logging":
        return "logging", {"LoggingEnabled": {"TargetBucket": value, "TargetPrefix": ""}} if value else None
    if setting == "lock":
        return "lock", _lock(value)
    if setting == "tags":
        return "tags", dict(value or {})
    raise TypeError(f"a bucket has no setting {setting!r}")


def block_setting(flags: Sequence[bool] | None) -> Record | None:
    """Return a public access block in S3's shape."""
    return None if flags is None else dict(zip(BLOCK, flags, strict=True))


def _lock(value: Mapping[str, Any] | None) -> Record | None:
    if value is None:
        return None
    lock: Record = {"ObjectLockEnabled": "Enabled"}
    if value:
        lock["Rule"] = {"DefaultRetention": {"Mode": value["mode"], "Days": value["days"]}}
    return lock
