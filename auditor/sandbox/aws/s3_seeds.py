"""Seed S3: buckets with their settings and objects with their versions, every time given by the caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from auditor.sandbox.aws.books import Books


class S3Seeds:
    """Put and change buckets and objects, without a request."""

    books: Books

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
        raise NotImplementedError

    def set_bucket(self, name: str, **settings: Any) -> None:
        """Change settings of a bucket, by the names that `put_bucket` has."""
        raise NotImplementedError

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
    ) -> str:
        """Write an object and return its version id; a multipart object's ETag has a dash."""
        raise NotImplementedError

    def delete_object(
        self, bucket: str, key: str, *, at: datetime, version_id: str | None = None
    ) -> str | None:
        """Delete a version, or put a delete marker and return its version id."""
        raise NotImplementedError

    def set_public_block(self, account: str, flags: Sequence[bool] | None) -> None:
        """Set the account's public access block: block ACLs, ignore ACLs, block policy, restrict; None takes it away."""
        raise NotImplementedError
