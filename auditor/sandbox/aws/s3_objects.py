"""S3's answer to ListObjectVersions: moto's copies every object, sorts by time and loses versions between pages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from auditor.sandbox.aws.buckets import bucket_of
from auditor.sandbox.aws.moto_world import moto

if TYPE_CHECKING:
    from auditor.sandbox.aws.books import Here, Params, Record

_QUOTED = ("Prefix", "Delimiter", "KeyMarker", "NextKeyMarker")


def list_object_versions(here: Here, asked: Params) -> Record:
    """List versions and delete markers: keys in the order of their UTF-8 bytes, versions newest first."""
    bucket = bucket_of(here, asked["Bucket"])
    prefix, delimiter = asked.get("Prefix") or "", asked.get("Delimiter")
    most = asked.get("MaxKeys")
    most = 1000 if most is None else min(int(most), 1000)
    marker, version_marker = asked.get("KeyMarker") or "", asked.get("VersionIdMarker") or ""
    reply: Record = {
        "Name": bucket.name,
        "Prefix": prefix,
        "KeyMarker": marker,
        "VersionIdMarker": version_marker,
        "MaxKeys": most,
        "IsTruncated": False,
        "Versions": [],
        "DeleteMarkers": [],
        "CommonPrefixes": [],
    }
    if delimiter:
        reply["Delimiter"] = delimiter
    last: tuple[str, str | None] = ("", None)
    for shown, entry in enumerate(_entries(bucket, prefix, delimiter, marker, version_marker)):
        if shown == most:
            reply["IsTruncated"] = most > 0
            reply["NextKeyMarker"], version = last
            if version is not None:
                reply["NextVersionIdMarker"] = version
            break
        if isinstance(entry, str):
            reply["CommonPrefixes"].append({"Prefix": entry})
            last = (entry, None)
        else:
            kind, row = entry
            reply[kind].append(row)
            last = (row["Key"], row["VersionId"])
    for name in ("Versions", "DeleteMarkers", "CommonPrefixes"):
        if not reply[name]:
            del reply[name]
    return _quoted(reply) if asked.get("EncodingType") == "url" else reply


def entries(bucket: Any) -> Iterator[tuple[str, Record]]:
    """Yield every version of a bucket with the name of the list it stands in, as a listing orders them."""
    for entry in _entries(bucket, "", None, "", ""):
        if not isinstance(entry, str):
            yield entry


def _entries(
    bucket: Any, prefix: str, delimiter: str | None, marker: str, version_marker: str
) -> Iterator[str | tuple[str, Record]]:
    """Yield common prefixes and (list name, row), from behind the markers on."""
    shown_prefix = marker if delimiter and marker.endswith(delimiter) else None
    for key in sorted(dict(bucket.keys), key=lambda key: key.encode("utf-8", "surrogatepass")):
        if not key.startswith(prefix) or (marker and _utf8(key) < _utf8(marker)):
            continue
        if delimiter and delimiter in key[len(prefix) :]:
            end = key.index(delimiter, len(prefix)) + len(delimiter)
            if key[:end] != shown_prefix:
                shown_prefix = key[:end]
                yield shown_prefix
            continue
        versions = list(reversed(bucket.keys.getlist(key, [])))
        start = 0
        if key == marker:
            ids = [version.version_id for version in versions]
            start = ids.index(version_marker) + 1 if version_marker in ids else len(versions)
        for index, version in enumerate(versions[start:], start):
            yield _row(version, is_latest=index == 0)


def _row(version: Any, *, is_latest: bool) -> tuple[str, Record]:
    row: Record = {
        "Key": version.name,
        "VersionId": version.version_id,
        "IsLatest": is_latest,
        "LastModified": version.last_modified.replace(tzinfo=UTC, microsecond=0),
        "Owner": {"ID": moto("s3.models").OWNER},
    }
    if not isinstance(version, moto("s3.models").FakeKey):
        return "DeleteMarkers", row
    row |= {"ETag": version.etag, "Size": version.size, "StorageClass": version.storage_class}
    if sums := getattr(version, "sums", None):
        row |= {"ChecksumAlgorithm": [sums], "ChecksumType": "FULL_OBJECT"}
    return "Versions", row


def _quoted(reply: Record) -> Record:
    """Quote what an XML body could not hold, as EncodingType=url asks."""
    reply["EncodingType"] = "url"
    for name in _QUOTED:
        if name in reply:
            reply[name] = _quote(reply[name])
    for name in ("Versions", "DeleteMarkers"):
        for row in reply.get(name, ()):
            row["Key"] = _quote(row["Key"])
    for row in reply.get("CommonPrefixes", ()):
        row["Prefix"] = _quote(row["Prefix"])
    return reply


def _quote(text: str) -> str:
    return quote(text, safe="/-_.~*", errors="surrogatepass")


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
