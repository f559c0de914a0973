"""A bucket with an inventory in the sandbox, looked at as a scan does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from auditor.canonical import stored
from auditor.model import Gap, Seen
from auditor.outputs import Output
from auditor.sandbox.aws.cloud import AwsCloud
from auditor.schema import tables
from auditor.sources import aws_s3
from tests.aws_sources import FROM, MADE, NOW, A, Found, look

HOUR = timedelta(hours=1)
DELIVERED = NOW - 6 * HOUR
SETTLED = DELIVERED - 24 * HOUR
FORMS = ("CSV", "ORC", "Parquet")
BUCKET, INTO = "exports", "inventories"
ARN = f"arn:aws:s3:::{BUCKET}"
READ_ALL: list[Seen | Gap] = [Seen("s3_data_event", A, "us-east-1", "*", FROM - 60 * 24 * HOUR, NOW)]
"""What CloudTrail says when it read all data events."""


@pytest.fixture
def cloud() -> Iterator[AwsCloud]:
    cloud = AwsCloud()
    cloud.start()
    cloud.clock(NOW)
    cloud.put_bucket(A, "us-east-1", BUCKET, at=MADE)
    cloud.put_bucket(A, "us-east-1", INTO, at=MADE)
    yield cloud
    cloud.faults.clear()
    cloud.stop()


def job(prefix: str, finished_at: datetime | None) -> tuple[Mapping[str, Any], Output]:
    return {"finished_at": finished_at}, Output(BUCKET, prefix, "arguments", True, None)


def looked(cloud: AwsCloud, *jobs: tuple[Mapping[str, Any], Output], **more: Any) -> Found:
    """Look at the bucket as a scan does that read all data events, unless `coverage` says otherwise."""
    seen = more.pop("seen", READ_ALL)
    rows = {"s3_data_event": more.pop("events", []), "backup_job": more.pop("jobs", [])}
    return look(
        aws_s3,
        cloud.endpoint,
        exports=frozenset({BUCKET}),
        outputs=lambda: iter(jobs),
        coverage=lambda table: seen if table == "s3_data_event" else [],
        collected=lambda table, _only=(): iter(rows.get(table, ())),
        wanted=lambda _table: frozenset({"versioning", "replication"}),
        **more,
    )


def listed(cloud: AwsCloud, **more: Any) -> Found:
    return looked(cloud, settings=aws_s3.Settings(inventory=False), **more)


def versions(found: Found) -> list[dict[str, Any]]:
    table = tables()["s3_object_version"]
    rows = [stored(table, row) for row in found.of("s3_object_version")]
    return sorted(rows, key=lambda row: (row["key"], row["version_id"]))


def way(found: Found) -> dict[str, Any]:
    return found.only("s3_listing", bucket=BUCKET)
