"""What was written to a bucket since an inventory of it was begun: the prefixes that have to be listed beside it.

Exports are known by their jobs, other writes by CloudTrail's S3 data events. Only where these were read without a gap
since then is it known that nothing else was written.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from auditor.model import Gap, Seen

if TYPE_CHECKING:
    from auditor.sources.ask import Ask

_LATE = timedelta(minutes=10)
"""Writes this long after a job's end are still its own (correlate/15_export_output.py)."""
_SKEW = timedelta(seconds=120)
MOST_BARE = 1000
"""Older exports of a bucket that were not captured in time and are listed in one scan, the newest first."""
_REWRITTEN = re.compile(r"\\u[0-9a-f]{4}")
_SLACK = timedelta(seconds=1)
"""Two readings that touch within a second are one."""
_FIRST, _ANY = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
"""Before all events; and when one was of which nobody says when: it may be the last."""
_OF_EVENTS = ("bucket", "key", "at", "error_code")
_OF_POINTS = ("status", "bytes")
_OF_CAPTURES = ("resource_arn", "state", "category", "point_arn", "started_at", "created_at")
"""What is read of a row, beside its key."""


@dataclass(frozen=True, slots=True)
class Since:
    """What may have changed in a bucket since a time."""

    prefixes: tuple[str, ...]
    """Sorted, none within another; an empty one is the whole bucket."""
    seen: bool
    """Data events were read without a gap since then: nothing was written elsewhere."""


class Spoken:
    """What jobs, data events and backup jobs say of every bucket; each is read once, however many buckets ask."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    @cached_property
    def _jobs(self) -> Mapping[str, list[tuple[datetime | None, str]]]:
        """When each job ended, with the prefix it speaks of, by bucket."""
        found = defaultdict[str, list[tuple[datetime | None, str]]](list)
        for job, output in self._ask.outputs():
            found[output.bucket].append((job["finished_at"], output.prefix))
        return found

    @cached_property
    def _folders(self) -> Mapping[str, dict[str, datetime]]:
        """When something was last written or deleted in each directory, by bucket, as far as events tell."""
        found = defaultdict[str, dict[str, datetime]](dict)
        for event in self._ask.collected("s3_data_event", _OF_EVENTS):
            if event["key"] and not event["error_code"]:
                last, folder = found[event["bucket"]], _folder(event["key"])
                last[folder] = max(last.get(folder, _FIRST), event["at"] or _ANY)
        return found

    @cached_property
    def _captures(self) -> Mapping[str, set[datetime]]:
        """When backup jobs started that ended without issues, by the ARN of what they captured."""
        poor = {
            point["arn"]
            for point in self._ask.collected("backup_recovery_point", _OF_POINTS)
            if point["status"] not in ("COMPLETED", "AVAILABLE") or point["bytes"] == 0
        }
        found = defaultdict[str, set[datetime]](set)
        for job in self._ask.collected("backup_job", _OF_CAPTURES):
            clean = (job["state"], job["category"]) == ("COMPLETED", "SUCCESS") and job[
                "point_arn"
            ] not in poor
            if clean and (at := job["started_at"] or job["created_at"]):
                found[job["resource_arn"]].add(at)
        return found

    def exported(self, bucket: str) -> list[str]:
        """Return every prefix of a bucket that a job speaks of, sorted."""
        return sorted({prefix for _, prefix in self._jobs.get(bucket, ())})

    def prefixes(self, bucket: str) -> tuple[str, ...]:
        """Return every prefix of a bucket that a job or a data event speaks of, sorted, none within another."""
        return outermost({*self.exported(bucket), *self._folders.get(bucket, ())})

    def since(self, bucket: Seen, since: datetime, relist: timedelta) -> Since:
        """Return what to list of a bucket, which is given as the listing of it, beside an inventory of `since`.

        `relist`: exports that ended as long before are listed too, and older ones that were not captured in time: until an
        export is captured, what is deleted of it counts.
        """
        name = bucket.resource.rpartition(":")[2]
        found = set(self._exports(name, since, relist))
        found.update(folder for folder, at in self._folders.get(name, {}).items() if at >= since)
        seen = _read_through(self._ask.coverage("s3_data_event"), bucket, since, self._ask.now)
        return Since(outermost(found), seen)

    def _exports(self, bucket: str, settled: datetime, relist: timedelta) -> Iterator[str]:
        """Yield the prefixes of exports that ended lately, and of the newest older ones that nothing captured in time."""
        jobs = self._jobs.get(bucket, ())
        starts = (
            sorted(at for at in self._captures.get(f"arn:aws:s3:::{bucket}", ()) if at <= settled)
            if jobs
            else []
        )
        bare: list[tuple[datetime, str]] = []
        for ended, prefix in jobs:
            if ended is None or ended + _LATE >= settled - relist:
                yield prefix
                continue
            first = bisect_left(starts, ended + _LATE + _SKEW)
            if first == len(starts) or starts[first] > ended + self._ask.capture:
                bare.append((ended, prefix))
        yield from (prefix for _, prefix in sorted(bare, reverse=True)[:MOST_BARE])


def outermost(prefixes: Iterable[str]) -> tuple[str, ...]:
    """Return prefixes without those that another takes in, sorted."""
    kept: list[str] = []
    for prefix in sorted({_plain(prefix) for prefix in prefixes}):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return tuple(kept)


def _plain(prefix: str) -> str:
    r"""Return a prefix up to what rows could not hold as it was: `\uXXXX` may stand for another character."""
    found = _REWRITTEN.search(prefix)
    return prefix[: prefix.rfind("/", 0, found.start()) + 1] if found else prefix


def _folder(key: str) -> str:
    """Return the directory of a key; the key itself at the root of its bucket."""
    return key[: key.rfind("/") + 1] or key


def _read_through(
    coverage: Iterable[Seen | Gap], bucket: Seen, from_at: datetime, until_at: datetime
) -> bool:
    """Tell whether the data events of a bucket were read from one time to another without a gap."""
    spans: list[tuple[datetime, datetime]] = []
    for each in coverage:
        here = (
            each.account in ("*", bucket.account)
            and (each.region == "*" or each.region == bucket.region)
            and each.resource.partition("#")[0] in ("*", bucket.resource)
        )
        if not here:
            continue
        first, last = each.from_at or from_at, each.until_at or until_at
        if isinstance(each, Gap):
            if first <= until_at and last >= from_at:
                return False
        else:
            spans.append((first, last))
    reached = from_at
    for first, last in sorted(spans):
        if first > reached + _SLACK:
            return False
        reached = max(reached, last)
    return reached + _SLACK >= until_at
