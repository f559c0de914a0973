"""Databases that are lent one after the other: nothing of one borrower reaches the next."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from auditor.databases import Borrowed
from auditor.engines.duckdb import Engine


def test_what_one_borrower_made_is_gone_for_the_next(tmp_path: Path) -> None:
    for _ in range(3):
        with Borrowed(spill=tmp_path / "spill") as connection:
            found = "SELECT table_name FROM duckdb_tables() UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal"
            assert connection.execute(found).fetchall() == []
            connection.execute("CREATE TABLE seen AS SELECT 1 AS n")
            connection.execute("CREATE TEMP TABLE passing AS SELECT 1 AS n")
            connection.execute("CREATE VIEW shown AS SELECT * FROM seen")


def test_two_borrowers_at_once_do_not_meet(tmp_path: Path) -> None:
    with Borrowed(spill=tmp_path / "one") as one, Borrowed(spill=tmp_path / "two") as two:
        one.execute("CREATE TABLE seen AS SELECT 1 AS n")
        two.execute("CREATE TABLE seen AS SELECT 2 AS n")
        assert one.execute("SELECT n FROM seen").fetchall() == [(1,)]
        assert two.execute("SELECT n FROM seen").fetchall() == [(2,)]


def test_each_borrower_spills_into_the_folder_it_named_and_no_further_than_it_said(tmp_path: Path) -> None:
    many = "CREATE TABLE many AS SELECT i, md5(i::VARCHAR) AS told FROM range(2000000) AS r(i)"
    for folder in ("one", "two"):
        with Borrowed(memory_limit="32MB", spill=tmp_path / folder) as connection:
            connection.execute(many)
            assert list((tmp_path / folder).iterdir())
    with (
        Borrowed(memory_limit="32MB", spill=tmp_path / "three", spill_mb=2) as connection,
        pytest.raises(duckdb.OutOfMemoryException),
    ):
        connection.execute(many)
    with Borrowed(memory_limit="32MB", spill=tmp_path / "four") as connection:
        connection.execute(many)
        assert list((tmp_path / "four").iterdir())


def test_a_database_that_was_closed_under_its_borrower_is_not_lent_again(tmp_path: Path) -> None:
    borrowed = Borrowed(memory_limit="33MB", spill=tmp_path / "spill")
    borrowed.connection.close()
    borrowed.close()
    with Borrowed(memory_limit="33MB", spill=tmp_path / "spill") as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_the_same_text_is_understood_anew_by_each_engine() -> None:
    for told in ("1", "'one'", "NULL::DATE"):
        with Engine() as engine:
            engine.run("said", f"SELECT {told} AS n")
            engine.run("kinds", "SELECT typeof(n) AS kind FROM said")
            kind = engine.rows("SELECT kind FROM kinds")[0]["kind"]
            assert kind == {"1": "INTEGER", "'one'": "VARCHAR", "NULL::DATE": "DATE"}[told]


def test_who_borrows_after_one_that_ran_statements_as_written_has_them_planned_again() -> None:
    asked = "EXPLAIN SELECT i FROM (SELECT i, i + 1 AS unread FROM range(9) AS a(i)) WHERE 1 = 1"
    told = []
    for planned in (True, False, True):
        with Engine(memory_limit="34MB", planned=planned) as engine:
            told.append(str(engine.rows(asked)))
    assert told[0] == told[2]
    assert told[0] != told[1]
