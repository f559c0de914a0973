"""Spark beside DuckDB: the same expressions, steps and facts, row for row, on one local session."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from spark_case import estate, hashed, kept, local, needs_spark, stepped

from auditor import correlate
from auditor.config_engine import Engine as Settings
from auditor.engines import duckdb
from auditor.errors import EngineError

pytestmark = [needs_spark(), pytest.mark.filterwarnings("ignore::FutureWarning")]

OBJECTS = 10_000
KEYS = (
    "", "/", "//", "a", "a/b", "a/b/", "run=1/x", "run=17/x", "_SUCCESS", "d/_SUCCESS", "d/xSUCCESS", "d/_temporary/0/x",
    "d/\n", "d/x\n", "d/x\r\n", "\n/x", "d/\u2028", "d/\u0085x", "ü/é", "u\u0308/x", "😀/😀x", "\uffff/x", "\U0010ffff/x",
    "a%b", "a_b", "back\\slash/x", "quote'/x", 'dq"/x', "`tick`/x", "${x}/y", "tab\t/x", "Z", "z", "ß", "SS", " a", "a ", "~",
)  # fmt: skip
TIMES = (
    None, datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), datetime(1970, 1, 1, tzinfo=UTC), datetime(2026, 3, 29, 0, 59, 59, 900_000, UTC),
    datetime(2026, 3, 29, 1, 0, 0, 100_000, UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC), datetime(2024, 2, 29, 12, 0, 0, 1, UTC),
)  # fmt: skip
EXPRESSIONS = {
    "dir": r"regexp_replace(key, '[^/]*$', '')",
    "first_folder": r"regexp_extract(key, '^[^/]*/')",
    "last_part": r"regexp_extract(key, '[^/]*$')",
    "length": "length(key)",
    "start": "substr(key, 1, 2)",
    "middle": "substr(key, 2, 3)",
    "none_of_it": "substr(key, 1, 0)",
    "beyond": "substr(key, 50, 3)",
    "joined": "key || '-' || bytes",
    "joined_null": "key || etag",
    "is_marker": r"(key = '_SUCCESS' OR key LIKE '%/\_SUCCESS' ESCAPE '\')",
    "is_staging": r"key LIKE '%/\_temporary/%' ESCAPE '\'",
    "wild": "key LIKE 'd/_'",
    "wilder": "key LIKE '%/%'",
    "starts": "starts_with(key, 'run=1/')",
    "ends": "ends_with(key, '/x')",
    "replaced": "replace(key, '/', '|')",
    "split": "split_part(key, '/', 2)",
    "below": "key < 'a'",
    "below_astral": "key < '\uffff/'",
    "equal_case": "key = 'Z'",
    "is_in": "key IN ('a', 'z', '')",
    "not_in": "key NOT IN ('a', 'z')",
    "not_in_null": "key NOT IN ('a', etag)",
    "differs": "key IS DISTINCT FROM etag",
    "hour": "date_trunc('hour', last_modified)",
    "day": "date_trunc('day', last_modified)",
    "second": "second(last_modified)",
    "seconds_since": "date_diff('second', last_modified, TIMESTAMP '2026-03-29 01:00:00')",
    "greatest": "greatest(last_modified, TIMESTAMP '2026-03-29 01:00:00')",
    "least": "least(bytes, 5)",
    "least_null": "least(bytes, NULL)",
    "remainder": "bytes % 5",
    "negative_remainder": "(bytes - 9) % 5",
    "null_and": "is_latest AND NULL",
    "null_or": "is_latest OR NULL",
    "not_null": "NOT is_latest",
    "case": "CASE WHEN is_latest THEN 1 WHEN NOT is_latest THEN 0 END",
    "truth_as_text": "CAST(is_latest AS VARCHAR)",
    "number_as_text": "CAST(bytes AS VARCHAR)",
    "nullif": "nullif(key, 'a')",
    "coalesced": "coalesce(etag, key, '')",
    "between": "last_modified BETWEEN TIMESTAMP '1970-01-01' AND TIMESTAMP '2026-03-29 01:00:00.1'",
    "json": "json_extract_string(checksums, '$.owner')",
    "place": "row_number() OVER (ORDER BY etag, last_modified DESC, key, bytes)",
    "place_down": "row_number() OVER (ORDER BY etag DESC, is_latest DESC, key DESC, bytes)",
    "before": "lag(key) OVER (PARTITION BY is_latest ORDER BY key, bytes)",
    "after": "lead(bytes) OVER (PARTITION BY is_latest ORDER BY key DESC, bytes)",
    "running": "count(CASE WHEN is_latest THEN 1 END) OVER (ORDER BY key, bytes)",
    "of_all": "max(key) OVER (PARTITION BY is_latest)",
}  # fmt: skip
TOTALS = {
    "n": "count(*)", "known": "count(etag)", "apart": "count(DISTINCT etag)", "least": "min(key)", "most": "max(key)",
    "sum": "sum(bytes)", "sum_of_none": "sum(CASE WHEN bytes < 0 THEN bytes END)", "any": "max(is_latest)", "all_of": "min(is_latest)",
    "first_at": "min(last_modified)", "last_at": "max(last_modified)", "some": "count(*) FILTER (WHERE is_latest)",
    "ones": "sum(CASE WHEN is_latest THEN 1 ELSE 0 END)",
}  # fmt: skip
MICROS = {
    "near": "last_modified - INTERVAL 2 SECOND", "later": "last_modified + INTERVAL 3 HOUR", "far": "last_modified - bytes * INTERVAL 1 SECOND",
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """One local session that every engine of this file runs on."""
    with local(tmp_path_factory.mktemp("spark") / "store") as given:
        yield given


def spark(given: Settings, **more: Any) -> Any:
    from auditor.engines.spark import Engine

    return Engine.connected(given, None, **more)


def strange() -> list[dict[str, Any]]:
    """Keys and times that engines might see differently."""
    return [
        {
            "bucket": "b", "key": key, "version_id": str(n), "etag": None if n % 3 == 0 else f"e{n % 4}", "bytes": n,
            "last_modified": TIMES[n % len(TIMES)], "is_latest": (True, False, None)[n % 3],
            "checksums": (None, '{"owner":"é"}', '{"owner":null}', "{}", '{"owner":"a\\"b"}')[n % 5],
        }
        for n, key in enumerate(KEYS)
    ]  # fmt: skip


def both(given: Settings, sql: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Run one step on both engines."""
    found = []
    for engine in (duckdb.Engine.open(None), spark(given)):
        with engine:
            engine.insert("s3_object_version", strange())
            engine.run("probe", sql)
            found.append(engine.rows("SELECT * FROM probe ORDER BY ALL"))
    return found[0], found[1]


