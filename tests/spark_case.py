"""A local session of Spark that the tests of a file share, and estates to run on both engines."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from auditor.config_engine import Engine as Settings

LOOPBACK = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
}
FEW = LOOPBACK | {
    # A few rows: to compile Java for each of them costs more than to interpret it.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.driver.memory": "1g",
}


def needs_spark() -> pytest.MarkDecorator:
    """Skip aloud where Spark cannot run."""
    missing = [] if shutil.which("java") or os.environ.get("JAVA_HOME") else ["Java is not installed"]
    missing += [] if find_spec("pyspark") else ["pyspark is not installed (extra `spark`)"]
    return pytest.mark.skipif(bool(missing), reason=f"steps were not run on Spark: {', '.join(missing)}")


def settings(store: Path, **more: Any) -> Settings:
    """Return a local master with two threads."""
    given: dict[str, Any] = {"master": "local[2]", "store": store.as_uri(), "options": FEW} | more
    return Settings(name="spark", **given)


def hashed(rows: list[dict[str, Any]]) -> str:
    """Return the SHA-256 of rows in any order."""
    said = sorted(json.dumps(row, sort_keys=True, default=str) for row in rows)
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


@contextmanager
def local(store: Path) -> Iterator[Settings]:
    """Hold one session open for every engine that is made meanwhile."""
    from auditor.engines.spark_session import Session

    with Session(settings(store)) as held:
        yield settings(store)
        assert held.spark.range(3).count() == 3


def at(second: int, micro: int = 0) -> datetime:
    from datetime import UTC

    return datetime(2026, 2, 1, tzinfo=UTC) + timedelta(seconds=second, microseconds=micro)
