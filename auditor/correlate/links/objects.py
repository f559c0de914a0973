"""Whether all that the job wrote is present, complete, and written by nobody else."""

from __future__ import annotations

from datetime import datetime

from auditor.correlate.links.evidence import Case, Evidence, words
from auditor.correlate.links.job import retry_until
from auditor.correlate.links.judgement import (
    Judgement,
    Refs,
    broken,
    not_required,
    pending,
    proven,
    unknown,
)
from auditor.correlate.links.session import certainly_foreign, doubts, explained, strangers
from auditor.model import State, Strength


def judge(evidence: Evidence, case: Case, captured_at: datetime | None) -> Judgement:
    """Judge the objects link; `captured_at` is the start of the proving recovery point, None when there is none."""
    job = case.job
    if job["ending"] == "running":
        return pending("the job is still writing", None)
    hidden = listing_gaps(evidence, case)
    if hidden:
        return unknown(f"the objects of {case.output['bucket']} could not be listed", gaps=hidden)
    if job["ending"] != "well" and not case.objects:
        return not_required("the job failed and nothing was written")
    due = retry_until(evidence, case)
    if job["ending"] == "failed" and due is not None and evidence.now <= due:
        return pending("the job failed; a repetition is not due yet", due)
    stranger = _stranger(evidence, case, captured_at)
    if stranger is not None:
        return stranger
    lost, excused = _lost(evidence, case, captured_at)
    if lost is not None and lost.state == State.BROKEN:
        return lost
    if not case.objects and not excused:
        return lost or _nothing(case)
    if case.writes and case.writes["rivals"]:
        return unknown(
            "another export fits the same objects equally well, and no data event separates them",
            (("export", case.export_id),),
        )
    attested = _attested(evidence, case, excused)
    if attested.state == State.BROKEN:
        return attested
    return lost or _versioning(evidence, case, captured_at) or attested


def listing_gaps(evidence: Evidence, case: Case) -> list[str]:
    """Return what hides the object versions of the export's bucket."""
    if case.bucket is None:
        found = evidence.sight.gaps("s3_bucket", None) + evidence.sight.gaps(
            "s3_object_version", None, resource=case.bucket_arn
        )
        return found or [f"{case.bucket_arn} was not found in any account in scope"]
    return evidence.sight.gaps(
        "s3_object_version",
        case.bucket["account"],
        region=case.bucket["region"],
        resource=case.bucket_arn,
    )


def _nothing(case: Case) -> Judgement:
    refs: Refs = (("dataproc_job", case.job["job_uuid"]),)
    where = f"s3://{case.output['bucket']}/{case.output['prefix']}"
    if case.job["ending"] == "well" and case.output["declared"]:
        return broken(f"the job finished well and declares {where}, and no object of it is there", refs)
    return unknown(f"nothing tells whether the job should have written to {where}", refs)


def event_gaps(evidence: Evidence, case: Case) -> list[str]:
    """Return what hides data events of the bucket: without them nobody can tell who else wrote."""
    if case.bucket is None or case.first_write_at is None:
        return []
    return evidence.sight.gaps(
        "s3_data_event",
        case.bucket["account"],
        region=case.bucket["region"],
        resource=case.bucket_arn,
        from_at=case.first_write_at - evidence.skew,
        until_at=min((case.ended_at or evidence.now) + evidence.skew, evidence.now),
    )


def _stranger(evidence: Evidence, case: Case, captured_at: datetime | None) -> Judgement | None:
    rows = strangers(evidence, case, captured_at or evidence.now, case.first_write_at)
    refs: Refs = tuple(("s3_data_event", row["event_id"]) for row in rows[:5])
    certain = [row for row in rows if certainly_foreign(evidence, case, row)]
    if certain:
        row = certain[0]
        why = f"{explained(evidence, case, row)}; it wrote {row['key']} on {words(row['at'])}"
        return broken(why, refs)
    if rows:
        row = rows[0]
        why = f"who wrote {row['key']} on {words(row['at'])} cannot be told: {explained(evidence, case, row)}"
        return unknown(why, refs, doubts(evidence, row))
    hidden = event_gaps(evidence, case)
    if hidden:
        return unknown("whether anybody else wrote could not be seen", gaps=hidden)
    return None


def _lost(evidence: Evidence, case: Case, captured_at: datetime | None) -> tuple[Judgement | None, int]:
    """Judge versions that were written and are gone; return how many went after they were captured."""
    before = ((case.history or {}).get("links") or {}).get("objects") or [""]
    doubt: Judgement | None = None
    excused = 0
    for row in sorted(evidence.lost.get(case.export_id, ()), key=lambda row: (row["key"], row["version_id"])):
        refs: Refs = (("s3_object_version", f"{row['bucket']}/{row['key']}@{row['version_id']}"),)
        known_after = (
            row["deleted_at"] is not None and captured_at is not None and row["deleted_at"] > captured_at
        )
        if known_after or (captured_at is not None and row["deleted_at"] is None and before[0] == "proven"):
            excused += 1
        elif row["deleted_at"] is not None or captured_at is None:
            when = f"on {words(row['deleted_at'])} by {row['deleted_by']}" if row["deleted_at"] else "since"
            return broken(f"{row['key']} was deleted {when}, before it was captured", refs), excused
        else:
            why = f"{row['key']} is gone, and whether before or after the capture cannot be told"
            doubt = doubt or unknown(why, refs)
    return doubt, excused


