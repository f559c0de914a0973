"""S3 Inventory: which configuration of a bucket can prove most, and its newest complete delivery.

Layout and names are those of the Amazon S3 User Guide, "Locating your inventory list": below `PREFIX/BUCKET/ID/` a folder
for each time the bucket was begun to be scanned, with `manifest.json` and, written last, its MD5 in `manifest.checksum`.
A delivery that is not whole, or not what it says, is never read: the one before it is, or the bucket is listed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.sources._marked import marked
from auditor.sources.ask import Refused, listed, need, reason_of, safe_text

if TYPE_CHECKING:
    from auditor.sources.ask import Ask

NEEDED = (
    "key",
    "version_id",
    "is_latest",
    "is_delete_marker",
    "size",
    "last_modified_date",
    "storage_class",
)
"""Columns without which a row proves nothing: a class that AWS Backup skips, for one, must not go unseen."""
VERSIONED = {"version_id", "is_latest", "is_delete_marker"}
"""Those of them that a bucket which never had versioning can do without."""
FORMS = ("CSV", "ORC", "Parquet")
WANTED = {
    "size": "Size",
    "last_modified_date": "LastModifiedDate",
    "storage_class": "StorageClass",
    "e_tag": "ETag",
    "checksum_algorithm": "ChecksumAlgorithm",
}
"""Optional fields that the table has a column for."""
LARGEST_MANIFEST = 64 << 20
"""Bytes. A manifest names its files, some 200 bytes each, of up to gigabytes each."""
WORKERS = 4
CHUNK = 1 << 20
_FOLDER = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}-\d{2}Z)/")
_MD5 = re.compile(r"[0-9a-f]{32}")
_GONE = {"NoSuchKey", "404"}


class Unusable(Refused):
    """What is wrong with an inventory, in words: it is not relied on, and the bucket is listed."""

    def __init__(self, detail: str) -> None:
        super().__init__("failed", detail)


@dataclass(frozen=True, slots=True)
class Configuration:
    """One inventory configuration of a bucket."""

    name: str
    bucket: str
    """Where it delivers."""
    root: str
    """Key prefix of its deliveries, without a slash at the end."""
    of_prefix: str
    """The keys it lists; empty: all."""
    versions: str
    """All or Current."""
    fields: frozenset[str]
    daily: bool


@dataclass(frozen=True, slots=True)
class File:
    """One data file of a delivery."""

    key: str
    size: int
    md5: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One complete delivery, its manifest checked."""

    configuration: Configuration
    created_at: datetime
    """When S3 began to scan the bucket."""
    form: str
    columns: tuple[str, ...]
    """As the manifest's schema names them, in the words of ORC and Parquet."""
    files: tuple[File, ...]
    passed_over: tuple[str, ...] = ()
    """Why newer deliveries were not read."""


def configurations(client: Any, bucket: str) -> list[Mapping[str, Any]]:
    """Return the inventory configurations of a bucket, as S3 gives them; one call a hundred."""
    found: list[Mapping[str, Any]] = []
    pages = marked(
        client.list_bucket_inventory_configurations,
        {"NextContinuationToken": "ContinuationToken"},
        "IsTruncated",
        Bucket=bucket,
    )
    for page in pages:
        if "InventoryConfigurationList" in page:  # S3 leaves out a list that is empty
            found += listed(page, "InventoryConfigurationList")
    return found


