"""The exports: a job and one prefix. Prefixes that only its session's writes tell of are added last.

A prefix that a job mentions without declaring it is an export only if the job's session wrote under it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from os.path import commonprefix
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.beside import Beside
from auditor.outputs import export_key

TABLE = "export_output"
READS = ("output", "chain_job", "credential", "credential_write", "as_of")
ADDS = ("declared_output",)
LONG = {"declared_output": "chain_job"}
COLUMNS = {
    "chain_job": ("job_uuid", "started_at", "finished_at"),
    "credential": ("access_key_id", "principal_arn", "bucket", "kind", "job_uuid"),
    "credential_write": ("access_key_id", "principal_arn", "bucket", "dir", "first_key", "last_key"),
    "output": ("job_uuid", "bucket", "prefix", "found_by", "declared", "export_name", "export_key"),
}
WHERE = {
    "chain_job": """job_uuid IN (SELECT job_uuid FROM output UNION ALL SELECT job_uuid FROM credential)
        AND NOT EXISTS (SELECT 1 FROM declared_output d WHERE d.job_uuid = chain_job.job_uuid)""",
    "output": "NOT EXISTS (SELECT 1 FROM declared_output d WHERE d.job_uuid = output.job_uuid)",
}
"""Of long tables: the jobs that are left to this step and may have exports, and what these mention."""

_LATE = timedelta(minutes=10)
"""Writes this long after the job's end are still its own when only prefix and time tell (engine.md, section 1)."""
Row = Mapping[str, Any]


def derive(tables: Tables) -> Iterator[Row]:
    """Yield one row an export."""
    (now,) = tables["as_of"]
    skew = timedelta(seconds=now["skew_s"])
    mentioned = Beside(tables["output"], "job_uuid")
    wrote = _writes(tables)
    for job in tables["chain_job"]:
        writes = wrote.get(job["job_uuid"], ())
        outputs = [
            output for output in mentioned.of(job["job_uuid"]) if output["declared"] or _under(output, writes)
        ]
        if writes:
            outputs += _found(job, outputs, writes)
        for output in outputs:
            yield {
                **output,
                "export_id": f"{output['bucket']}/{output['prefix']}#{job['job_uuid']}",
                "plen": len(output["prefix"]),
                "from_at": job["started_at"] - skew if job["started_at"] else None,
                "until_at": (job["finished_at"] or now["as_of"]) + _LATE,
            }


def _writes(tables: Tables) -> dict[str, list[Row]]:
    """Return the directories that each job's sessions wrote to."""
    jobs = {_who(row): row["job_uuid"] for row in tables["credential"] if row["kind"] == "job"}
    found: dict[str, list[Row]] = defaultdict(list)
    for write in tables["credential_write"]:
        job = jobs.get(_who(write))
        if job:
            found[job].append(write)
    return found


def _who(row: Row) -> tuple[str, str, str]:
    return row["access_key_id"], row["principal_arn"], row["bucket"]


def _under(output: Row, writes: Sequence[Row]) -> bool:
    return any(
        write["bucket"] == output["bucket"] and write["dir"].startswith(output["prefix"]) for write in writes
    )


def _found(job: Row, outputs: Sequence[Row], writes: Sequence[Row]) -> Iterator[Row]:
    """Yield a prefix for each bucket that the job's sessions wrote to outside its known outputs."""
    stray: dict[str, list[str]] = defaultdict(list)
    for write in writes:
        if not any(_under(output, [write]) for output in outputs):
            stray[write["bucket"]] += [write["first_key"], write["last_key"]]
    for bucket, keys in sorted(stray.items()):
        prefix = commonprefix(keys).rpartition("/")[0]  # noqa: RUF071 - cut back to whole parts here
        prefix = prefix + "/" if prefix else ""
        yield {
            "job_uuid": job["job_uuid"],
            "bucket": bucket,
            "prefix": prefix,
            "found_by": "session",
            "declared": False,
            "export_name": None,
            "export_key": export_key(bucket, prefix, None),
        }
