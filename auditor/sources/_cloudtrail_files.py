"""Log files of a trail: `[PREFIX/]AWSLogs/[o-ORG/]ACCOUNT/CloudTrail/REGION/Y/M/D/…json.gz` in S3.

Calls for one trail, account and window: 1 for the regions there are (+ 1 for the organization's id),
ceil(files of the region / 1000), at least 1, per region, and one a file. A file is named by the time
it was delivered (CloudTrail User Guide, "CloudTrail log file name format").

A scan goes on from the cursor of each trail, account and region: it lists the days since two days before it, and reads what was
delivered in these two days again. What could not be read and may be there later holds the cursor back, for a week at most.
Files are fetched side by side, packed as they are, and unpacked one at a time; orjson takes as long as the standard library to
build the records, so that reads them.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from auditor.model import Cursor, Row
from auditor.sources._cloudtrail_record import read_record
from auditor.sources._marked import marked
from auditor.sources.ask import Guard, Malformed, Suspect, guard, listed, need, safe_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditor.sources._cloudtrail_trails import Trail
    from auditor.sources.ask import Ask

OVERLAP = timedelta(hours=1)
"""A file may be delivered this long after its events, and seen this long after its name says."""
LARGEST = 1 << 28
"""Bytes of a file, unpacked; CloudTrail's own stay below 50 MB."""
WORKERS = 8
AGAIN = timedelta(hours=48)
"""What was delivered so long before the cursor is read again."""
HELD = timedelta(days=7)
"""How long a file that cannot be read holds the cursor back."""
MARKS = 200_000
"""Rows that are remembered so as not to be yielded twice; the snapshot keeps one row a key, however many come."""
_DELIVERED = re.compile(r"_(\d{8}T\d{4})Z_[^/]+\.json\.gz$")


@dataclass(frozen=True, slots=True)
class Miss:
    """A stretch of one region's events that could not be read."""

    region: str
    from_at: datetime
    until_at: datetime
    reason: str
    detail: str
    table: str = ""
    """The table that a lost row would have stood in; empty: any."""


