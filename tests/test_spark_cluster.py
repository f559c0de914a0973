"""A cluster of its own on loopback: a master with two workers, and a server of Spark Connect. Run by `make test-spark`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fault_world import pack
from spark_case import LOOPBACK, estate, kept, needs_spark, settings, stepped

from auditor import correlate
from auditor.config_engine import Engine as Settings
from auditor.engines import duckdb
from auditor.errors import EngineError
from auditor.judge import judge
from auditor.snapshot import Snapshot

pytestmark = [
    needs_spark(),
    pytest.mark.skipif(
        not os.environ.get("AUDITOR_SPARK_CLUSTER"), reason="two workers take minutes: make test-spark"
    ),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

JOBS, OBJECTS = 1_000, 100_000


def free() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@contextmanager
def process(into: Path, name: str, command: str, *args: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of Spark's own programs until the block ends; it is ended by its process id."""
    import pyspark

    home = Path(pyspark.__file__).parent
    env = os.environ | {
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_WORKER_DIR": str(into / name),
    }
    with (into / f"{name}.log").open("wb") as log:
        run = subprocess.Popen([home / "bin" / command, *args], env=env, stdout=log, stderr=log, cwd=into)
        try:
            yield run
        finally:
            run.terminate()
            try:
                run.wait(20)
            except subprocess.TimeoutExpired:
                run.kill()
                run.wait()


def listening(port: int, run: subprocess.Popen[bytes], seconds: int = 120) -> None:
    for _ in range(seconds * 5):
        assert run.poll() is None, "it ended"
        with socket.socket() as asked:
            if asked.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(f"nothing listens on {port}")


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """The estate S: 1,000 jobs and 100,000 objects."""
    return kept(tmp_path_factory.mktemp("kept"), estate(OBJECTS, jobs=JOBS))


@pytest.fixture(scope="module")
def here(snapshot: Snapshot) -> dict[str, tuple[int, str]]:
    """What DuckDB makes of it."""
    with duckdb.Engine.open(snapshot) as engine:
        return stepped(engine)


@pytest.fixture(scope="module")
def standalone(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Settings, list[subprocess.Popen[bytes]]]]:
    """A standalone master and two workers of one core each."""
    into, port = tmp_path_factory.mktemp("cluster"), free()
    url = f"spark://127.0.0.1:{port}"
    with ExitStack() as stack:
        master = stack.enter_context(
            process(into, "master", "spark-class", "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0")
        )  # fmt: skip
        listening(port, master)
        workers = [
            stack.enter_context(
                process(into, f"worker-{n}", "spark-class", "org.apache.spark.deploy.worker.Worker", "--host", "127.0.0.1", "--cores", "1",
                        "--memory", "1g", "--webui-port", "0", "--work-dir", str(into / f"worker-{n}"), url)
            )
            for n in range(2)
        ]  # fmt: skip
        options = LOOPBACK | {
            "spark.executor.memory": "1g",
            "spark.executor.cores": "1",
            "spark.cores.max": "2",
        }
        yield settings(into / "store", master=url, options=options, wait=180), workers


def test_two_workers_come_to_what_duckdb_comes_to_in_every_step_and_every_kept_fact(
    standalone: tuple[Settings, list[subprocess.Popen[bytes]]],
    snapshot: Snapshot,
    here: dict[str, Any],
    tmp_path: Path,
) -> None:
    from auditor.engines.spark import Engine

    with Engine.connected(standalone[0], snapshot) as engine:
        executors = engine._session.spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1
        there = stepped(engine)
    assert executors == 2
    assert {name: (here[name], there[name]) for name in here if here[name] != there[name]} == {}
    ours = judge(snapshot, pack(), into=tmp_path / "duckdb")
    theirs = judge(snapshot, pack(), into=tmp_path / "spark", engine=standalone[0])
    assert ours.digests == theirs.digests
    assert ours.tally == theirs.tally


def test_spark_connect_comes_to_the_same_over_a_shared_folder_and_over_a_store_of_its_own(
    tmp_path: Path,
) -> None:
    from auditor.engines.spark import Engine

    pytest.importorskip("pyarrow", reason="Spark Connect needs auditor[spark-connect]")
    port = free()
    few = kept(tmp_path / "kept", estate(2_000, jobs=20))
    with duckdb.Engine.open(few) as engine:
        expected = stepped(engine)
    (tmp_path / "far").mkdir()
    conf = LOOPBACK | {
        "spark.connect.grpc.binding.port": str(port),
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.hadoop.fs.viewfs.mounttable.shared.link./far": (tmp_path / "far").as_uri(),
    }
    args = [part for key, value in conf.items() for part in ("--conf", f"{key}={value}")]
    server = (
        "--class",
        "org.apache.spark.sql.connect.service.SparkConnectServer",
        "--master",
        "local[2]",
        *args,
        "spark-internal",
    )
    with process(tmp_path, "connect", "spark-submit", *server) as run:
        listening(port, run)
        remote = f"sc://127.0.0.1:{port}"
        for store in ((tmp_path / "store").as_uri(), "viewfs://shared/far"):
            given = Settings(name="spark", remote=remote, store=store, wait=180)
            with Engine.connected(given, few) as engine:
                there = stepped(engine)
            assert {
                name: (expected[name], there[name]) for name in expected if expected[name] != there[name]
            } == {}
    assert len(list((tmp_path / "far" / "tables").iterdir())) >= 2


def test_a_worker_killed_half_way_changes_nothing_and_no_worker_at_all_is_told_in_time(
    standalone: tuple[Settings, list[subprocess.Popen[bytes]]], snapshot: Snapshot, here: dict[str, Any]
) -> None:
    from auditor.engines.spark import Engine

    given, workers = standalone

    def killing(step: correlate.Step, run: Callable[[], None]) -> None:
        if not step.name.startswith("22_"):
            run()
            return
        kill = threading.Timer(0.7, os.kill, (workers[0].pid, signal.SIGKILL))
        kill.start()
        run()
        kill.join()
        assert workers[0].wait(10) == -signal.SIGKILL

    with Engine.connected(given, snapshot) as engine:
        found = stepped(engine, killing)
    assert {name: (here[name], found[name]) for name in here if here[name] != found[name]} == {}
    os.kill(workers[1].pid, signal.SIGKILL)
    workers[1].wait(10)
    with pytest.raises(EngineError, match="did not answer within 5 s: the first job"):
        Engine.connected(replace(given, wait=5), snapshot)
