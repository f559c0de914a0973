"""Whether all that the job wrote is present, complete, and written by nobody else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from auditor.correlate.links.evidence import Case, Evidence, arn_of, unseen_since, words
from auditor.correlate.links.job import retry_until, unended
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
from auditor.correlate.links.settings import versioning_off
from auditor.model import State, Strength


@dataclass(frozen=True, slots=True)
class Window:
    """The window in which others' writes and losses count: it ends where a capture holds what was there."""

    captured_at: datetime | None
    """The start of the proving recovery point; None when none proves."""
    certain: bool = True
    """FALSE: a capture may have been made that was not seen."""
    gaps: tuple[str, ...] = ()
    """What hides captures, in words."""


def judge(evidence: Evidence, case: Case, window: Window) -> Judgement:
    """Judge the objects link of one export."""
    job, kind = case.job, case.job["kind"]
    stranger = _stranger(evidence, case, window)
    if stranger is not None and stranger.state == State.BROKEN:
        return stranger
    hidden = listing_gaps(evidence, case)
    if hidden:
        return unknown(f"the objects of {case.output['bucket']} could not be listed", gaps=hidden)
    if job["ending"] == "running":
        return unended(evidence, case, f"the {kind} is still writing")
    if case.ended_at is None or job["started_at"] is None:
        when = "ended" if case.ended_at is None else "started"
        return unknown(f"when the {kind} {when} is not known, so its writes cannot be told")
    lost, excused = _lost(case, window)
    if job["ending"] != "well" and not case.objects and lost is None and not excused:
        return _nothing_of_a_failed(case)
    due = retry_until(evidence, case)
    if job["ending"] == "failed" and due is not None and evidence.now <= due:
        return pending(f"the {kind} failed; a repetition is not due yet", due)
    if stranger is not None:
        return stranger
    if lost is not None and lost.state == State.BROKEN:
        return lost
    if case.writes and case.writes["rivals"]:
        return unknown(
            "another export fits the same objects equally well, and no data event separates them",
            (("export", case.export_id),),
        )
    if not case.objects and not excused:
        return lost or _nothing(case)
    attested = _attested(evidence, case, excused)
    if attested.state == State.BROKEN:
        return attested
    found = lost or _versioning(evidence, case, window) or _unseen(evidence, case, window) or attested
    settled = case.ended_at + evidence.cloudtrail
    if found.state == State.PROVEN and evidence.now < settled:
        return pending(
            "CloudTrail is not settled yet: who else wrote may still be logged", settled, found.refs
        )
    return found


def _nothing_of_a_failed(case: Case) -> Judgement:
    """Judge a run that did not end well and of which no object is there."""
    if case.writes and case.writes["rivals"]:
        return unknown(
            "another export fits the same objects equally well, so whether it wrote any cannot be told"
        )
    if case.job["ending"] == "failed":
        return not_required(f"the {case.job['kind']} failed and nothing was written")
    return unknown(
        f"how the {case.job['kind']} ended is not known, so neither is whether it should have written",
        (("dataproc_job", case.job["job_uuid"]),),
    )


_LATE = timedelta(minutes=10)
"""Writes this long after a job's end are still its own (15_export_output.py)."""


def listing_gaps(evidence: Evidence, case: Case) -> list[str]:
    """Return what hides the object versions of the export, in its bucket.

    That nobody knows what else was written, since an inventory or at all, hides none of this one's if its prefix was
    listed, or it ended before the inventory.
    """
    if case.bucket is None:
        found = evidence.sight.gaps("s3_bucket", None) + evidence.sight.gaps(
            "s3_object_version", None, resource=case.bucket_arn
        )
        return found or [f"{case.bucket_arn} was not found in any account in scope"]
    return evidence.once((_listed, case.output["bucket"], _told_apart(evidence, case)), _listed)


def _listed(evidence: Evidence, name: str, told_apart: bool) -> list[str]:
    bucket = evidence.buckets[name]
    return evidence.sight.gaps(
        "s3_object_version",
        bucket["account"],
        region=bucket["region"],
        resource=arn_of(name),
        but=("not_enabled",) if told_apart else (),
    )


