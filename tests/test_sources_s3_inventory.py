"""The objects of a bucket from its inventory: the same rows as a listing gives, key by key, in every format."""

from __future__ import annotations

from typing import Any

import pytest

from auditor.sandbox.aws.cloud import AwsCloud
from auditor.sources import aws_s3
from tests.aws_sources import MADE, A, B, look
from tests.inventory_case import (
    ARN,
    BUCKET,
    DELIVERED,
    FORMS,
    HOUR,
    INTO,
    READ_ALL,
    SETTLED,
    cloud,
    job,
    listed,
    looked,
    versions,
    way,
)

__all__ = ("cloud",)
pytestmark = pytest.mark.xdist_group("sources_s3_inventory")


def every_key() -> list[str]:
    """Return keys with every byte that S3 allows: each ASCII character, and others of two, three and four bytes."""
    ascii_keys = [f"k/{chr(code)}/x" for code in range(0x80) if chr(code) != "/"]
    others = "é\u0301/\u0301x€\u2028\u202e\ufdd0\ufdef\ufffe\ufeff\U0001f600\U0010ffff"
    return [
        *ascii_keys,
        *(f"k/{char}" for char in others),
        "a//b",
        "/",
        "//",
        "+",
        "%41",
        "a b+c%2Bd",
        "ends/",
        "\ud800x",
        "dir\udfff/x",
    ]


@pytest.mark.parametrize("form", FORMS)
def test_every_key_is_the_one_that_a_listing_gives(cloud: AwsCloud, form: str) -> None:
    keys = (
        every_key()
        if form == "CSV"
        else [key for key in every_key() if key.isascii() or key.encode("utf-8", "ignore").decode() == key]
    )
    for number, key in enumerate(keys):
        cloud.put_object(BUCKET, key, b"x" * number, at=MADE + number * HOUR)
    cloud.put_inventory(BUCKET, into=INTO, form=form, prefix="to/here")
    cloud.deliver_inventory(BUCKET, at=DELIVERED)
    by_inventory, by_listing = looked(cloud), listed(cloud)
    assert (way(by_inventory)["way"], way(by_listing)["way"]) == ("inventory", "listing")
    found, expected = versions(by_inventory), versions(by_listing)
    assert len(expected) == len(keys)
    for one, other in zip(found, expected, strict=True):
        assert one == other


@pytest.mark.parametrize("form", FORMS)
def test_versions_and_delete_markers_are_those_of_a_listing(cloud: AwsCloud, form: str) -> None:
    cloud.put_object(BUCKET, "a/1", b"old", at=MADE, checksum=None)
    cloud.put_object(BUCKET, "a/1", b"newer", at=MADE + HOUR, storage_class="DEEP_ARCHIVE")
    cloud.put_object(BUCKET, "a/2", b"big", at=MADE, multipart=True, checksum="SHA256")
    cloud.delete_object(BUCKET, "a/2", at=MADE + 2 * HOUR)
    cloud.put_object(BUCKET, "a/_SUCCESS", b'{"filenames": ["a/1"]}', at=MADE + HOUR)
    cloud.put_inventory(BUCKET, into=INTO, form=form)
    cloud.deliver_inventory(BUCKET, at=DELIVERED, files=3)
    by_inventory, by_listing = looked(cloud), listed(cloud)
    assert versions(by_inventory) == versions(by_listing)
    assert len(versions(by_inventory)) == 5
    assert by_inventory.of("s3_manifest") == by_listing.of("s3_manifest") != []
    assert by_inventory.gaps == []
    assert by_inventory.covered("s3_object_version") == [("us-east-1", ARN)]
    told = way(by_inventory)
    assert (told["way"], told["configuration"], told["format"], told["files"], told["objects"]) == (
        "inventory",
        "all",
        form,
        3,
        5,
    )
    assert (told["delivered_at"], told["settled_at"], told["age_s"]) == (DELIVERED, SETTLED, 6 * 3600)
    assert (told["prefixes"], told["whole"], told["because"]) == ([], True, "")


def test_a_listing_is_not_made_where_the_inventory_tells_all(cloud: AwsCloud) -> None:
    cloud.put_object(BUCKET, "a/1", b"x", at=MADE)
    cloud.put_inventory(BUCKET, into=INTO)
    cloud.deliver_inventory(BUCKET, at=DELIVERED)
    cloud.calls.clear()
    looked(cloud)
    assert ("s3", "ListObjectVersions") not in cloud.calls
    assert cloud.calls["s3", "ListBucketInventoryConfigurations"] == 1
    assert cloud.calls["s3", "GetObject"] == 4


