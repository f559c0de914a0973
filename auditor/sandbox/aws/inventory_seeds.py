"""Seed S3 Inventory: configurations, and deliveries in the form and place that S3 gives them.

Layout, names of columns and forms are those of the Amazon S3 User Guide, "Locating your inventory list": data files below
`data/`, then `manifest.json`, and last its MD5 in `manifest.checksum`.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import md5
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote_plus

from auditor.sandbox.aws.books import digest
from auditor.sandbox.aws.buckets import moto_bucket, settings_of
from auditor.sandbox.aws.s3_objects import entries
from auditor.sandbox.aws.s3_seeds import S3Seeds

FIELDS = ("Size", "LastModifiedDate", "ETag", "StorageClass", "IsMultipartUploaded", "ReplicationStatus",
          "EncryptionStatus", "BucketKeyStatus", "ChecksumAlgorithm")  # fmt: skip
"""Optional fields of a configuration, when none are named."""
_NAMES = {
    "Bucket": "bucket", "Key": "key", "VersionId": "version_id", "IsLatest": "is_latest",
    "IsDeleteMarker": "is_delete_marker", "Size": "size", "LastModifiedDate": "last_modified_date", "ETag": "e_tag",
    "StorageClass": "storage_class", "IsMultipartUploaded": "is_multipart_uploaded",
    "ReplicationStatus": "replication_status", "EncryptionStatus": "encryption_status",
    "BucketKeyStatus": "bucket_key_status", "ChecksumAlgorithm": "checksum_algorithm",
}  # fmt: skip
"""Every column in the order S3 writes them, with its name in ORC and Parquet."""
_BOOLS = {"is_latest", "is_delete_marker", "is_multipart_uploaded"}

Item = Mapping[str, Any]


class InventorySeeds(S3Seeds):
    """Configure inventories and deliver them, without a request."""

    def put_inventory(
        self,
        bucket: str,
        name: str = "all",
        *,
        into: str,
        prefix: str = "",
        form: str = "Parquet",
        versions: str = "All",
        fields: Sequence[str] = FIELDS,
        of_prefix: str = "",
        enabled: bool = True,
        frequency: str = "Daily",
    ) -> None:
        """Configure an inventory of a bucket, delivered into the bucket `into` below `prefix`.

        `form`: CSV, ORC or Parquet. `versions`: All or Current. `of_prefix`: the keys it lists.
        """
        destination = {"Bucket": f"arn:aws:s3:::{into}", "Format": form}
        if prefix:
            destination["Prefix"] = prefix
        with self.world.entered():
            kept = settings_of(moto_bucket(bucket)).setdefault("inventories", {})
            kept[name] = {
                "Destination": {"S3BucketDestination": destination},
                "IsEnabled": enabled,
                "Id": name,
                "IncludedObjectVersions": versions,
                "OptionalFields": list(fields),
                "Schedule": {"Frequency": frequency},
            }
            if of_prefix:
                kept[name]["Filter"] = {"Prefix": of_prefix}

    def deliver_inventory(
        self,
        bucket: str,
        name: str = "all",
        *,
        at: datetime,
        files: int = 2,
        items: Iterable[Item] | None = None,
        change: Callable[[dict[str, Any]], None] | None = None,
        checksum: bool = True,
    ) -> str:
        """Deliver what the bucket holds now as the inventory of `at`; returns the key of its manifest.

        `items` are listed in place of what is there, in the shape of `inventory_items`. `change` may alter the
        manifest before it is hashed; without `checksum` the delivery is not complete.
        """
        with self.world.entered():
            config = settings_of(moto_bucket(bucket))["inventories"][name]
        target = config["Destination"]["S3BucketDestination"]
        into, form = target["Bucket"].rpartition(":")[2], target["Format"]
        root = "/".join(part for part in (target.get("Prefix", ""), bucket, name) if part)
        rows = list(self.inventory_items(bucket) if items is None else items)
        rows = [row for row in rows if row["Key"].startswith(config.get("Filter", {}).get("Prefix", ""))]
        columns = ["Bucket", "Key"]
        if config["IncludedObjectVersions"] == "All":
            columns += ["VersionId", "IsLatest", "IsDeleteMarker"]
        else:
            rows = [row for row in rows if row["IsLatest"] and not row["IsDeleteMarker"]]
        columns += [column for column in _NAMES if column in config["OptionalFields"]]
        listed = []
        for number in range(files):
            body = _WRITERS[form](columns, [{**row, "Bucket": bucket} for row in rows[number::files]])
            key = f"{root}/data/{digest('inventory', bucket, name, at, number)[:36]}{_ENDS[form]}"
            self.put_object(into, key, body, at=at)
            md5sum = md5(body, usedforsecurity=False).hexdigest()
            listed.append({"key": key, "size": len(body), "MD5checksum": md5sum})
        manifest: dict[str, Any] = {
            "sourceBucket": bucket,
            "destinationBucket": target["Bucket"],
            "version": "2016-11-30",
            "creationTimestamp": str(int(at.timestamp() * 1000)),
            "fileFormat": form,
            "fileSchema": _SCHEMAS[form](columns),
            "files": listed,
        }
        if change is not None:
            change(manifest)
        body = json.dumps(manifest, indent=2).encode()
        where = f"{root}/{at.astimezone(UTC):%Y-%m-%dT%H-%MZ}"
        self.put_object(into, f"{where}/manifest.json", body, at=at)
        if checksum:
            told = md5(body, usedforsecurity=False).hexdigest()
            self.put_object(into, f"{where}/manifest.checksum", told.encode(), at=at)
        return f"{where}/manifest.json"

    def inventory_items(self, bucket: str) -> list[dict[str, Any]]:
        """Return what an inventory of the bucket would list now, delete markers among it."""
        with self.world.entered():
            return [_item(kind, row) for kind, row in entries(moto_bucket(bucket))]


def _item(kind: str, row: Mapping[str, Any]) -> dict[str, Any]:
    marker = kind == "DeleteMarkers"
    etag = str(row.get("ETag", "")).strip('"')
    version = row["VersionId"]
    return {
        "Key": row["Key"],
        "VersionId": None if version == "null" else version,
        "IsLatest": row["IsLatest"],
        "IsDeleteMarker": marker,
        "Size": None if marker else row["Size"],
        "LastModifiedDate": row["LastModified"],
        "ETag": None if marker else etag,
        "StorageClass": None if marker else row["StorageClass"],
        "IsMultipartUploaded": None if marker else "-" in etag,
        "EncryptionStatus": None if marker else "SSE-KMS",
        "ChecksumAlgorithm": ",".join(row.get("ChecksumAlgorithm", ())) or None,
    }


def _csv(columns: Sequence[str], rows: Sequence[Item]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for row in rows:
        writer.writerow([_cell(column, row.get(column)) for column in columns])
    return gzip.compress(text.getvalue().encode(), mtime=0)


def _cell(column: str, value: Any) -> str:
    if value is None:
        return ""
    if column == "Key":
        return quote_plus(value, safe="/-_.~*", errors="surrogatepass")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.000Z}"
    return str(value)


def _arrow(columns: Sequence[str], rows: Sequence[Item]) -> Any:
    import pyarrow as pa

    arrays, names = [], []
    for column in columns:
        name = _NAMES[column]
        kind = (
            pa.bool_() if name in _BOOLS
            else pa.int64() if name == "size"
            else pa.timestamp("ms", tz="UTC") if name == "last_modified_date"
            else pa.string()
        )  # fmt: skip
        arrays.append(pa.array([row.get(column) for row in rows], kind))
        names.append(name)
    return pa.table(arrays, names)


def _parquet(columns: Sequence[str], rows: Sequence[Item]) -> bytes:
    import pyarrow.parquet

    into = io.BytesIO()
    pyarrow.parquet.write_table(_arrow(columns, rows), into)
    return into.getvalue()


def _orc(columns: Sequence[str], rows: Sequence[Item]) -> bytes:
    import pyarrow.orc

    with TemporaryDirectory() as folder:
        path = Path(folder) / "inventory.orc"
        pyarrow.orc.write_table(_arrow(columns, rows), str(path), compression="zlib")
        return path.read_bytes()


def _struct(columns: Sequence[str]) -> str:
    kinds = {"size": "bigint", "last_modified_date": "timestamp"} | dict.fromkeys(_BOOLS, "boolean")
    fields = [f"{_NAMES[column]}:{kinds.get(_NAMES[column], 'string')}" for column in columns]
    return f"struct<{','.join(fields)}>"


def _message(columns: Sequence[str]) -> str:
    kinds = {"size": ("int64", ""), "last_modified_date": ("int64", " (TIMESTAMP(MILLIS,true))")}
    kinds |= dict.fromkeys(_BOOLS, ("boolean", ""))
    said = []
    for column in columns:
        kind, note = kinds.get(_NAMES[column], ("binary", " (STRING)"))
        said.append(
            f"{'required' if column in ('Bucket', 'Key') else 'optional'} {kind} {_NAMES[column]}{note};"
        )
    return f"message s3.inventory {{  {'  '.join(said)}}}"


_WRITERS: Mapping[str, Callable[[Sequence[str], Sequence[Item]], bytes]] = {
    "CSV": _csv,
    "ORC": _orc,
    "Parquet": _parquet,
}
_SCHEMAS: Mapping[str, Callable[[Sequence[str]], str]] = {
    "CSV": ", ".join,
    "ORC": _struct,
    "Parquet": _message,
}
_ENDS = {"CSV": ".csv.gz", "ORC": ".orc", "Parquet": ".parquet"}
