"""The prefixes each job declares or mentions, by label, arguments or configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.outputs import export_key, outputs

TABLE = "output"
READS = ("chain_job", "config_export", "as_of")
COLUMNS = {
    "chain_job": (
        "job_uuid",
        "job_id",
        "project",
        "submitted_at",
        "arguments",
        "properties",
        "export_label",
    )
}


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a job and prefix."""
    (now,) = tables["as_of"]
    label, exports = now["export_label"], tables["config_export"]
    for job in tables["chain_job"]:
        named = {**job, "labels": {label: job["export_label"]}} if exports else job
        for output in outputs(named, exports, label):
            yield {
                "job_uuid": job["job_uuid"],
                "bucket": output.bucket,
                "prefix": output.prefix,
                "found_by": output.found_by,
                "declared": output.declared,
                "export_name": output.name,
                "export_key": export_key(output.bucket, output.prefix, output.name),
            }
