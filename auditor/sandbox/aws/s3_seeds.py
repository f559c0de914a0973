"""Seed S3: buckets with their settings and objects with their versions, every time given by the caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import md5
from types import SimpleNamespace
from typing import Any

from auditor.sandbox.aws.books import Books, digest
from auditor.sandbox.aws.buckets import (
    block_setting,
    moto_bucket,
    seeded,
    settings_of,
    write_setting,
)
from auditor.sandbox.aws.kms_seeds import named_key
from auditor.sandbox.aws.moto_world import MotoWorld, moto

PART_BYTES = 8 * 1024 * 1024
"""Size of a part of a multipart upload: what the SDKs and Hadoop's S3A take by default, near enough."""


class S3Seeds:
    """Put and change buckets and objects, without a request."""

    books: Books
    world: MotoWorld

    def put_bucket(
        self,
        account: str,
        region: str,
        name: str,
        *,
        at: datetime,
        tags: Mapping[str, str] | None = None,
        versioning: str = "Enabled",
        mfa_delete: bool = False,
        eventbridge: bool = True,
        encryption: str | None = "aws:kms",
        kms_key: str | None = None,
        public_block: Sequence[bool] | None = (True, True, True, True),
        ownership: str | None = "BucketOwnerEnforced",
        lifecycle: Sequence[Mapping[str, Any]] = (),
        replication: Mapping[str, Any] | None = None,
        policy: str | Mapping[str, Any] | None = None,
        logging: str | None = None,
        lock: Mapping[str, Any] | None = None,
    ) -> str:
        """Make a bucket and return its ARN.

        `versioning`: Enabled, Suspended or Off. `public_block`: block ACLs, ignore ACLs, block policy, restrict;
        None when none is set. `lifecycle`: Rules and `replication`: ReplicationConfiguration, in S3's shape.
        `logging`: the target bucket. `lock`: {} enables object lock, {"mode": "COMPLIANCE", "days": 30} adds a default.
        """
        if kms_key is None and encryption == "aws:kms":
            kms_key = f"arn:aws:kms:{region}:{account}:alias/aws/s3"
        with self.world.entered():
            bucket = moto("s3.models").s3_backends[account]["aws"].create_bucket(name, region)
            bucket.creation_date = at.astimezone(UTC)
            settings_of(bucket)["mfa_delete"] = mfa_delete
        self.set_bucket(
            name,
            kms_key=kms_key,
            versioning=versioning,
            eventbridge=eventbridge,
            encryption=encryption,
            public_block=public_block,
            ownership=ownership,
            lifecycle=lifecycle,
            replication=replication,
            policy=policy,
            logging=logging,
            lock=lock,
            tags=tags,
        )
        return f"arn:aws:s3:::{name}"

    def set_bucket(self, name: str, **settings: Any) -> None:
        """Change settings of a bucket, by the names that `put_bucket` has."""
        with self.world.entered():
            bucket = moto_bucket(name)
            kept = settings_of(bucket)
            if "mfa_delete" in settings:
                kept["mfa_delete"] = settings.pop("mfa_delete")
                settings.setdefault("versioning", kept["versioning"].get("Status", "Off"))
            if "kms_key" in settings:
                kept["kms_key"] = settings.pop("kms_key")
                named_key(self.books, kept["kms_key"] or "")
                settings.setdefault("encryption", "aws:kms")
            for setting, value in settings.items():
                member, shaped = seeded(setting, value, kept.get("kms_key"))
                if member == "versioning" and shaped and kept.get("mfa_delete"):
                    shaped["MFADelete"] = "Enabled"
                write_setting(bucket, member, shaped)

    def put_object(
        self,
        bucket: str,
        key: str,
        body: bytes,
        *,
        at: datetime,
        storage_class: str = "STANDARD",
        metadata: Mapping[str, str] | None = None,
        multipart: bool = False,
        checksum: str | None = "CRC64NVME",
        replication: str | None = None,
    ) -> str:
        """Write an object and return its version id; a multipart object's ETag has a dash.

        `checksum`: the algorithm of its additional checksum, by default what S3 adds by itself since December 2024;
        None for none. `replication`: PENDING, COMPLETED, FAILED or REPLICA where it is replicated.
        """
        with self.world.entered():
            held = moto_bucket(bucket)
            backend = moto("s3.models").s3_backends[held.account_id]["aws"]
            before = list(held.keys.getlist(key, []))
            status, held.versioning_status = (
                held.versioning_status,
                held.versioning_status and "Enabled",
            )
            written = backend.put_object(
                bucket,
                key,
                body,
                storage=storage_class,
                etag=_multipart_etag(body) if multipart else None,
                disable_notification=True,
            )
            held.versioning_status = status
            if status == "Enabled":
                written._version_id = digest("version", bucket, key, at, len(before))[:32]  # noqa: SLF001 - moto has no other door
            elif status == "Suspended":  # the null version is replaced, the others stay
                written._version_id = "null"  # noqa: SLF001 - moto has no other door
                held.keys.setlist(key, [*(old for old in before if old.version_id != "null"), written])
            written.last_modified = _naive(at)
            written.set_metadata({f"x-amz-meta-{name}": value for name, value in (metadata or {}).items()})
            written.checksum_algorithm = None  # moto would send it as a header that S3 has not
            written.sums = checksum
            if replication:
                written.metadata["x-amz-replication-status"] = replication
            return str(written.version_id)

    def delete_object(
        self, bucket: str, key: str, *, at: datetime, version_id: str | None = None
    ) -> str | None:
        """Delete a version, or put a delete marker and return its version id."""
        with self.world.entered():
            held = moto_bucket(bucket)
            versions = held.keys.getlist(key, [])
            if version_id is None and held.versioning_status:
                marker = moto("s3.models").FakeDeleteMarker(SimpleNamespace(name=key))
                marker._version_id = digest("marker", bucket, key, at, len(versions))[:32]  # noqa: SLF001 - moto has no other door
                marker.last_modified = _naive(at)
                held.keys.setlist(key, [*versions, marker])
                return str(marker.version_id)
            left = [old for old in versions if version_id not in (None, old.version_id)]
            held.keys.setlist(key, left)
            if not left:
                dict.pop(held.keys, key, None)
            return None

    def set_public_block(self, account: str, flags: Sequence[bool] | None) -> None:
        """Set the account's public access block: block ACLs, ignore ACLs, block policy, restrict; None takes it away."""
        block = block_setting(flags)
        if block is None:
            self.books.public_blocks.pop(account, None)
        else:
            self.books.public_blocks[account] = block


def _naive(at: datetime) -> datetime:
    """Return a time as moto keeps it: UTC without saying so, in whole seconds as S3 tells it."""
    return at.astimezone(UTC).replace(tzinfo=None, microsecond=0)


def _multipart_etag(body: bytes) -> str:
    """Return the ETag of a multipart upload: MD5 over the parts' MD5s, a dash and how many parts there were."""
    parts = [body[i : i + PART_BYTES] for i in range(0, max(len(body), 1), PART_BYTES)]
    whole = md5(b"".join(md5(part, usedforsecurity=False).digest() for part in parts), usedforsecurity=False)
    return f"{whole.hexdigest()}-{len(parts)}"
