"""Whether a continuous (point in time) recovery point covers the end of an export.

No API returns a latest restorable time for S3, so its coverage is inferred from what AWS Backup needs: the point
AVAILABLE, versioning and EventBridge on at both sides of the export's end, and a clean job since.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from auditor.correlate.links.evidence import Case, Evidence, Row, words
from auditor.correlate.links.settings import changes, last_before, sights

_SETTLES = timedelta(minutes=60)


def judge_continuous(evidence: Evidence, case: Case, point: Row, due: datetime | None) -> tuple[str, str]:
    """Return proves, weak, creating or off, and why."""
    name = "continuous point " + str(point["arn"]).rpartition(":")[2]
    end = case.ended_at
    assert end is not None
    off = _off_before(evidence, case, point, end)
    if off:
        return "off", f"{name}: {off}"
    if point["status"] == "STOPPED":
        return "weak", f"{name} is STOPPED, and nothing tells since when"
    if point["status"] != "AVAILABLE":
        return "weak", f"{name} is {point['status']}: its first full backup has not completed"
    if evidence.now < end + _SETTLES:
        return "creating", f"{name} is AVAILABLE; whether it reaches the export's end shows after an hour"
    unsure = _unsure(evidence, case, end)
    if unsure:
        return "weak", f"{name}: {unsure}"
    if case.writes and (case.writes["unsupported"] or case.writes["unversioned"]):
        return "weak", f"{name}: some objects are unversioned or of a class AWS Backup skips"
    if case.nothing_written and not _proved_by(case, point):
        return "weak", f"the objects are gone, and whether {name} holds them cannot be told"
    clean = [
        job
        for job in clean_jobs(evidence, point, end)
        if due is None or (job["completed_at"] is not None and job["completed_at"] <= due)
    ]
    if not clean:
        return "weak", f"{name} is AVAILABLE, and no clean job of it started after the export's end in time"
    if due is None:
        return "weak", f"{name} covers it, and whether in time is not known: the export has no zone or limit"
    at = min(job["started_at"] or job["created_at"] for job in clean)
    return (
        "proves",
        (
            f"{name} is AVAILABLE, versioning and EventBridge were on at both sides of the export's end, "
            f"and a clean job started on {words(at)}"
        ),
    )


def clean_jobs(evidence: Evidence, point: Row, end: datetime) -> list[Row]:
    """Return the point's jobs that completed without issues and started after an export's end."""
    return [
        job
        for job in evidence.backup_jobs.get(point["arn"], ())
        if (job["state"], job["category"]) == ("COMPLETED", "SUCCESS")
        and (job["started_at"] or job["created_at"] or end) >= end + evidence.skew
    ]


def _proved_by(case: Case, point: Row) -> bool:
    return (
        case.said("recovery_point") == "proven" and (case.history or {}).get("proving_point") == point["arn"]
    )


def _off_before(evidence: Evidence, case: Case, point: Row, end: datetime) -> str:
    """Say how the point or a setting it needs was seen off at or before the export's end."""
    seen = evidence.known_points.get(point["arn"])
    if (
        seen
        and seen["status"] == "STOPPED"
        and seen["last_seen_at"] is not None
        and seen["last_seen_at"] <= end
    ):
        return f"it was STOPPED in the scan of {words(seen['last_seen_at'])}"
    for setting in ("versioning", "eventbridge"):
        last = last_before(sights(evidence, case, setting), end)
        if last is not None and not last.on:
            return f"{last.words}, before the export ended on {words(end)}"
    return ""


def _unsure(evidence: Evidence, case: Case, end: datetime) -> str:
    """Say why the settings on both sides of the export's end are not known; empty when they were on."""
    bucket = case.bucket
    if bucket is None or bucket["versioning"] is None or bucket["eventbridge"] is None:
        return "the bucket's present versioning or EventBridge setting is not known"
    for setting in ("versioning", "eventbridge"):
        found = sights(evidence, case, setting)
        after = next((sight for sight in found if sight.at >= end), None)
        if after is not None and not after.on:
            return after.words
    befores = [last_before(sights(evidence, case, setting), end) for setting in ("versioning", "eventbridge")]
    if all(before is not None and before.on for before in befores):
        return ""
    since = end - evidence.skew
    hidden = evidence.sight.gaps(
        "aws_change",
        bucket["account"],
        region=bucket["region"],
        resource=bucket["arn"],
        from_at=since,
        until_at=evidence.now,
    )
    if hidden:
        return f"no scan saw its settings before the export's end, and changes since could not be seen: {hidden[0]}"
    if changes(evidence, case, since, evidence.now) or not (
        bucket["versioning"] == "Enabled" and bucket["eventbridge"]
    ):
        return "no scan saw its settings before the export's end, and they were changed since"
    return ""
