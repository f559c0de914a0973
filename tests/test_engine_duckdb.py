"""The embedded engine: typed tables in, typed rows out, the same bytes each time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from auditor.engines.duckdb import Engine
from auditor.model import Window
from auditor.schema import Type, tables
from auditor.snapshot import Snapshot, write

NOW = datetime(2026, 1, 5, 6, tzinfo=UTC)


def snapshot(into: Path, **rows: list[dict[str, object]]) -> Snapshot:
    return write(into, rows, as_of=NOW, window=Window(NOW - timedelta(days=7), NOW))


def test_a_table_the_snapshot_lacks_is_empty_with_the_types_of_the_schema(tmp_path: Path) -> None:
    with Engine.open(snapshot(tmp_path)) as engine:
        for table in tables().values():
            if table.kind == "fact":
                continue
            assert engine.table(table.name) == []
        found = engine.rows(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'backup_vault'"
        )
    kinds = {row["column_name"]: row["data_type"] for row in found}
    assert kinds["arn"] == "VARCHAR"
    assert kinds["points"] == "BIGINT"
    assert kinds["locked"] == "BOOLEAN"
    assert kinds["lock_date"] == "TIMESTAMP"


def test_a_column_newer_than_the_snapshot_is_null(tmp_path: Path) -> None:
    import duckdb

    kept = snapshot(tmp_path, backup_vault=[{"arn": "a", "points": 3}])
    path = kept.tables("backup_vault")
    assert path is not None
    older = path.with_suffix(".older")
    duckdb.sql(f"COPY (SELECT arn, points FROM '{path}') TO '{older}' (FORMAT parquet)")
    older.rename(path)
    with Engine.open(kept) as engine:
        (row,) = engine.table("backup_vault")
    assert row["points"] == 3
    assert row["policy"] is None


def test_times_come_back_aware_and_json_decoded(tmp_path: Path) -> None:
    rows = [{"arn": "a", "created_at": NOW, "tags": {"k": ["v", None, 1]}, "lifecycle": []}]
    with Engine.open(snapshot(tmp_path, s3_bucket=rows)) as engine:
        (row,) = engine.rows("SELECT created_at, tags, lifecycle, bucket FROM s3_bucket")
    assert row == {
        "created_at": NOW,
        "tags": {"k": ["v", None, 1]},
        "lifecycle": [],
        "bucket": None,
    }
    assert row["created_at"].utcoffset() == timedelta(0)


def test_a_name_that_is_json_only_in_some_tables_is_decoded_by_table_alone() -> None:
    with Engine.open(None) as engine:
        engine.insert("params", [{"rule": "r", "zone": "z", "name": "n", "value": [1]}])
        engine.insert("history_watch", [{"table_name": "t", "key": "k", "field": "f", "value": "[1]"}])
        assert engine.rows("SELECT value FROM params") == [{"value": "[1]"}]
        assert engine.table("params")[0]["value"] == [1]
        assert engine.table("history_watch")[0]["value"] == "[1]"


def test_steps_make_tables_that_later_steps_read() -> None:
    with Engine.open(None) as engine:
        engine.insert("backup_vault", [{"arn": "a", "points": 1}, {"arn": "b", "points": 2}])
        engine.run("doubled", "SELECT arn, points * 2 AS twice FROM backup_vault")
        engine.run("most", "SELECT max(twice) AS most FROM doubled")
        assert engine.rows("SELECT * FROM most WHERE most > ?", [1]) == [{"most": 4}]


def test_rows_can_be_added_to_a_large_table_that_is_read_from_its_file(tmp_path: Path) -> None:
    kept = snapshot(tmp_path, s3_object_version=[{"bucket": "b", "key": "k", "version_id": "1"}])
    with Engine.open(kept) as engine:
        engine.insert("s3_object_version", [{"bucket": "b", "key": "k", "version_id": "2"}])
        assert [row["version_id"] for row in engine.table("s3_object_version")] == ["1", "2"]
    kept.verify()


def test_a_fact_table_and_one_with_columns_of_its_own_can_be_filled() -> None:
    with Engine.open(None) as engine:
        engine.insert("export", [{"export_id": "b/p/#1", "declared": True}])
        engine.insert(
            "outcome", [{"rule": "r", "params": {"a": 1}}], columns={"rule": "TEXT", "params": "JSON"}
        )
        engine.insert("outcome", [{"rule": "q"}])
        assert engine.table("export")[0]["declared"] is True
        assert engine.table("outcome") == [
            {"rule": "q", "params": None},
            {"rule": "r", "params": {"a": 1}},
        ]
        with pytest.raises(KeyError, match="unheard_of"):
            engine.insert("unheard_of", [{"a": 1}])


def test_inserting_no_rows_still_makes_the_table() -> None:
    with Engine.open(None) as engine:
        engine.insert("export", [])
        assert engine.rows("SELECT count(*) AS n FROM export") == [{"n": 0}]


def test_digest_is_of_the_rows_whatever_their_order_and_equals_the_snapshots(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"arn": str(i), "points": i, "created_at": NOW} for i in range(99)]
    kept = snapshot(tmp_path, backup_vault=rows)
    with Engine.open(kept) as engine, Engine.open(None) as other:
        other.insert("backup_vault", rows[::-1])
        assert engine.digest("backup_vault") == other.digest("backup_vault")
        assert engine.digest("backup_vault") == kept.manifest["tables"]["backup_vault"]["digest"]
        other.execute("UPDATE backup_vault SET points = 1000 WHERE arn = '5'")
        assert engine.digest("backup_vault") != other.digest("backup_vault")


def test_an_export_to_parquet_is_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    rows = [{"arn": str(i), "points": i} for i in range(99)]
    for name, some in (("a", rows), ("b", rows[::-1])):
        with Engine.open(None) as engine:
            engine.insert("backup_vault", some)
            engine.export("backup_vault", tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_table_that_is_exported_for_the_last_time_is_written_alike_and_goes(tmp_path: Path) -> None:
    said = []
    for last in (False, True):
        with Engine.open(None) as engine:
            engine.insert("backup_vault", [{"arn": str(i), "points": i} for i in range(99)])
            said.append(engine.export("backup_vault", tmp_path / str(last), last=last))
            there = engine.rows("SELECT 1 FROM duckdb_tables() WHERE table_name = 'backup_vault'")
            assert bool(there) is not last
    assert said[0] == said[1]
    assert (tmp_path / "False").read_bytes() == (tmp_path / "True").read_bytes()


def test_only_tables_that_are_named_are_kept(tmp_path: Path) -> None:
    kept = snapshot(tmp_path, backup_vault=[{"arn": "a"}], backup_plan=[{"arn": "b"}])
    with Engine.open(kept) as engine:
        engine.run("counted", "SELECT count(*) AS n FROM backup_vault")
        engine.keep_only(["counted", "backup_plan"])
        left = engine.rows(
            "SELECT table_name FROM duckdb_tables() UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal"
        )
        assert sorted(row["table_name"] for row in left) == ["backup_plan", "counted"]
        assert engine.rows("SELECT n FROM counted") == [{"n": 1}]


def test_a_query_over_the_memory_limit_spills_and_ends() -> None:
    with Engine(memory_limit="64MB") as engine:
        engine.run("big", "SELECT i, md5(i::VARCHAR) AS m FROM range(1_000_000) t(i)")
        (row,) = engine.rows("SELECT count(*) AS n FROM (SELECT * FROM big ORDER BY m DESC)")
    assert row["n"] == 1_000_000


def test_few_rows_go_in_as_many_do_whatever_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    from auditor.engines import duckdb

    kinds: dict[str, Type] = {"name": "TEXT", "size": "INT", "flag": "BOOL", "at": "TIME", "told": "JSON"}
    rows: list[dict[str, Any]] = [
        {"name": 'x"y\\z\x01\x1f/\u2028é\\u0041', "size": 2**63 - 1, "flag": True, "at": NOW, "told": {"a": ["\x02", 1.5]}},
        {"name": "", "size": -(2**63), "flag": False, "at": NOW.replace(year=1, microsecond=1), "told": []},
        {"name": "[1]", "size": 0, "flag": None, "at": NOW.replace(year=9999, microsecond=999_999), "told": "x"},
        {"name": None},
    ]  # fmt: skip
    with Engine() as engine:
        engine.insert("few", rows, columns=kinds)
        monkeypatch.setattr(duckdb, "_FEW", 1)
        engine.insert("many", rows, columns=kinds)
        engine.insert("few", rows, columns=kinds)
        monkeypatch.undo()
        engine.insert("many", rows, columns=kinds)
        assert engine.rows("DESCRIBE few") == engine.rows("DESCRIBE many")
        assert engine.table("few") == engine.table("many")
        assert engine.digest("few") == engine.digest("many")
        assert len(engine.table("few")) == 2 * len(rows)
        assert [row["told"] for row in engine.table("few") if row["name"] == "[1]"] == ["x", "x"]


def test_a_table_that_was_dropped_is_made_again_and_one_made_beside_is_filled() -> None:
    with Engine() as engine:
        engine.insert("gone", [{"name": "a"}], columns={"name": "TEXT"})
        engine.execute("DROP TABLE IF EXISTS gone")
        engine.insert("gone", [{"name": "b"}], columns={"name": "TEXT"})
        engine.execute("CREATE TABLE beside (name VARCHAR)")
        engine.insert("beside", [{"name": "c"}], columns={"name": "TEXT"})
        engine.insert("beside", [{"name": "d"}], columns={"name": "TEXT"})
        assert [row["name"] for row in (*engine.table("gone"), *engine.table("beside"))] == ["b", "c", "d"]


def test_what_spills_to_disk_has_a_limit_and_a_full_one_is_an_error_that_ends_a_scan() -> None:
    import duckdb

    from auditor.ledger.holding import _engine_full

    columns = ", ".join(f"hash(n + {k}) AS c{k}" for k in range(24))
    much = f"SELECT {columns} FROM range(600000) AS r(n)"
    with Engine(memory_limit="48MB", threads=1) as engine:
        engine.run("much", much)
    with (
        Engine(memory_limit="48MB", threads=1, spill_mb=4) as engine,
        pytest.raises(duckdb.OutOfMemoryException) as full,
    ):
        engine.run("much", much)
    assert _engine_full(full.value)
    assert "max_temp_directory_size" in str(full.value)


def test_memory_is_given_back_under_the_same_limit() -> None:
    with Engine(memory_limit="80MB") as engine:
        (before,) = engine.rows("SELECT current_setting('memory_limit') AS said")
        for _ in range(3):
            engine.run("made", "SELECT n FROM range(5000) AS t(n)")
            engine.keep_only(())
        assert engine.rows("SELECT current_setting('memory_limit') AS said") == [before]
        with pytest.raises(duckdb.CatalogException):
            engine.rows("SELECT * FROM made")
