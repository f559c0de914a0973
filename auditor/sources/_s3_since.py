"""What was written to a bucket since an inventory of it was begun: the prefixes that have to be listed beside it.

Exports are known by their jobs, other writes by CloudTrail's S3 data events. Only where these were read without a gap
since then is it known that nothing else was written.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
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


@dataclass(frozen=True, slots=True)
class Since:
    """What may have changed in a bucket since a time."""

    prefixes: tuple[str, ...]
    """Sorted, none within another; an empty one is the whole bucket."""
    seen: bool
    """Data events were read without a gap since then: nothing was written elsewhere."""


def exported(ask: Ask, bucket: str) -> list[str]:
    """Return every prefix of a bucket that a job speaks of, sorted."""
    return sorted({output.prefix for _, output in ask.outputs() if output.bucket == bucket})


def written_since(ask: Ask, bucket: Seen, since: datetime, relist: timedelta) -> Since:
    """Return what to list of a bucket, which is given as the listing of it, beside an inventory of `since`.

    `relist`: exports that ended as long before are listed too, and older ones that were not captured in time: until an
    export is captured, what is deleted of it counts.
    """
    name = bucket.resource.rpartition(":")[2]
    found = set(_exports(ask, name, since, relist))
    found.update(map(_folder, _keys(ask, name, since)))
    return Since(outermost(found), _read_through(ask.coverage("s3_data_event"), bucket, since, ask.now))


def spoken_of(ask: Ask, bucket: str) -> tuple[str, ...]:
    """Return every prefix of a bucket that a job or a data event speaks of, sorted, none within another."""
    return outermost({*exported(ask, bucket), *map(_folder, _keys(ask, bucket))})


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


def _exports(ask: Ask, bucket: str, settled: datetime, relist: timedelta) -> Iterator[str]:
    """Yield the prefixes of exports that ended lately, and of the newest older ones that nothing captured in time."""
    jobs = [(job["finished_at"], output.prefix) for job, output in ask.outputs() if output.bucket == bucket]
    starts = _captures(ask, f"arn:aws:s3:::{bucket}", settled) if jobs else []
    bare: list[tuple[datetime, str]] = []
    for ended, prefix in jobs:
        if ended is None or ended + _LATE >= settled - relist:
            yield prefix
            continue
        first = bisect_left(starts, ended + _LATE + _SKEW)
        if first == len(starts) or starts[first] > ended + ask.capture:
            bare.append((ended, prefix))
    yield from (prefix for _, prefix in sorted(bare, reverse=True)[:MOST_BARE])


def _captures(ask: Ask, arn: str, until: datetime) -> list[datetime]:
    """Return when backup jobs of a bucket started that ended without issues, sorted."""
    poor = {
        point["arn"]
        for point in ask.collected("backup_recovery_point")
        if point["status"] not in ("COMPLETED", "AVAILABLE") or point["bytes"] == 0
    }
    found: set[datetime] = set()
    for job in ask.collected("backup_job"):
        clean = (job["state"], job["category"]) == ("COMPLETED", "SUCCESS") and job["point_arn"] not in poor
        at = job["started_at"] or job["created_at"]
        if job["resource_arn"] == arn and clean and at and at <= until:
            found.add(at)
    return sorted(found)


def _folder(key: str) -> str:
    """Return the directory of a key; the key itself at the root of its bucket."""
    return key[: key.rfind("/") + 1] or key


def _keys(ask: Ask, bucket: str, since: datetime | None = None) -> Iterator[str]:
    """Yield the keys that were written or deleted since, as far as events tell."""
    for event in ask.collected("s3_data_event"):
        if (
            event["bucket"] == bucket
            and event["key"]
            and not event["error_code"]
            and (since is None or event["at"] is None or event["at"] >= since)
        ):
            yield event["key"]


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
