"""A delivery that is not whole, or not what it says, is never read: the one before is, or the bucket is listed."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from hashlib import md5
from typing import Any

import pytest

from auditor.sandbox.aws.cloud import AwsCloud
from auditor.sandbox.aws.inventory_seeds import FIELDS
from auditor.sources import aws_s3
from tests.aws_sources import MADE, NOW, A, B, Found
from tests.inventory_case import (
    ARN,
    BUCKET,
    DELIVERED,
    FORMS,
    HOUR,
    INTO,
    cloud,
    listed,
    looked,
    versions,
    way,
)

__all__ = ("cloud",)
pytestmark = pytest.mark.xdist_group("sources_s3_inventory")

Change = Callable[[dict[str, Any]], None]
EARLIER = DELIVERED - 24 * HOUR


@pytest.fixture
def filled(cloud: AwsCloud) -> AwsCloud:
    for number in range(6):
        cloud.put_object(BUCKET, f"a/{number}", b"x" * number, at=MADE)
    cloud.put_inventory(BUCKET, into=INTO, form="CSV")
    return cloud


def by_listing(cloud: AwsCloud, why: str) -> Found:
    """Look, and see that the bucket was listed, and why; that is no gap, for all of it was seen."""
    found = looked(cloud)
    assert way(found)["way"] == "listing"
    assert why in way(found)["because"]
    assert versions(found) == versions(listed(cloud))
    assert found.gaps == []
    assert found.covered("s3_object_version") == [("us-east-1", ARN)]
    return found


def replaced(cloud: AwsCloud, content: Callable[[bytes], bytes]) -> Change:
    """Change the content of the first data file behind the manifest's back."""

    def change(manifest: dict[str, Any]) -> None:
        file = manifest["files"][0]
        with cloud.world.entered():
            from auditor.sandbox.aws.buckets import moto_bucket

            body = moto_bucket(INTO).keys[file["key"]].value
        cloud.put_object(INTO, file["key"], content(body), at=DELIVERED)

    return change


def put(**values: Any) -> Change:
    return lambda manifest: manifest.update(values)


def file_put(**values: Any) -> Change:
    return lambda manifest: manifest["files"][0].update(values)


def test_a_manifest_with_another_checksum_is_passed_over_for_the_delivery_before(filled: AwsCloud) -> None:
    filled.deliver_inventory(BUCKET, at=EARLIER)
    key = filled.deliver_inventory(BUCKET, at=DELIVERED)
    filled.put_object(INTO, key.replace("json", "checksum"), b"0" * 32, at=NOW)
    found = looked(filled)
    told = way(found)
    assert (told["way"], told["delivered_at"]) == ("inventory", EARLIER)
    assert (
        "2026-03-08T18-00Z has a manifest.json that is not the one manifest.checksum names" in told["because"]
    )
    assert versions(found) == versions(listed(filled))


def test_a_delivery_without_checksum_is_not_complete_and_the_one_before_is_read(filled: AwsCloud) -> None:
    filled.deliver_inventory(BUCKET, at=EARLIER)
    filled.deliver_inventory(BUCKET, at=DELIVERED, checksum=False)
    told = way(looked(filled))
    assert (told["way"], told["delivered_at"]) == ("inventory", EARLIER)
    assert "is not complete: it has no manifest.checksum" in told["because"]


def test_without_any_complete_delivery_the_bucket_is_listed(filled: AwsCloud) -> None:
    filled.deliver_inventory(BUCKET, at=DELIVERED, checksum=False)
    by_listing(filled, "it has no manifest.checksum")


def test_a_configuration_that_never_delivered_lets_the_bucket_be_listed(filled: AwsCloud) -> None:
    by_listing(filled, "nothing was delivered below exports/all/ in inventories")


def test_an_inventory_older_than_the_limit_is_not_read(filled: AwsCloud) -> None:
    filled.deliver_inventory(BUCKET, at=NOW - 49 * HOUR)
    by_listing(filled, "older than 48 h")
    told = way(looked(filled, settings=aws_s3.Settings(inventory_max_age=50 * 3600)))
    assert told["way"] == "inventory"


def test_a_folder_that_claims_to_be_newer_than_its_manifest_is_judged_by_the_manifest(
    filled: AwsCloud,
) -> None:
    old = str(int((NOW - 72 * HOUR).timestamp() * 1000))
    filled.deliver_inventory(BUCKET, at=DELIVERED, change=put(creationTimestamp=old))
    by_listing(filled, "older than 48 h")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (put(sourceBucket="other"), "is of the bucket other"),
        (put(fileFormat="Avro"), "format that is not known, Avro"),
        (put(fileSchema="Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size"), "has no column last_modified_date, storage_class"),
        (put(fileSchema="Bucket, Key, Size, LastModifiedDate, StorageClass"), "has no column version_id"),
        (put(fileSchema=7), "has no column"),
        (put(files=None), "cannot be understood"),
        (put(files=[{"key": "x"}]), "cannot be understood"),
        (put(creationTimestamp="soon"), "cannot be understood"),
        (put(creationTimestamp="9" * 30), "cannot be understood"),
        (put(creationTimestamp=str(int((NOW + HOUR).timestamp() * 1000))), "is of a time to come"),
        (file_put(MD5checksum=""), "without its size or MD5"),
        (file_put(MD5checksum="0" * 32), "another MD5"),
        (file_put(size=3), "another size"),
        (file_put(size=10**12), "another size"),
        (file_put(key="not/there.csv.gz"), "cannot be fetched"),
        (lambda manifest: manifest.clear(), "cannot be understood"),
    ],
)  # fmt: skip
def test_a_manifest_that_does_not_hold_lets_the_bucket_be_listed(
    filled: AwsCloud, change: Change, why: str
) -> None:
    filled.deliver_inventory(BUCKET, at=DELIVERED, change=change)
    if why == "another size" and "disk" in way(looked(filled))["because"]:
        why = "of disk are free"
    by_listing(filled, why)


