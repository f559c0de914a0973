"""The section [engine] of config.toml: on what the steps that grow with objects and log lines run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from auditor.config_read import Reading
from auditor.config_sections import Duration


@dataclass(frozen=True, slots=True)
class Engine:
    """Where the steps that grow with objects and log lines run."""

    name: Literal["duckdb", "spark"] = "duckdb"
    """duckdb: on this machine; spark: on a cluster, by docs/spark.md."""
    master: str = ""
    """Spark's master: spark://HOST:7077, yarn, local[2]; empty: that of spark-submit, or `remote`."""
    remote: str = ""
    """Spark Connect in place of a master: sc://HOST:15002; empty: none."""
    store: str = ""
    """Folder that Spark's workers read and write: file:///shared/auditor, s3a://…, gs://…."""
    wait: Duration = 120
    """How long the cluster may take to begin its first job."""
    step: Duration = 3600
    """How long one step may take there."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Spark's own properties, such as "spark.executor.memory" = "4g"."""


def check_engine(reading: Reading, engine: Engine | None) -> None:
    """See that Spark is told where it runs and where its files are, and DuckDB nothing of the kind."""
    if engine is None:
        return
    if engine.name == "duckdb":
        for key in ("master", "remote", "store", "options"):
            if getattr(engine, key):
                reading.wrong(("engine", key), 'is a setting of name = "spark"')
        return
    if engine.master and engine.remote:
        reading.wrong(("engine", "remote"), "is in place of a master: give one of them")
    if engine.remote and not engine.remote.startswith("sc://"):
        reading.wrong(("engine", "remote"), f"{engine.remote!r} is not sc://HOST:PORT")
    if not re.match(r"[a-z][a-z0-9+.-]*:/", engine.store) or re.match(r"file:/*\Z", engine.store):
        what = "must be a URL that every worker reaches: file:///shared/auditor, s3a://bucket/auditor, gs://bucket/auditor"
        reading.wrong(("engine", "store"), what)
