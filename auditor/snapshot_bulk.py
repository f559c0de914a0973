"""Tables that come as Parquet files: many millions of rows become one file of the snapshot without a row in Python.

The file is not sorted: to order five million object versions by key takes three times the processor time of writing
them, and nothing that is derived from them depends on their order. So the same files give the same bytes, and what is
hashed is the file (`parquet:<SHA-256>`), not its lines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.canonical import connect, name, quoted, sql_columns
from auditor.relations import from_ndjson, from_parquet

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from auditor.schema import Table

DIGEST = "parquet:"
"""What the digest of a table begins with whose file is hashed, not its lines."""
MEMORY = "320MB"
"""What DuckDB may hold while it unites files; the rest goes to disk."""
WRITTEN = "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 61440)"
"""How large tables are written. Level 1: the usual one takes half as long again, for files that are not smaller."""


def accepted(connection: DuckDBPyConnection, table: Table, path: Path) -> None:
    """Check that a file has the columns of a table and a key in every row; ValueError says what is wrong."""
    import duckdb

    file = f"read_parquet({quoted(str(path))})"
    try:
        found = {row[0]: row[1] for row in connection.execute(f"DESCRIBE SELECT * FROM {file}").fetchall()}
        if found != sql_columns(table):
            odd = sorted(found.items() ^ sql_columns(table).items())
            raise ValueError(f"{path.name} has not the columns of {table.name}: {odd[0][0]} {odd[0][1]}")
        missing = " OR ".join(f"{name(column)} IS NULL" for column in table.key)
        if connection.execute(f"SELECT 1 FROM {file} WHERE {missing} LIMIT 1").fetchone():
            raise ValueError(f"{path.name} has a row of {table.name} without a key")
    except duckdb.Error as error:
        raise ValueError(f"{path.name} cannot be read: {str(error).splitlines()[0]}") from error


def by_place(connection: DuckDBPyConnection, table: Table, path: Path) -> dict[tuple[str, str], int]:
    """Count the rows of a file by account (or project) and region; `*` where a table has no such column."""
    have = {column.name for column in table.columns}
    account = next((each for each in ("account", "project") if each in have), None)
    picked = [
        f"coalesce(nullif({each}, ''), '*')" if each else "'*'"
        for each in (account, "region" if "region" in have else None)
    ]
    found = connection.execute(
        f"SELECT {', '.join(picked)}, count(*) FROM read_parquet({quoted(str(path))}) GROUP BY ALL"
    ).fetchall()
    return {(row[0], row[1]): row[2] for row in sorted(found)}


def united(
    table: Table,
    parts: Sequence[Path],
    rows: tuple[Path, int] | None,
    carried: Path | None,
    into: Path,
    *,
    spill: Path,
) -> int:
    """Write one Parquet file of all rows, one a key, and return how many there are.

    `rows`: NDJSON and its longest line, the newest word on a key; then come `parts`, then what is `carried`. Of
    several rows of one rank with one key the greatest stays, the same in any order.
    """
    with connect(
        memory_limit=MEMORY, spill=spill / "united"
    ) as connection:  # one thread: rows stay in their order
        columns = sql_columns(table)
        ranks: list[str] = []
        if rows is not None:
            connection.execute(
                f"CREATE TABLE _rows AS SELECT * FROM {from_ndjson(rows[0], columns, rows[1])}"
            )
            ranks.append("SELECT * FROM _rows")
        if parts:
            listed = ", ".join(quoted(str(part)) for part in parts)
            ranks.append(_picked(columns, f"read_parquet([{listed}])"))
        if carried is not None:
            ranks.append(f"SELECT * FROM {from_parquet(connection, carried, columns)}")
        for rank, relation in enumerate(ranks):
            connection.execute(f"CREATE VIEW _rank{rank} AS {relation}")
        every = _one_a_key(connection, table, len(ranks))
        found = connection.execute(f"COPY ({every}) TO {quoted(str(into))} {WRITTEN}").fetchone()
        return int(found[0]) if found else 0


def _one_a_key(connection: DuckDBPyConnection, table: Table, ranks: int) -> str:
    """Return the query of all rows, where only the newest of each key is left.

    Keys that may be there twice are found by a hash of 64 bits, and only these are compared: the whole population is
    never sorted nor held.
    """
    keys = ", ".join(name(column) for column in table.key)
    hashed = " UNION ALL ".join(f"SELECT hash({keys}) AS h FROM _rank{rank}" for rank in range(ranks))
    connection.execute(f"CREATE TABLE _twice AS SELECT h FROM ({hashed}) GROUP BY h HAVING count(*) > 1")
    found = connection.execute("SELECT count(*) FROM _twice").fetchone()
    if not found or not found[0]:
        return " UNION ALL ".join(f"SELECT * FROM _rank{rank}" for rank in range(ranks))
    columns = [name(column) for column in sql_columns(table)]
    listed, order = ", ".join(columns), ", ".join(f"{column} DESC NULLS LAST" for column in columns)
    again = " UNION ALL ".join(
        f"SELECT {rank} AS _rank, * FROM _rank{rank} WHERE hash({keys}) IN (SELECT h FROM _twice)"
        for rank in range(ranks)
    )
    connection.execute(
        f"CREATE TABLE _kept AS SELECT {listed} FROM ({again}) "
        f"QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY _rank, {order}) = 1 ORDER BY {keys}"
    )
    once = [
        f"SELECT * FROM _rank{rank} WHERE hash({keys}) NOT IN (SELECT h FROM _twice)" for rank in range(ranks)
    ]
    return " UNION ALL ".join([*once, "SELECT * FROM _kept"])


def _picked(columns: dict[str, str], source: str) -> str:
    return f"SELECT {', '.join(map(name, columns))} FROM {source}"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
