"""Spark as the second engine: what grows with objects and log lines runs on a cluster, the rest stays with DuckDB.

A step that reads a large table (`Table.small` false in the schema, or what such a step made) is put into Spark's words
and runs there; its result stays there, and comes here when a step on DuckDB, the rules or the kept facts ask for it.
What such a step reads of the small tables is written to the store first. The texts of the steps are the same.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from auditor.canonical import name, quoted
from auditor.engines import duckdb as embedded
from auditor.engines import portable, spark_store
from auditor.engines.spark_session import Session
from auditor.errors import EngineError
from auditor.schema import Type
from auditor.schema import tables as schema_tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

    from auditor.config_engine import Engine as Settings
    from auditor.snapshot import Snapshot

_NAMED = re.compile(r'\b(?:FROM|JOIN)\s+"?(\w+)"?', re.IGNORECASE)
_SPARK_TYPES: Mapping[Type, str] = {
    "TEXT": "STRING",
    "INT": "BIGINT",
    "BOOL": "BOOLEAN",
    "TIME": "TIMESTAMP_NTZ",
    "JSON": "STRING",
}


def large() -> frozenset[str]:
    """Return the source tables that grow without bound."""
    return frozenset(table.name for table in schema_tables().values() if not table.small)


def far(steps: Iterable[tuple[str, str]]) -> list[str]:
    """Return which of (table, text) steps run on Spark, in their order: by what they read, never by how much it is."""
    tables = set(large())
    found = []
    for table, text in steps:
        if portable.reads(text) & tables:
            found.append(table)
            if not _small(table):
                tables.add(table)
    return found


def _small(table: str) -> bool:
    described = schema_tables().get(table)
    return described is not None and described.small


class Engine(embedded.Engine):
    """The embedded engine, with a cluster for the steps that read large tables."""

    def __init__(self, settings: Settings, *, memory_limit: str = "1GB", threads: int = 2) -> None:
        super().__init__(memory_limit=memory_limit, threads=threads)
        self._large = set(large())
        """Tables that only Spark reads."""
        self._files_of: dict[str, Path] = {}
        """Large tables of the snapshot, by their Parquet file."""
        self._known: dict[str, str] = {}
        """What Spark knows of: the URL of each table's Parquet."""
        self._away: set[str] = set()
        """Tables that Spark made and that are not here yet."""
        try:
            self._session = Session(settings)
            self._store = spark_store.opened(settings.store, self._session, connect=bool(settings.remote))
        except BaseException:
            super().close()
            raise

    @classmethod
    def connected(
        cls, settings: Settings, snapshot: Snapshot | None, *, memory_limit: str = "1GB", threads: int = 2
    ) -> Self:
        """Return an engine with the tables of a snapshot; EngineError when the cluster cannot be used."""
        engine = cls(settings, memory_limit=memory_limit, threads=threads)
        engine.load(snapshot)
        return engine

    def close(self) -> None:
        """Give back the session, what it made, memory and temporary files."""
        self._store.close()
        self._session.close()
        super().close()

    def load(self, snapshot: Snapshot | None) -> None:
        """Make the tables of a snapshot; the large ones are read where Spark finds them."""
        super().load(snapshot)
        for table in sorted(self._large):
            path = snapshot.tables(table) if snapshot else None
            if path is not None:
                self._files_of[table] = path

    def run(self, step: str, sql: str) -> None:
        """Make the table `step` from one SELECT, on Spark if it reads a large table and can be said there."""
        reads = portable.reads(sql)
        self._known.pop(step, None)
        if not reads & self._large or portable.problems(sql):
            self._bring(reads)
            super().run(step, sql)
            return
        for table in sorted(reads - self._known.keys()):
            self._send(table)
        text = portable.spark(sql)
        url = self._store.result(step)

        def make() -> StructType:
            frame = _shaped(self._session.spark.sql(text))
            frame.write.mode("overwrite").parquet(url)
            return frame.schema

        schema = self._session.step(f"the step {step}", make)
        self._register(step, url, schema)
        self._away.add(step)
        if _small(step):
            self._bring((step,))
        else:
            self._large.add(step)

    def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        """Run one statement here for what it does."""
        self._bring(_NAMED.findall(sql))
        super().execute(sql, params)
        self._forget()

    def insert(
        self, table: str, rows: Iterable[Mapping[str, Any]], *, columns: Mapping[str, Type] | None = None
    ) -> None:
        """Append rows to a table here; Spark is sent it anew when a step asks."""
        self._bring((table,))
        super().insert(table, rows, columns=columns)
        self._known.pop(table, None)
        self._files_of.pop(table, None)

    def add(self, table: str, other: str, *, last: bool = False) -> None:
        """Append the rows of another table here."""
        self._bring((table, other))
        super().add(table, other, last=last)
        self._known.pop(table, None)
        if last:
            self._known.pop(other, None)

    def without_rows(self, table: str, like: str) -> None:
        """Make a table without rows here."""
        super().without_rows(table, like)
        self._known.pop(table, None)
        self._away.discard(table)
        self._large.discard(table)

    def attach(self, table: str, path: Path) -> None:
        """Make a view of a Parquet file."""
        super().attach(table, path)
        self._known.pop(table, None)
        if table in self._large:
            self._files_of[table] = path

    def _forget(self) -> None:
        """A statement may have changed any table here: send what Spark did not make anew."""
        for table in self._known.keys() - self._made_there():
            del self._known[table]

    def _made_there(self) -> set[str]:
        return {table for table, url in self._known.items() if url == self._store.result(table)}

    def _stream(
        self, sql: str, params: Sequence[Any], json: frozenset[str], *, apart: bool = False
    ) -> Iterator[dict[str, Any]]:
        self._bring(_NAMED.findall(sql))
        return super()._stream(sql, params, json, apart=apart)

    def _kinds(self, table: str) -> dict[str, str]:
        self._bring((table,))
        return super()._kinds(table)

    def _bring(self, tables: Iterable[str]) -> None:
        """Bring tables that Spark made here."""
        for table in sorted(self._away.intersection(tables)):
            if isinstance(self._store, spark_store.ConnectStore):
                self._connection.register("_arrived", self._store.arrived(table))
                super().run(table, "SELECT * FROM _arrived")
                self._connection.unregister("_arrived")
            else:
                into = self._dir / "arrived"
                into.mkdir()
                files = self._store.bring(table, into)
                if not files:
                    raise EngineError(
                        f"Spark ({self._session.where}) left no file of {table} in {self._store.url}"
                    )
                listed = ", ".join(quoted(str(file)) for file in files)
                super().run(table, f"SELECT * FROM read_parquet([{listed}])")
                shutil.rmtree(into)
            self._away.remove(table)

    def _send(self, table: str) -> None:
        """Let Spark read a table that is here."""
        kinds = super()._kinds(table)
        described = schema_tables().get(table)
        columns = (
            {column.name: _SPARK_TYPES[column.type] for column in described.columns}
            if described is not None and table not in self._described
            else {column: _spark_type(table, column, kind) for column, kind in kinds.items()}
        )
        ((rows,),) = self._connection.execute(f"SELECT count(*) FROM {name(table)}").fetchall()
        if not rows:
            self._session.step(f"making {table}", lambda: self._empty(table, columns))
            return
        path = self._files_of.get(table)
        if path is None:
            path = self._dir / "sent.parquet"
            self._connection.execute(
                f"COPY (SELECT * FROM {name(table)}) TO {quoted(str(path))} (FORMAT parquet)"
            )
        url = self._store.put(path)
        # What a file lacks is NULL, as it is for DuckDB.
        said = ", ".join(f"`{column}` {kind}" for column, kind in columns.items())
        self._session.step(f"reading {table}", lambda: self._register(table, url, said))
        if table in self._files_of:
            self._whole(table, rows)
        else:
            path.unlink()

    def _empty(self, table: str, columns: Mapping[str, str]) -> None:
        said = ", ".join(f"CAST(NULL AS {kind}) AS `{column}`" for column, kind in columns.items())
        self._session.spark.sql(f"SELECT {said} WHERE FALSE").createOrReplaceTempView(table)
        self._known[table] = ""

    def _register(self, table: str, url: str, schema: StructType | str) -> None:
        self._session.spark.read.schema(schema).parquet(url).createOrReplaceTempView(table)
        self._known[table] = url

    def _whole(self, table: str, here: int) -> None:
        """See that Spark reads every row that is here: not seeing is never a pass."""
        there = self._session.step(f"counting {table}", self._session.spark.table(table).count)
        if there != here:
            raise EngineError(f"{table} has {here} rows here and {there} on Spark ({self._known[table]})")