def rehashed(cloud: AwsCloud, content: Callable[[bytes], bytes]) -> Change:
    """Change the first data file and the manifest with it: what a writer of the destination could do."""

    def change(manifest: dict[str, Any]) -> None:
        replaced(cloud, content)(manifest)
        file = manifest["files"][0]
        with cloud.world.entered():
            from auditor.sandbox.aws.buckets import moto_bucket

            body = moto_bucket(INTO).keys[file["key"]].value
        file |= {"size": len(body), "MD5checksum": md5(body, usedforsecurity=False).hexdigest()}

    return change


@pytest.mark.parametrize("form", FORMS)
def test_a_data_file_that_was_cut_or_changed_is_not_read(filled: AwsCloud, form: str) -> None:
    for content, why in (
        (lambda body: body[:-7], "another size"),
        (lambda body: body[:-1] + b"~", "another MD5"),
    ):
        filled.put_inventory(BUCKET, into=INTO, form=form)
        filled.deliver_inventory(BUCKET, at=DELIVERED, change=replaced(filled, content))
        by_listing(filled, why)


@pytest.mark.parametrize("form", FORMS)
def test_a_data_file_that_is_broken_though_its_checksum_holds_is_not_read(
    filled: AwsCloud, form: str
) -> None:
    for content in (lambda body: body[: len(body) // 2], lambda _body: b"", lambda _body: b"garbage" * 50):
        filled.put_inventory(BUCKET, into=INTO, form=form)
        filled.deliver_inventory(BUCKET, at=DELIVERED, change=rehashed(filled, content))
        by_listing(filled, "cannot be read")


@pytest.mark.parametrize("form", ["ORC", "Parquet"])
def test_a_data_file_that_lacks_a_column_the_manifest_names_is_not_read(filled: AwsCloud, form: str) -> None:
    filled.put_inventory(BUCKET, "poor", into=INTO, form=form, fields=("Size", "LastModifiedDate"))
    filled.put_inventory(BUCKET, into=INTO, form=form)
    poor: list[Any] = []
    filled.deliver_inventory(
        BUCKET, "poor", at=DELIVERED, files=1, change=lambda manifest: poor.extend(manifest["files"])
    )
    filled.deliver_inventory(BUCKET, at=DELIVERED, change=lambda manifest: manifest.update(files=poor))
    filled.put_inventory(BUCKET, "poor", into=INTO, enabled=False)
    by_listing(filled, "has no column storage_class")


def test_a_csv_row_that_does_not_fit_its_schema_is_not_read(filled: AwsCloud) -> None:
    def shifted(body: bytes) -> bytes:
        return gzip.compress(gzip.decompress(body).replace(b'"exports",', b"", 1))

    filled.deliver_inventory(BUCKET, at=DELIVERED, change=rehashed(filled, shifted))
    by_listing(filled, "cannot be read")


@pytest.mark.parametrize("form", FORMS)
def test_a_version_that_is_listed_twice_is_one_row(filled: AwsCloud, form: str) -> None:
    items = filled.inventory_items(BUCKET)
    filled.put_inventory(BUCKET, into=INTO, form=form)
    filled.deliver_inventory(BUCKET, at=DELIVERED, items=[*items, items[2], items[2]])
    found = looked(filled)
    assert (way(found)["way"], way(found)["objects"]) == ("inventory", 6)
    assert versions(found) == versions(listed(filled))


@pytest.mark.parametrize("form", FORMS)
def test_a_version_that_is_listed_twice_and_not_the_same_lets_the_bucket_be_listed(
    filled: AwsCloud, form: str
) -> None:
    items = filled.inventory_items(BUCKET)
    filled.put_inventory(BUCKET, into=INTO, form=form)
    filled.deliver_inventory(BUCKET, at=DELIVERED, items=[*items, items[2] | {"Size": 99}])
    by_listing(filled, "lists 1 versions twice, and not the same")


@pytest.mark.parametrize("form", FORMS)
def test_two_versions_of_a_key_that_are_both_its_latest_let_the_bucket_be_listed(
    filled: AwsCloud, form: str
) -> None:
    items = filled.inventory_items(BUCKET)
    filled.put_inventory(BUCKET, into=INTO, form=form)
    filled.deliver_inventory(BUCKET, at=DELIVERED, items=[*items, items[2] | {"VersionId": "another"}])
    by_listing(filled, "marks two versions of a key as its latest, 1 times")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("column", ["Size", "LastModifiedDate", "StorageClass", "IsLatest", "IsDeleteMarker"])
def test_a_row_without_what_every_row_has_lets_the_bucket_be_listed(
    filled: AwsCloud, form: str, column: str
) -> None:
    items = filled.inventory_items(BUCKET)
    filled.put_inventory(BUCKET, into=INTO, form=form)
    filled.deliver_inventory(BUCKET, at=DELIVERED, items=[*items[1:], items[0] | {column: None}])
    found = looked(filled)
    assert way(found)["way"] == "listing"
    assert versions(found) == versions(listed(filled))


def test_rows_of_another_bucket_let_the_bucket_be_listed(filled: AwsCloud) -> None:
    def other(body: bytes) -> bytes:
        return gzip.compress(gzip.decompress(body).replace(b'"exports"', b'"foreign"', 1))

    filled.deliver_inventory(BUCKET, at=DELIVERED, change=rehashed(filled, other))
    by_listing(filled, "lists 1 objects of other buckets")


def test_an_inventory_of_no_file_is_an_empty_bucket_only_where_the_rest_was_seen(filled: AwsCloud) -> None:
    filled.deliver_inventory(BUCKET, at=DELIVERED, files=0)
    found = looked(filled)
    assert way(found)["objects"] == 0
    assert way(found)["way"] == "inventory"


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ("ListBucketInventoryConfigurations", "add s3:GetInventoryConfiguration to the role"),
        ("ListObjectsV2", "add s3:ListBucket to the role"),
        ("GetObject", "add s3:GetObject"),
    ],
)
@pytest.mark.parametrize("kind", ["deny", "fail", "empty", "garbage", "cut"])
def test_a_call_on_the_way_to_the_inventory_that_goes_wrong_lets_the_bucket_be_listed(
    filled: AwsCloud, operation: str, why: str, kind: str
) -> None:
    filled.deliver_inventory(BUCKET, at=DELIVERED)
    filled.faults.set("s3", operation, kind)
    found = looked(filled)
    assert way(found)["way"] == "listing"
    assert way(found)["because"] not in ("", "no inventory is configured") or kind == "empty"
    if kind == "deny":
        assert why in way(found)["because"]
    filled.faults.clear()
    assert versions(found) == versions(listed(filled))
    assert found.gaps == []


