"""Exports of which nothing is in doubt: what the judges say of them, found once for all that share it.

Most exports of an estate are alike: nobody else wrote, one session, one marker, a recovery point in time that is copied and
kept. Which of them are, and what is theirs alone, 39_plain_export.sql says; what they have in common the judges themselves
say here, of one that stands for them. Whoever misses one condition is nobody's here: the judges decide it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.links import copy, periodic, retention, zones
from auditor.correlate.links.evidence import Case, Evidence, Row, arn_of, case_of, zone_of
from auditor.correlate.links.judgement import Judgement, proven, weakest
from auditor.correlate.links.points import start_of
from auditor.correlate.links.recovery_point import Capture
from auditor.correlate.links.settings import sights_of
from auditor.model import State, Strength

CAPTURE_READS = (
    "as_of",
    "coverage",
    "plain_asked",
    "s3_bucket",
    "s3_listing",
    "aws_change",
    "backup_vault",
    "chain_point",
    "chain_known_point",
    "chain_backup_job",
    "chain_copy_job",
    "config_zone",
    "config_bucket",
    "config_place",
    "history_bucket",
)
_GOOD = (State.PROVEN, State.NOT_REQUIRED)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def captures(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield what a recovery point says of every export of a bucket and label that ended within a time."""
    evidence = Evidence(tables)
    asked: dict[tuple[str, str | None], list[tuple[datetime, datetime]]] = defaultdict(list)
    for row in tables["plain_asked"]:
        if row["what"] == "day":
            asked[row["bucket"], row["zone_label"]].append((row["from_at"], row["until_at"]))
    for (bucket, label), ended in asked.items():
        home = _home(evidence, bucket, label)
        if home is not None:
            yield from _captured(evidence, home, ended)


@dataclass(frozen=True, slots=True)
class _Home:
    """What exports of one bucket and one label have in common."""

    bucket: str
    label: str | None
    within: timedelta
    about: Mapping[str, Any]
    starts: Sequence[datetime]
    first: Sequence[Row]
    """Of the points that started at each of `starts` or later the one that was complete first."""


def _home(evidence: Evidence, name: str, label: str | None) -> _Home | None:
    """Return what exports to a bucket have in common; None where any of them would leave a doubt."""
    bucket = evidence.buckets.get(name)
    job_zone, bucket_zone, zone = zone_of(evidence, name, label, True)
    limits = evidence.zones.get(zone) if zone else None
    if bucket is None or limits is None:
        return None
    within, kept = limits["capture_s"], limits["bucket_min_d"]
    if within is None or within < 0 or kept is None or kept >= 0:
        return None
    found = evidence.once((_points, name), _points)
    if found is None:
        return None
    starts, first = found
    about = {
        "bucket": name,
        "zone_label": label,
        "bucket_arn": arn_of(name),
        "account": bucket["account"],
        "bucket_region": bucket["region"],
        "zone": zone,
        "job_zone": job_zone,
        "bucket_zone": bucket_zone,
        "within_s": within,
    }
    return _Home(name, label, timedelta(seconds=within), about, starts, first)


def _points(evidence: Evidence, name: str) -> tuple[list[datetime], list[Row]] | None:
    """Return the points of a bucket that prove, as `_Home` has them; None where any export to it would leave a doubt."""
    bucket, listing = evidence.buckets[name], evidence.listings.get(name)
    if listing is not None and listing["way"] == "inventory":
        return None
    if bucket["versioning"] is None or not all(sight.on for sight in sights_of(evidence, name, "versioning")):
        return None
    account, region, arn = bucket["account"], bucket["region"], arn_of(name)
    if evidence.sight.gaps("s3_object_version", account, region=region, resource=arn):
        return None
    points = _sound(evidence, arn, account, region)
    if points is None:
        return None
    first: list[Row] = []
    for _, _, point in reversed(points):
        first.append(min([point, *first[-1:]], key=lambda one: (one["completed_at"], one["arn"])))
    return [start for start, _, _ in points], first[::-1]


