"""A cluster that is away: what only it would have read is a gap, its rules unknown, and the next scan completes."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fault_world import FaultWorld, pack

from auditor.config_engine import Engine as Settings
from auditor.errors import EngineError
from auditor.judge import judge
from auditor.ledger import Ledger
from auditor.scan import Scan, scan

pytest.importorskip("pyspark", reason="pyspark is not installed: pip install auditor[spark]")

LARGE = {"s3_object_version", "s3_data_event"}


@pytest.fixture(scope="module")
def nobody() -> str:
    """A port of this machine where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture(scope="module")
def away(two_weeks: FaultWorld, nobody: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Scan, Ledger, Path]]:  # fmt: skip
    """The scan of week 2 while the master is away."""
    into = tmp_path_factory.mktemp("away")
    shutil.copytree(two_weeks.state, into, dirs_exist_ok=True)
    engine = Settings(name="spark", master=f"spark://{nobody}", store=f"file://{into}/store")
    state = dataclasses.replace(two_weeks.config.state, dir=str(into))
    with Ledger.open(into / "ledger.sqlite3") as ledger:
        config = dataclasses.replace(two_weeks.config, state=state, engine=engine)
        yield scan(config, ledger, pack(), now=two_weeks.now, slot="W02"), ledger, into


def test_a_scan_whose_master_is_away_is_recorded_incomplete_with_a_gap_that_says_so(
    away: tuple[Scan, Ledger, Path], nobody: str
) -> None:
    done, ledger, _ = away
    assert not done.row.complete
    gaps = [gap for gap in done.gaps if gap.reason == "unread"]
    assert {gap.table for gap in gaps} == LARGE
    assert all(nobody in gap.detail and "Connection refused" in gap.detail for gap in gaps)
    assert ledger.verify().intact
    done.snapshot.verify()


def test_what_was_collected_stays_in_the_snapshot_though_nothing_of_it_was_judged(
    away: tuple[Scan, Ledger, Path], two_weeks: FaultWorld
) -> None:
    done, _, into = away
    assert all(any(True for _ in done.snapshot.rows(table)) for table in LARGE)
    assert not list(done.judgement.rows("unattributed_object"))
    kept = {path.name for path in (into / "snapshots").iterdir()}
    assert kept == {two_weeks.week1.snapshot.id, done.snapshot.id}


def test_no_link_is_proven_by_objects_that_no_engine_read_and_nothing_gets_better(
    away: tuple[Scan, Ledger, Path], two_weeks: FaultWorld
) -> None:
    done, _, _ = away
    exports = list(done.judgement.rows("export"))
    assert exports
    assert {row["objects_state"] for row in exports} <= {"unknown", "not_required", "pending"}
    assert {row["objects_state"] for row in exports if row["state"] == "proven"} <= {"not_required"}
    whole = two_weeks.undisturbed.outcomes
    passed = {(each.rule, each.subject_key) for each in done.judgement.outcomes() if each.verdict == "pass"}
    assert passed <= {key for key, row in whole.items() if row["verdict"] == "pass"}
    assert len(passed) < sum(row["verdict"] == "pass" for row in whole.values())


def test_the_same_snapshot_judged_again_on_duckdb_says_the_same(
    away: tuple[Scan, Ledger, Path], tmp_path: Path
) -> None:
    done, _, _ = away
    again = judge(done.snapshot, pack(), into=tmp_path)
    assert again.digests == done.judgement.digests


def test_the_next_scan_completes(away: tuple[Scan, Ledger, Path], two_weeks: FaultWorld) -> None:
    _, ledger, into = away
    state = dataclasses.replace(two_weeks.config.state, dir=str(into))
    config = dataclasses.replace(two_weeks.config, state=state)
    done = scan(config, ledger, pack(), now=two_weeks.now + timedelta(hours=1), slot="W02-again")
    assert not [gap for gap in done.gaps if gap.reason == "unread"]
    assert {row["objects_state"] for row in done.judgement.rows("export")} & {"proven", "broken"}
    assert not [row for row in done.snapshot.rows("coverage") if row["source"] == "engine"]


def test_a_master_that_takes_the_call_and_never_answers_is_given_up(tmp_path: Path) -> None:
    """Bounded by `wait`: Spark's own client would go on asking for ten minutes."""
    from auditor.engines.spark_session import Session

    pytest.importorskip("pyarrow", reason="Spark Connect needs auditor[spark-connect]")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        taken: list[socket.socket] = []
        threading.Thread(target=lambda: taken.append(silent.accept()[0]), daemon=True).start()
        where = f"sc://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(EngineError, match=f"{where}.* did not answer within 2 s"):
            Session(Settings(name="spark", remote=where, store=tmp_path.as_uri(), wait=2))


def test_a_machine_of_java_that_ends_before_it_says_its_port_is_started_again_and_then_given_up(
    tmp_path: Path,
) -> None:
    java, begun = tmp_path / "bin" / "java", tmp_path / "begun"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho begun >> '{begun}'\nexit 1\n", encoding="utf-8")
    java.chmod(0o755)
    script = (
        "from auditor.config_engine import Engine\n"
        "from auditor.engines.spark_session import Session\n"
        f"Session(Engine(name='spark', master='local[1]', store='file://{tmp_path}/store'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"JAVA_HOME": str(tmp_path)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "failed in opening a session" in done.stderr
    assert len(begun.read_text(encoding="utf-8").splitlines()) == 3


def test_the_sentence_names_who_is_away_and_what_to_do(nobody: str, tmp_path: Path) -> None:
    from auditor.engines.spark_session import Session

    settings = Settings(name="spark", master=f"spark://{nobody},{nobody}", store=tmp_path.as_uri())
    with pytest.raises(EngineError) as caught:
        Session(settings)
    assert caught.value.exit_code == 4
    assert str(caught.value).count(nobody) == 4
    assert "docs/spark.md" in str(caught.value)
    assert json.dumps(str(caught.value))
