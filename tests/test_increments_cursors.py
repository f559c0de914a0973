"""How far a source read on is kept with the scan that read it, and is never more than an optimisation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from ledger_case import day, scan
from ledger_writer import record_day
from test_collect_boundary import NOW, WEEK, Fake, Yields, config, job
from test_ledger_survival import KILLED, other

from auditor.collect import collect
from auditor.ledger import Ledger
from auditor.model import Cursor, Seen, Window
from auditor.snapshot import Snapshot
from auditor.sources.ask import Ask

LEFT = {("logs", "a"): "3", ("logs", "b"): "7", ("gone", "a"): "1"}


def read(
    into: Path, reads: Fake, *, carried: Snapshot | None = None, cursors: Mapping[tuple[str, str], str] = LEFT
) -> Snapshot:
    window = Window(NOW - WEEK, NOW)
    known = {"logs": reads}
    return collect(
        config("logs"), now=NOW, window=window, carried=carried, cursors=cursors, into=into, sources=known
    )


def quiet(_: Ask) -> Yields:
    yield Seen("backup_job", "1", "r")


@pytest.fixture
def before(tmp_path: Path) -> Snapshot:
    return read(tmp_path / "before", Fake(quiet), cursors={}).joined({})


def test_a_source_is_told_where_it_was_left_and_what_it_yields_is_in_the_manifest_sorted(
    tmp_path: Path, before: Snapshot
) -> None:
    told: list[str | None] = []

    def reads(ask: Ask) -> Yields:
        told.extend(ask.cursor(scope) for scope in ("a", "b", "new"))
        yield Cursor("new", "1")
        yield Cursor("a", "5")
        assert ask.cursor("a") == "3"  # what it reads now does not change what it was told

    found = read(tmp_path, Fake(reads), carried=before)
    assert told == ["3", "7", None]
    assert found.manifest["cursors"] == [
        ["gone", "a", "1"],  # a source that is off, and a scope that gave none, keep theirs
        ["logs", "a", "5"],
        ["logs", "b", "7"],
        ["logs", "new", "1"],
    ]


def test_without_the_rows_of_the_scan_before_no_cursor_is_used(tmp_path: Path) -> None:
    def reads(ask: Ask) -> Yields:
        assert ask.cursor("a") is None
        yield Cursor("b", "9")

    assert read(tmp_path, Fake(reads)).manifest["cursors"] == [["logs", "b", "9"]]


def test_a_source_that_stops_halfway_leaves_every_cursor_where_it_was(
    tmp_path: Path, before: Snapshot
) -> None:
    def reads(_: Ask) -> Yields:
        yield Cursor("a", "5")
        yield job("j", NOW - timedelta(hours=1))
        raise RuntimeError("boom")

    assert ["logs", "a", "3"] in read(tmp_path, Fake(reads), carried=before).manifest["cursors"]


def test_of_two_positions_of_one_scope_the_one_that_reads_more_again_stands(
    tmp_path: Path, before: Snapshot
) -> None:
    for n, order in enumerate((("5", "4"), ("4", "5"))):

        def reads(_: Ask, order: tuple[str, ...] = order) -> Yields:
            yield from (Cursor("a", at) for at in order)

        found = read(tmp_path / str(n), Fake(reads), carried=before)
        assert ["logs", "a", "4"] in found.manifest["cursors"]


@pytest.mark.parametrize("point", ["begin", "findings", "memory", "outbox", "entry", "committed"])
def test_a_cursor_and_its_scan_are_recorded_together_or_not_at_all(tmp_path: Path, point: str) -> None:
    path = tmp_path / "ledger"
    with Ledger.open(path) as ledger:
        record_day(ledger, 1)
    assert other(path, "record", 2, point).wait(60) == KILLED
    with Ledger.open(path) as ledger:
        last = ledger.latest_scan()
        assert last is not None
        n = 2 if point == "committed" else 1
        assert last.slot == f"day-{n}"
        assert ledger.state(day(3)).cursors == {("aws_cloudtrail", "111111111111"): f"at {n}"}


def test_a_cursor_that_no_scan_moves_stays_as_it_was_written(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger") as ledger:
        ledger.record(scan(1, cursors={("s", "a"): "1", ("s", "\0\ud800"): "2"}), [], at=day(1))
        ledger.record(scan(2, cursors={("s", "a"): "1"}), [], at=day(2))
        ledger.record(scan(3), [], at=day(3))
        assert ledger.state(day(4)).cursors == {("s", "a"): "1", ("s", "\\u0000\\ud800"): "2"}
        assert list(ledger._conn.execute("SELECT scope, scan FROM cursor WHERE scope = 'a'")) == [("a", 1)]


def test_migrating_to_the_table_of_cursors_keeps_a_backup_of_the_ledger_before(tmp_path: Path) -> None:
    import shutil

    from test_ledger_survival import FIXTURES, dump

    path = tmp_path / "ledger"
    shutil.copy(FIXTURES / "v2.sqlite3", path)
    was = dump(path)
    with Ledger.open(path) as ledger:
        assert ledger.state(day(4)).cursors == {}
        assert ledger.verify().intact
    assert dump(tmp_path / "ledger.v2.backup") == was
