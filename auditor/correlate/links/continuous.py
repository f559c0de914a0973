"""Whether a continuous (point in time) recovery point covers the end of an export.

No API returns a latest restorable time for S3, so its coverage is inferred from what AWS Backup needs: the point
AVAILABLE, versioning and EventBridge on at both sides of the export's end, and a clean job since.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from auditor.correlate.links.evidence import Case, Evidence, Row, words

_SETTLES = timedelta(minutes=60)
_SETTINGS = ("PutBucketVersioning", "PutBucketNotification", "PutBucketNotificationConfiguration")


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
    found = []
    for job in evidence.backup_jobs.get(point["arn"], ()):
        started = job["started_at"] or job["created_at"]
        if job["state"] == "COMPLETED" and job["category"] == "SUCCESS" and started is not None:
            if started >= end + evidence.skew:
                found.append(job)
    return found


def _on(row: Row) -> bool:
    return row["versioning"] == "Enabled" and row["eventbridge"] is True


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
    scans = [row for row in evidence.bucket_history.get(case.bucket_arn, ()) if row["at"] <= end]
    if scans:
        last = max(scans, key=lambda row: row["at"])
        if last["versioning"] in ("Suspended", "Off") or last["eventbridge"] is False:
            since = _changed_since(evidence, case, last["at"], end)
            if not since:
                return f"versioning or EventBridge was off in the scan of {words(last['at'])}"
    return ""


def _changed_since(evidence: Evidence, case: Case, from_at: datetime, until_at: datetime) -> list[Row]:
    return [
        change
        for change in evidence.changes.get(case.bucket_arn, ())
        if change["event_name"] in _SETTINGS
        and not change["error_code"]
        and from_at <= change["at"] <= until_at
    ]


def _unsure(evidence: Evidence, case: Case, end: datetime) -> str:
    """Say why the settings on both sides of the export's end are not known; empty when they were on."""
    bucket = case.bucket
    if bucket is None or bucket["versioning"] is None or bucket["eventbridge"] is None:
        return "the bucket's present versioning or EventBridge setting is not known"
    history = evidence.bucket_history.get(bucket["arn"], ())
    after = [row for row in history if row["at"] >= end]
    if not _on(bucket) and not any(_on(row) for row in after):
        return "versioning or EventBridge is off"
    before = [row for row in history if row["at"] <= end]
    if before and _on(max(before, key=lambda row: row["at"])):
        return ""
    hidden = evidence.sight.gaps(
        "aws_change",
        bucket["account"],
        region=bucket["region"],
        from_at=end - evidence.skew,
        until_at=evidence.now,
    )
    if hidden or not _on(bucket):
        return "its settings before the export's end are not known: no scan before it, and the change feed has a gap"
    if _changed_since(evidence, case, end - evidence.skew, evidence.now):
        return "its settings were changed since the export's end"
    return ""