def test_an_unversioned_bucket_is_read_from_an_inventory_of_current_versions(cloud: AwsCloud) -> None:
    cloud.put_bucket(A, "us-east-1", "plain", at=MADE, versioning="Off")
    cloud.put_object("plain", "a/1", b"x", at=MADE)
    cloud.put_inventory("plain", into=INTO, versions="Current")
    cloud.deliver_inventory("plain", at=DELIVERED)
    shared: dict[str, Any] = {"exports": frozenset({"plain"}), "coverage": lambda _table: READ_ALL}
    found = look(aws_s3, cloud.endpoint, **shared)
    assert found.only("s3_listing")["way"] == "inventory"
    plain = look(aws_s3, cloud.endpoint, settings=aws_s3.Settings(inventory=False), **shared)
    assert versions(found) == versions(plain)


def test_the_configuration_that_proves_most_is_chosen(cloud: AwsCloud) -> None:
    cloud.put_object(BUCKET, "a/1", b"x", at=MADE)
    cloud.put_inventory(BUCKET, "a-off", into=INTO, enabled=False)
    cloud.put_inventory(BUCKET, "b-current", into=INTO, versions="Current")
    cloud.put_inventory(BUCKET, "c-part", into=INTO, of_prefix="b/")
    cloud.put_inventory(BUCKET, "d-poor", into=INTO, fields=("Size", "LastModifiedDate"))
    cloud.put_inventory(BUCKET, "e-plain", into=INTO, fields=("Size", "LastModifiedDate", "StorageClass"))
    cloud.put_inventory(BUCKET, "f-rich", into=INTO)
    for name in ("a-off", "b-current", "c-part", "d-poor", "e-plain", "f-rich"):
        cloud.deliver_inventory(BUCKET, name, at=DELIVERED)
    told = way(looked(cloud, job("a/", MADE)))
    assert told["configuration"] == "f-rich"
    for words in (
        "a-off is switched off",
        "b-current lists current versions only",
        "c-part lists b/ only",
        "d-poor lacks StorageClass",
    ):
        assert words in told["because"]


def test_what_an_inventory_does_not_keep_is_not_known_rather_than_none(cloud: AwsCloud) -> None:
    cloud.put_object(BUCKET, "a/1", b"x", at=MADE)
    cloud.put_inventory(BUCKET, into=INTO, fields=("Size", "LastModifiedDate", "StorageClass"))
    cloud.deliver_inventory(BUCKET, at=DELIVERED)
    (row,) = looked(cloud).of("s3_object_version")
    assert (row["etag"], row["checksums"], row["bytes"]) == (None, None, 1)


def test_an_inventory_of_a_prefix_serves_exports_below_it_and_the_rest_is_listed(cloud: AwsCloud) -> None:
    for key in ("a/1", "b/1", "b/2/3", "b0", "c/1"):
        cloud.put_object(BUCKET, key, b"x", at=MADE)
    cloud.put_inventory(BUCKET, into=INTO, of_prefix="b/")
    cloud.deliver_inventory(BUCKET, at=DELIVERED)
    found = looked(cloud, job("b/2/", MADE))
    assert way(found)["way"] == "inventory"
    assert versions(found) == versions(listed(cloud))


def test_more_than_a_hundred_configurations_are_read_to_the_last(cloud: AwsCloud) -> None:
    for number in range(101):
        cloud.put_inventory(BUCKET, f"n{number:03d}", into=INTO, enabled=number == 100)
    cloud.put_object(BUCKET, "a/1", b"x", at=MADE)
    cloud.deliver_inventory(BUCKET, "n100", at=DELIVERED)
    assert way(looked(cloud))["configuration"] == "n100"


def test_the_destination_may_be_a_bucket_of_another_account_that_lets_us_in(cloud: AwsCloud) -> None:
    cloud.put_bucket(B, "eu-west-1", "theirs", at=MADE, policy={"Statement": [{"Principal": {"AWS": A}}]})
    cloud.put_object(BUCKET, "a/1", b"x", at=MADE)
    cloud.put_inventory(BUCKET, into="theirs")
    cloud.deliver_inventory(BUCKET, at=DELIVERED)
    assert way(looked(cloud))["way"] == "inventory"