def _told_apart(evidence: Evidence, case: Case) -> bool:
    row = evidence.listings.get(case.output["bucket"])
    if row is None or row["way"] == "listing":
        return False
    if row["way"] == "prefixes":
        return any(case.output["prefix"].startswith(prefix) for prefix in row["prefixes"] or ())
    unseen = unseen_since(evidence, case)
    return unseen is None or (case.ended_at is not None and case.ended_at + _LATE < unseen)


def _unseen(evidence: Evidence, case: Case, window: Window) -> Judgement | None:
    """Return that versions may be gone since an inventory, unless they were captured before it."""
    unseen = unseen_since(evidence, case)
    if unseen is None or (window.captured_at is not None and window.captured_at <= unseen):
        return None
    why = f"its objects were last seen in an inventory, on {words(unseen)}, and no capture before that holds them"
    return unknown(why, (("s3_listing", case.output["bucket"]),), window.gaps)


def _nothing(case: Case) -> Judgement:
    refs: Refs = (("dataproc_job", case.job["job_uuid"]),)
    where = f"s3://{case.output['bucket']}/{case.output['prefix']}"
    if case.job["ending"] == "well" and case.output["declared"]:
        return broken(f"the job finished well and declares {where}, and no object of it is there", refs)
    return unknown(f"nothing tells whether the job should have written to {where}", refs)


def event_gaps(evidence: Evidence, case: Case, until: datetime | None = None) -> list[str]:
    """Return what hides data events of the bucket: without them nobody can tell who else wrote."""
    if case.bucket is None or case.first_write_at is None:
        return []
    return evidence.sight.gaps(
        "s3_data_event",
        case.bucket["account"],
        region=case.bucket["region"],
        resource=case.bucket_arn,
        from_at=case.first_write_at - evidence.skew,
        until_at=min((until or case.ended_at or evidence.now) + evidence.skew, evidence.now),
    )


def _stranger(evidence: Evidence, case: Case, window: Window) -> Judgement | None:
    """Judge writes by others in the window; None when there are none, and all would have been seen."""
    end = window.captured_at or evidence.now
    rows = strangers(evidence, case, end, case.first_write_at)
    refs: Refs = tuple(("s3_data_event", row["event_id"]) for row in rows[:5])
    sure_until = end if window.certain or case.ended_at is None else case.ended_at + evidence.skew
    certain = [row for row in rows if row["at"] <= sure_until and certainly_foreign(evidence, case, row)]
    if certain:
        row = certain[0]
        why = f"{explained(evidence, case, row)}; it wrote {row['key']} on {words(row['at'])}"
        return broken(why, refs)
    if rows:
        row = rows[0]
        wrote = f"{row['key']} was written on {words(row['at'])}"
        if certainly_foreign(evidence, case, row):
            why = (
                f"{explained(evidence, case, row)}; {wrote}, and whether before the capture could not be seen"
            )
        else:
            why = f"{wrote}, and by whom cannot be told: {explained(evidence, case, row)}"
        return unknown(why, refs, doubts(evidence, row))
    hidden = event_gaps(evidence, case, end)
    if hidden:
        return unknown("whether anybody else wrote could not be seen", gaps=hidden)
    return None


def _lost(case: Case, window: Window) -> tuple[Judgement | None, int]:
    """Judge versions that were written and are gone; return how many went after they were captured."""
    captured_at = window.captured_at
    doubt: Judgement | None = None
    excused = 0
    for row in sorted(case.lost, key=lambda row: (row["key"], row["version_id"])):
        refs: Refs = (("s3_object_version", f"{row['bucket']}/{row['key']}@{row['version_id']}"),)
        deleted: datetime | None = row["deleted_at"]
        if captured_at is not None and (
            deleted > captured_at if deleted is not None else case.said("objects") == "proven"
        ):
            excused += 1
            continue
        if deleted is not None and (captured_at is not None or window.certain):
            why = (
                f"{row['key']} was deleted on {words(deleted)} by {row['deleted_by']}, before it was captured"
            )
            return broken(why, refs), excused
        if captured_at is None and window.certain:
            why = f"{row['key']}, written on {words(row['written_at'])}, is gone, and no recovery point is known to hold it"
            return broken(why, refs), excused
        doubt = doubt or unknown(
            f"{row['key']} is gone, and whether before or after the capture cannot be told", refs, window.gaps
        )
    return doubt, excused