def _spark_type(table: str, column: str, kind: str) -> str:
    if kind in ("BIGINT", "INTEGER", "HUGEINT", "SMALLINT", "TINYINT"):
        return "BIGINT"
    found = {"VARCHAR": "STRING", "BOOLEAN": "BOOLEAN", "TIMESTAMP": "TIMESTAMP_NTZ"}.get(kind)
    if found is None:
        raise ValueError(f"{table}.{column} is {kind}: no table between steps holds that")
    return found


def _shaped(frame: DataFrame) -> DataFrame:
    """Return a result in the types that tables have: whole numbers of 64 bits, times without a zone, text, truth."""
    from pyspark.sql.types import (
        BooleanType,
        IntegralType,
        NullType,
        StringType,
        TimestampNTZType,
        TimestampType,
    )

    columns = []
    for field in frame.schema.fields:
        match field.dataType:
            case IntegralType():
                kind = "bigint"
            case StringType() | NullType():
                kind = "string"
            case BooleanType():
                kind = "boolean"
            case TimestampType() | TimestampNTZType():
                kind = "timestamp_ntz"
            case other:
                raise ValueError(f"{field.name} is {other.simpleString()}: no table between steps holds that")
        columns.append(frame[field.name].cast(kind).alias(field.name))
    return frame.select(*columns)
