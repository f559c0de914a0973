"""Whether each declared export ran in each of its intervals since the scan before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.zoning import seconds

TABLE = "schedule_facts"
READS = ("config_export", "export", "dataproc_job", "bucket_zone", "coverage", "as_of")

_WELL = {"DONE", "SUCCEEDED", "TERMINATED"}


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row for each declared export that has an interval."""
    (now,) = tables["as_of"]
    buckets = {row["bucket"]: row for row in tables["bucket_zone"]}
    jobs = {row["job_uuid"]: row for row in tables["dataproc_job"]}
    runs: dict[str, set[datetime]] = defaultdict(set)
    for export in tables["export"]:
        job = jobs.get(export["job_uuid"])
        if job and job["state"] in _WELL and job["done"] and job["finished_at"] is not None:
            runs[export["export_key"]].add(job["finished_at"])
    seen_from = _seen_from(tables)
    for export in tables["config_export"]:
        every = export["every_s"]
        if every is None or every <= 0:
            continue
        finished = sorted(at for at in runs[export["name"]] if at <= now["as_of"])
        latest = finished[-1] if finished else None
        bucket = buckets.get(export["bucket"], {})
        yield {
            "subject_key": export["name"],
            "zone": bucket.get("zone"),
            "account": bucket.get("account"),
            "project": export["project"] if "*" not in (export["project"] or "*") else None,
            "owner": export["owner"] or bucket.get("owner"),
            "region": bucket.get("region"),
            "every_s": every,
            "runs": len(finished),
            "latest_run_at": latest,
            "latest_run_age_s": seconds(now["as_of"], latest),
            "longest_pause_s": _pause(finished, every, now),
            "seen_back_s": seconds(now["as_of"], seen_from),
        }


def _seen_from(tables: Tables) -> datetime | None:
    """Return since when jobs were read; the first job there is, when no coverage tells."""
    told = [
        row["from_at"]
        for row in tables["coverage"]
        if row["table_name"] == "dataproc_job" and row["complete"]
    ]
    starts = [at for at in told if at is not None]
    jobs = [row["submitted_at"] for row in tables["dataproc_job"] if row["submitted_at"] is not None]
    return min(starts) if starts else min(jobs, default=None)


def _pause(finished: list[datetime], every: int, now: Mapping[str, Any]) -> int:
    """Return the longest time between two runs that ended after the scan before; 0 when there were no two."""
    since = (now["previous_at"] or now["as_of"]) - timedelta(seconds=0 if now["previous_at"] else every)
    return max((seconds(b, a) or 0 for a, b in pairwise(finished) if b > since), default=0)
