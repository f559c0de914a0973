"""The embedded engine: a snapshot's tables, the named steps over them, and what comes out.

DuckDB in memory, two threads, UTC, no extensions, no data frames: rows come in as NDJSON files
and go out as tuples. What does not fit into `memory_limit` spills to a temporary folder.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from auditor.canonical import Lines, digest, lines, name, quoted, sorted_texts, sql_columns
from auditor.databases import Borrowed
from auditor.engines.decoded import Streamed, always_json, decoding, json_of
from auditor.relations import from_ndjson, from_parquet, from_text
from auditor.schema import Column, Table, Type
from auditor.schema import tables as schema_tables

if TYPE_CHECKING:
    from duckdb import Statement

    from auditor.snapshot import Snapshot


_HELD_BYTES = 262_144
"""A Parquet file up to this size is held as a table."""


_DROPPED = re.compile(r'\s*DROP\s+TABLE\s+(?:IF\s+EXISTS\s+)?"?(\w+)', re.IGNORECASE)
_FEW, _FEW_BYTES = 64, 32_768
"""Fewer rows than this are handed over as one text, for which no file is opened."""


_MOST_PARSED = 1024
_PARSED: dict[str, Statement | None] = {}
"""Statements of this process by their text: to parse one takes as long as to run it over a small estate. A process that
scans once meets most of them once: they are parsed for keeps when they come again."""


class Engine:
    """A context in which steps run; everything in it is gone at its end."""

    def __init__(
        self, *, memory_limit: str = "1GB", threads: int = 2, spill_mb: int = 0, planned: bool = True
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="auditor-engine-")
        self._dir = Path(self._folder.name)
        spill = self._dir / "spill"
        self._borrowed = Borrowed(memory_limit=memory_limit, threads=threads, spill=spill, spill_mb=spill_mb)
        self._connection = self._borrowed.connection
        self._memory_limit = memory_limit
        if not planned:
            self._connection.execute(
                "PRAGMA disable_optimizer"
            )  # of this connection, which nobody gets after
        self._described: dict[str, Table] = {}
        self._views: set[str] = set()
        self._made: set[str] = set()
        """Tables that are there for sure: to try to make one again would end a transaction."""
        self._files = 0

    @classmethod
    def open(
        cls,
        snapshot: Snapshot | None,
        *,
        memory_limit: str = "1GB",
        threads: int = 2,
        spill_mb: int = 0,
        planned: bool = True,
    ) -> Self:
        """Return an engine with the tables of a snapshot; all of them empty when there is none.

        Not `planned`, statements run as they are written: for few rows that costs less than to look for a better way.
        """
        engine = cls(memory_limit=memory_limit, threads=threads, spill_mb=spill_mb, planned=planned)
        engine.load(snapshot)
        return engine

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back memory and temporary files."""
        self._borrowed.close()
        self._folder.cleanup()

    def load(self, snapshot: Snapshot | None) -> None:
        """Make every source and joined table of the schema; one the snapshot lacks is empty.

        What is small is held in memory; the rest is read from its Parquet file on each use.
        """
        for table in schema_tables().values():
            if table.kind == "fact":
                continue
            path = snapshot.tables(table.name) if snapshot else None
            columns = sql_columns(table)
            if path is None:
                self._create(table.name, columns)
            else:
                kind = "TABLE" if table.small and path.stat().st_size <= _HELD_BYTES else "VIEW"
                source = from_parquet(self._connection, path, columns)
                self._connection.execute(f"CREATE {kind} {name(table.name)} AS SELECT * FROM {source}")
                self._made.add(table.name)
                if kind == "VIEW":
                    self._views.add(table.name)
        self._leave_out()

    def _leave_out(self) -> None:
        """Empty the tables that the engine of their scan could not read: the same evidence, the same verdict."""
        left = "SELECT DISTINCT table_name AS name FROM coverage WHERE source = 'engine' AND NOT complete"
        for (table,) in self._connection.execute(f"{left} ORDER BY name").fetchall():
            kind = "VIEW" if table in self._views else "TABLE"
            self._connection.execute(f"DROP {kind} {name(table)}")
            self._views.discard(table)
            self._create(table, sql_columns(schema_tables()[table]))

    def attach(self, table: str, path: Path) -> None:
        """Make a view of a Parquet file that `export` wrote."""
        self._connection.execute(
            f"CREATE OR REPLACE VIEW {name(table)} AS SELECT * FROM read_parquet({quoted(str(path))})"
        )
        self._views.add(table)

    def _create(self, table: str, columns: Mapping[str, str]) -> None:
        listed = ", ".join(f"{name(column)} {kind}" for column, kind in columns.items())
        self._connection.execute(self._parsed(f"CREATE TABLE {name(table)} ({listed})"))
        self._made.add(table)

    def run(self, step: str, sql: str) -> None:
        """Make the table `step` from one SELECT."""
        self._connection.execute(self._parsed(f"CREATE OR REPLACE TABLE {name(step)} AS {sql}"))
        self._made.add(step)

    def without_rows(self, table: str, like: str) -> None:
        """Make a table that has the columns of another of the schema, and no rows."""
        columns = sql_columns(schema_tables()[like])
        listed = ", ".join(f"{name(column)} {kind}" for column, kind in columns.items())
        self._connection.execute(self._parsed(f"CREATE OR REPLACE TABLE {name(table)} ({listed})"))
        self._made.add(table)

    def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        """Run one statement for what it does."""
        if dropped := _DROPPED.match(sql):
            self._made.discard(dropped[1])
        self._connection.execute(self._parsed(sql), list(params))

    def _parsed(self, sql: str) -> Statement | str:
        """Return a statement parsed, no name in it looked up, once its text was met before; the text until then."""
        known = _PARSED.get(sql)
        if known is None:
            if len(_PARSED) >= _MOST_PARSED:
                _PARSED.clear()
            met = sql in _PARSED
            _PARSED[sql] = None
            if met and len(found := self._connection.extract_statements(sql)) == 1:
                known = _PARSED[sql] = found[0]
        return known or sql

    def insert(
        self,
        table: str,
        rows: Iterable[Mapping[str, Any]],
        *,
        columns: Mapping[str, Type] | None = None,
    ) -> None:
        """Append rows to a table, made when it is not there; `columns` for one the schema lacks."""
        described = self._table(table, columns)
        made = Lines(described)
        texts = map(made.fed, rows)
        few = list(islice(texts, _FEW))
        if len(few) < _FEW and sum(map(len, few)) <= _FEW_BYTES:
            if few:
                said = f"[{b','.join(few).decode()}]"
                self._append(table, sql_columns(described), from_text(sql_columns(described)), [said])
            elif not self._kinds(table):
                self._create(table, sql_columns(described))
            return
        self._files += 1
        path = self._dir / f"insert-{self._files}.ndjson"
        longest = 0
        with path.open("wb") as file:
            for text in chain(few, texts):
                longest = max(longest, len(text))
                file.write(text + b"\n")
        self._append(table, sql_columns(described), from_ndjson(path, sql_columns(described), longest))
        path.unlink()

    def add(self, table: str, other: str, *, last: bool = False) -> None:
        """Append the rows of another table, which has the same columns; with `last` the other is gone afterwards.

        Then, if it may stand for the table as it is, the fewer rows are put to the more.
        """
        kinds = self._kinds(table)
        into, of = table, other
        if last and list(self._kinds(other).items()) == list(kinds.items()) and table not in self._views:
            into, of = other, table
        listed = ", ".join(map(name, kinds))
        self._writable(into)
        self._connection.execute(
            self._parsed(f"INSERT INTO {name(into)} ({listed}) SELECT {listed} FROM {name(of)}")
        )
        if last:
            self._drop(of)
        if into is other:
            self._connection.execute(f"ALTER TABLE {name(other)} RENAME TO {name(table)}")
            self._made.discard(other)
            self._made.add(table)

    def _append(self, table: str, kinds: Mapping[str, str], source: str, params: Sequence[Any] = ()) -> None:
        """Append a relation to a table, made when it is not there."""
        import duckdb

        listed = ", ".join(map(name, kinds))
        rows = f"SELECT {listed} FROM {source}"
        if table not in self._made:
            try:
                self._connection.execute(self._parsed(f"CREATE TABLE {name(table)} AS {rows}"), params)
            except duckdb.CatalogException:
                self._made.add(table)  # by `execute`
            else:
                self._made.add(table)
                return
        self._writable(table)
        self._connection.execute(self._parsed(f"INSERT INTO {name(table)} ({listed}) {rows}"), params)

    def _table(self, table: str, columns: Mapping[str, Type] | None) -> Table:
        if columns is not None:
            listed = tuple(Column(column, kind, "") for column, kind in columns.items())
            self._described[table] = Table(table, "", (), listed)
        found = self._described.get(table) or schema_tables().get(table)
        if found is None:
            raise KeyError(f"{table} is not in the schema: say its columns")
        return found

    def _writable(self, table: str) -> None:
        """Turn a view on Parquet into a table, so that rows can be added."""
        if table in self._views:
            self._connection.execute(f"CREATE TABLE _held AS SELECT * FROM {name(table)}")
            self._connection.execute(f"DROP VIEW {name(table)}")
            self._connection.execute(f"ALTER TABLE _held RENAME TO {name(table)}")
            self._views.remove(table)

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Return the rows of a query, its times aware.

        A column is decoded where the schema knows its name as JSON and never as anything else.
        """
        return list(self.stream(sql, params))

    def stream(self, sql: str, params: Sequence[Any] = ()) -> Iterator[dict[str, Any]]:
        """Yield what `rows` returns, some at a time; ask nothing else meanwhile."""
        yield from self._stream(sql, params, always_json())

    def table(self, table: str) -> list[dict[str, Any]]:
        """Return a table, ordered by its key, decoded exactly as the schema types it."""
        return list(self.each(table))

    def each(self, table: str, sql: str = "") -> Iterator[dict[str, Any]]:
        """Yield the rows of a table as `table` returns them, or those of a query of its columns, in its order."""
        described = self._described.get(table) or schema_tables()[table]
        order = ", ".join(map(name, described.key or tuple(c.name for c in described.columns)))
        return self._stream(sql or f"SELECT * FROM {name(table)} ORDER BY {order}", (), json_of(described))

    def streamed(self, table: str, columns: Sequence[str], where: str = "") -> Collection[dict[str, Any]]:
        """Return some columns of a table's rows, those where `where` holds, read anew by each reader.

        They come in the order of `each`, or of all the table's columns.
        """
        described = self._described.get(table) or schema_tables().get(table)
        if described is None:
            json, order = always_json(), tuple(self._kinds(table))
        else:
            json, order = json_of(described), described.key or tuple(c.name for c in described.columns)
        rows = f"FROM {name(table)} WHERE {where}" if where else f"FROM {name(table)}"
        sql = f"SELECT {', '.join(map(name, columns))} {rows} ORDER BY {', '.join(map(name, order))}"
        return Streamed(lambda: self._stream(sql, (), json, apart=True), lambda: self._count(rows))

    def _count(self, rows: str) -> int:
        return int(self.rows(f"SELECT count(*) AS n {rows}")[0]["n"])

    def _stream(
        self, sql: str, params: Sequence[Any], json: frozenset[str], *, apart: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows of a query; `apart` on a connection of its own, so that others may ask meanwhile."""
        connection = self._borrowed.another() if apart else self._connection
        try:
            found = connection.execute(self._parsed(sql), list(params))
            described = found.description or ()
            names = [column[0] for column in described]
            # Column by column: a Python call a value costs more than the query.
            decode = [
                (place, decoded)
                for place, (column, kind, *_) in enumerate(described)
                if (decoded := decoding(str(kind), column in json))
            ]
            while batch := found.fetchmany(1000):
                rows: Iterable[Sequence[Any]] = batch
                if decode:
                    columns: list[Sequence[Any]] = list(zip(*batch, strict=True))
                    for place, decoded in decode:
                        columns[place] = decoded(columns[place])
                    rows = zip(*columns, strict=True)
                yield from map(dict, map(zip, repeat(names), rows))
        finally:
            if apart:
                connection.close()

    def digest(self, table: str) -> str:
        """Return the digest of a table, as `canonical.py` defines it."""
        return digest(self._connection, name(table), self._kinds(table))

    def keep_only(self, tables: Collection[str]) -> None:
        """Drop every other table that is here: nobody reads them again."""
        for table in sorted(self._made.difference(tables)):
            self._drop(table)
        self._give_back()

    def _drop(self, table: str) -> None:
        kind = "VIEW" if table in self._views else "TABLE"
        self._connection.execute(f"DROP {kind} IF EXISTS {name(table)}")
        self._views.discard(table)
        self._made.discard(table)

    def _give_back(self) -> None:
        """Return the memory of dropped tables: DuckDB keeps it for itself until a limit is set, be it the same one."""
        self._connection.execute(f"SET memory_limit = {quoted(self._memory_limit)}")

    def export(self, table: str, path: Path, *, last: bool = False) -> str:
        """Write a table to Parquet in the order of its lines and return its digest, as `canonical.py` defines it.

        The lines are sorted outside the database: its own sort needs the whole table in memory, twice. With `last` the
        table is dropped once they are written.
        """
        kinds = self._kinds(table)
        ordered = self._dir / "export.ndjson"
        sha = hashlib.sha256()
        longest = 0
        with ordered.open("wb") as file:
            for text in sorted_texts(lines(self._connection, name(table), kinds)):
                raw = text.encode() + b"\n"
                sha.update(raw)
                longest = max(longest, len(raw))
                file.write(raw)
        if longest and last:
            self._drop(table)
            self._give_back()
        source = from_ndjson(ordered, kinds, longest) if longest else name(table)
        self._connection.execute(
            f"COPY (SELECT * FROM {source}) TO {quoted(str(path))} "
            "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480)"
        )
        ordered.unlink()
        return sha.hexdigest()

    def jsonl(self, table: str, path: Path) -> None:
        """Write a table as the sorted lines its digest is made of."""
        with path.open("wb") as file:
            for text in sorted_texts(lines(self._connection, name(table), self._kinds(table))):
                file.write(text.encode() + b"\n")

    def _kinds(self, table: str) -> dict[str, str]:
        """Return the SQL type of each column; nothing when there is no such table."""
        import duckdb

        try:
            found = self._connection.execute(f"SELECT * FROM {name(table)} LIMIT 0").description
        except duckdb.CatalogException:
            return {}
        return {column[0]: str(column[1]) for column in found or ()}
