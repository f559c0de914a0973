"""The chain of the estate M on Spark against DuckDB: the same rows of every step. Needs Java 17 and takes minutes.

Run as `python -m bench.spark ENGINE FOLDER`, each engine in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.chain import LAST, opened, ready
from bench.estates import ESTATES
from bench.figures import Figure

if TYPE_CHECKING:
    from auditor.engines.duckdb import Engine

ESTATE = ESTATES["M"]
OPTIONS = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "3g",
    "spark.sql.shuffle.partitions": "8",
}


def spark() -> Iterator[Figure]:
    """Rows of every step of the chain, by DuckDB and by Spark."""
    with ready(ESTATE) as folder:
        here, there = (_child(engine, folder) for engine in ("duckdb", "spark"))
    what = f"{ESTATE.name}: {ESTATE.jobs:,} exports, {ESTATE.objects:,} versions, on Spark with two threads"
    other = sorted(name for name in here if here[name] != there.get(name))
    rows = sum(count for count, _ in there.values())
    yield Figure(
        f"{what}: steps of the chain with the same number of rows and the same hash of them as on DuckDB ({rows:,} rows)",
        f"{len(here) - len(other)} of {len(here)}" + (f"; not {', '.join(other)}" if other else ""),
        f"{len(here)}", met=not other,
    )  # fmt: skip


def _child(engine: str, folder: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.spark", engine, folder]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _made(engine: Engine) -> dict[str, tuple[int, str]]:
    """Run the chain; return how many rows each step made, and a sum over their hashes.

    They are read when they are made: what is added to another table is dropped then.
    """
    from auditor import correlate

    found = {}

    def counted(step: correlate.Step, run: Callable[[], None]) -> None:
        run()
        columns = sorted(row["column_name"] for row in engine.rows(f"DESCRIBE SELECT * FROM {step.table}"))
        said = ", ".join(f"""coalesce('=' || CAST("{column}" AS VARCHAR), '-')""" for column in columns)
        (row,) = engine.rows(
            f"SELECT count(*) AS n, CAST(sum(CAST(hash(concat_ws(chr(31), {said})) AS HUGEINT)) AS VARCHAR) AS hashed "
            f"FROM {step.table}"
        )
        found[step.name] = (row["n"], row["hashed"])

    correlate.correlate(engine, until=LAST, around=counted)
    return found


def main(name: str, folder: str) -> None:
    """Run the chain on one engine and print what it made."""
    if name == "duckdb":
        with opened(Path(folder), ESTATE) as engine:
            print(json.dumps(_made(engine)))
        return
    from auditor.config_engine import Engine as Settings
    from auditor.engines.spark import Engine as Spark

    with tempfile.TemporaryDirectory() as store:
        settings = Settings(
            name="spark", master="local[2]", store=Path(store).as_uri(), options=OPTIONS, wait=3600
        )
        with Spark.connected(settings, None) as far, opened(Path(folder), ESTATE, far):
            one = Path(store) / "versions.parquet"
            far.execute(f"COPY s3_object_version TO '{one}' (FORMAT parquet)")
            far.execute("DROP VIEW s3_object_version")
            far.attach("s3_object_version", one)
            print(json.dumps(_made(far)))


if __name__ == "__main__":
    main(*sys.argv[1:3])
