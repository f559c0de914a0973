"""What is judged as it is written and what is judged by a plan: the same words, and never less memory for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from fault_world import FaultWorld, pack

from auditor import judge as judging
from auditor.engines.duckdb import Engine
from auditor.judge import judge


def test_few_rows_judged_as_written_say_byte_for_byte_what_a_plan_says(
    two_weeks: FaultWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    opened = judging._judged

    def noted(*args: Any, planned: bool = True) -> Any:
        asked.append(planned)
        return opened(*args, planned=planned)

    monkeypatch.setattr(judging, "_judged", noted)
    written = judge(two_weeks.snapshot, pack(), into=tmp_path / "written")
    monkeypatch.setattr(judging, "_FEW_ROWS", 0)
    planned = judge(two_weeks.snapshot, pack(), into=tmp_path / "planned")
    assert asked == [False, True]
    assert dict(written.digests) == dict(planned.digests)
    names = sorted(path.name for path in written.dir.iterdir())
    assert names == sorted(path.name for path in planned.dir.iterdir())
    assert [
        name for name in names if (written.dir / name).read_bytes() != (planned.dir / name).read_bytes()
    ] == []


def test_what_finds_no_room_as_it_is_written_is_planned_when_it_is_tried_with_more(
    two_weeks: FaultWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, bool]] = []

    def full(*args: Any, planned: bool = True) -> Any:
        asked.append((args[3], planned))
        raise duckdb.OutOfMemoryException("full")

    monkeypatch.setattr(judging, "_judged", full)
    with pytest.raises(duckdb.OutOfMemoryException):
        judge(two_weeks.snapshot, pack(), into=tmp_path, memory_mb=1024)
    assert asked == [(80, False), (256, True), (1024, True)]


def test_an_index_for_which_there_was_no_room_beside_all_else_is_the_same_bytes(
    two_weeks: FaultWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = judge(two_weeks.snapshot, pack(), into=tmp_path / "whole")
    execute, cut = Engine.execute, []

    def full_once(engine: Engine, statement: str, *more: Any) -> Any:
        if "open.parquet" in statement and len(cut) < 2:  # beside all else, then with little memory
            cut.append(statement)
            part = Path(statement.split("TO '")[1].split("'", maxsplit=1)[0])
            part.write_bytes(b"PAR1 cut off in the middle")
            raise duckdb.OutOfMemoryException("as the engine says it")
        return execute(engine, statement, *more)

    monkeypatch.setattr(Engine, "execute", full_once)
    made_after = judge(two_weeks.snapshot, pack(), into=tmp_path / "after")
    assert len(cut) == 2
    assert made_after.index().read_bytes() == whole.index().read_bytes()
    assert dict(made_after.digests) == dict(whole.digests)