def test_every_expression_of_the_list_means_the_same_on_both(cluster: Settings) -> None:
    said = ", ".join(f'{sql} AS "{name}"' for name, sql in EXPRESSIONS.items())
    here, there = both(cluster, f"SELECT version_id, {said} FROM s3_object_version")
    assert len(here) == len(there) == len(KEYS)
    differing = {
        f"{name} of {KEYS[int(one['version_id'])]!r}": (one[name], other[name])
        for one, other in zip(sorted(here, key=_version), sorted(there, key=_version), strict=True)
        for name in EXPRESSIONS
        if one[name] != other[name]
    }
    assert differing == {}


def _version(row: dict[str, Any]) -> int:
    return int(row["version_id"])


def test_sums_counts_extremes_and_times_to_the_microsecond_are_the_same(cluster: Settings) -> None:
    said = ", ".join(f'{sql} AS "{name}"' for name, sql in TOTALS.items())
    here, there = both(cluster, f"SELECT etag, {said} FROM s3_object_version GROUP BY etag")
    assert here == there
    assert len(here) == 4 + 1 - (None not in {row["etag"] for row in here})
    said = ", ".join(f'{sql} AS "{name}"' for name, sql in MICROS.items())
    where = "last_modified > TIMESTAMP '1900-01-01' AND last_modified < TIMESTAMP '3000-01-01'"
    here, there = both(cluster, f"SELECT version_id, {said} FROM s3_object_version WHERE {where}")
    assert here == there
    assert any(row["near"].microsecond for row in here)


