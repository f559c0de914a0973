"""A local session of Spark that the tests of a file share, and estates to run on both engines."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from auditor import correlate
from auditor.config_engine import Engine as Settings
from auditor.engines.duckdb import Engine
from auditor.model import Window
from auditor.snapshot import Snapshot, write

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
    """Hold one session open for every engine that is made meanwhile; `viewfs://shared/` is its folder of another name."""
    from auditor.engines.spark_session import Session

    (store / "far").mkdir(parents=True)
    mount = {"spark.hadoop.fs.viewfs.mounttable.shared.link./far": (store / "far").as_uri()}
    given = settings(store, options=FEW | mount)
    with Session(given):
        yield given


START = datetime(2026, 2, 1, tzinfo=UTC)
NAMES = ("part-{n}.parquet", "teil-ü{n}", "a b+c%20{n}", "emoji-😀{n}", "line\nbreak-{n}", "back\\slash-{n}", "quote'{n}\"", "tab\t{n}\r")  # fmt: skip


def estate(objects: int, *, jobs: int = 100) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of an estate: runs side by side, shared and nested prefixes, rewrites, strangers, delete markers.

    Every third job's writes were seen by data events; times hold fractions; a few objects lie where no job wrote.
    """
    from chain_world import ACCOUNT, BUCKET, backup_job, entry, event, job, part, point, proven, session

    tables = proven()
    for table in (
        "s3_object_version",
        "s3_data_event",
        "s3_manifest",
        "dataproc_job",
        "sts_session",
        "gcp_audit_entry",
    ):
        tables[table] = []
    tables["as_of"][0] |= {"as_of": START + timedelta(days=40)}
    for row in tables["coverage"]:
        row |= {
            "from_at": START - timedelta(days=9),
            "until_at": START + timedelta(days=40),
            "observed_at": START,
        }
    each = objects // jobs
    for number in range(jobs):
        begun = START + timedelta(minutes=35 * number)
        run = number - (number % 10 == 9)
        prefix = f"daily/run={run:04}/" + ("fix/" if number % 10 == 8 else "")
        uuid, key = f"u-{number}", f"ASIA{number:08}"
        tables["dataproc_job"].append(
            job(uuid, submitted_at=begun, started_at=begun, finished_at=begun + timedelta(minutes=50), arguments=["--output", f"s3a://claims/{prefix}"])
        )  # fmt: skip
        tables["gcp_audit_entry"].append(entry(uuid, at=begun))
        seen = number % 3 == 0
        if seen:
            tables["sts_session"].append(
                session(key, issued_at=begun, expires_at=begun + timedelta(hours=1), session_name=uuid)
            )
        for n in range(each):
            at = begun + timedelta(
                seconds=(n * 37) % 3900, microseconds=(n * 7919) % 1_000_000 if n % 2 else 0
            )
            name = prefix + ("sub/" if n % 5 == 0 else "") + NAMES[n % len(NAMES)].format(n=n)
            version = f"v{number}-{n}"
            tables["s3_object_version"].append(
                part(0, key=name, dir=name[: name.rfind("/") + 1], version_id="null" if n % 97 == 0 else version,
                     last_modified=at, bytes=n, is_latest=number % 10 != 8 or n % 2 == 0,
                     is_delete_marker=n % 41 == 40, checksums="none" if n % 6 == 0 else "SHA256",
                     storage_class=("STANDARD", "GLACIER", "STANDARD_IA")[n % 3])
            )  # fmt: skip
            if seen and n % 41 != 40:
                stranger = n % 29 == 0
                tables["s3_data_event"].append(
                    event(0, event_id=f"e{number}-{n}", key=name, version_id=None if n % 7 == 0 else version, at=at + timedelta(seconds=n % 3),
                          access_key_id="AKIASTRANGER" if stranger else key,
                          principal_arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/export-writer/{'x' if stranger else uuid}",
                          session_name=uuid, encryption=("AES256", "aws:kms", None, "SSE-C")[n % 4], kms_key=None,
                          error_code="AccessDenied" if n % 31 == 0 else "")
                )  # fmt: skip
    tables["s3_object_version"] += [
        part(0, key=f"loose/{n % 7}/o{n}", dir=f"loose/{n % 7}/", version_id=f"l{n}", last_modified=START + timedelta(seconds=n))
        for n in range(50)
    ]  # fmt: skip
    tables["backup_recovery_point"] = [
        point(f"{BUCKET}:p{n}", created_at=START + timedelta(days=n), initiated_at=START + timedelta(days=n), completed_at=START + timedelta(days=n, hours=2))
        for n in range(10)
    ]  # fmt: skip
    tables["backup_job"] = [backup_job(row["arn"]) for row in tables["backup_recovery_point"]]
    return tables


def kept(into: Path, tables: dict[str, list[dict[str, Any]]]) -> Snapshot:
    """Return the rows as a snapshot, whose large tables are Parquet files."""
    window = Window(START - timedelta(days=9), START + timedelta(days=40))
    return write(into, tables, as_of=START + timedelta(days=40), window=window)


def _plainly(_: correlate.Step, run: Callable[[], None]) -> None:
    run()


def stepped(
    engine: Engine, around: Callable[[correlate.Step, Callable[[], None]], None] = _plainly
) -> dict[str, tuple[int, str]]:
    """Derive every fact; returns how many rows each step made, and the hash of them; steps that were not worth it made none.

    `around` runs each step.
    """
    found = {}

    def counted(step: correlate.Step, run: Callable[[], None]) -> None:
        around(step, run)
        if engine._kinds(step.table):
            rows = engine.rows(f"SELECT * FROM {step.table}")
            found[step.name] = (len(rows), hashed(rows))

    correlate.correlate(engine, around=counted)
    return found
