"""Seed CloudTrail: trails, and what happened, told both as log files in S3 and by LookupEvents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from auditor.sandbox.aws.books import Books


class TrailSeeds:
    """Put and change trails, and record events, without a request."""

    books: Books

    def put_trail(
        self,
        account: str,
        region: str,
        name: str,
        *,
        bucket: str,
        at: datetime,
        prefix: str = "",
        multi_region: bool = True,
        global_events: bool = True,
        logging: bool = True,
        validated: bool = True,
        management: str = "All",
        data_arns: Sequence[str] = ("arn:aws:s3",),
        data_read_write: str = "All",
        advanced: Sequence[Mapping[str, Any]] | None = None,
        delivered_at: datetime | None = None,
        delivery_error: str | None = None,
    ) -> str:
        """Make a trail and return its ARN.

        `management`: All, ReadOnly, WriteOnly or None. `data_arns`: S3 ARNs whose data events it records.
        `advanced`: AdvancedEventSelectors in CloudTrail's shape, which stand in place of both.
        """
        raise NotImplementedError

    def set_trail(self, arn: str, *, at: datetime, **changes: Any) -> str:
        """Change settings of a trail, by the names that `put_trail` has; `at` dates a start or stop of logging."""
        raise NotImplementedError

    def put_events(
        self, account: str, region: str, events: Sequence[Mapping[str, Any]]
    ) -> list[str]:
        """Record CloudTrail records in their JSON shape and return the keys of the log files written.

        Every trail that logs and selects an event gets it, in its bucket, five minutes after the event; management
        events also stand in LookupEvents of the region.
        """
        raise NotImplementedError