def able(
    found: Sequence[Mapping[str, Any]], bucket: str, prefixes: Sequence[str], *, versioned: bool
) -> tuple[list[Configuration], list[str]]:
    """Return the configurations that can serve, the one that proves most first, and why the others cannot.

    One that lists only a prefix serves when it takes in all `prefixes`; one of current versions only where there
    never were others.
    """
    serving: list[tuple[tuple[Any, ...], Configuration]] = []
    refused: list[str] = []
    for each in sorted(found, key=lambda item: str(need(item, "Id"))):
        target = need(need(each, "Destination"), "S3BucketDestination")
        of_prefix = str(each.get("Filter", {}).get("Prefix", ""))
        name = safe_text(str(each["Id"]))
        config = Configuration(
            name,
            str(need(target, "Bucket")).rpartition(":")[2],
            "/".join(
                part for part in (str(target.get("Prefix", "")).rstrip("/"), bucket, each["Id"]) if part
            ),
            of_prefix,
            str(need(each, "IncludedObjectVersions")),
            frozenset(each.get("OptionalFields", ())),
            each.get("Schedule", {}).get("Frequency") == "Daily",
        )
        lacks = [
            WANTED[column] for column in NEEDED if column in WANTED and WANTED[column] not in config.fields
        ]
        why = (
            "is switched off" if not need(each, "IsEnabled")
            else "lists current versions only" if config.versions != "All" and versioned
            else f"lacks {', '.join(lacks)}" if lacks
            else f"lists {safe_text(of_prefix)} only, and exports go elsewhere too"
            if (not prefixes and of_prefix) or not all(prefix.startswith(of_prefix) for prefix in prefixes)
            else ""
        )  # fmt: skip
        if why:
            refused.append(f"inventory {name} {why}")
            continue
        kept = sum(field in config.fields for field in WANTED.values())
        serving.append(((len(of_prefix), config.versions != "All", -kept, not config.daily, name), config))
    return [config for _, config in sorted(serving, key=lambda item: item[0])], refused


def newest(client: Any, config: Configuration, bucket: str, now: datetime, max_age: timedelta) -> Delivery:
    """Return the newest delivery that is complete and not older than `max_age`; Unusable says why there is none."""
    folders: set[str] = set()
    pages = marked(
        client.list_objects_v2,
        {"NextContinuationToken": "ContinuationToken"},
        "Name",
        Bucket=config.bucket,
        Prefix=f"{config.root}/",
        Delimiter="/",
    )
    for page in pages:
        for item in page.get("CommonPrefixes", ()):
            if match := _FOLDER.fullmatch(str(item.get("Prefix", "")).removeprefix(f"{config.root}/")):
                folders.add(match[1])
    passed: list[str] = []
    for folder in sorted(folders, reverse=True):
        at = datetime.strptime(folder, "%Y-%m-%dT%H-%MZ").replace(tzinfo=UTC)
        if now - at > max_age:
            passed.append(f"the delivery of {folder} is older than {_hours(max_age)}")
            break
        try:
            delivery = _delivery(client, config, bucket, f"{config.root}/{folder}", now, max_age)
        except Unusable as error:
            passed.append(f"the delivery of {folder} {error}")
            continue
        return Delivery(
            config, delivery.created_at, delivery.form, delivery.columns, delivery.files, tuple(passed)
        )
    raise Unusable(
        "; ".join(passed) or f"nothing was delivered below {safe_text(config.root)}/ in {config.bucket}"
    )


def _hours(age: timedelta) -> str:
    return f"{age.total_seconds() / 3600:g} h"


def _delivery(
    client: Any, config: Configuration, bucket: str, folder: str, now: datetime, max_age: timedelta
) -> Delivery:
    told = _small(
        client, config.bucket, f"{folder}/manifest.checksum", "is not complete: it has no manifest.checksum"
    )
    raw = _small(client, config.bucket, f"{folder}/manifest.json", "has no manifest.json")
    if hashlib.md5(raw, usedforsecurity=False).hexdigest() != told.decode("ascii", "replace").strip().lower():
        raise Unusable("has a manifest.json that is not the one manifest.checksum names")
    try:
        said = json.loads(raw)
        source, form, schema = said["sourceBucket"], said["fileFormat"], said["fileSchema"]
        created_at = datetime.fromtimestamp(int(said["creationTimestamp"]) / 1000, UTC)
        files = tuple(
            File(str(each["key"]), int(each["size"]), str(each["MD5checksum"]).lower())
            for each in said["files"]
        )
    except (ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError) as error:
        raise Unusable(f"has a manifest.json that cannot be understood ({type(error).__name__})") from None
    if source != bucket:
        raise Unusable(f"is of the bucket {safe_text(str(source))}")
    if form not in FORMS:
        raise Unusable(f"is in a format that is not known, {safe_text(str(form))[:40]}")
    if created_at > now + timedelta(minutes=10):
        raise Unusable("is of a time to come")
    if now - created_at > max_age:
        raise Unusable(f"is older than {_hours(max_age)}")
    if not all(_MD5.fullmatch(file.md5) and file.size >= 0 for file in files):
        raise Unusable("names a file without its size or MD5")
    columns = columns_of(form, str(schema))
    lacks = [name for name in NEEDED if name not in columns]
    if set(lacks) - (VERSIONED if config.versions != "All" else set()):
        raise Unusable(f"has no column {', '.join(lacks)}")
    return Delivery(config, created_at, form, columns, files)


