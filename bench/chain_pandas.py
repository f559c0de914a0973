"""The attribution, capture, copy and session of exports as one would write it in pandas, one object at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def totals(folder: Path) -> dict[str, Any]:
    """Return what bench/chain.py compares."""
    import pandas as pd

    def read(table: str, *columns: str) -> pd.DataFrame:
        path = folder / table if (folder / table).is_dir() else folder / f"{table}.parquet"
        return pd.read_parquet(path, columns=list(columns))

    jobs = read("dataproc_job", "job_uuid", "arguments", "started_at", "finished_at")
    where = jobs.arguments.str.extract(r"s3a://([^/]+)/([^\"]*)\"")
    jobs["bucket"], jobs["prefix"] = where[0], where[1]
    jobs["from_at"] = jobs.started_at - pd.Timedelta(seconds=120)
    jobs["until_at"] = jobs.finished_at + pd.Timedelta(minutes=10)
    jobs["plen"] = jobs.prefix.str.len()
    jobs["export_id"] = jobs.bucket + "/" + jobs.prefix + "#" + jobs.job_uuid

    versions = read("s3_object_version", "bucket", "dir", "key", "last_modified", "bytes")
    versions = versions[~versions.key.str.endswith("_SUCCESS")].drop(columns="key").reset_index(drop=True)
    versions["n"] = versions.index
    dirs = versions[["bucket", "dir"]].drop_duplicates()
    dirs["prefix"] = [_ancestors(name) for name in dirs.dir]
    near = dirs.explode("prefix").merge(
        jobs[["bucket", "prefix", "plen", "from_at", "until_at", "export_id"]], on=["bucket", "prefix"]
    )
    pairs = versions.merge(near.drop(columns="prefix"), on=["bucket", "dir"])
    pairs = pairs[(pairs.last_modified >= pairs.from_at) & (pairs.last_modified <= pairs.until_at)]
    pairs = pairs.sort_values(["plen", "from_at", "export_id"], ascending=False).drop_duplicates("n")
    found = pairs.groupby("export_id").agg(
        objects=("n", "size"), bytes=("bytes", "sum"), last=("last_modified", "max")
    )

    exports = found.join(jobs.set_index("export_id")[["job_uuid", "bucket", "finished_at"]])
    exports["ended"] = exports[["last", "finished_at"]].max(axis=1) + pd.Timedelta(seconds=120)
    points = read("backup_recovery_point", "arn", "resource_arn", "initiated_at", "source_vault_arn")
    points = points[points.source_vault_arn.isna()].assign(bucket=lambda p: p.resource_arn.str[13:])
    held = pd.merge_asof(
        exports.reset_index().sort_values("ended"), points.sort_values("initiated_at"),
        left_on="ended", right_on="initiated_at", by="bucket", direction="forward",
    )  # fmt: skip
    copies = read("backup_copy_job", "source_point_arn", "dest_point_arn")
    sessions = read("sts_session", "session_name", "session_key")
    held = held.merge(copies, how="left", left_on="arn", right_on="source_point_arn")
    held.merge(sessions, how="left", left_on="job_uuid", right_on="session_name")
    return {
        "exports": len(found),
        "objects": int(found.objects.sum()),
        "bytes": int(found.bytes.sum()),
        "last": str(sum(int(at.timestamp()) * 1_000_000 for at in found["last"])),
    }


def _ancestors(directory: str) -> list[str]:
    parts = directory.split("/")[:-1]
    return ["", *("".join(part + "/" for part in parts[:depth]) for depth in range(1, len(parts) + 1))]
