"""Files and texts of rows as SQL relations: what a statement reads in the place of a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.canonical import name, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def from_ndjson(path: Path, columns: Mapping[str, str], longest: int) -> str:
    """Return the SQL relation that reads a file of NDJSON whose longest line is `longest` bytes."""
    fields = ", ".join(f"{quoted(column)}: {quoted(kind)}" for column, kind in columns.items())
    biggest = max(2 * longest, 1 << 20)
    return (
        f"read_json({quoted(str(path))}, format = 'newline_delimited', "
        f"compression = 'uncompressed', maximum_object_size = {biggest}, "
        f"columns = {{{fields}}})"
    )


def from_text(columns: Mapping[str, str], text: str = "?") -> str:
    """Return the SQL relation that reads its one parameter, or the SQL `text`: a JSON list of rows that is not long.

    A row is read below where it is taken apart: else it is read once for each of its columns.
    """
    shape = quoted(json.dumps(dict(columns)))
    return (
        f"(SELECT unnest(row) FROM (SELECT from_json_strict(said, {shape}) AS row "
        f"""FROM (SELECT unnest(from_json_strict({text}, '["JSON"]')) AS said)))"""
    )


_FILES = 4096
_HAVE: dict[tuple[int, int, int, int], frozenset[str]] = {}
"""The columns of files that were described before: a scan reads each of its tables several times."""


def described_as(path: Path, columns: Iterable[str]) -> frozenset[str]:
    """Remember which columns a file has, as it is now: whoever wrote it need not ask."""
    if len(_HAVE) >= _FILES:
        _HAVE.clear()
    have = _HAVE[_this(path)] = frozenset(columns)
    return have


def _this(path: Path) -> tuple[int, int, int, int]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size


def from_parquet(connection: DuckDBPyConnection, path: Path, columns: Mapping[str, str]) -> str:
    """Return the SQL relation of a Parquet file with exactly `columns`: what it lacks is NULL."""
    file = f"read_parquet({quoted(str(path))})"
    have = _HAVE.get(_this(path))
    if have is None:
        described = connection.execute(f"DESCRIBE SELECT * FROM {file}").fetchall()
        have = described_as(path, (row[0] for row in described))
    picked = ", ".join(
        f"{name(column) if column in have else 'NULL'}::{kind} AS {name(column)}"
        for column, kind in columns.items()
    )
    return f"(SELECT {picked} FROM {file})"
