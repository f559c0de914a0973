"""What a bucket's versioning and EventBridge settings were at a time: by scans, and by changes between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from auditor.correlate.links.evidence import Case, Evidence, Row, arn_of, words

_CHANGES = ("PutBucketVersioning", "PutBucketNotification", "PutBucketNotificationConfiguration")


@dataclass(frozen=True, slots=True)
class Sight:
    """One sight of one setting."""

    at: datetime
    on: bool
    words: str


def changes(evidence: Evidence, case: Case, from_at: datetime, until_at: datetime) -> list[Row]:
    """Return changes of either setting between two times, the borders among them."""
    return [
        change
        for change in evidence.changes.get(case.bucket_arn, ())
        if change["event_name"] in _CHANGES and not change["error_code"] and change["at"] is not None
        if from_at <= change["at"] <= until_at
    ]


def sights(evidence: Evidence, case: Case, setting: str) -> list[Sight]:
    """Return every sight of `versioning` or `eventbridge`, the earliest first."""
    return sights_of(evidence, case.output["bucket"], setting)


def sights_of(evidence: Evidence, bucket: str, setting: str) -> list[Sight]:
    """Return every sight of a setting of a bucket, the earliest first."""
    return evidence.once((_sights, bucket, setting), _sights)


def _sights(evidence: Evidence, bucket: str, setting: str) -> list[Sight]:
    found = [*_scanned(evidence, bucket, setting), *_changed(evidence, bucket, setting)]
    return sorted(found, key=lambda sight: (sight.at, sight.words))


def _scanned(evidence: Evidence, bucket: str, setting: str) -> Iterator[Sight]:
    arn, listed = arn_of(bucket), evidence.buckets.get(bucket)
    rows = [(row["at"], row[setting]) for row in evidence.bucket_history.get(arn, ())]
    if listed is not None:
        rows.append((evidence.now, listed[setting]))
    for at, value in rows:
        if value is None:
            continue
        on = value in ("Enabled", True)
        told = value if setting == "versioning" else ("on" if on else "off")
        yield Sight(at, on, f"{_NAMES[setting]} of {bucket} was {told} in the scan of {words(at)}")


def _changed(evidence: Evidence, bucket: str, setting: str) -> Iterator[Sight]:
    for change in evidence.changes.get(arn_of(bucket), ()):
        if change["error_code"] or change["at"] is None or change["event_name"] not in _CHANGES:
            continue
        if (change["event_name"] == "PutBucketVersioning") != (setting == "versioning"):
            continue
        asked = str(change["request"])
        on = (
            "eventbridgeconfiguration" in asked.lower()
            if setting == "eventbridge"
            else "Suspended" not in asked
        )
        told = f"{change['actor']} switched {_NAMES[setting]} of {bucket}"
        yield Sight(change["at"], on, f"{told} {'on' if on else 'off'} on {words(change['at'])}")


_NAMES = {"versioning": "versioning", "eventbridge": "EventBridge"}


def last_before(found: list[Sight], at: datetime) -> Sight | None:
    """Return the last sight at or before a time."""
    return max((sight for sight in found if sight.at <= at), key=lambda sight: sight.at, default=None)


def versioning_off(
    evidence: Evidence, case: Case, from_at: datetime | None, until_at: datetime
) -> str | None:
    """Say how versioning was, or may have been, not Enabled between two times; None when it was.

    The version ids of what was written say that it was Enabled then. If the first sight after the end says that it
    is not, and none tells when it was switched off, it may have been before the end.
    """
    found = sights(evidence, case, "versioning")
    if all(sight.on for sight in found):
        return None
    start = from_at or until_at
    off = next((sight for sight in found if start <= sight.at <= until_at and not sight.on), None)
    if off is not None:
        return off.words
    after = next((sight for sight in found if sight.at > until_at), None)
    if after is not None and not after.on and " in the scan of " in after.words:
        return f"{after.words}, and since when is not known"
    return None
