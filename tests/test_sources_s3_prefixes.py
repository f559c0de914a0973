"""A bucket without an inventory may be listed by prefix: what jobs and events speak of is seen, the rest is a gap."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from auditor.outputs import Output
from auditor.sandbox.aws.cloud import AwsCloud
from auditor.sources import aws_s3
from tests.aws_sources import MADE, NOW, A, Found, look
from tests.inventory_case import ARN, BUCKET, DELIVERED, HOUR, INTO, cloud, job, looked, versions, way

__all__ = ("cloud",)
pytestmark = pytest.mark.xdist_group("sources_s3_inventory")
KEYS = ("a/1", "a/deep/2", "ab/3", "b/4", "c/5", "top")


def found_of(cloud: AwsCloud, *jobs: Any, **more: Any) -> Found:
    for key in KEYS:
        cloud.put_object(BUCKET, key, b"x", at=MADE)
    return looked(cloud, *jobs, settings=aws_s3.Settings(listing="prefixes"), **more)


def keys(found: Found) -> list[str]:
    return [row["key"] for row in versions(found)]


def event(key: str, **more: Any) -> dict[str, Any]:
    return {"bucket": BUCKET, "key": key, "at": MADE, "error_code": "", "event_name": "PutObject"} | more


def test_what_jobs_and_events_speak_of_is_listed_and_the_rest_is_a_gap_that_says_what_to_do(
    cloud: AwsCloud,
) -> None:
    refused, other = event("c/5", error_code="AccessDenied"), event("c/5", bucket="other")
    found = found_of(cloud, job("a/", MADE), job("a/deep/", None), events=[event("b/4"), refused, other])
    assert keys(found) == ["a/1", "a/deep/2", "b/4"]
    row = way(found)
    assert (row["way"], row["prefixes"], row["objects"], row["whole"]) == ("prefixes", ["a/", "b/"], 3, False)
    assert row["because"] == "no inventory is configured"
    assert found.covered("s3_object_version") == []
    (missed,) = [each for each in found.gaps if each.table == "s3_object_version"]
    assert (missed.resource, missed.reason) == (ARN, "not_enabled")
    assert 'listing = "bucket"' in missed.detail


def test_an_export_of_whom_the_root_is_spoken_of_lets_the_bucket_be_listed(cloud: AwsCloud) -> None:
    found = found_of(cloud, job("a/", NOW), job("", NOW))
    assert (way(found)["way"], way(found)["whole"]) == ("listing", True)
    assert "root of the bucket" in way(found)["because"]
    assert keys(found) == sorted(KEYS)
    assert found.covered("s3_object_version") == [("us-east-1", ARN)]


def test_a_bucket_of_which_nothing_speaks_is_listed_whole(cloud: AwsCloud) -> None:
    found = found_of(cloud)
    assert (way(found)["way"], keys(found)) == ("listing", sorted(KEYS))
    assert "nothing speaks of a prefix" in way(found)["because"]


def test_a_key_at_the_root_is_listed_by_its_name(cloud: AwsCloud) -> None:
    found = found_of(cloud, events=[event("top")])
    assert (way(found)["prefixes"], keys(found)) == (["top"], ["top"])


def test_a_prefix_that_cannot_be_listed_is_a_gap_with_its_reason(cloud: AwsCloud) -> None:
    cloud.faults.set("s3", "ListObjectVersions", "deny")
    found = found_of(cloud, job("a/", MADE))
    assert found.missing("s3_object_version") == [("us-east-1", ARN, "denied")]
    assert (way(found)["way"], way(found)["prefixes"], way(found)["whole"]) == ("prefixes", [], False)


def test_jobs_and_events_are_read_once_however_many_buckets_there_are(cloud: AwsCloud) -> None:
    read: Counter[str] = Counter()
    buckets = (BUCKET, "more", "most")
    for name in buckets[1:]:
        cloud.put_bucket(A, "us-east-1", name, at=MADE)
    events = [event(f"{name}/1", bucket=name) for name in buckets]

    def collected(table: str, _only: object = ()) -> list[Any]:
        read[table] += 1
        return events if table == "s3_data_event" else []

    def outputs() -> list[Any]:
        read["outputs"] += 1
        return [
            ({"finished_at": MADE}, Output(name, f"{name}/", "arguments", True, None)) for name in buckets
        ]

    found = look(
        aws_s3, cloud.endpoint, exports=frozenset(buckets), settings=aws_s3.Settings(listing="prefixes"),
        collected=collected, outputs=outputs, wanted=lambda _table: frozenset({"versioning"}),
    )  # fmt: skip
    assert {row["bucket"]: row["prefixes"] for row in found.of("s3_listing")} == {
        name: [f"{name}/"] for name in buckets
    }
    assert (read["s3_data_event"], read["outputs"]) == (1, 1)


def test_an_inventory_comes_first(cloud: AwsCloud) -> None:
    cloud.put_inventory(BUCKET, into=INTO)
    cloud.put_object(BUCKET, "a/1", b"x", at=MADE)
    cloud.deliver_inventory(BUCKET, at=DELIVERED)
    found = found_of(cloud, job("a/", NOW - HOUR))
    assert way(found)["way"] == "inventory"