def _versioning(evidence: Evidence, case: Case, captured_at: datetime | None) -> Judgement | None:
    """Return why versioning was not, or may not have been, Enabled throughout; None when it was."""
    bucket = case.bucket
    if bucket is None:
        return None
    refs: Refs = (("s3_bucket", bucket["arn"]),)
    if bucket["versioning"] is None:
        gaps = evidence.sight.gaps("s3_bucket", bucket["account"], resource=bucket["arn"])
        return unknown("whether versioning is on could not be seen", refs, gaps)
    if case.writes and case.writes["unversioned"]:
        return unknown(f"{case.writes['unversioned']} objects were written while versioning was off", refs)
    off = versioning_off(evidence, case, case.first_write_at, captured_at or evidence.now)
    return unknown(off, refs) if off else None


def versioning_off(
    evidence: Evidence, case: Case, from_at: datetime | None, until_at: datetime
) -> str | None:
    """Say how versioning was seen not Enabled between two times; None when it was not."""
    bucket = case.bucket
    if bucket is None:
        return None
    states = sorted(
        (row["at"], row["versioning"])
        for row in evidence.bucket_history.get(bucket["arn"], ())
        if row["versioning"] is not None
    )
    states.append((evidence.now, bucket["versioning"]))
    for at, state in states:
        if (from_at is None or at >= from_at) and at <= until_at and state != "Enabled":
            return f"versioning of {bucket['bucket']} was {state} on {words(at)}"
    for change in evidence.changes.get(bucket["arn"], ()):
        if (
            change["event_name"] == "PutBucketVersioning"
            and not change["error_code"]
            and (from_at is None or change["at"] >= from_at)
            and change["at"] <= until_at
            and "Suspended" in str(change["request"])
        ):
            return f"{change['actor']} suspended versioning of {bucket['bucket']} on {words(change['at'])}"
    return None


def _attested(evidence: Evidence, case: Case, excused: int) -> Judgement:
    """Judge completeness by the export's markers; `excused` files went after they were captured."""
    markers = sorted(evidence.markers.get(case.export_id, ()), key=lambda row: row["key"])
    export = evidence.exports.get(case.output["export_name"] or "")
    expected = export["complete"] if export else None
    refs: Refs = tuple(("s3_manifest", f"{m['bucket']}/{m['key']}@{m['version_id']}") for m in markers[:5])
    if not markers:
        return _unattested(evidence, case, expected)
    for marker in markers:
        if marker["missing"] > excused:
            return broken(
                f"{marker['key']} lists {marker['missing_example']}, which is not there"
                + (f", and {marker['missing'] - 1} more" if marker["missing"] > 1 else ""),
                refs,
            )
    for marker in markers:
        if marker["form"] not in ("json", "empty"):
            return unknown(f"{marker['key']} cannot be read", refs)
        if marker["cut"]:
            return unknown(f"{marker['key']} lists {marker['files']} files and may be cut at 100", refs)
    if any(marker["form"] == "empty" for marker in markers):
        return _by_marker(case, markers[-1]["last_modified"], expected, refs)
    files = sum(marker["files"] for marker in markers)
    if files != case.objects + excused:
        return unknown(f"{case.objects} object versions are there, and the manifest lists {files}", refs)
    witnessed = (
        bool(case.writes) and case.writes is not None and case.writes["witnessed_objects"] == case.objects
    )
    strength = Strength.EXACT if witnessed else Strength.STRONG
    how = "and a data event tells of every version" if witnessed else "by listing"
    return proven(f"all {case.objects} files of the manifest are there, {how}", strength, refs)


def _by_marker(case: Case, marked_at: datetime, expected: str | None, refs: Refs) -> Judgement:
    if expected == "manifest":
        return broken("a manifest is expected, and the marker is empty", refs)
    last = case.writes["last_part_at"] if case.writes else None
    if last is not None and marked_at < last:
        return unknown(f"an object was written on {words(last)}, after the marker", refs)
    return proven(
        f"{case.objects} objects, and an empty marker was written after them", Strength.INFERRED, refs
    )


def _unattested(evidence: Evidence, case: Case, expected: str | None) -> Judgement:
    where = f"s3://{case.output['bucket']}/{case.output['prefix']}"
    if case.ended_at is not None and evidence.now < case.ended_at + evidence.listing:
        return pending("the listing is not settled yet", case.ended_at + evidence.listing)
    hidden = evidence.sight.gaps(
        "s3_manifest", case.bucket["account"] if case.bucket else None, resource=case.bucket_arn
    )
    if hidden:
        return unknown(f"markers under {where} could not be read", gaps=hidden)
    if case.job["ending"] == "failed":
        return broken(f"the job failed and left {case.objects} objects under {where} without a marker")
    if expected in ("manifest", "marker"):
        return broken(f"{case.objects} objects are under {where}, and the expected {expected} is absent")
    return unknown(f"{case.objects} objects are under {where}, and nothing attests that they are all")
