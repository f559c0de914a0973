"""Objects of the buckets that exports are written to, their `_SUCCESS` markers, and one replica's fate a bucket."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from auditor.model import Bulk, Gap, Row, Seen
from auditor.sources._marked import marked
from auditor.sources.ask import Guard, Malformed, gap, guard, need, safe_text

if TYPE_CHECKING:
    from auditor.sources.ask import Ask

MARKER = "_SUCCESS"
LARGEST_MARKER = 1 << 20
"""Bytes. A larger marker is not read: SuccessData lists at most 100 names, some kilobytes."""
NAME_LIMIT = 100
"""Hadoop stops listing names here (AbstractS3ACommitter, SUCCESS_MARKER_FILE_LIMIT)."""
WORKERS = 8
SETTLED = timedelta(hours=1)
"""S3 replicates most objects within 15 minutes (Amazon S3 User Guide, "Replicating objects"): a younger one tells nothing."""

Version = dict[str, Any]


@dataclass(slots=True)
class Listing:
    """One listing of a bucket or of a prefix of it, page by page."""

    account: str
    region: str
    bucket: str
    pages: Iterator[Mapping[str, Any]]
    guard: Guard
    before: str | None = None
    """Keys from here on are not wanted: somebody else told of them; None: all are."""
    page: list[Version] | None = None
    """The versions of the page just read; None at the end, or when it failed."""
    newest: Version | None = None
    """The newest object that replication had time for."""
    versions: int = 0
    """As many as were read."""

    @property
    def scope(self) -> Seen:
        """The listing of the whole bucket."""
        return Seen("s3_object_version", self.account, self.region, f"arn:aws:s3:::{self.bucket}")


def listed_objects(
    ask: Ask,
    homes: Mapping[str, tuple[str, str]],
    buckets: list[str],
    replicated: Collection[str] = (),
    unversioned: Collection[str] = (),
) -> Iterator[Row | Bulk | Seen | Gap]:
    """Read every version of `buckets`, their new markers, and how replication does in the `replicated`.

    `homes`: account and region of every bucket known; `unversioned`: those that never had versioning.

    Calls: those of `_s3_way` for each bucket; where it is listed, one per 1,000 versions, at least one a bucket or a prefix; one
    per version of a `_SUCCESS` that has a body and that the scan before did not read; one for each bucket that
    replicates. Versions that are no longer the latest count: they attest exports that were overwritten since.
    """
    from auditor.sources._s3_since import Spoken
    from auditor.sources._s3_way import Way, by_inventory, by_prefixes

    spoken = Spoken(ask)
    ways = [
        Way(listing(ask, bucket, *homes[bucket]), bucket in replicated, bucket in unversioned, spoken)
        for bucket in buckets
    ]
    for way in ways:
        yield from by_inventory(ask, way, homes)
        if not way.name and ask.settings.listing == "prefixes":
            yield from by_prefixes(ask, way)
    whole = {id(way.listing): way for way in ways if not way.name}

    def took(one: Listing, version: Version) -> None:
        whole[id(one)].take(version, ask)

    yield from drained(ask, [way.listing for way in ways if not way.name], took)
    for way in ways:
        if not way.name:
            way.listed(ask)
            yield from way.listing.guard
        yield way.row()
    done = [way.listing for way in ways]
    yield from _manifests(ask, done, [marker for way in ways for marker in way.markers])
    yield from _replicas(ask, [way.listing for way in ways if way.replicated])


def drained(ask: Ask, listings: Sequence[Listing], take: Callable[[Listing, Version], None]) -> Iterator[Row]:
    """Yield every version of listings that are read side by side, and let `take` see each."""
    live = list(listings)
    while live:
        for one in ask.side_by_side(WORKERS, read_on, live):
            for version in one.page or ():
                yield Row("s3_object_version", version)
                take(one, version)
        live = [one for one in live if one.page is not None]


def listing(
    ask: Ask,
    bucket: str,
    account: str,
    region: str,
    *,
    prefix: str = "",
    after: str = "",
    before: str | None = None,
) -> Listing:
    """Return the listing of a bucket: of keys that begin with `prefix`, follow `after` and come before `before`."""
    client = ask.clients.aws("s3", account, region)
    narrowed = {"Prefix": prefix} if prefix else {}
    narrowed |= {"KeyMarker": after} if after else {}
    pages = marked(
        partial(_page, client, narrowed),
        {"NextKeyMarker": "KeyMarker", "NextVersionIdMarker": "VersionIdMarker"},
        "Name",
        "IsTruncated",
        Bucket=bucket,
        EncodingType="url",  # XML cannot carry every key; asked for by us, botocore leaves it as it is
        MaxKeys=1000,
    )
    made = Listing(account, region, bucket, pages, guard(), before)
    made.guard = guard(made.scope)
    return made


def _page(client: Any, narrowed: Mapping[str, str], **params: Any) -> Mapping[str, Any]:
    try:
        page: Mapping[str, Any] = client.list_object_versions(**{**narrowed, **params})
    except UnicodeEncodeError:
        raise Malformed("the page after a key that is not UTF-8 cannot be asked for") from None
    if page.get("EncodingType") == "url" and page.get("NextKeyMarker"):
        page = {**page, "NextKeyMarker": decoded(page["NextKeyMarker"])}
    return page


def read_on(one: Listing) -> Listing:
    """Read the next page of a listing; what goes wrong is its guard's to tell."""
    one.page = None
    with one.guard:
        page = next(one.pages, None)
        if page is not None:
            found = _versions(one, page)
            if one.before is not None:
                wanted = [version for version in found if _utf8(version["key"]) < _utf8(one.before)]
                if len(wanted) < len(found):
                    one.pages = iter(())
                found = wanted
            one.page = found
            one.versions += len(found)
    return one


