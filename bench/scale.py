"""Attribution of objects at scale: the steps that grow with objects, against a bare scan of what they read.

Run as `python -m bench.scale make|scan|steps FOLDER VERSIONS`, each in a process of its own.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figures import Figure

if TYPE_CHECKING:
    from auditor.engines.duckdb import Engine

NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)
ACCOUNT = "111111111111"
EACH = 1000
"""Objects of an export; every tenth export shares its prefix with the one before."""
FIRST, LAST = "20", "26"
"""Steps that read versions or what is grouped of them."""
COLUMNS = ("bucket", "key", "version_id", "account", "region", "dir", "last_modified", "bytes", "storage_class",
           "is_latest", "is_delete_marker")  # fmt: skip


def scale() -> Iterator[Figure]:
    """CPU and memory of attributing 100,000 and 1,000,000 versions."""
    for versions in (100_000, 1_000_000):
        with tempfile.TemporaryDirectory() as folder:
            _child("make", folder, versions)
            bare, ours = _child("scan", folder, versions), _child("steps", folder, versions)
        what = (
            f"attributing {versions:,} versions to {versions // EACH:,} exports, CPU ({ours['cpu_s']:.2f} s)"
        )
        ratio = f"{ours['cpu_s'] / bare['cpu_s']:.0f} x"
        yield Figure(
            f"{what} against a bare scan of their columns ({bare['cpu_s']:.2f} s)", ratio, "", met=True
        )
        yield Figure(
            f"peak memory of it, {ours['found']:,} versions attributed",
            f"{ours['peak_mb']:.0f} MB",
            "",
            met=True,
        )


def _child(what: str, folder: str, versions: int) -> dict[str, float]:
    import subprocess

    command = [sys.executable, "-m", "bench.scale", what, folder, str(versions)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def make(path: Path, versions: int) -> None:
    """Write the versions as the Parquet file of a snapshot would hold them: ordered by key, 20,480 rows a group."""
    from auditor.canonical import connect, quoted

    with connect(memory_limit="1GB", threads=2, spill=path.parent / "spill") as connection:
        connection.execute(
            f"""COPY (SELECT 'exports-' || (e // 100) AS bucket,
              printf('daily/run-%05d/part-%05d.parquet', e - (e % 10 = 9)::INT, i) AS key,
              md5(e || '/' || i) AS version_id, '{ACCOUNT}' AS account, 'eu-west-1' AS region,
              printf('daily/run-%05d/', e - (e % 10 = 9)::INT) AS dir,
              TIMESTAMP '2026-02-01' + to_minutes(20 * e) + to_seconds(i) AS last_modified,
              (1000 + i)::BIGINT AS bytes, 'e' AS etag, 'STANDARD' AS storage_class, TRUE AS is_latest,
              FALSE AS is_delete_marker
              FROM (SELECT n // {EACH} AS e, n % {EACH} AS i FROM range({versions}) AS r(n)) ORDER BY bucket, key)
            TO {quoted(str(path))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480)"""
        )


def scan(engine: Engine, _versions: int) -> int:
    """Read every column that the steps read, and nothing more."""
    # An aggregate of each, so that none is left out and none is kept.
    engine.rows(f"SELECT {', '.join(f'max({column})' for column in COLUMNS)} FROM s3_object_version")
    return 0


def steps(engine: Engine, _versions: int) -> int:
    """Run the steps; returns how many versions they attributed."""
    from auditor import correlate

    for step in correlate.steps():
        if FIRST <= step.name[:2] <= LAST:
            correlate.run_step(engine, step)
    return int(engine.rows("SELECT sum(objects)::BIGINT AS n FROM export_write")[0]["n"] or 0)


def _jobs(versions: int) -> Iterator[dict[str, Any]]:
    for number in range(versions // EACH):
        begun = datetime(2026, 2, 1, tzinfo=UTC) + timedelta(minutes=20 * number)
        prefix = f"s3a://exports-{number // 100}/daily/run-{number - (number % 10 == 9):05}/"
        yield {
            "job_uuid": f"u-{number}", "kind": "job", "job_id": f"j-{number}", "name": f"jobs/{number}",
            "project": "data", "region": "europe-west1", "state": "DONE", "done": True, "submitted_at": begun,
            "started_at": begun, "finished_at": begun + timedelta(minutes=18), "arguments": ["--output", prefix],
            "properties": {}, "labels": {},
        }  # fmt: skip


def _engine(path: Path, versions: int) -> Engine:
    """Return an engine with the jobs and the file, and every step before the measured ones done."""
    from auditor import correlate
    from auditor.engines.duckdb import Engine

    engine = Engine.open(None)
    engine.execute("DROP TABLE s3_object_version")
    engine.attach("s3_object_version", path)
    engine.insert("dataproc_job", _jobs(versions))
    engine.insert("as_of", [{"as_of": NOW, "slot": "bench", "skew_s": 120, "horizon_cloudtrail_s": 3600,
                             "horizon_logging_s": 3600, "horizon_listing_s": 0, "grace_s": 3600}])  # fmt: skip
    for step in correlate.steps():
        if step.name[:2] < FIRST:
            correlate.run_step(engine, step)
    return engine


def main(what: str, folder: str, size: str) -> None:
    """Do one part and print what it used."""
    import resource

    def seconds() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    path, versions = Path(folder) / "versions.parquet", int(size)
    if what == "make":
        make(path, versions)
        print("{}")
        return
    with _engine(path, versions) as engine:
        before = seconds()
        found = {"scan": scan, "steps": steps}[what](engine, versions)
        cpu = seconds() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu_s": round(cpu, 3), "peak_mb": round(peak), "found": found}))


if __name__ == "__main__":
    main(*sys.argv[1:4])
