"""S3's answers about buckets and their settings."""

from __future__ import annotations

from typing import Any

from auditor.sandbox.aws.books import Here, Params, Record, Refused
from auditor.sandbox.aws.buckets import bucket_of, settings_of, write_setting
from auditor.sandbox.aws.moto_world import moto
from auditor.sandbox.aws.paging import offset, token


def list_buckets(here: Here, asked: Params) -> Record:
    """List the account's own buckets, by name."""
    prefix, region = asked.get("Prefix") or "", asked.get("BucketRegion")
    rows = [
        {
            "Name": name,
            "CreationDate": bucket.creation_date,
            "BucketRegion": bucket.region_name,
            "BucketArn": f"arn:aws:s3:::{name}",
        }
        for name, bucket in sorted(moto("s3.models").s3_backends[here.account]["aws"].buckets.items())
        if name.startswith(prefix) and region in (None, bucket.region_name)
    ]
    start, size = offset(asked.get("ContinuationToken")), int(asked.get("MaxBuckets") or 10_000)
    reply: Record = {"Buckets": rows[start : start + size], "Owner": {"ID": moto("s3.models").OWNER}}
    if start + size < len(rows):
        reply["ContinuationToken"] = token(start + size)
    return reply


def get_bucket_location(here: Here, asked: Params) -> Record:
    """Give the region; us-east-1 is said by saying nothing."""
    region = bucket_of(here, asked["Bucket"]).region_name
    return {} if region == "us-east-1" else {"LocationConstraint": region}


def _read(here: Here, asked: Params, setting: str, missing: str = "", words: str = "") -> Any:
    """Return a setting; raises Refused with S3's code for one that is not there, {} where S3 has no such code."""
    found = settings_of(bucket_of(here, asked["Bucket"])).get(setting)
    if found is None and missing:
        raise Refused(missing, words, 404)
    return found or {}


def _write(here: Here, asked: Params, setting: str, value: Any) -> Record:
    write_setting(bucket_of(here, asked["Bucket"]), setting, value)
    return {}


def get_bucket_versioning(here: Here, asked: Params) -> Record:
    """Give versioning; a bucket that never had it answers nothing."""
    return dict(_read(here, asked, "versioning"))


def put_bucket_versioning(here: Here, asked: Params) -> Record:
    """Set versioning."""
    return _write(here, asked, "versioning", dict(asked["VersioningConfiguration"]))


def get_bucket_encryption(here: Here, asked: Params) -> Record:
    """Give default encryption; a bucket without says so by an error."""
    code, words = "ServerSideEncryptionConfigurationNotFoundError", "no default encryption"
    return {"ServerSideEncryptionConfiguration": _read(here, asked, "encryption", code, words)}


def put_bucket_encryption(here: Here, asked: Params) -> Record:
    """Set default encryption."""
    return _write(here, asked, "encryption", asked["ServerSideEncryptionConfiguration"])


def delete_bucket_encryption(here: Here, asked: Params) -> Record:
    """Take default encryption back to S3's own keys."""
    from auditor.sandbox.aws.buckets import encryption_setting

    return _write(here, asked, "encryption", encryption_setting("AES256", None))


def get_public_access_block(here: Here, asked: Params) -> Record:
    """Give the bucket's public access block."""
    code, words = (
        "NoSuchPublicAccessBlockConfiguration",
        "The public access block configuration was not found",
    )
    return {"PublicAccessBlockConfiguration": _read(here, asked, "public_block", code, words)}


def put_public_access_block(here: Here, asked: Params) -> Record:
    """Set the bucket's public access block."""
    return _write(here, asked, "public_block", asked["PublicAccessBlockConfiguration"])


def delete_public_access_block(here: Here, asked: Params) -> Record:
    """Take the bucket's public access block away."""
    return _write(here, asked, "public_block", None)


def get_bucket_policy(here: Here, asked: Params) -> Record:
    """Give the bucket policy as it was put, byte for byte."""
    return {"Policy": _read(here, asked, "policy", "NoSuchBucketPolicy", "The bucket policy does not exist")}


def put_bucket_policy(here: Here, asked: Params) -> Record:
    """Set the bucket policy."""
    return _write(here, asked, "policy", asked["Policy"])


