"""Generated estates S, M and L, as the Parquet files of a snapshot's tables: what the whole chain is measured on.

Sixty days of jobs on forty buckets, as a data platform runs them: most jobs write a folder of their own, a
quarter overwrites one shared folder again and again, some own the parent of another's folder; a few write to the root of
a bucket, run for days and overlap, write late, or share an account with the job beside them. Every bucket is backed up once a
day with a copy in another region. Everything is a hash of a number: the same estate on every machine. Each file of
`estate/` is the SELECT that makes one table.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PARTS = 20_000
"""Jobs of one file of versions: a bounded sort."""


@dataclass(frozen=True, slots=True)
class Estate:
    """How large an estate is."""

    name: str
    jobs: int
    objects: int

    @property
    def each(self) -> int:
        """Versions of a job."""
        return self.objects // self.jobs


S = Estate("S", 1_000, 100_000)
M = Estate("M", 20_000, 5_000_000)
L = Estate("L", 200_000, 50_000_000)
ESTATES = {estate.name: estate for estate in (S, M, L)}
_SELECTS = Path(__file__).with_name("estate")


def make(folder: Path, estate: Estate) -> None:
    """Write `TABLE.parquet` for every table the chain reads; tables that are not there are empty.

    Versions, a folder of files, are made some jobs at a time.
    """
    from auditor.canonical import connect

    folder.mkdir(parents=True, exist_ok=True)
    with connect(memory_limit="4GB", threads=2, spill=folder / "spill") as connection:
        connection.execute(f"CREATE TABLE job AS {_select('job', jobs=estate.jobs)}")
        for path in sorted(_SELECTS.glob("*.sql")):
            if path.stem not in ("job", "s3_object_version"):
                _write(connection, folder / f"{path.stem}.parquet", _select(path.stem))
        versions = folder / "s3_object_version"
        versions.mkdir(exist_ok=True)
        for number, first in enumerate(range(0, estate.jobs, PARTS)):
            select = _select("s3_object_version", each=estate.each, first=first, end=first + PARTS)
            _write(connection, versions / f"{number:04}.parquet", select)


def _select(table: str, **sizes: int) -> str:
    return Template((_SELECTS / f"{table}.sql").read_text(encoding="utf-8")).substitute(sizes)


def _write(connection: DuckDBPyConnection, path: Path, select: str) -> None:
    connection.execute(
        f"COPY ({select}) TO '{path}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)"
    )
