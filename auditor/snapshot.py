"""One immutable scan on disk: typed Parquet tables and a manifest that hashes them all.

    <into>/<id>/manifest.json           canonical JSON; `id` is its SHA-256
    <into>/<id>/tables/<table>.parquet  zstd, ordered by the table's key; no file for an empty table. One that came in
                                        bulk is in the order it came, and its digest is that of the file
    <into>/<id>/SHA256SUMS              of the Parquet files: damage is found before it is parsed
    <into>/<id>/raw/<sha256>.gz         pages as they came, when the configuration keeps them

What is collected is a draft (`.draft-<id>`) until it is joined with what else a rule may read.
A folder appears by one rename after everything in it is on disk: `kill -9` leaves nothing half
visible. How a table's digest is made stands in `canonical.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING, Any, Self

from auditor import __version__
from auditor.canonical import (
    EMPTY,
    Lines,
    canonical,
    connect,
    digest,
    digest_of_blocks,
    lines,
    loaded,
    quoted,
    sql_columns,
    stamp,
)
from auditor.databases import Borrowed
from auditor.errors import VerificationError
from auditor.model import Window
from auditor.relations import described_as, from_ndjson, from_parquet
from auditor.runs import Runs
from auditor.schema import Table
from auditor.schema import tables as schema_tables
from auditor.snapshot_bulk import DIGEST, accepted, by_place, sha256_of, united
from auditor.tablefiles import PACKED, rows_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from auditor.schema import Table

SCHEMA = "auditor.snapshot/1"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One scan's evidence, immutable; judged again from itself alone."""

    id: str
    dir: Path
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open a snapshot; VerificationError when its manifest is not what its name says."""
        try:
            raw = (directory / "manifest.json").read_bytes()
            manifest = json.loads(raw)
        except (OSError, ValueError) as error:
            raise VerificationError(f"{directory} is not a snapshot: {error}") from error
        found = hashlib.sha256(raw).hexdigest()
        if found != directory.name.removeprefix(".draft-"):
            raise VerificationError(
                f"{directory}: manifest.json has changed; its SHA-256 is {found}",
                remedy="Restore the snapshot from a backup or a bundle.",
            )
        return cls(found, directory, manifest)

    @property
    def as_of(self) -> datetime:
        """The recorded time of the scan."""
        return datetime.fromisoformat(self.manifest["as_of"])

    @property
    def window(self) -> Window:
        """The time that was asked for."""
        window = self.manifest["window"]
        return Window(datetime.fromisoformat(window["from"]), datetime.fromisoformat(window["until"]))

    def tables(self, table: str) -> Path | None:
        """Return the Parquet file of a table; None when it has no rows."""
        path = self.dir / "tables" / f"{table}.parquet"
        return path if path.exists() else None

    def bulk(self, table: str) -> bool:
        """Tell whether a table came in bulk: then its file is what is hashed, not its lines."""
        return "sha256" in self.manifest["tables"].get(table, ())

    def rows(self, table: str, only: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        """Yield the rows of a table in the order of its key, times aware and JSON decoded.

        `only` names the columns that are wanted, those the table has not left out; empty: all.
        """
        path = self.tables(table)
        if path is None:
            return
        yield from rows_of(table, path, only)

    def verify(self) -> None:
        """Recompute every digest; VerificationError names the first table or page that differs."""
        listed = self.manifest["tables"]
        self._verify_files()
        known = {f"{table}.parquet" for table, entry in listed.items() if entry["rows"]}
        for path in sorted((self.dir / "tables").iterdir()):
            if path.name not in known:
                raise VerificationError(f"{self.dir}: tables/{path.name} is not in the manifest")
        with tempfile.TemporaryDirectory() as spill, connect(spill=Path(spill)) as connection:
            for table, entry in sorted(listed.items()):
                if (found := self._digest(connection, table)) != entry["digest"]:
                    raise VerificationError(
                        f"{self.dir}: table {table} has changed: its digest is {found}, "
                        f"the manifest says {entry['digest']}"
                    )
        self._verify_raw()

    def _verify_files(self) -> None:
        """Find damaged files before DuckDB parses them; what was forged, the digests find."""
        try:
            lines = (self.dir / "SHA256SUMS").read_text().splitlines()
        except OSError as error:
            raise VerificationError(f"{self.dir}: SHA256SUMS cannot be read: {error}") from error
        for each in lines:
            expected, _, file = each.partition("  ")
            try:
                found = hashlib.sha256((self.dir / file).read_bytes()).hexdigest()
            except OSError as error:
                found = f"unreadable ({error.strerror})"
            if found != expected:
                table = Path(file).stem
                raise VerificationError(
                    f"{self.dir}: table {table} has changed: {file} is {found}, not {expected}"
                )

    def _digest(self, connection: DuckDBPyConnection, table: str) -> str:
        import duckdb

        path = self.tables(table)
        if path is None:
            return EMPTY
        if self.bulk(table):
            return DIGEST + sha256_of(path)
        try:
            file = f"read_parquet({quoted(str(path))})"
            described = connection.execute(f"DESCRIBE SELECT * FROM {file}").fetchall()
            return digest(connection, file, {row[0]: row[1] for row in described})
        except (duckdb.Error, UnicodeDecodeError) as error:
            return f"unreadable ({str(error).splitlines()[0]})"

    def _verify_raw(self) -> None:
        import gzip
        import zlib

        for path in sorted((self.dir / "raw").glob("*.gz")):
            try:
                found = hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
            except (OSError, EOFError, zlib.error) as error:
                found = f"unreadable ({error})"
            if found != path.name.removesuffix(".gz"):
                raise VerificationError(f"{self.dir}: raw/{path.name} has changed: it is {found}")

    def joined(self, tables: Mapping[str, Iterable[Mapping[str, Any]]]) -> Snapshot:
        """Return this snapshot with the tables of `schema/joined.py` added, under its own id.

        A draft is replaced by it; a snapshot that was joined before stays as it is.
        """
        draft = self.dir.name.startswith(".draft-")
        with Writer(self.dir.parent) as writer:
            for part in ("tables", "raw"):
                _link(self.dir / part, writer.dir / part)
            for table, rows in tables.items():
                (writer.dir / "tables" / f"{table}.parquet").unlink(missing_ok=True)
                for row in rows:
                    writer.add(table, row)
            joined = writer.seal(self.manifest, only=tables.keys())
        if draft:
            shutil.rmtree(self.dir)
        return joined


def write(
    into: Path,
    tables: Mapping[str, Iterable[Mapping[str, Any]]],
    *,
    as_of: datetime,
    window: Window,
    about: Mapping[str, Any] | None = None,
) -> Snapshot:
    """Write a snapshot of rows at hand; `about` is added to its manifest."""
    with Writer(into) as writer:
        for table, rows in tables.items():
            for row in rows:
                writer.add(table, row)
        return writer.seal(head(as_of=as_of, window=window) | dict(about or {}))


def sweep(into: Path) -> None:
    """Remove what killed scans left half done; only for who holds the one right to scan."""
    for pattern in (".partial-*", ".draft-*", "*/.partial-*"):
        for path in into.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def head(*, as_of: datetime, window: Window) -> dict[str, Any]:
    """Return the part of a manifest that every snapshot has."""
    return {
        "as_of": stamp(as_of),
        "window": {"from": stamp(window.from_at), "until": stamp(window.until_at)},
    }


@dataclass(slots=True)
class _Spool:
    """The rows of one table on their way to disk."""

    file: IO[bytes]
    path: Path
    rows: int = 0
    sources: set[str] = field(default_factory=set)


class Writer:
    """Takes rows from many threads, keeps none of them in memory, and seals them as a snapshot."""

    def __init__(self, into: Path) -> None:
        into.mkdir(parents=True, exist_ok=True)
        self.into = into
        self.dir = Path(tempfile.mkdtemp(prefix=".partial-", dir=into))
        (self.dir / "tables").mkdir()
        self.raw = self.dir / "raw"
        self._spill = self.dir / "spill"
        self._spill.mkdir()
        self._schema = schema_tables()
        self._lines = _Made(self._schema)
        self._spools: dict[str, _Spool] = {}
        self._carried: dict[str, Path] = {}
        self._bulk: dict[str, list[tuple[Path, str]]] = {}
        """Parquet files of a table, each with the source it came from."""
        self._merged: set[str] = set()
        """Tables whose carried rows came in bulk."""
        self._lock = Lock()
        self.unwritten: OSError | None = None
        """Why a row could not be written: then no snapshot may be made of the others."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for spool in self._spools.values():
            spool.file.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def add(self, table: str, values: Mapping[str, Any], *, source: str = "") -> None:
        """Take one row; ValueError or TypeError when it does not fit the schema.

        Of several rows with one key in a snapshot one is kept, the same in any order.
        """
        record = self._lines[table].record(values)
        with self._lock:
            try:
                spool = self._spools.get(table) or self._open(table)
                spool.file.write(record)
            except OSError as error:
                self.unwritten = self.unwritten or error
                raise
            spool.rows += 1
            if source:
                spool.sources.add(source)

    def _open(self, table: str) -> _Spool:
        path = self._spill / f"{table}.records"
        spool = self._spools[table] = _Spool(path.open("wb"), path)
        return spool

    def bulk(self, table: str, path: Path, *, source: str = "") -> dict[tuple[str, str], int]:
        """Take a Parquet file of rows away from where it is; returns how many it has by account (or project) and region.

        Its columns are the table's; ValueError when they are not, or when a key is NULL. A row that is added takes
        the place of one in bulk.
        """
        described = self._schema[table]
        with connect(memory_limit="128MB") as connection:
            accepted(connection, described, path)
            counted = by_place(connection, described, path)
        with self._lock:
            parts = self._bulk.setdefault(table, [])
            target = self._spill / f"{table}.{len(parts)}.bulk"
            try:
                shutil.move(path, target)
            except OSError as error:
                self.unwritten = self.unwritten or error
                raise
            parts.append((target, source))
        return counted

    @property
    def spool(self) -> Path:
        """Where sources keep what is too large for memory; it goes with the writer."""
        return self._spill

    def carry(self, table: str, path: Path, *, bulk: bool = False) -> None:
        """Add the rows of an earlier Parquet file; a row that was taken now replaces its elder.

        `bulk`: they came in bulk, and stay so.
        """
        self._carried[table] = path
        if bulk:
            self._merged.add(table)

    def rows(self, table: str, only: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        """Yield the rows taken so far, then those in bulk and the carried ones they do not replace.

        `only` names the columns that are wanted of the latter, beside the table's key; empty: all.
        """
        described = self._schema[table]
        keys: set[tuple[Any, ...]] = set()
        with self._lock:
            spool = self._spools.get(table)
            taken = spool.rows if spool else 0
            if spool:
                spool.file.flush()
            elder = [path for path, _ in self._bulk.get(table, ())]
        elder += [self._carried[table]] if table in self._carried else []
        if spool and taken:
            with spool.path.open("rb") as file:
                for record in islice(file, taken):
                    row = json.loads(record[record.index(b"\t1\t") + 3 :])
                    if elder:
                        keys.add(tuple(row[column] for column in described.key))
                    yield loaded(described, row)
        for path in elder:
            for row in rows_of(table, path, (*described.key, *only) if only else ()):
                if tuple(_plain(row[column]) for column in described.key) not in keys:
                    yield row

    def seal(self, about: Mapping[str, Any], *, only: Iterable[str] = (), draft: bool = False) -> Snapshot:
        """Write tables and manifest and publish them under their id.

        `about` is the rest of the manifest: an earlier one when `only` names the new tables. OSError when a row
        could not be written, even if whoever added it went on.
        """
        if self.unwritten is not None:
            raise self.unwritten
        tables: dict[str, Any] = dict(about.get("tables", {}))
        todo = [table for table in self._schema if self._schema[table].kind != "fact"]
        with Borrowed(spill=self._spill / "duckdb") as connection:
            for table in todo:
                if table not in tables or table in only:
                    tables[table] = self._table(connection, table)
        for spool in self._spools.values():
            spool.file.close()
        shutil.rmtree(self._spill)
        whole = dict(about) | {"schema": SCHEMA, "product": __version__, "tables": tables}
        raw = (canonical(whole) + "\n").encode()
        (self.dir / "manifest.json").write_bytes(raw)
        (self.dir / "SHA256SUMS").write_text("".join(_sums(self.dir)))
        identity = hashlib.sha256(raw).hexdigest()
        final = self.into / (f".draft-{identity}" if draft else identity)
        _publish(self.dir, final)
        return Snapshot.open(final)

    def _table(self, connection: DuckDBPyConnection, table: str) -> dict[str, Any]:
        described = self._schema[table]
        columns = sql_columns(described)
        spool, carried = self._spools.get(table), self._carried.get(table)
        entry: dict[str, Any] = {"rows": 0, "digest": EMPTY, "sources": []}
        if table in self._bulk or table in self._merged:
            return self._in_bulk(described)
        if not spool and not carried:
            return entry
        ordered = self._spill / f"{table}.ordered"
        path = self.dir / "tables" / f"{table}.parquet"
        with Runs() as every:
            entry["rows"], longest = self._order(connection, table, ordered, every)
            entry["digest"] = digest_of_blocks(every.blocks())
        if (packed := PACKED.get(described, entry["digest"])) is not None:
            path.write_bytes(packed)
        else:
            source = from_ndjson(ordered, columns, longest)
            connection.execute(
                f"COPY (SELECT * FROM {source}) TO {quoted(str(path))} "
                "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480)"
            )
            PACKED.keep(described, entry["digest"], path)
        described_as(path, columns)
        ordered.unlink()
        entry["sources"] = sorted(spool.sources) if spool else []
        return entry

    def _in_bulk(self, described: Table) -> dict[str, Any]:
        """Write a table that came in bulk, with the rows beside it, as one Parquet file; no row passes through Python."""
        parts, spool = self._bulk.get(described.name, []), self._spools.get(described.name)
        path = self.dir / "tables" / f"{described.name}.parquet"
        rows = united(
            described,
            [part for part, _ in parts],
            self._lines_of(spool) if spool else None,
            self._carried.get(described.name),
            path,
            spill=self._spill,
        )
        sources = sorted({source for _, source in parts if source} | (spool.sources if spool else set()))
        if not rows:
            path.unlink()
            return {"rows": 0, "digest": EMPTY, "sources": sources}
        sha = sha256_of(path)
        return {"rows": rows, "digest": DIGEST + sha, "sha256": sha, "sources": sources}

    def _lines_of(self, spool: _Spool) -> tuple[Path, int]:
        """Return a file of the rows of a spool as NDJSON, and the bytes of its longest line."""
        spool.file.flush()
        into, longest = spool.path.with_suffix(".ndjson"), 0
        with spool.path.open("rb") as records, into.open("wb") as file:
            for record in records:
                longest = max(longest, len(record))
                file.write(record[record.index(b"\t1\t") + 3 :])
        return into, longest

    def _order(self, connection: DuckDBPyConnection, table: str, into: Path, every: Runs) -> tuple[int, int]:
        """Write a table's lines in the order of its key, one for each key: the newest; `every` takes them too.

        Returns how many, and the bytes of the longest.
        """
        rows = longest = 0
        last_key, kept = b"", b""
        with into.open("wb") as file, Runs() as runs:
            for block in self._records(connection, table):
                runs.add(block)
            for block in chain(runs.blocks(), [[b"\t\t"]]):
                found: list[bytes] = []
                for record in block:
                    key, _, text = record.split(b"\t", 2)
                    if key != last_key and kept:
                        found.append(kept)
                    last_key, kept = key, text
                file.writelines(found)
                every.add(found)
                rows += len(found)
                longest = max(longest, max(map(len, found), default=0))
        return rows, longest

    def _records(self, connection: DuckDBPyConnection, table: str) -> Iterator[list[bytes]]:
        """Yield `key, age, line` of every row, in blocks; JSON holds no tab, so the key sorts first."""
        if carried := self._carried.get(table):
            columns = sql_columns(self._schema[table])
            every = lines(connection, from_parquet(connection, carried, columns), columns)
            elder = self._lines[table].elder
            while block := [elder(text) for text in islice(every, 1000)]:
                yield block
        if spool := self._spools.get(table):
            spool.file.flush()
            with spool.path.open("rb") as file:
                yield from iter(lambda: file.readlines(1 << 18), [])


class _Made(dict[str, Lines]):
    """What makes the lines of each table, made when it is first asked for."""

    def __init__(self, schema: Mapping[str, Table]) -> None:
        super().__init__()
        self._schema = schema

    def __missing__(self, table: str) -> Lines:
        made = self[table] = Lines(self._schema[table])
        return made


def _sums(directory: Path) -> Iterator[str]:
    for path in sorted((directory / "tables").iterdir()):
        with path.open("rb") as file:
            yield f"{hashlib.file_digest(file, 'sha256').hexdigest()}  tables/{path.name}\n"


def _plain(value: Any) -> Any:
    return stamp(value) if isinstance(value, datetime) else value


def _link(source: Path, target: Path) -> None:
    """Share the files of one folder with another: immutable files need no second copy."""
    if not source.exists():
        return
    target.mkdir(exist_ok=True)
    for path in source.iterdir():
        try:
            (target / path.name).hardlink_to(path)
        except OSError:
            shutil.copyfile(path, target / path.name)


def _publish(partial: Path, final: Path) -> None:
    """Bring everything to disk, then make it visible at once."""
    paths: Sequence[Path] = [*partial.rglob("*"), partial]
    for path in paths:
        _sync(path)
    try:
        partial.rename(final)
    except OSError:
        if not (final / "manifest.json").exists():
            raise
        shutil.rmtree(partial)  # the same id: the same evidence is there already
    _sync(final.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
