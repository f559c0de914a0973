"""Whether the job ended well, and as whom it ran."""

from __future__ import annotations

from datetime import datetime, timedelta

from auditor.correlate.links.evidence import RETRY, Case, Evidence, Row, words
from auditor.correlate.links.judgement import Judgement, Refs, broken, pending, proven, unknown
from auditor.model import Strength


def judge(evidence: Evidence, case: Case) -> Judgement:
    """Judge the job link; a failed run that was repeated in time is settled before this is asked."""
    job = case.job
    refs: Refs = (("dataproc_job", job["job_uuid"]),)
    kind = job["kind"]
    if job["ending"] == "deleted":
        return broken(
            f"the {kind} was deleted on {words(job['finished_at'])}, before a scan collected it", refs
        )
    if job["ending"] == "running":
        return unended(evidence, case, f"the {kind} is {job['state']}")
    if job["ending"] == "unknown":
        return unknown(
            f"the {kind} is in state {job['state'] or 'unknown'}, which does not say how it ended", refs
        )
    if job["ending"] == "failed":
        detail = f": {job['state_detail']}" if job["state_detail"] else ""
        ended = f"the {kind} ended {job['state']} on {words(job['finished_at'])}{detail}"
        due = retry_until(evidence, case)
        gaps = evidence.sight.gaps(
            "dataproc_job",
            job["project"],
            from_at=job["finished_at"],
            until_at=None if due is None else min(due, evidence.now),
        )
        if gaps:
            return unknown(f"{ended}; whether it was repeated could not be seen", refs, gaps, due)
        if due is not None and evidence.now <= due:
            return pending(f"{ended}; a repetition is due {words(due)}", due, refs)
        return broken(f"{ended}, and no run of the same export succeeded by {words(due)}", refs, due)
    if not job["service_account"]:
        gaps = evidence.sight.gaps("dataproc_cluster", job["project"], region=job["region"]) + (
            evidence.sight.gaps("gcp_audit_entry", job["project"])
        )
        return unknown(f"as whom it ran cannot be established: {job['service_account_because']}", refs, gaps)
    return well(job)


def well(job: Row) -> Judgement:
    """Return the link of a job that ended well, as an account that is known."""
    return proven(
        f"the {job['kind']} ended {job['state']} on {words(job['finished_at'])} as {job['service_account']}",
        Strength.EXACT,
        (("dataproc_job", job["job_uuid"]),),
    )


def unended(evidence: Evidence, case: Case, otherwise: str) -> Judgement:
    """Judge a link of a job that was not over when it was last seen: pending only if it was seen in this scan."""
    job = case.job
    refs: Refs = (("dataproc_job", job["job_uuid"]),)
    gaps = evidence.sight.gaps(
        "dataproc_job",
        job["project"],
        region=job["region"],
        resource=job["job_uuid"],
        from_at=evidence.now - evidence.skew,
        until_at=evidence.now,
    )
    if gaps:
        return unknown(f"how the {job['kind']} goes on could not be seen", refs, gaps)
    return pending(otherwise, None, refs)


def retry_until(evidence: Evidence, case: Case) -> datetime | None:
    """Return until when a failed run may be repeated; None when its end is not known."""
    finished: datetime | None = case.job["finished_at"]
    if finished is None:
        return None
    export = evidence.exports.get(case.output["export_name"] or "")
    if export and export["retry_s"] is not None and export["retry_s"] >= 0:
        return finished + timedelta(seconds=export["retry_s"])
    return finished + RETRY
