r"""Rows in canonical form: what is stored, what is hashed, and the SQL that says the same.

**Digest of a table**: each row is a line of canonical JSON: every column of the schema in sorted
order, separators `,` and `:`, no ASCII escaping, times as `2026-01-05T06:00:00.000000Z`, a JSON
column as the text it holds, NULL as `null`, ending in a line feed. The lines are sorted by code
point and hashed with SHA-256. The standard library recomputes it from a table's JSONL file:
`sha256("".join(sorted(lines)))`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from auditor.runs import sorted_lines

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from auditor.schema import Column, Table, Type

LONGEST = 65_536
"""Bytes of the longest text that is stored whole."""
SQL_TYPES: Mapping[Type, str] = {
    "TEXT": "VARCHAR",
    "INT": "BIGINT",
    "BOOL": "BOOLEAN",
    "TIME": "TIMESTAMP",
    "JSON": "VARCHAR",
}
"""DuckDB's type of each type of the schema."""

_UNSAFE = re.compile("[\0\ud800-\udfff\ufdd0-\ufdef]")
_UNSAFE_JSON = re.compile(r"[\ud800-\udfff\ufdd0-\ufdef]|\\u0000")
_QUOTE = re.compile(r'(?<!\\)"')
_INT64 = range(-(2**63), 2**63)
EMPTY = hashlib.sha256().hexdigest()
"""The digest of a table without rows."""


def safe_text(text: str) -> str:
    r"""Return `text` with NUL, lone surrogates and noncharacters U+FDD0-FDEF written as `\uXXXX`.

    Neither UTF-8 nor SQLite can hold the first two; the digest of a table needs the last.
    """
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def cut(text: str, limit: int = LONGEST) -> str:
    """Return `text`, or its first bytes and the size and SHA-256 of what it was: `limit` in all."""
    if len(text) * 4 <= limit:
        return text
    whole = text.encode("utf-8", "surrogatepass")
    if len(whole) <= limit:
        return text
    digest = hashlib.sha256(whole).hexdigest()
    end = f" …[cut: {len(whole)} bytes, sha256 {digest}]"
    return whole[: limit - len(end.encode())].decode("utf-8", "ignore") + end


