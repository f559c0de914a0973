"""A bucket without an inventory may be listed by prefix: what jobs and events speak of is seen, the rest is a gap."""

from __future__ import annotations

from typing import Any

import pytest

from auditor.sandbox.aws.cloud import AwsCloud
from auditor.sources import aws_s3
from tests.aws_sources import MADE, NOW, Found
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


def test_an_inventory_comes_first(cloud: AwsCloud) -> None:
    cloud.put_inventory(BUCKET, into=INTO)
    cloud.put_object(BUCKET, "a/1", b"x", at=MADE)
    cloud.deliver_inventory(BUCKET, at=DELIVERED)
    found = found_of(cloud, job("a/", NOW - HOUR))
    assert way(found)["way"] == "inventory"