def columns_of(form: str, schema: str) -> tuple[str, ...]:
    """Return the columns of a manifest's schema, which each format writes in its own way."""
    if form == "CSV":
        return tuple(_snake(column.strip()) for column in schema.split(","))
    if form == "ORC":
        return tuple(re.findall(r"(\w+)\s*:", schema))
    return tuple(re.findall(r"\b(?:required|optional)\s+\w+\s+(\w+)", schema))


def _snake(column: str) -> str:
    return "e_tag" if column == "ETag" else re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column).lower()


def _small(client: Any, bucket: str, key: str, absent: str) -> bytes:
    """Read an object that is not large; Unusable with the words of `absent` when it is not there."""
    from botocore.exceptions import ClientError

    try:
        content: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read(LARGEST_MANIFEST + 1)
    except ClientError as error:
        if error.response["Error"]["Code"] in _GONE:
            raise Unusable(absent) from None
        raise
    if len(content) > LARGEST_MANIFEST:
        raise Unusable(f"has a {key.rpartition('/')[2]} that is too large")
    return content


def fetched(ask: Ask, client: Any, delivery: Delivery, into: Path) -> list[Path]:
    """Fetch the data files of a delivery, each checked against its size and MD5, in the manifest's order.

    Unusable when one is missing or another than the manifest says, or when they do not fit on the disk twice more.
    """
    need_bytes = 3 * sum(file.size for file in delivery.files)
    free = shutil.disk_usage(into).free
    if need_bytes > free:
        raise Unusable(f"takes {need_bytes >> 20} MB to read, and {free >> 20} MB of disk are free")
    fetch = partial(_fetch, client, delivery, into)
    return list(ask.side_by_side(WORKERS, fetch, list(enumerate(delivery.files))))


def _fetch(client: Any, delivery: Delivery, into: Path, numbered: tuple[int, File]) -> Path:
    from botocore.exceptions import BotoCoreError, ClientError

    number, file = numbered
    path = into / f"{number:06d}.{delivery.form.lower()}"
    sha, size = hashlib.md5(usedforsecurity=False), 0
    try:
        body = client.get_object(Bucket=delivery.configuration.bucket, Key=file.key)["Body"]
        with path.open("wb") as kept:
            for chunk in _chunks(body):
                size += len(chunk)
                if size > file.size:
                    break
                sha.update(chunk)
                kept.write(chunk)
    except (BotoCoreError, ClientError) as error:
        reason = reason_of(error, action="s3:GetObject, and kms:Decrypt on its key,")
        detail = reason[1] if reason else type(error).__name__
        raise Unusable(f"has a data file that cannot be fetched, {_tail(file.key)}: {detail}") from error
    if size != file.size:
        raise Unusable(f"has a data file of another size than the manifest says, {_tail(file.key)}")
    if sha.hexdigest() != file.md5:
        raise Unusable(f"has a data file with another MD5 than the manifest says, {_tail(file.key)}")
    return path


def _chunks(body: Any) -> Iterator[bytes]:
    while chunk := body.read(CHUNK):
        yield chunk


def _tail(key: str) -> str:
    return safe_text(key.rpartition("/")[2])[:120]