def stamp(at: datetime) -> str:
    """Return a time as ISO 8601 in UTC with microseconds and `Z`; ValueError without a zone."""
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone")
    said = (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat(timespec="microseconds")
    return said[:-6] + "Z"


def canonical(value: Any) -> str:
    """Return a value as canonical JSON; times become `stamp`, strings safe and not too long."""
    form = _dumps(value)
    if _UNSAFE_JSON.search(form) or (len(form) > LONGEST // 4 and _may_be_long(form)):
        form = _dumps(_safe(value))
    return form


def _may_be_long(form: str) -> bool:
    """Tell whether any string of JSON may be too long: none goes beyond a quote that no backslash stands before."""
    return max(map(len, _QUOTE.split(form))) > LONGEST // 4


def _dumps(value: Any) -> str:
    return _ENCODER.encode(value)


def _default(value: Any) -> str:
    if isinstance(value, datetime):
        return stamp(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_default
)


def _safe(value: Any) -> Any:
    if isinstance(value, str):
        return safe_text(cut(value))
    if isinstance(value, Mapping):
        return {safe_text(cut(str(key))): _safe(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_safe(inner) for inner in value]
    return value


def stored(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as it is stored, every column present; ValueError where it does not fit."""
    if not values.keys() <= (names := {column.name for column in table.columns}):
        raise ValueError(f"{table.name} has no column {min(values.keys() - names)}")
    return {column.name: _stored(table, column, values.get(column.name)) for column in table.columns}


def line(table: Table, values: Mapping[str, Any]) -> str:
    """Return the line of a row, as it is hashed; ValueError where it does not fit."""
    return _dumps(stored(table, values))


_PLAIN: Mapping[Type, type] = {"TEXT": str, "INT": int, "BOOL": bool}
_FLAT = frozenset((str, int, bool, type(None)))


_MOST_SHAPES = 4096


class Lines:
    """Makes the lines of one table's rows: the bytes of `line`, in an eighth of its time.

    What is plain, as almost everything is, orjson encodes; the rest goes by `line`. tests/test_canonical_lines.py
    holds the two to each other.
    """

    def __init__(self, table: Table) -> None:
        from orjson import OPT_SORT_KEYS, OPT_UTC_Z, dumps, loads

        self._dumps, self._loads, self._sorted, self._z = dumps, loads, OPT_SORT_KEYS, OPT_UTC_Z
        self._table = table
        ordered = sorted(table.columns, key=lambda column: column.name)
        self._columns = [(column.name, column.type) for column in ordered]
        self._empty = dict.fromkeys(column.name for column in ordered)
        self._key = table.key
        self._shapes: dict[tuple[type, ...], _Shape | None] = {}

    def line(self, values: Mapping[str, Any]) -> bytes:
        """Return the line of a row, without line feed; ValueError or TypeError where it does not fit."""
        return self._both(values)[1]

    def fed(self, values: Mapping[str, Any]) -> bytes:
        """Return what an engine reads the row of a line from, its times spelled as they come."""
        return self._both(values, spelled=False)[1]

    def record(self, values: Mapping[str, Any]) -> bytes:
        """Return the row's key as JSON, a tab, `1`, a tab, its line and a line feed."""
        row, said = self._both(values)
        return self._dumps([row[column] for column in self._key]) + b"\t1\t" + said + b"\n"

    def elder(self, text: str) -> bytes:
        """Return the record of a carried row from its line: it sorts before one that has the same key."""
        row = self._loads(text)
        return self._dumps([row[column] for column in self._key]) + f"\t0\t{text}\n".encode()

    def _both(self, values: Mapping[str, Any], *, spelled: bool = True) -> tuple[Mapping[str, Any], bytes]:
        if (row := self._quick(values, spelled)) is not None:
            try:
                said = self._dumps(row, option=self._z)
            except TypeError:  # a lone surrogate
                said = b"\\u0000"
            # No text in it can be too long; U+FDD0-FDEF start with these two bytes.
            if (
                len(said) <= LONGEST // 4
                and b"\\u0000" not in said
                and (said.isascii() or b"\xef\xb7" not in said)
            ):
                return row, said
        slow = stored(self._table, values)
        return slow, _dumps(slow).encode()

    def _quick(self, values: Mapping[str, Any], spelled: bool) -> dict[str, Any] | None:
        """Return the columns as they are encoded; None when a value is not plain."""
        row: dict[str, Any] = {**self._empty, **values}
        if len(row) != len(self._empty):
            return None
        kinds = tuple(map(type, row.values()))
        shape = self._shapes.get(kinds) or self._shape(kinds)
        if shape is None:
            return None
        ints, times, jsons = shape
        for name in ints:
            if row[name] not in _INT64:
                return None
        for name in times:
            if spelled or row[name].tzinfo is not UTC:
                row[name] = stamp(row[name])
        for name in jsons:
            row[name] = self._json(row[name]) or canonical(row[name])
        return row

    def _shape(self, kinds: tuple[type, ...]) -> _Shape | None:
        """Return which columns of a row of such types need a look; None when one is not plain. Rows are much alike."""
        found: _Shape | None = ([], [], [])
        for (name, column), kind in zip(self._columns, kinds, strict=True):
            if kind is type(None) or (kind is _PLAIN.get(column) and kind is not int) or found is None:
                continue
            if column == "INT" and kind is int:
                found[0].append(name)
            elif column == "TIME" and kind is datetime:
                found[1].append(name)
            elif column == "JSON":
                found[2].append(name)
            else:
                found = None
        if len(self._shapes) >= _MOST_SHAPES:
            self._shapes.clear()
        self._shapes[kinds] = found
        return found

    def _json(self, value: Any) -> str | None:
        """Return the canonical JSON of what is plain; None for the rest."""
        if not _plain(value):
            return None
        try:
            return self._dumps(value, option=self._sorted).decode()
        except TypeError:  # a lone surrogate, an integer that JSON elsewhere cannot hold
            return None


_Shape = tuple[list[str], list[str], list[str]]
"""Columns of a row that hold integers, times and JSON."""


def _plain(value: Any) -> bool:
    """Tell whether both encoders write a value alike: of a float or a time they do not."""
    kind = type(value)
    if kind is list or kind is tuple:
        for each in value:  # noqa: SIM110 - a generator takes twice as long
            if type(each) not in _FLAT and not _plain(each):
                return False
        return True
    if kind is dict:
        for key, each in value.items():  # noqa: SIM110
            if type(key) is not str or (type(each) not in _FLAT and not _plain(each)):
                return False
        return True
    return kind in _FLAT


def _stored(table: Table, column: Column, value: Any) -> str | int | bool | None:
    if value is None:
        return None
    match column.type:
        case "TEXT" if isinstance(value, str):
            return safe_text(cut(value))
        case "INT" if isinstance(value, int) and not isinstance(value, bool) and value in _INT64:
            return int(value)
        case "BOOL" if isinstance(value, bool):
            return value
        case "TIME" if isinstance(value, datetime):
            return stamp(value)
        case "JSON":
            return canonical(value)
    raise ValueError(f"{table.name}.{column.name} is {column.type}, not {type(value).__name__} {value!r:.80}")


def loaded(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored row with aware times and JSON columns decoded: what `stored` was given."""
    row = dict(values)
    for column, decoded in _decoding(table):
        value = row.get(column)
        if value is not None:
            row[column] = decoded(value)
    return row


_DECODING: dict[str, tuple[Table, tuple[tuple[str, Callable[[Any], Any]], ...]]] = {}


def _decoding(table: Table) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """Return the columns of a table that are not handed out as they are stored, and what reads each."""
    known = _DECODING.get(table.name)
    if known is None or known[0] is not table:  # a table's description takes long to hash
        told = tuple((c.name, _DECODED[c.type]) for c in table.columns if c.type in _DECODED)
        known = _DECODING[table.name] = table, told
    return known[1]


def aware(value: datetime | str) -> datetime:
    """Return a time as the engine or a line holds it, in UTC."""
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


_DECODED: Mapping[str, Callable[[Any], Any]] = {"JSON": json.loads, "TIME": aware}


# The SQL that the snapshot and the engine share.

_CAPITALS = re.compile(r"\\(?:u(00[01][0-9A-F])|.)")
"""DuckDB writes a control character as `\\u000B`, the standard library as `\\u000b`."""


def connect(
    *, memory_limit: str = "64MB", threads: int = 1, spill: Path | None = None, spill_mb: int = 0
) -> DuckDBPyConnection:
    """Open an in-memory DuckDB in UTC that loads no extension and spills to `spill`, `spill_mb` at most; 0: no limit."""
    import duckdb

    config: dict[str, Any] = {
        "threads": threads,
        "async_threads": 0,
        "memory_limit": memory_limit,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    if spill is not None:
        config["temp_directory"] = str(spill)
    connection = duckdb.connect(config=config)
    if spill is not None and spill_mb:
        # As part of `config` DuckDB 2.0.0 shows this setting and does not keep to it.
        connection.execute(f"SET max_temp_directory_size = '{spill_mb}MB'")
    return connection


def reader() -> DuckDBPyConnection:
    """Return a connection of its own to the one DuckDB of this process that reads Parquet; close it after use.

    To start a DuckDB costs as much as to read a hundred small tables.
    """
    with _READING:
        return _reading(os.getpid()).cursor()


_READING = Lock()


@lru_cache(maxsize=1)
def _reading(_pid: int) -> DuckDBPyConnection:
    """Open it once a process: a forked one must not use its parent's."""
    return connect(memory_limit="128MB")


def quoted(text: str) -> str:
    """Return `text` as a SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def name(identifier: str) -> str:
    """Return an identifier quoted for SQL."""
    return '"' + identifier.replace('"', '""') + '"'


def row_line(columns: Mapping[str, str]) -> str:
    """Return the SQL expression of a row's line, from the SQL type of each column; see `lines` for what it lacks.

    One call for the whole row: an expression a column takes DuckDB ten times longer to plan than to run.
    """
    fields: list[str] = []
    for column in sorted(columns):
        this = name(column)
        said = f"strftime({this}, '%Y-%m-%dT%H:%M:%S.%fZ')" if columns[column] == "TIMESTAMP" else this
        fields.append(f"{this} := {said}")
    return f"to_json(struct_pack({', '.join(fields)}))::VARCHAR"


def sorted_texts(texts: Iterable[str]) -> Iterator[str]:
    """Yield texts without line feeds sorted by code point, few of them in memory.

    DuckDB's own sort was tried: on one thread it fails at its memory limit instead of spilling.
    """
    for block in sorted_lines(text.encode() + b"\n" for text in texts):
        for each in block:
            yield each[:-1].decode()


def lines(connection: DuckDBPyConnection, source: str, columns: Mapping[str, str]) -> Iterator[str]:
    """Yield the line of each row of a relation, without line feed, in no order."""
    found = connection.execute(f"SELECT {row_line(columns)} FROM {source}")
    while batch := found.fetchmany(1000):
        for (text,) in batch:
            yield _CAPITALS.sub(_small, text) if "\\u00" in text else text


def _small(escape: re.Match[str]) -> str:
    return f"\\u{escape[1].lower()}" if escape[1] else escape[0]


def digest(connection: DuckDBPyConnection, source: str, columns: Mapping[str, str]) -> str:
    """Return the digest of a relation; the module's docstring says how it is made."""
    return digest_of(lines(connection, source, columns))


def digest_of(texts: Iterable[str]) -> str:
    """Return the digest of lines in any order."""
    return digest_of_blocks(sorted_lines(text.encode() + b"\n" for text in texts))


def digest_of_blocks(blocks: Iterable[list[bytes]]) -> str:
    """Return the digest of lines that are sorted and end in line feeds."""
    sha = hashlib.sha256()
    for block in blocks:
        sha.update(b"".join(block))
    return sha.hexdigest()


def sql_columns(table: Table) -> dict[str, str]:
    """Return the SQL type of each column of a table of the schema."""
    return {column.name: SQL_TYPES[column.type] for column in table.columns}
