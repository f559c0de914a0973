"""From the data files of an inventory to the table `s3_object_version`: one statement of DuckDB, no row in Python.

Keys become what a listing gives: URL-decoded where the format encodes them, and written as `canonical.safe_text` writes
what no UTF-8 can hold. The few keys that SQL cannot decode so are decoded in Python by the listing's own function.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes

from auditor.canonical import LONGEST, connect, cut, name, quoted, safe_text, sql_columns
from auditor.relations import from_ndjson
from auditor.schema import tables as schema_tables
from auditor.snapshot_bulk import WRITTEN
from auditor.sources._s3_inventory import NEEDED, VERSIONED, Delivery, Unusable

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY = "320MB"
_UNSAFE = r"[\x00\x{FDD0}-\x{FDEF}]"
"""What `safe_text` rewrites of what UTF-8 can hold."""


@dataclass(frozen=True, slots=True)
class Home:
    """The bucket an inventory is of."""

    bucket: str
    account: str
    region: str


def written(
    delivery: Delivery,
    files: Sequence[Path],
    home: Home,
    into: Path,
    *,
    left_out: Sequence[str],
    decode: Callable[[str], str],
    spill: Path,
) -> int:
    """Write the rows of an inventory, but those whose key begins with one of `left_out`, as a file of the table.

    Returns how many rows there are. Unusable when a file cannot be read, when a row is not one of this bucket, or when
    two rows of one version differ.
    """
    import duckdb

    try:
        with connect(memory_limit=MEMORY, spill=spill) as connection:
            return _Table(connection, delivery, files, home, decode, spill).written(into, left_out)
    except (duckdb.Error, UnicodeDecodeError) as error:
        raise Unusable(f"cannot be read: {safe_text(str(error).splitlines()[0])[:200]}") from error


class _Table:
    """One delivery on its way into the table."""

    def __init__(
        self,
        connection: DuckDBPyConnection,
        delivery: Delivery,
        files: Sequence[Path],
        home: Home,
        decode: Callable[[str], str],
        spill: Path,
    ) -> None:
        self.connection = connection
        self.delivery = delivery
        self.files = files
        self.home = home
        self.decode = decode
        self.spill = spill
        self._without = ""
        spill.mkdir(parents=True, exist_ok=True)

    def written(self, into: Path, left_out: Sequence[str]) -> int:
        """Write the file; returns how many rows it has."""
        if not self.files:
            self._copy(self._nothing(), into)
            return 0
        with self._source() as columns:
            self._check(columns)
            self._leave_out(left_out)
            self._copy(self._rows(columns, hard=False), into)
            if self._one(f"SELECT count(*) FROM {_file(into)} WHERE key IS NULL")[0]:
                self._hard_keys(columns)
                self._copy(self._rows(columns, hard=True), into)
        self._right(into)
        self._one_latest(into)
        return self._once(into)

    def _one(self, sql: str) -> tuple[Any, ...]:
        found = self.connection.execute(sql).fetchone()
        assert found is not None
        return found

    def _copy(self, query: str, into: Path) -> None:
        self.connection.execute(f"COPY ({query}) TO {quoted(str(into))} {WRITTEN}")

    def _nothing(self) -> str:
        columns = sql_columns(schema_tables()["s3_object_version"])
        listed = ", ".join(f"NULL::{kind} AS {name(column)}" for column, kind in columns.items())
        return f"SELECT {listed} WHERE FALSE"

    @contextmanager
    def _source(self) -> Iterator[dict[str, str]]:
        """Make the view `source` of all files; gives its columns with their types."""
        paths = ", ".join(quoted(str(path)) for path in self.files)
        if self.delivery.form == "CSV":
            fields = ", ".join(f"{quoted(column)}: 'VARCHAR'" for column in self.delivery.columns)
            relation = (
                f"read_csv([{paths}], header = false, auto_detect = false, delim = ',', quote = '\"', escape = '\"', "
                f"compression = 'gzip', columns = {{{fields}}}, max_line_size = 1048576)"
            )
        elif self.delivery.form == "ORC":
            relation = f"read_parquet([{', '.join(quoted(str(path)) for path in self._from_orc())}])"
        else:
            relation = f"read_parquet([{paths}])"
        self.connection.execute(f"CREATE VIEW source AS SELECT * FROM {relation}")
        described = self.connection.execute("DESCRIBE source").fetchall()
        try:
            yield {row[0]: row[1] for row in described}
        finally:
            self.connection.execute("DROP VIEW source")

    def _from_orc(self) -> list[Path]:
        """Turn ORC into Parquet, a stripe at a time; Unusable without pyarrow: DuckDB reads no ORC."""
        try:
            import pyarrow as pa
            from pyarrow import orc, parquet
        except ImportError:
            raise Unusable("is ORC, which needs `pip install auditor[orc]`") from None
        made = []
        try:
            for path in self.files:
                file, target = orc.ORCFile(str(path)), path.with_suffix(".parquet")
                wanted = [column for column in (*_KEPT, "bucket") if column in file.schema.names]
                schema = pa.schema([file.schema.field(column) for column in wanted])
                with parquet.ParquetWriter(target, schema, compression="lz4") as writer:
                    for stripe in range(file.nstripes):
                        batch = file.read_stripe(stripe, columns=wanted).select(wanted)
                        batch.validate(full=True)
                        writer.write_batch(batch)
                path.unlink()
                made.append(target)
        except (pa.ArrowException, OSError) as error:
            raise Unusable(f"cannot be read: {safe_text(str(error).splitlines()[0])[:200]}") from error
        return made

    def _check(self, columns: Mapping[str, str]) -> None:
        may_lack = VERSIONED if self.delivery.configuration.versions != "All" else set()
        lacks = [column for column in ("bucket", *NEEDED) if column not in columns and column not in may_lack]
        if lacks:
            raise Unusable(f"has no column {', '.join(lacks)}")

    def _read(self, columns: Mapping[str, str]) -> str:
        """Return the SQL relation of the source with `k`, the key as SQL can decode it, and `easy`: whether it can."""
        raw = "s.key"
        if self.delivery.form == "CSV":
            raw = "TRY(url_decode(replace(s.key, '+', '%20')))"
        elif columns["key"] == "BLOB":
            raw = "TRY(decode(s.key))"
        safe = f"NOT regexp_matches(k, '{_UNSAFE}') AND length(k) <= {LONGEST // 4}"
        return f"(SELECT *, coalesce({safe}, FALSE) AS easy FROM (SELECT s.*, {raw} AS k FROM source s))"

    def _hard_keys(self, columns: Mapping[str, str]) -> None:
        """Make the table `hard` of the keys that the listing's own function must decode, by their SHA-256."""
        found = self.connection.execute(
            f"SELECT DISTINCT key FROM {self._read(columns)} WHERE key IS NOT NULL AND NOT easy"
        )
        path, longest = self.spill / "hard.ndjson", 0
        with path.open("w", encoding="utf-8") as file:
            while batch := found.fetchmany(1000):
                for (key,) in batch:
                    line = json.dumps({"said": self._named(key), "found": safe_text(cut(self._decoded(key)))})
                    longest = max(longest, len(line))
                    file.write(line + "\n")
        source = from_ndjson(path, {"said": "VARCHAR", "found": "VARCHAR"}, longest)
        self.connection.execute(f"CREATE TABLE hard AS SELECT * FROM {source}")

    def _named(self, key: str | bytes) -> str:
        """Return the SHA-256 of a key: JSON, by which keys go back to SQL, cannot hold them all."""
        return hashlib.sha256(
            key if isinstance(key, bytes) else key.encode("utf-8", "surrogatepass")
        ).hexdigest()

    def _decoded(self, key: str | bytes) -> str:
        if isinstance(key, bytes):
            return self.decode(quote_from_bytes(key))
        return self.decode(key) if self.delivery.form == "CSV" else key

    def _rows(self, columns: Mapping[str, str], *, hard: bool) -> str:
        """Return the query of all rows in the columns of the table; a key that is hard is NULL, or looked up."""
        current = "version_id" not in columns
        marker = "FALSE" if current else "CAST(s.is_delete_marker AS BOOLEAN)"
        version = "NULL" if current else _text("version_id")
        sums = f"string_split(replace({_text('checksum_algorithm')}, ' ', ''), ',')"
        sums = f"coalesce(array_to_string(list_sort(list_distinct({sums})), ','), 'none')"
        etag = f"trim({_text('e_tag')}, '\"')"
        modified = "s.last_modified_date"
        if not re.fullmatch(
            r"TIMESTAMP(_S|_MS|_NS)?", columns["last_modified_date"]
        ):  # text, or with a zone, which is UTC
            modified = f"CAST({modified} AS TIMESTAMPTZ)"
        made = {
            "key": "coalesce(h.found, s.k)" if hard else "CASE WHEN s.easy THEN s.k END",
            "bucket": f"CASE WHEN s.bucket = {quoted(self.home.bucket)} THEN s.bucket END",
            "version_id": f"coalesce({version}, 'null')",
            "account": quoted(self.home.account),
            "region": quoted(self.home.region),
            "last_modified": f"CAST({modified} AS TIMESTAMP)",
            "bytes": f"CASE WHEN {marker} THEN 0 ELSE CAST({_text('size')} AS BIGINT) END",
            "etag": f"CASE WHEN {marker} THEN '' ELSE {etag if 'e_tag' in columns else 'NULL'} END",
            "storage_class": f"CASE WHEN {marker} THEN '' ELSE {_text('storage_class')} END",
            "checksums": f"CASE WHEN NOT {marker} THEN {sums} END"
            if "checksum_algorithm" in columns
            else "NULL",
            "is_latest": "TRUE" if current else "CAST(s.is_latest AS BOOLEAN)",
            "is_delete_marker": marker,
        }
        inner = ", ".join(f"{sql} AS {name(column)}" for column, sql in made.items())
        joined = " LEFT JOIN hard h ON h.said = CASE WHEN NOT s.easy THEN sha256(s.key) END" if hard else ""
        kinds = sql_columns(schema_tables()["s3_object_version"])
        of = {column: name(column) for column in kinds} | {
            "dir": "coalesce(regexp_extract(key, '^.*/', 0, 's'), '')"
        }
        outer = ", ".join(f"CAST({of[column]} AS {kind}) AS {name(column)}" for column, kind in kinds.items())
        return f"SELECT {outer} FROM (SELECT {inner} FROM {self._read(columns)} s{joined}) r{self._without}"

    def _leave_out(self, prefixes: Sequence[str]) -> None:
        """Make the condition that keys begin with none of the prefixes: one look-up for each length there is."""
        if not prefixes:
            return
        path = self.spill / "left-out.ndjson"
        texts = [json.dumps({"prefix": safe_text(prefix)}) for prefix in prefixes]
        path.write_text("".join(text + "\n" for text in texts))
        source = from_ndjson(path, {"prefix": "VARCHAR"}, max(map(len, texts)))
        self.connection.execute(f"CREATE TABLE left_out AS SELECT prefix FROM {source}")
        tests = [
            f"substr(r.key, 1, {length}) NOT IN (SELECT prefix FROM left_out WHERE length(prefix) = {length})"
            for length in sorted({len(safe_text(prefix)) for prefix in prefixes})
        ]
        self._without = f" WHERE r.key IS NULL OR ({' AND '.join(tests)})"

    def _right(self, into: Path) -> None:
        """Refuse rows that are none of this bucket's, or that lack what every row has."""
        file = _file(into)
        missing = " OR ".join(
            f"{column} IS NULL"
            for column in ("key", "last_modified", "bytes", "is_latest", "is_delete_marker", "storage_class")
        )
        other, lacking = self._one(
            f"SELECT count(*) FILTER (bucket IS NULL), count(*) FILTER ({missing}) FROM {file}"
        )
        if other:
            raise Unusable(f"lists {other} objects of other buckets")
        if lacking:
            raise Unusable(f"has {lacking} rows without a key, a size, a storage class or a time")

    def _one_latest(self, into: Path) -> None:
        """Refuse a delivery that marks two versions of a key as its latest: which of them was overwritten it does not tell."""
        file = _file(into)
        self.connection.execute(
            f"CREATE TABLE latest AS SELECT hash(key) AS h FROM {file} WHERE is_latest GROUP BY h HAVING count(*) > 1"
        )
        (keys,) = self._one(
            f"SELECT count(*) FROM (SELECT key FROM {file} WHERE is_latest AND hash(key) IN (SELECT h FROM latest) "
            "GROUP BY key HAVING count(DISTINCT version_id) > 1)"
        )
        if keys:
            raise Unusable(f"marks two versions of a key as its latest, {keys} times")

    def _once(self, into: Path) -> int:
        """Keep one of rows that are there twice; Unusable when two rows of one version differ. Returns the rows left."""
        file = _file(into)
        self.connection.execute(
            f"CREATE TABLE twice AS SELECT hash(key, version_id) AS h FROM {file} GROUP BY h HAVING count(*) > 1"
        )
        (suspects,) = self._one("SELECT count(*) FROM twice")
        if suspects:
            again = f"SELECT * FROM {file} WHERE hash(key, version_id) IN (SELECT h FROM twice)"
            (differing,) = self._one(
                f"SELECT count(*) FROM (SELECT key, version_id FROM (SELECT DISTINCT * FROM ({again})) "
                "GROUP BY key, version_id HAVING count(*) > 1)"
            )
            if differing:
                raise Unusable(f"lists {differing} versions twice, and not the same")
            whole = into.with_suffix(".twice")
            into.rename(whole)
            file = _file(whole)
            kept = f"SELECT * FROM {file} WHERE hash(key, version_id) NOT IN (SELECT h FROM twice)"
            again = f"SELECT DISTINCT * FROM {file} WHERE hash(key, version_id) IN (SELECT h FROM twice)"
            self._copy(f"{kept} UNION ALL (SELECT * FROM ({again}) ORDER BY key, version_id)", into)
            whole.unlink()
        (rows,) = self._one(f"SELECT count(*) FROM {_file(into)}")
        return int(rows)


_KEPT = (*NEEDED, "e_tag", "checksum_algorithm")


def _text(column: str) -> str:
    """Return a column of the source as text, NULL where it is empty: CSV has no other word for it."""
    return f"nullif(CAST(s.{column} AS VARCHAR), '')"


def _file(path: Path) -> str:
    return f"read_parquet({quoted(str(path))})"