def _versioning(evidence: Evidence, case: Case, window: Window) -> Judgement | None:
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
    off = versioning_off(evidence, case, case.first_write_at, window.captured_at or evidence.now)
    return unknown(off, refs) if off else None


def _attested(evidence: Evidence, case: Case, excused: int) -> Judgement:
    """Judge completeness by the export's markers; `excused` versions went after they were captured."""
    markers = sorted(case.markers, key=lambda row: row["key"])
    export = evidence.exports.get(case.output["export_name"] or "")
    expected = export["complete"] if export else None
    refs: Refs = tuple(("s3_manifest", f"{m['bucket']}/{m['key']}@{m['version_id']}") for m in markers[:5])
    if excused and case.said("objects") == "proven" and not any(marker["files"] for marker in markers):
        return _gone_since(case, excused)
    if not markers:
        return _unattested(evidence, case, expected)
    for marker in markers:
        if marker["missing"]:
            more = f", and {marker['missing'] - 1} more" if marker["missing"] > 1 else ""
            return broken(
                f"{marker['key']} lists {marker['missing_example']}, which is not there{more}", refs
            )
    for marker in markers:
        if marker["form"] not in ("json", "empty"):
            return unknown(f"{marker['key']} cannot be read", refs)
        if marker["cut"]:
            return unknown(f"{marker['key']} lists {marker['files']} files and may be cut at 100", refs)
        if marker["elsewhere"]:
            why = f"{marker['key']} lists {marker['elsewhere_example']}, and what is there of it is not of this job"
            return unknown(why, refs)
    if any(marker["form"] == "empty" for marker in markers):
        return _by_marker(case, max(marker["last_modified"] for marker in markers), expected, refs)
    files = sum(marker["files"] for marker in markers)
    own = case.objects - int((case.writes or {}).get("rewritten") or 0)
    there = own + sum(marker["lost"] for marker in markers)
    if files != there:
        return unknown(f"{there} objects are there, and the manifest lists {files}", refs)
    witnessed = case.writes is not None and case.writes["witnessed_objects"] == case.objects
    return by_manifest(files, refs, witnessed=witnessed)


def by_manifest(files: int, refs: Refs, *, witnessed: bool) -> Judgement:
    """Return the link of objects that a whole manifest lists, each of them."""
    strength = Strength.EXACT if witnessed else Strength.STRONG
    how = "and a data event tells of every version" if witnessed else "by listing"
    return proven(f"all {files} files of the manifest are there, {how}", strength, refs)


def by_marker(count: int, refs: Refs) -> Judgement:
    """Return the link of objects after which an empty marker was written."""
    return proven(f"{count} objects, and an empty marker was written after them", Strength.INFERRED, refs)


def _gone_since(case: Case, excused: int) -> Judgement:
    assert case.history is not None
    return proven(
        f"an earlier scan saw all of it, and {excused} versions are gone since they were captured",
        Strength(case.history["links"]["objects"][1]),
        (("history_export", case.export_id),),
    )


def _by_marker(case: Case, marked_at: datetime, expected: str | None, refs: Refs) -> Judgement:
    if expected == "manifest":
        return broken("a manifest is expected, and the marker is empty", refs)
    last = case.writes["last_part_at"] if case.writes else None
    if last is not None and marked_at < last:
        return unknown(f"an object was written on {words(last)}, after the marker", refs)
    return by_marker(case.objects, refs)


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
