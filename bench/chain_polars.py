"""The attribution, capture, copy and session of exports as one would write it in Polars, lazily, one object at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def totals(folder: Path) -> dict[str, Any]:
    """Return what bench/chain.py compares."""
    import polars as pl

    def read(table: str) -> pl.LazyFrame:
        return pl.scan_parquet(
            folder / (f"{table}/*.parquet" if (folder / table).is_dir() else f"{table}.parquet")
        )

    jobs = (
        read("dataproc_job")
        .select(
            "job_uuid", "finished_at",
            bucket=pl.col("arguments").str.extract(r"s3a://([^/]+)/", 1),
            prefix=pl.col("arguments").str.extract(r's3a://[^/]+/([^"]*)"', 1),
            from_at=pl.col("started_at") - pl.duration(seconds=120),
            until_at=pl.col("finished_at") + pl.duration(minutes=10),
        )
        .with_columns(
            plen=pl.col("prefix").str.len_chars(),
            export_id=pl.col("bucket") + "/" + pl.col("prefix") + "#" + pl.col("job_uuid"),
        )
    )  # fmt: skip
    versions = (
        read("s3_object_version")
        .filter(~pl.col("key").str.ends_with("_SUCCESS"))
        .select("bucket", "dir", "last_modified", "bytes")
        .with_row_index("n")
    )
    dirs = versions.select("bucket", "dir").unique().with_columns(part=pl.col("dir").str.split("/")).collect()
    ancestors = pl.DataFrame(
        [
            (bucket, directory, "".join(part + "/" for part in parts[:depth]))
            for bucket, directory, parts in dirs.iter_rows()
            for depth in range(len(parts))
        ],
        schema=["bucket", "dir", "prefix"],
        orient="row",
    )
    near = ancestors.lazy().join(jobs, on=["bucket", "prefix"]).drop("prefix")
    found = (
        versions.join(near, on=["bucket", "dir"])
        .filter(pl.col("last_modified").is_between(pl.col("from_at"), pl.col("until_at")))
        .group_by("n")
        .agg(
            pl.col("last_modified", "bytes").first(),
            pl.col("export_id", "job_uuid", "bucket", "finished_at")
            .sort_by("plen", "from_at", "export_id", descending=True)
            .first(),
        )
        .group_by("export_id")
        .agg(
            pl.col("job_uuid", "bucket", "finished_at").first(),
            objects=pl.len(), bytes=pl.col("bytes").sum(), last=pl.col("last_modified").max(),
        )
        .collect()
    )  # fmt: skip
    copies = read("backup_copy_job").select("source_point_arn", "dest_point_arn")
    points = read("backup_recovery_point").filter(pl.col("source_vault_arn").is_null())
    (
        found.lazy()
        .with_columns(ended=pl.max_horizontal("last", "finished_at") + pl.duration(seconds=120))
        .sort("ended")
        .join_asof(
            points.with_columns(bucket=pl.col("resource_arn").str.slice(13)).sort("initiated_at"),
            left_on="ended", right_on="initiated_at", by="bucket", strategy="forward",
        )
        .join(copies, left_on="arn", right_on="source_point_arn", how="left")
        .join(read("sts_session").select("session_name", "session_key"), left_on="job_uuid", right_on="session_name", how="left")
        .collect()
    )  # fmt: skip
    return {
        "exports": found.height,
        "objects": int(found["objects"].sum()),
        "bytes": int(found["bytes"].sum()),
        "last": str(sum(found["last"].dt.timestamp("us").to_list())),  # beyond 64 bits
    }