@dataclass(slots=True)
class Reader:
    """Reads one trail's files of one account."""

    ask: Ask
    trail: Trail
    account: str
    arns: Mapping[tuple[str, str], str]
    seen: set[int]
    """Keys of rows that were yielded already, as hashes: a trail may deliver an event twice."""
    misses: list[Miss] = field(default_factory=list)
    selectors_set_at: datetime | None = None
    """When the trail was last told what to record, within the window."""
    hashes: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each log file that was read, unpacked, by its key: what digests are compared with."""
    refused: set[str] = field(default_factory=set)
    """Files that were listed and could not be read."""
    listed: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    """The time of delivery in which every file of a region was listed."""
    since: dict[str, datetime] = field(default_factory=dict)
    """From when on a region is read to the end of the window."""
    _holding: dict[str, datetime] = field(default_factory=dict)
    """The earliest delivery in a region that was not read and may be there later."""

    def regions(self) -> tuple[Guard, list[str]]:
        """Return the regions that have files, in a guard of the whole reading."""
        found: list[str] = []
        with guard() as read:
            self.locate()
            found = self.folders(self.root)
            if not found:
                raise Suspect(f"no log files under s3://{self.bucket}/{self.root}")
        return read, [one for one in found if self.trail.multi_region or one == self.trail.home]

    def locate(self) -> None:
        """Find where the trail's log files stand, as `root`."""
        root = f"{self.trail.prefix}AWSLogs/"
        if self.trail.about.get("IsOrganizationTrail"):
            root += self._organization(root)
        self.root = f"{root}{self.account}/CloudTrail/"

    root: str = ""

    @property
    def bucket(self) -> str:
        return str(need(self.trail.about, "S3BucketName"))

    @property
    def client(self) -> Any:
        return self.ask.clients.aws("s3", self.trail.asker, self.trail.home)

    def folders(self, under: str) -> list[str]:
        found: list[str] = []
        for page in self.pages(Prefix=under, Delimiter="/"):
            found += (
                need(one, "Prefix").removeprefix(under).rstrip("/") for one in page.get("CommonPrefixes", ())
            )
        return sorted(found)

    def _organization(self, root: str) -> str:
        ids = [name for name in self.folders(root) if name.startswith("o-")]
        if len(ids) != 1:
            raise Suspect(f"{len(ids)} organizations under s3://{self.bucket}/{root}")
        return f"{ids[0]}/"

    def pages(self, **params: Any) -> Iterator[Mapping[str, Any]]:
        return marked(
            self.client.list_objects_v2,
            {"NextContinuationToken": "ContinuationToken"},
            "Name",
            "IsTruncated",
            Bucket=self.bucket,
            **params,
        )

    @property
    def seen_from(self) -> datetime:
        """Return from when on every region was read to now: before the window only where a cursor was held back."""
        return max(self.since.values(), default=self.ask.window.from_at)

    def rows(self, region: str) -> Iterator[Row | Cursor]:
        """Yield a region's rows, oldest file first, and how far it was read; what could not be read is in `misses`."""
        fetch = partial(self._fetched, region)
        for packed, key, at, miss in self.ask.side_by_side(WORKERS, fetch, self._keys(region)):
            if miss is not None:
                self.misses.append(miss)
                continue
            for record in self._unpack(region, packed, key, at):
                reading = read_record(record, self.arns, self.account)
                if reading.lacks:
                    detail = f"a record of {key} lacks {', '.join(reading.lacks)}"
                    table = reading.row.table if reading.row else ""
                    when = reading.at or at
                    self.misses.append(self._around(region, when, "malformed", detail, table))
                if reading.row is not None and self._new(reading.row):
                    yield reading.row
        until = self.ask.window.until_at
        held = max(self._holding.get(region, until), until - HELD)
        yield Cursor(self._scope(region), held.isoformat())

    def _scope(self, region: str) -> str:
        return f"{self.trail.arn} {self.account} {region}"

    def _start(self, region: str) -> datetime:
        """Return the delivery from which on files are read; a cursor may be older than the window, never hide some of it."""
        wanted = self.ask.window.from_at
        self.since[region], start = wanted, wanted - OVERLAP
        try:
            at = datetime.fromisoformat(self.ask.cursor(self._scope(region)) or "")
            self.since[region], start = min(wanted, at), min(start, at - AGAIN)
        except (ValueError, TypeError, OverflowError):
            pass
        return start

    def _new(self, row: Row) -> bool:
        at = row.values.get("issued_at") or row.values.get("at")
        if at is not None and at >= self.ask.window.until_at:
            return False  # the next scan reads it, in its own window
        name = "session_key" if row.table == "sts_session" else "event_id"
        mark = hash((row.table, row.values[name]))
        if mark in self.seen:
            return False
        if len(self.seen) >= MARKS:
            self.seen.clear()
        self.seen.add(mark)
        if row.table == "aws_change" and row.values["event_name"] == "PutEventSelectors":
            mine = row.values["resource"] == self.trail.arn and not row.values["error_code"]
            if mine and at is not None:
                self.selectors_set_at = max(at, self.selectors_set_at or at)
        return True

    def _keys(self, region: str) -> Iterator[tuple[str, datetime]]:
        """Yield keys in the order of delivery, from an overlap before the window to one after it."""
        window = self.ask.window
        start, end = self._start(region), window.until_at + OVERLAP
        under = f"{self.root}{region}/"
        first = f"{start:%Y/%m/%d}/{self.account}_CloudTrail_{region}_{start:%Y%m%dT%H%M}"
        if start < window.from_at - OVERLAP:
            first = f"{start:%Y/%m/%d}/"  # whatever its name says, what was written since is read
        reached = start + OVERLAP
        with guard() as read:
            for page in self.pages(Prefix=under, StartAfter=under + first):
                for item in page.get("Contents", ()):
                    key = need(item, "Key")
                    at = _delivered(key)
                    if at is None or max(at, item.get("LastModified") or at) < start:
                        continue
                    if at > end:
                        self.listed[region] = (start, end)
                        return
                    reached = max(reached, at - OVERLAP)
                    yield key, at
        self.listed[region] = (start, end if read.ok else reached)
        if not read.ok:
            self._hold(region, reached)
            self.misses.append(
                Miss(region, min(reached, window.until_at), window.until_at, read.reason, read.detail)
            )

    def _hold(self, region: str, at: datetime) -> None:
        self._holding[region] = min(at, self._holding.get(region, at))

    def _fetched(self, region: str, named: tuple[str, datetime]) -> tuple[bytes, str, datetime, Miss | None]:
        """Fetch one file as it is."""
        key, at = named
        packed = b""
        with guard() as read:
            packed = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        if read.ok:
            return packed, key, at, None
        self.refused.add(key)
        self._hold(region, at)
        return packed, key, at, self._around(region, at, read.reason, f"{key}: {read.detail}")

    def _unpack(self, region: str, packed: bytes, key: str, at: datetime) -> list[Any]:
        """Return the records of a file; none and a miss where it is no log file."""
        records: list[Any] = []
        with guard() as read:
            self.hashes[key] = "unreadable"  # unless it can be unpacked: then it is not what CloudTrail wrote
            text = _unpacked(packed)
            self.hashes[key] = hashlib.sha256(text).hexdigest() if self.trail.validated else ""
            records = _records(text)
        if not read.ok:
            self.misses.append(self._around(region, at, read.reason, f"{key}: {read.detail}"))
        return records

    def was_listed(self, key: str) -> bool:
        """Say whether a file would have been found, had it been there: its region and time were listed to the end."""
        at = _delivered(key)
        region = next((name for name in self.listed if key.startswith(f"{self.root}{name}/")), None)
        if at is None or region is None:
            return False
        start, end = self.listed[region]
        return start < at <= end and key not in self.refused

    def _around(self, region: str, at: datetime, reason: str, detail: str, table: str = "") -> Miss:
        """Return a miss of the day of a file, and of the hour before it was delivered."""
        day = datetime(at.year, at.month, at.day, tzinfo=UTC)
        start, end = min(day, at - OVERLAP), day + timedelta(days=1)
        return Miss(region, start, end, reason, safe_text(detail), table)


def _delivered(key: str) -> datetime | None:
    found = _DELIVERED.search(key)
    if found is None:
        return None
    try:
        return datetime.strptime(found[1], "%Y%m%dT%H%M").replace(tzinfo=UTC)
    except ValueError:
        return None


def _unpacked(packed: bytes) -> bytes:
    """Unpack a log file; Malformed when it is not gzip, or larger than CloudTrail's get."""
    unpacking = zlib.decompressobj(wbits=31)
    try:
        text = unpacking.decompress(packed, LARGEST)
        if unpacking.unconsumed_tail:
            raise Malformed(f"more than {LARGEST >> 20} MB when unpacked")
        if not unpacking.eof:
            raise Malformed("the gzip stream breaks off")
    except zlib.error as error:
        raise Malformed(f"not gzip: {error}") from None
    return text


def _records(text: bytes) -> list[Any]:
    """Read an unpacked log file; Malformed when it is not JSON, or no log file."""
    try:
        file = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {str(error) or 'nested too deeply'}") from None
    if not isinstance(file, dict):
        raise Malformed("not a log file of CloudTrail")
    return listed(file, "Records")
