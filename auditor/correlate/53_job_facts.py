"""What rules judge of a job: how it ended, who triggered it, its labels, and secrets in its words.

Of a secret only its kind is kept, never its text: outcomes are printed and mailed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from json import dumps
from typing import Any

from auditor.correlate import Rows, Tables, defining
from auditor.correlate.zoning import Row, parsed, ranks, seconds, strictest

TABLE = "job_facts"
READS = (
    "dataproc_job",
    "dataproc_cluster",
    "job_trigger",
    "export",
    "bucket_zone",
    "config_zone",
    "config_export",
    "as_of",
    "job_template",
    "config_approved_job",
)

WELL = {"DONE", "SUCCEEDED", "TERMINATED"}
FAILED = {"ERROR", "CANCELLED", "FAILED"}
_REFERENCE = (
    r"(?!\$\{|\$\(|\{\{|sm://|gs://|projects/|secret:|env:|file:|jceks|localjceks|\*+(?:[\"'\s,]|$)|<)"
)
"""What stands where a secret would: a place to take it from, or stars."""
SECRETS = {
    "access_key_id": re.compile(r"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Z0-9])"),
    "secret_key": re.compile(
        r"(?i)(?:secret[._-]?(?:access[._-]?)?key|session[._-]?token)[\"']?\s*[=:,]\s*[\"']?"
        + _REFERENCE
        + r"[A-Za-z0-9/+=]{20,}"
    ),
    "private_key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\"private_key\"\s*:"),
    "password": re.compile(
        r"(?i)(?:password|passwd|pwd)[\"']?\s*[=:]\s*[\"']?" + _REFERENCE + r"[^\s\"',;&]{3,}"
    ),
}
_CUT = re.compile(r"…\[cut: \d+ bytes")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a job."""
    (now,) = tables["as_of"]
    rank = ranks(tables["config_zone"])
    triggers = {row["job_uuid"]: row for row in tables["job_trigger"]}
    buckets = {row["bucket_arn"]: row for row in tables["bucket_zone"]}
    exports: dict[str, list[Row]] = defaultdict(list)
    for export in tables["export"]:
        exports[export["job_uuid"]].append(export)
    successes = _successes(tables["dataproc_job"], exports)
    clusters = {row["cluster_uuid"]: row for row in tables["dataproc_cluster"]}
    made_by = {row["job_uuid"]: row for row in tables["job_template"]}
    approved = sorted(tables["config_approved_job"], key=lambda row: (row["digest"], row["template"]))
    for job in tables["dataproc_job"]:
        mine = exports[job["job_uuid"]]
        labels = parsed(job["labels"])
        served = [buckets[row["bucket_arn"]] for row in mine if row["bucket_arn"] in buckets]
        own = None if labels is None else labels.get(now["zone_label"]) or None
        trigger = triggers.get(job["job_uuid"], {})
        ended = _ended_well(job)
        again = _again(job, mine, successes) if ended is False else []
        yield {
            "subject_key": job["job_uuid"],
            "zone": own or (strictest(served, rank) if labels is not None else None),
            "account": next((row["account"] for row in mine), None),
            "project": job["project"],
            "owner": (labels or {}).get("owner")
            or next((row["owner"] for row in mine if row["owner"]), None),
            "region": job["region"],
            "job_id": job["job_id"],
            "kind": job["kind"],
            "state": job["state"],
            "finished_at": job["finished_at"],
            "exports": len(mine),
            "declares_output": any(row["declared"] for row in mine),
            "terminal": None if job["done"] is None and ended is None else bool(job["done"]),
            "ended_well": ended,
            "since_end_s": seconds(now["as_of"], job["finished_at"]),
            "later_successes": len(again),
            "retry_lag_s": min((lag for lag in again), default=None),
            "objects_written": _written(mine),
            "labels": labels,
            "zone_labelled": None if labels is None else own is not None,
            "trigger_principal": trigger.get("principal"),
            "trigger_found_by": trigger.get("found_by"),
            "trigger_known": trigger.get("trigger_known"),
            "trigger_covered": trigger.get("covered"),
            "secrets": secrets_in(job),
            **_placed(job, clusters.get(job["cluster_uuid"], {}), labels),
            **defining.columns(job, made_by.get(job["job_uuid"]), approved),
        }


_TEMPLATE = "goog-dataproc-workflow-template-id"
"""Dataproc sets it on the jobs of a workflow; nobody else can set a label that begins with goog-."""


def _placed(job: Row, cluster: Row, labels: Mapping[str, str] | None) -> dict[str, Any]:
    """Return on what kind of cluster a job ran, and in which zone of Compute Engine: a batch or session has neither."""
    if job["kind"] != "job":
        return {"cluster_is": "", "gce_zone": "", "placement_says": f"a {job['kind']} runs on no cluster"}
    name, image, zone = job["cluster_name"], cluster.get("image_version"), cluster.get("gce_zone")
    lacks = [what for what, value in (("image", image), ("zone", zone)) if value is None]
    known = image is not None and labels is not None and job["region"] is not None
    template = (labels or {}).get(_TEMPLATE, "none")
    return {
        "cluster_is": f"{job['region']}/{image}/{template}" if known else None,
        "gce_zone": zone,
        "placement_says": f"{' and '.join(lacks)} of its cluster {name} not known" if lacks else "",
    }


def _ended_well(job: Row) -> bool | None:
    if job["state"] in WELL and job["done"] is not False:
        return True
    return False if job["state"] in FAILED and job["done"] else None


def _written(exports: list[Row]) -> int | None:
    counts = [row["objects"] for row in exports]
    return None if not counts or None in counts else sum(counts)


def _successes(jobs: Rows, exports: Mapping[str, list[Row]]) -> dict[str, list[Row]]:
    """Return the jobs that ended well, by export key."""
    found: dict[str, list[Row]] = defaultdict(list)
    for job in jobs:
        if _ended_well(job) and job["finished_at"] is not None:
            for key in {row["export_key"] for row in exports.get(job["job_uuid"], ()) if row["export_key"]}:
                found[key].append(job)
    return found


def _again(job: Row, exports: list[Row], successes: Mapping[str, list[Row]]) -> list[int]:
    """Return how long after this failure each later success ended that repeats all of its exports."""
    if job["finished_at"] is None or not exports:
        return []
    lags = []
    for key in {row["export_key"] for row in exports if row["export_key"]}:
        later = [
            seconds(other["finished_at"], job["finished_at"]) or 0
            for other in successes.get(key, ())
            if other["finished_at"] > job["finished_at"]
        ]
        if not later:
            return []
        lags.append(min(later))
    return [max(lags)] if lags else []


def secrets_in(job: Row) -> list[str] | None:
    """Return the kinds of secret in a job's arguments, properties and main; None when a part was not read."""
    arguments, properties = parsed(job["arguments"]), parsed(job["properties"])
    words = [*(arguments or ()), *(f"{key}={value}" for key, value in (properties or {}).items())]
    text = "\n".join([*(w if isinstance(w, str) else dumps(w) for w in words), job["main"] or ""])
    text += "\n" + " ".join(w for w in arguments or () if isinstance(w, str))
    kinds = sorted(kind for kind, pattern in SECRETS.items() if pattern.search(text))
    if not kinds and (arguments is None or properties is None or _CUT.search(text)):
        return None
    return kinds
