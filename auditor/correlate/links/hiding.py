"""What could hide the answer of a link: the gaps of the tables it rests on, in its place and over its time.

A link that is unknown names them, so that nobody takes what a scan failed to read for what the estate failed to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from auditor.correlate.links.evidence import Case, Evidence
from auditor.correlate.links.judgement import Judgement
from auditor.correlate.links.objects import event_gaps, listing_gaps
from auditor.correlate.links.session import BEFORE_START, issue_gaps, issued_in
from auditor.model import LINKS, State


def explained(evidence: Evidence, case: Case, link: str, judgement: Judgement) -> Judgement:
    """Return an unknown link with the gaps that may hide its answer, unless it names some already."""
    if judgement.state != State.UNKNOWN or judgement.gaps:
        return judgement
    return judgement.hidden_by(hiding(evidence, case, link))


def hiding(evidence: Evidence, case: Case, link: str) -> list[str]:
    """Return the gaps that may hide the answer of a link, those of the links it leans on among them."""
    return [] if _clear(evidence, case, link) else _hiding(evidence, case, link)


def _clear(evidence: Evidence, case: Case, link: str) -> bool:
    """Tell whether nothing hides a link of exports like this one, from the first that was asked for until now.

    What was read without a gap from a time until now was so over all that lies within, but for a mere moment.
    """
    listing = evidence.listings.get(case.output["bucket"])
    if case.job["started_at"] is None or case.ended_at is None or (listing and listing["way"] == "inventory"):
        return False
    starts = [_since(case, evidence), case.job["started_at"] - BEFORE_START]
    if case.first_write_at is not None:
        starts.append(case.first_write_at - evidence.skew)
    first, last = min(starts), min(case.ended_at + evidence.skew, evidence.now)
    if max(starts) > last - _MOMENT:
        return False
    job = case.job
    account, home = job["service_account"], () if case.bucket is None else (case.bucket["account"],)
    places = tuple(issued_in(evidence, account, home))
    asked = (link, job["project"], job["region"], not account, places, case.zone, case.output["bucket"])
    since = evidence.clear.get(asked)
    if since is not None and since <= first:
        return True
    times = {"submitted_at": first + evidence.skew, "started_at": first + BEFORE_START}
    longest = replace(case, job={**job, **times}, first_write_at=first + evidence.skew, ended_at=evidence.now)
    if _hiding(evidence, longest, link):
        return False
    evidence.clear[asked] = first
    return True


_MOMENT = timedelta(seconds=2)
"""Longer than what may lie between two readings that are one (`sight.py`)."""


def _hiding(evidence: Evidence, case: Case, link: str) -> list[str]:
    found = {*_run(evidence, case), *_zone(evidence, case)}
    if link == "trigger":
        return sorted(found.union(_trigger(evidence, case)))
    for name, of in _BEHIND.items():
        if LINKS.index(name) <= LINKS.index(link):
            found.update(of(evidence, case))
    return sorted(found)


def _since(case: Case, evidence: Evidence) -> datetime:
    """Return from when records of an export matter."""
    starts = [at for at in (case.job["submitted_at"], case.job["started_at"], case.first_write_at) if at]
    return min(starts, default=evidence.now) - evidence.skew


def _run(evidence: Evidence, case: Case) -> Iterator[str]:
    """Yield what hides the run itself, and as whom it ran."""
    project, region = case.job["project"], case.job["region"]
    yield from evidence.sight.gaps("dataproc_job", project, region=region)
    if not case.job["service_account"]:
        yield from evidence.sight.gaps("dataproc_cluster", project, region=region)
        yield from evidence.sight.gaps("gcp_audit_entry", project)


def _zone(evidence: Evidence, case: Case) -> Iterator[str]:
    """Yield what hides the zone, which decides every limit."""
    if case.zone is None:
        account = case.bucket["account"] if case.bucket else None
        yield from evidence.sight.gaps("s3_bucket", account, resource=case.bucket_arn)


def _trigger(evidence: Evidence, case: Case) -> Iterator[str]:
    since = _since(case, evidence)
    yield from evidence.sight.gaps(
        "gcp_audit_entry", case.job["project"], from_at=since, until_at=evidence.now
    )
    for table in ("directory_user", "directory_membership"):
        yield from evidence.sight.gaps(table, None)


def _session(evidence: Evidence, case: Case) -> Iterator[str]:
    if case.ended_at is not None:
        yield from issue_gaps(evidence, case)
        yield from event_gaps(evidence, case)
    for table in (
        "dataproc_job",
        "dataproc_cluster",
    ):  # another job, or one of an account not known, may fit too
        yield from evidence.sight.gaps(table, None)
    since = _since(case, evidence)
    yield from evidence.sight.gaps("gcp_audit_entry", None, from_at=since, until_at=evidence.now)


def _objects(evidence: Evidence, case: Case) -> Iterator[str]:
    yield from listing_gaps(evidence, case)
    if case.bucket is not None:
        account, region = case.bucket["account"], case.bucket["region"]
        yield from evidence.sight.gaps("s3_bucket", account, region=region, resource=case.bucket_arn)
        yield from evidence.sight.gaps("s3_manifest", account, region=region, resource=case.bucket_arn)


def _recovery_point(evidence: Evidence, case: Case) -> Iterator[str]:
    if case.bucket is None:
        return
    account, region = case.bucket["account"], case.bucket["region"]
    since = _since(case, evidence)
    yield from evidence.sight.gaps("backup_recovery_point", account, region=region)
    for table in ("backup_job", "aws_change"):
        yield from evidence.sight.gaps(table, account, region=region, from_at=since, until_at=evidence.now)


def _copy(evidence: Evidence, case: Case) -> Iterator[str]:
    if case.bucket is None or case.limits is None:
        return
    account, region = case.bucket["account"], case.bucket["region"]
    yield from evidence.sight.gaps(
        "backup_copy_job",
        account,
        region=region,
        from_at=_since(case, evidence),
        until_at=evidence.now,
    )
    for place in case.limits["copy_to"] or ():
        yield from evidence.sight.gaps(
            "backup_recovery_point", place.get("account") or account, region=place.get("region") or region
        )


def _retention(evidence: Evidence, case: Case) -> Iterator[str]:
    if case.bucket is None:
        return
    account, region = case.bucket["account"], case.bucket["region"]
    yield from evidence.sight.gaps("backup_vault", account, region=region)
    for place in (case.limits or {}).get("copy_to") or ():
        yield from evidence.sight.gaps(
            "backup_vault", place.get("account") or account, region=place.get("region") or region
        )


_BEHIND = {
    "session": _session,
    "objects": _objects,
    "recovery_point": _recovery_point,
    "copy": _copy,
    "retention": _retention,
}
"""What each link rests on beside the run; a later link leans on all of those before it."""