def _sound(
    evidence: Evidence, arn: str, account: str, region: str | None
) -> list[tuple[datetime, str, Row]] | None:
    """Return the points of a bucket that hold what was there when they started, in that order: no other point proves.

    None: one of them is not to be told by its times alone.
    """
    held = evidence.points.get(arn)
    found = []
    for point in held.every() if held else ():
        start, completed = start_of(point), point["completed_at"]
        if point["continuous"] or (start is not None and completed is not None and completed < start):
            return None
        if start is None or completed is None or point["account"] != account:
            continue
        if region in (None, point["region"]) and not periodic.flaw(evidence, point["arn"]):
            found.append((start, point["arn"], point))
    return sorted(found, key=lambda item: item[:2])


def _captured(
    evidence: Evidence, home: _Home, ended: Sequence[tuple[datetime, datetime]]
) -> Iterator[Mapping[str, Any]]:
    """Yield the points that prove exports which ended in some times, with when those must have ended."""
    asked: set[str] = set()
    for since, last in ended:
        low = bisect_left(home.starts, since + evidence.skew)
        high = bisect_left(home.starts, last + evidence.skew)
        asked.update(point["arn"] for point in home.first[low : high + 1])
    spans: dict[str, tuple[datetime, datetime]] = {}
    before = FIRST
    for start, point in zip(home.starts, home.first, strict=True):
        # What started at the same time is one border; a point stands at the end of one stretch.
        spans[point["arn"]] = spans.get(point["arn"], (before, start))[0], start
        before = start
    points = {point["arn"]: point for point in home.first}
    for arn, (after, until) in spans.items():
        if arn in asked and after < until:
            held = _held(evidence, home, points[arn])
            if held is not None:
                yield {**home.about, **held, "after_at": after, "until_at": until}


def _held(evidence: Evidence, home: _Home, point: Row) -> Mapping[str, Any] | None:
    """Return what a recovery point's exports have in common; None where they may differ in more than their times.

    The last of them stands for all, or the first where the last is not held long enough.
    """
    start, completed = start_of(point), point["completed_at"]
    assert start is not None
    for ended in (start - evidence.skew, completed - home.within):
        found = _judged(evidence, home, point, start, ended)
        if found is not None:
            return found
    return None


def _judged(
    evidence: Evidence, home: _Home, point: Row, start: datetime, ended: datetime
) -> Mapping[str, Any] | None:
    case = _one(evidence, home, ended)
    due = ended + home.within
    said = periodic.holds(point, start, due, case.objects)
    holds = proven(said, Strength.STRONG, (("backup_recovery_point", point["arn"]),), due)
    capture = Capture(holds, point, None, due, False, start, point["completed_at"])
    copied, places = copy.judge(evidence, case, capture)
    kept = retention.judge(evidence, case, capture, copied, places)
    if copied.state not in _GOOD or kept.state not in _GOOD or any(p.point is None for p in places):
        return None
    until, days = LAST, 0
    parts: tuple[str, str | None] = (kept.because, None)
    if kept.state == State.PROVEN:
        how = retention.kept(case, capture, places, kept)
        if how is None:
            return None
        until, days, parts = how.latest, how.days.days, how.parts
    strengths = [j.strength for j in (holds, copied, kept) if j.state == State.PROVEN]
    return {
        **zones.fall(evidence, case, capture),
        "point_arn": point["arn"],
        "started_at": start,
        "completed_at": point["completed_at"],
        "holding": periodic.holding(point, start),
        "refs": holds.refs,
        "strength": str(weakest(strengths)),
        **_link("copy", copied),
        **_link("retention", kept),
        "ended_until": until,
        "kept_d": days,
        "kept_before": parts[0],
        "kept_after": parts[1],
    }


def _link(name: str, judgement: Judgement) -> dict[str, Any]:
    return {
        f"{name}_state": str(judgement.state),
        f"{name}_strength": str(judgement.strength),
        f"{name}_due_at": judgement.due_at,
        f"{name}_because": judgement.because,
        f"{name}_refs": judgement.refs,
        f"{name}_gaps": "; ".join(judgement.gaps),
    }


def _one(evidence: Evidence, home: _Home, ended: datetime) -> Case:
    """Return an export that stands for those of a bucket and label: one object, of which all is known."""
    output = {"export_id": "", "bucket": home.bucket, "prefix": ""}
    job: Row = {
        "zone_label": home.label,
        "labels_known": True,
        "finished_at": ended,
        "arguments": (),
        "properties": {},
    }
    writes = {"objects": 1, "first_write_at": ended, "last_write_at": ended}
    return case_of(evidence, output, job, writes, (), (), None)