def delete_bucket_policy(here: Here, asked: Params) -> Record:
    """Take the bucket policy away."""
    return _write(here, asked, "policy", None)


def get_bucket_logging(here: Here, asked: Params) -> Record:
    """Give where server access logs go; nothing when nowhere."""
    return dict(_read(here, asked, "logging"))


def put_bucket_logging(here: Here, asked: Params) -> Record:
    """Set where server access logs go."""
    return _write(here, asked, "logging", asked["BucketLoggingStatus"] or None)


def get_bucket_notification_configuration(here: Here, asked: Params) -> Record:
    """Give notifications, EventBridge among them."""
    return dict(_read(here, asked, "notification"))


def put_bucket_notification_configuration(here: Here, asked: Params) -> Record:
    """Set notifications."""
    return _write(here, asked, "notification", dict(asked["NotificationConfiguration"] or {}))


def get_object_lock_configuration(here: Here, asked: Params) -> Record:
    """Give object lock; a bucket without says so by an error."""
    code = "ObjectLockConfigurationNotFoundError"
    words = "Object Lock configuration does not exist for this bucket"
    return {"ObjectLockConfiguration": _read(here, asked, "lock", code, words)}


def put_object_lock_configuration(here: Here, asked: Params) -> Record:
    """Set object lock."""
    return _write(here, asked, "lock", asked["ObjectLockConfiguration"])


def get_bucket_lifecycle_configuration(here: Here, asked: Params) -> Record:
    """Give lifecycle rules; a bucket without says so by an error."""
    words = "The lifecycle configuration does not exist"
    return dict(_read(here, asked, "lifecycle", "NoSuchLifecycleConfiguration", words))


def put_bucket_lifecycle_configuration(here: Here, asked: Params) -> Record:
    """Set lifecycle rules."""
    return _write(here, asked, "lifecycle", dict(asked["LifecycleConfiguration"]))


def delete_bucket_lifecycle(here: Here, asked: Params) -> Record:
    """Take lifecycle rules away."""
    return _write(here, asked, "lifecycle", None)


def get_bucket_replication(here: Here, asked: Params) -> Record:
    """Give replication; a bucket without says so by an error."""
    code, words = (
        "ReplicationConfigurationNotFoundError",
        "The replication configuration was not found",
    )
    return {"ReplicationConfiguration": _read(here, asked, "replication", code, words)}


def put_bucket_replication(here: Here, asked: Params) -> Record:
    """Set replication; nothing is copied here."""
    return _write(here, asked, "replication", asked["ReplicationConfiguration"])


def delete_bucket_replication(here: Here, asked: Params) -> Record:
    """Take replication away."""
    return _write(here, asked, "replication", None)


def get_bucket_tagging(here: Here, asked: Params) -> Record:
    """Give the tags; a bucket without says so by an error."""
    tags = _read(here, asked, "tags")
    if not tags:
        raise Refused("NoSuchTagSet", "The TagSet does not exist", 404)
    return {"TagSet": [{"Key": key, "Value": value} for key, value in sorted(tags.items())]}


def put_bucket_tagging(here: Here, asked: Params) -> Record:
    """Set the tags, all of them at once."""
    return _write(here, asked, "tags", {tag["Key"]: tag["Value"] for tag in asked["Tagging"]["TagSet"]})


def delete_bucket_tagging(here: Here, asked: Params) -> Record:
    """Take the tags away."""
    return _write(here, asked, "tags", {})


def get_bucket_ownership_controls(here: Here, asked: Params) -> Record:
    """Give who owns uploaded objects; a bucket without the setting says so by an error."""
    code, words = "OwnershipControlsNotFoundError", "The bucket ownership controls were not found"
    return {"OwnershipControls": _read(here, asked, "ownership", code, words)}


def put_bucket_ownership_controls(here: Here, asked: Params) -> Record:
    """Set who owns uploaded objects."""
    return _write(here, asked, "ownership", asked["OwnershipControls"])


def delete_bucket_ownership_controls(here: Here, asked: Params) -> Record:
    """Take the setting away."""
    return _write(here, asked, "ownership", None)