def _utf8(key: str) -> bytes:
    """Return a key as S3 orders it."""
    return key.encode("utf-8", "surrogatepass")


def _versions(listing: Listing, page: Mapping[str, Any]) -> list[Version]:
    """Return a page's rows; S3 leaves out a list that is empty, so neither list is demanded."""
    encoded = page.get("EncodingType") == "url"
    found = []
    for kind in ("Versions", "DeleteMarkers"):
        for item in page.get(kind, ()):
            key = need(item, "Key")
            key = decoded(key) if encoded else key
            found.append(
                {
                    "bucket": listing.bucket,
                    "key": key,
                    "version_id": need(item, "VersionId"),
                    "account": listing.account,
                    "region": listing.region,
                    "dir": key[: key.rfind("/") + 1],
                    "last_modified": need(item, "LastModified"),
                    "bytes": item.get("Size") if kind == "Versions" else 0,
                    "etag": item.get("ETag", "").strip('"'),
                    "storage_class": item.get("StorageClass", ""),
                    "checksums": ",".join(sorted(item.get("ChecksumAlgorithm", ()))) or "none"
                    if kind == "Versions"
                    else None,
                    "is_latest": bool(need(item, "IsLatest")),
                    "is_delete_marker": kind == "DeleteMarkers",
                }
            )
    found.sort(key=lambda version: (version["key"], version["last_modified"], version["version_id"]))
    return found


def decoded(text: str) -> str:
    """Return a URL-encoded key; bytes that are not UTF-8 become surrogates, which rows can keep."""
    octets = unquote_to_bytes(text.replace("+", "%20"))
    try:
        return octets.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return octets.decode("utf-8", "surrogateescape")


def is_marker(version: Version) -> bool:
    """Tell whether a version is a `_SUCCESS`."""
    name = version["key"].rpartition("/")[2]
    return name == MARKER and not version["is_delete_marker"]


def remember(one: Listing, version: Version, ask: Ask) -> None:
    """Keep the newest object that replication had time for."""
    if version["is_latest"] and not version["is_delete_marker"]:
        known, at = one.newest, version["last_modified"]
        if at <= ask.now - SETTLED and (known is None or at > known["last_modified"]):
            one.newest = version


def _replicas(ask: Ask, listings: list[Listing]) -> Iterator[Row | Seen | Gap]:
    """Ask of the newest object of each bucket how its replication went; a listing does not say."""
    ordered = sorted(listings, key=lambda listing: listing.bucket)
    for found in ask.side_by_side(WORKERS, partial(_replica, ask), ordered):
        yield from found


def _replica(ask: Ask, listing: Listing) -> list[Row | Seen | Gap]:
    scope = Seen("s3_replica", listing.account, listing.region, f"arn:aws:s3:::{listing.bucket}")
    if not listing.guard.ok:
        return [gap(scope, listing.guard.reason, listing.guard.detail)]
    values: dict[str, Any] = {
        "bucket": listing.bucket,
        "account": listing.account,
        "region": listing.region,
    }
    asked: dict[str, Any] = {}
    with guard(scope, action="s3:GetObjectVersion") as read:
        if listing.newest is not None:
            asked = {name: listing.newest[name] for name in ("key", "version_id", "last_modified")}
            asked["status"] = _replication_status(ask, listing)
    if not read.ok and _gone(listing.newest or {}, read.detail):
        return [Row("s3_replica", values), scope]
    return [Row("s3_replica", values | asked), *read]