def test_a_destination_whose_data_files_we_may_not_decrypt_lets_the_bucket_be_listed(
    filled: AwsCloud,
) -> None:
    filled.deliver_inventory(BUCKET, at=DELIVERED)
    filled.faults.set("s3", "GetObject", "deny", times=2)
    looked(filled)
    filled.faults.clear()
    passed = {"left": 2}
    hit = filled.faults.hit

    def deny_data(service: str, operation: str, *where: Any) -> str | None:
        if operation == "GetObject":
            passed["left"] -= 1
            return "deny" if passed["left"] < 0 else None
        return hit(service, operation, *where)

    filled.faults.hit = deny_data  # type: ignore[method-assign]
    found = looked(filled)
    assert way(found)["way"] == "listing"
    assert "has a data file that cannot be fetched" in way(found)["because"]
    assert "kms:Decrypt" in way(found)["because"]


def test_a_destination_in_another_account_that_refuses_us_lets_the_bucket_be_listed(filled: AwsCloud) -> None:
    filled.put_bucket(B, "eu-west-1", "theirs", at=MADE)
    filled.put_inventory(BUCKET, into="theirs")
    filled.deliver_inventory(BUCKET, at=DELIVERED)
    by_listing(filled, "AccessDenied")


def test_where_neither_inventory_nor_listing_can_be_read_the_gap_names_both(filled: AwsCloud) -> None:
    filled.deliver_inventory(BUCKET, at=DELIVERED, checksum=False)
    filled.faults.set("s3", "ListObjectVersions", "deny")
    found = looked(filled)
    assert found.missing("s3_object_version") == [("us-east-1", ARN, "denied")]
    (missed,) = [each for each in found.gaps if each.table == "s3_object_version"]
    assert "instead of its inventory" in missed.detail
    assert "no manifest.checksum" in missed.detail
    assert way(found)["whole"] is False


def test_every_optional_field_is_tolerated(filled: AwsCloud) -> None:
    more = (
        "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, "
        + ", ".join(FIELDS)
        + ", ObjectOwner, SomethingNew"
    )

    def wider(body: bytes) -> bytes:
        rows = gzip.decompress(body).decode().splitlines()
        return gzip.compress("".join(f'{row},"{A}","2"\n' for row in rows).encode())

    def change(manifest: dict[str, Any]) -> None:
        rehashed(filled, wider)(manifest)
        manifest["fileSchema"] = more

    filled.deliver_inventory(BUCKET, at=DELIVERED, files=1, change=change)
    found = looked(filled)
    assert way(found)["way"] == "inventory"
    assert versions(found) == versions(listed(filled))
