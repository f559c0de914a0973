"""Refs made into the rows they name, from the tables of a snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from auditor.schema import Table, tables

if TYPE_CHECKING:
    from auditor.snapshot import Snapshot

MOST = 5
"""Rows that one ref shows when it names a whole directory."""


class Evidence:
    """The rows of one snapshot, found by ref."""

    def __init__(self, snapshot: Snapshot) -> None:
        from auditor.canonical import connect

        self._snapshot = snapshot
        self._connection = connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def rows(self, table: str, key: str) -> list[tuple[str, dict[str, Any]]]:
        """Return (table, row) of what a ref names: a fact stands for the collected rows it was made from."""
        described = tables().get(table)
        if described is None:
            return []
        if described.kind != "fact":
            return [(table, row) for row in self._find(described, key)]
        found: list[tuple[str, dict[str, Any]]] = []
        for source in dict.fromkeys(name for name, _ in described.listed_by):
            found += [(source, row) for row in self._find(tables()[source], key)]
        return found

    def _find(self, table: Table, key: str) -> Iterator[dict[str, Any]]:
        from auditor.canonical import loaded, sql_columns
        from auditor.relations import from_parquet

        path: Path | None = self._snapshot.tables(table.name)
        if path is None:
            return
        columns = sql_columns(table)
        source = from_parquet(self._connection, path, columns)
        forms = list(_forms(table))
        where = " OR ".join(f"{form} = ?" for form in forms)
        order = ", ".join(table.key)
        sql = f"SELECT * FROM {source} WHERE {where} ORDER BY {order} LIMIT {MOST}"
        for row in self._connection.execute(sql, [key] * len(forms)).fetchall():
            yield loaded(table, dict(zip(columns, row, strict=True)))


def _forms(table: Table) -> Iterator[str]:
    """Yield the ways in which a key names a row: its parts joined by `/`, the last by `@`; a directory."""
    parts = [f"CAST({name} AS VARCHAR)" for name in table.key]
    yield " || '/' || ".join(parts)
    if len(parts) > 1:
        yield " || '/' || ".join(parts[:-1]) + f" || '@' || {parts[-1]}"
    if {"bucket", "dir"} <= {column.name for column in table.columns}:
        yield "bucket || '/' || dir"
    if table.name == "directory_user":
        yield "email"
        yield "subject"


def lines(evidence: Evidence, refs: Iterable[Sequence[str]], *, indent: str = "  ") -> list[str]:
    """Return the raw record behind each ref as `key: value` lines."""
    from auditor.cli._text import safe

    told: list[str] = []
    for table, key in dict.fromkeys((ref[0], ref[1]) for ref in refs):
        told.append(f"{indent}{safe(table)} {safe(key)}")
        found = evidence.rows(table, key)
        for name, row in found:
            if name != table:
                told.append(f"{indent}  from {name}:")
            told += _record(row, f"{indent}    ")
        if not found:
            told.append(f"{indent}    ({_absent(table)})")
    return told


def _absent(table: str) -> str:
    if table == "export":
        return "derived: `auditor exports show ID --walkthrough` follows it to its records"
    described = tables().get(table)
    derived = described is not None and described.kind == "fact"
    return "derived; no single record stands behind it" if derived else "this snapshot holds no such row"


def _record(row: Mapping[str, Any], indent: str) -> Iterator[str]:
    """Yield a row as `key  value` lines, the long ones folded under their value."""
    import json
    from datetime import datetime

    from auditor.cli._answer import stamp
    from auditor.cli._text import folded, safe

    width = max(map(len, row), default=0)
    for name, value in row.items():
        if isinstance(value, datetime):
            said = str(stamp(value))
        elif value is None:
            said = "not known"
        elif isinstance(value, bool):
            said = "yes" if value else "no"
        elif isinstance(value, str | int):
            said = str(value)
        else:
            said = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
        lead = f"{indent}{name:<{width}}  "
        yield from folded(lead, safe(said) or "(empty)")