def _gone(version: Version, detail: str) -> bool:
    """Tell whether a version that an inventory lists was deleted since, by the answer to a question about it."""
    absent = any(f" {code}" in detail for code in ("404", "NoSuchKey", "NoSuchVersion"))
    return absent and bool(version.get("inventoried")) and "\\u" not in version["key"]


def _replication_status(ask: Ask, listing: Listing) -> str:
    newest = listing.newest or {}
    client = ask.clients.aws("s3", listing.account, listing.region)
    try:
        reply = client.head_object(Bucket=listing.bucket, Key=newest["key"], VersionId=newest["version_id"])
    except UnicodeEncodeError:
        raise Malformed("a key that is not UTF-8 cannot be asked for") from None
    need(reply, "LastModified")  # an answer without headers is none
    said = str(reply.get("ReplicationStatus", "none"))
    return "COMPLETED" if said == "COMPLETE" else said  # the API writes it either way


def _manifests(ask: Ask, listings: list[Listing], markers: list[Version]) -> Iterator[Row | Seen | Gap]:
    read_before = {_identity(values): values for values in ask.before("s3_manifest")}
    failed: dict[str, Gap] = {}
    read = partial(_manifest, ask, read_before)
    for manifest, gap_found in ask.side_by_side(WORKERS, read, sorted(markers, key=_identity)):
        if manifest is not None:
            yield Row("s3_manifest", manifest)
        if gap_found is not None:
            failed.setdefault(gap_found.resource, gap_found)
    for listing in sorted(listings, key=lambda listing: listing.bucket):
        scope = Seen("s3_manifest", listing.account, listing.region, f"arn:aws:s3:::{listing.bucket}")
        if listing.guard.ok:
            yield failed.get(scope.resource, scope)
        else:
            yield gap(scope, listing.guard.reason, listing.guard.detail)


def _identity(values: Mapping[str, Any]) -> tuple[str, str, str]:
    return (
        values["bucket"],
        safe_text(values["key"]),
        values["version_id"],
    )


def _manifest(
    ask: Ask, read_before: Mapping[tuple[str, str, str], Mapping[str, Any]], version: Version
) -> tuple[Mapping[str, Any] | None, Gap | None]:
    """Return the row of one marker, or the gap of its bucket when it cannot be fetched."""
    if before := read_before.get(_identity(version)):
        return before, None
    shared = ("bucket", "key", "version_id", "account", "region", "dir", "last_modified", "bytes")
    values = {name: version[name] for name in shared}
    if not version["bytes"]:
        return values | {"form": "empty", "filenames": [], "cut": False}, None
    if version["bytes"] > LARGEST_MARKER:
        return values | {"form": "unreadable"}, None
    scope = Seen("s3_manifest", version["account"], version["region"], f"arn:aws:s3:::{version['bucket']}")
    content = b""
    with guard(scope, action="s3:GetObjectVersion") as read:
        client = ask.clients.aws("s3", version["account"], version["region"])
        content = _content(client, version)
    if not read.ok:
        if _gone(version, read.detail):
            return None, None
        detail = f"{safe_text(version['key'])}: {read.detail}"
        return None, gap(scope, read.reason, detail)
    return values | _success_data(content, version["bucket"]), None


def _content(client: Any, version: Version) -> bytes:
    try:
        reply = client.get_object(
            Bucket=version["bucket"], Key=version["key"], VersionId=version["version_id"]
        )
    except UnicodeEncodeError:
        raise Malformed("a key that is not UTF-8 cannot be asked for") from None
    content: bytes = reply["Body"].read(LARGEST_MARKER + 1)
    if len(content) != version["bytes"]:
        raise Malformed(f"{len(content)} bytes came of {version['bytes']}")
    return content


def _success_data(content: bytes, bucket: str) -> Version:
    """Read a marker by the public format of Hadoop's SuccessData (S3A committers and manifest)."""
    unreadable = {"form": "unreadable"}
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return unreadable
    names = said.get("filenames") if isinstance(said, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return unreadable
    return {
        "form": "json",
        "spark_job_id": _text(said.get("jobId")),
        "committer": _text(said.get("committer")),
        "filenames": [_key(name, bucket) for name in names],
        "cut": len(names) >= NAME_LIMIT,
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _key(name: str, bucket: str) -> str:
    """Return a listed name as a key: it may be a full URI, or start with a slash."""
    for scheme in ("s3a", "s3", "s3n"):
        if name.startswith(f"{scheme}://{bucket}/"):
            return name.removeprefix(f"{scheme}://{bucket}/")
    return name if "://" in name else name.removeprefix("/")