def test_ten_thousand_objects_come_to_the_same_totals_and_the_same_hash_of_every_step(
    cluster: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditor.engines.spark import Engine

    for least in ("_MANY", "_SPARED"):  # the steps that are not worth their planning for so few exports, too
        monkeypatch.setattr(correlate, least, -1)
    snapshot = kept(tmp_path, estate(OBJECTS))
    with duckdb.Engine.open(snapshot) as engine:
        here = stepped(engine)
        (total,) = engine.rows(
            "SELECT sum(objects)::BIGINT AS objects, sum(bytes)::BIGINT AS bytes FROM export_write"
        )
    with Engine.connected(cluster, snapshot) as engine:
        there = stepped(engine)
        (other,) = engine.rows(
            "SELECT sum(objects)::BIGINT AS objects, sum(bytes)::BIGINT AS bytes FROM export_write"
        )
    assert total == other
    assert total["objects"] > OBJECTS // 2
    assert {name: (here[name], there[name]) for name in here if here[name] != there[name]} == {}
    assert all(
        here[name][0]
        for name in (
            "26_burst.sql",
            "28_lost_version.sql",
            "29_stray_write.sql",
            "42_unattributed_object.sql",
        )
    )


def test_a_store_that_only_spark_reaches_is_put_to_once_and_brings_results_back(
    cluster: Settings, tmp_path: Path
) -> None:
    from dataclasses import replace
    from urllib.parse import urlsplit

    from auditor.engines.spark import Engine

    snapshot = kept(tmp_path, estate(500, jobs=5))
    far = replace(cluster, store="viewfs://shared/far")
    folder = Path(urlsplit(cluster.store).path) / "far"
    found = []
    for given in (cluster, far, far):
        with Engine.connected(given, snapshot) as engine:
            engine.run(
                "counted", "SELECT bucket, dir, count(*) AS n FROM s3_object_version GROUP BY bucket, dir"
            )
            found.append(hashed(engine.rows("SELECT * FROM counted")))
            put = {path: path.stat().st_mtime_ns for path in (folder / "tables").glob("*.parquet")}
        if given is far:
            assert len(put) == 1
            found.append(str(put))
    assert found[0] == found[1] == found[3]
    assert found[2] == found[4]  # not put twice
    assert not list((folder / "runs").glob("*"))


def test_a_file_that_was_cut_in_the_store_is_never_taken_for_the_table(
    cluster: Settings, tmp_path: Path
) -> None:
    from dataclasses import replace

    from auditor.engines.spark import Engine

    snapshot = kept(tmp_path / "kept", estate(500, jobs=5))
    given = replace(cluster, store=(tmp_path / "store").as_uri())
    sql = "SELECT count(*) AS n FROM s3_object_version"
    with Engine.connected(given, snapshot) as engine:
        engine.run("counted", sql)
        whole = engine.rows("SELECT * FROM counted")
    (put,) = (tmp_path / "store" / "tables").glob("*.parquet")
    put.write_bytes(put.read_bytes()[:-100])
    with Engine.connected(given, snapshot) as engine:
        engine.run("counted", sql)
        assert engine.rows("SELECT * FROM counted") == whole
    size = put.stat().st_size
    with Engine.connected(given, snapshot) as engine:
        put.write_bytes(b"x" * size)
        with pytest.raises(EngineError, match="failed in"):
            engine.run("counted", sql)


def test_what_is_small_is_sent_anew_when_it_changed_here(cluster: Settings) -> None:
    sql = "SELECT v.key FROM s3_object_version v JOIN s3_bucket b ON b.bucket = v.bucket"
    with spark(cluster) as engine:
        engine.insert(
            "s3_object_version", [{"bucket": name, "key": name, "version_id": "1"} for name in "abc"]
        )
        engine.insert("s3_bucket", [{"arn": "a", "bucket": "a"}])
        engine.run("met", sql)
        assert [row["key"] for row in engine.rows("SELECT * FROM met ORDER BY ALL")] == ["a"]
        engine.insert("s3_bucket", [{"arn": "b", "bucket": "b"}])
        engine.run("met", sql)
        assert [row["key"] for row in engine.rows("SELECT * FROM met ORDER BY ALL")] == ["a", "b"]
        engine.execute("DELETE FROM s3_bucket WHERE bucket = 'a'")
        engine.run("met", sql)
        assert [row["key"] for row in engine.rows("SELECT * FROM met ORDER BY ALL")] == ["b"]


def test_a_step_that_spark_cannot_be_told_runs_here_on_what_it_made(cluster: Settings) -> None:
    with spark(cluster) as engine:
        engine.insert("s3_object_version", [{"bucket": "a", "key": key, "version_id": "1"} for key in "cab"])
        engine.run("keys", "SELECT bucket, key FROM s3_object_version")
        engine.run("listed", "SELECT bucket, list(key ORDER BY key) AS keys FROM keys GROUP BY bucket")
        assert engine.rows("SELECT * FROM listed") == [{"bucket": "a", "keys": ["a", "b", "c"]}]


def test_a_number_too_large_is_an_error_and_never_another_number(cluster: Settings) -> None:
    with spark(cluster) as engine:
        rows = [{"bucket": "a", "key": key, "version_id": "1", "bytes": 2**63 - 1} for key in "ab"]
        engine.insert("s3_object_version", rows)
        with pytest.raises(EngineError, match=r"(?i)overflow"):
            engine.run("summed", "SELECT sum(bytes) AS bytes FROM s3_object_version")


def test_a_step_that_takes_too_long_is_cancelled(cluster: Settings) -> None:
    from dataclasses import replace

    # Spark interrupts no join that hands on no row yet: the task goes on to its end, which is some seconds away.
    many = [{"bucket": "a", "key": str(n), "version_id": "1"} for n in range(600)]
    with spark(cluster) as engine:
        engine.insert("s3_object_version", many)
        engine.run("once", "SELECT key FROM s3_object_version")
        engine._session._settings = replace(cluster, step=1)
        joins = " ".join(f"JOIN once t{n} ON t{n}.key <> t{n - 1}.key" for n in range(1, 3))
        with pytest.raises(EngineError, match=r"did not answer within 1 s: the step never"):
            engine.run("never", f"SELECT count(*) AS n FROM once t0 {joins}")


def test_the_session_ends_what_it_opened_and_leaves_what_was_there(cluster: Settings) -> None:
    from pyspark import SparkContext

    with spark(cluster):
        pass
    assert SparkContext._active_spark_context is not None
