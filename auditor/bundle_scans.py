"""The scans of a window: which of them a bundle carries whole, and what each of those is judged from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.canonical import lines, quoted, reader, sorted_texts
from auditor.errors import VerificationError
from auditor.judge import Judgement
from auditor.rulestore import kept
from auditor.snapshot import Snapshot
from auditor.snapshot_bulk import DIGEST

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from auditor.bundle_bag import Bag
    from auditor.ledger import ScanRow
    from auditor.rulepack import Pack, PackFile


@dataclass(frozen=True, slots=True)
class Carried:
    """One scan that a bundle carries whole."""

    row: ScanRow
    why: str
    snapshot: Snapshot
    judgement: Judgement
    files: tuple[PackFile, ...]
    """The rules and frameworks that judged it."""

    @property
    def rules(self) -> str:
        """Names the folder its rules are in: the digest of their names and bytes."""
        listed = [[each.kind, each.name, hashlib.sha256(each.content).hexdigest()] for each in self.files]
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:12]


LOOKED = ("finished", "rechecked")
"""States of scans that looked at the clouds: of everything, or of one subject."""


def chosen(
    rows: Sequence[ScanRow], records: Mapping[int, Mapping[str, Sequence[Sequence[Any]]]]
) -> dict[int, str]:
    """Return which scans are carried whole, by number, with the reason for each."""
    return chosen_of(rows, {n for n, moved in records.items() if moved.get("opened") or moved.get("ended")})


def chosen_of(rows: Sequence[ScanRow], moved: Collection[int]) -> dict[int, str]:
    """Return the same from the numbers of the scans in which a finding opened or closed."""
    weeks: dict[tuple[int, int], int] = {}
    for row in rows:
        if row.state == "finished":
            weeks[row.at.isocalendar()[:2]] = row.n
    reasons = dict.fromkeys(weeks.values(), "last scan of its week")
    for row in rows:
        if row.state in LOOKED and row.n in moved:
            reasons.setdefault(row.n, "a finding opened or closed")
    return reasons


def found(row: ScanRow, why: str, state: Path, pack: Pack) -> Carried | str:
    """Return a scan with all it takes to judge it again, or why it cannot be carried.

    VerificationError when what is on disk is not what the ledger records.
    """
    place = row.snapshot_in(state)
    if place is None:
        return "its snapshot is not kept any more"
    snapshot = Snapshot.open(place)
    for root in row.roots(state):
        folder = root / "judged" / f"{row.snapshot_id}-{row.rule_digest[:12]}"
        if (folder / "judgement.json").exists():
            files = kept(root / "rules", folder)
            if files is None and pack.digest == row.rule_digest:
                files = pack.files
            if not files:
                return "the rules that judged it are not kept"
            return Carried(row, why, snapshot, Judgement.open(folder), files)
    return "its judgement is not kept any more"


def write(bag: Bag, scan: Carried, written: dict[str, str], *, raw: bool) -> None:
    """Add a scan's outcomes, its snapshot's manifest and tables, and with `raw` the pages as they came.

    `written` holds the digest of each Parquet file and what is in the bag of it: the same file has the same lines.
    """
    row = scan.row
    with reader() as connection:
        connection.execute("PRAGMA disable_optimizer")  # every table is read whole: there is nothing to plan
        outcome = scan.judgement.dir / "outcome.parquet"
        digest = bag.file(f"data/outcomes/{row.scan}.jsonl", table_lines(connection, outcome))
        if digest != row.outcome_digest:
            raise _changed(outcome, f"scan {row.scan} in the ledger", digest, row.outcome_digest)
        inner = f"data/snapshots/{row.snapshot_id}"
        bag.copy(f"{inner}/manifest.json", scan.snapshot.dir / "manifest.json")
        for table, said in sorted(scan.snapshot.manifest["tables"].items()):
            path = scan.snapshot.tables(table)
            if not said["rows"]:
                continue
            if path is None:
                raise VerificationError(f"{scan.snapshot.dir}: tables/{table}.parquet is missing")
            if scan.snapshot.bulk(table):
                digest = DIGEST + bag.copy(f"{inner}/tables/{table}.parquet", path)
            else:
                digest = _table(bag, f"{inner}/tables/{table}.jsonl", connection, path, written)
            if digest != said["digest"]:
                raise _changed(path, "the snapshot's manifest", digest, said["digest"])
    for page in sorted((scan.snapshot.dir / "raw").glob("*.gz")) if raw else ():
        bag.copy(f"{inner}/raw/{page.name}", page)


def _table(bag: Bag, name: str, connection: DuckDBPyConnection, path: Path, written: dict[str, str]) -> str:
    with path.open("rb") as file:
        sha = hashlib.file_digest(file, "sha256").hexdigest()
    if sha in written:
        return bag.copy(name, bag.folder / written[sha])
    digest = bag.file(name, table_lines(connection, path))
    written[sha] = name
    return digest


def _changed(path: Path, says: str, found: str, expected: str) -> VerificationError:
    return VerificationError(
        f"{path} is not what {says} records: its digest is {found[:16]}, not {expected[:16]}",
        remedy="Restore the state folder from a backup; no bundle is made of changed evidence.",
    )


def table_lines(connection: DuckDBPyConnection, path: Path) -> Iterator[bytes]:
    """Yield the lines whose SHA-256 is the table's digest, with the columns the file was written with."""
    file = f"read_parquet({quoted(str(path))})"
    described = connection.execute(f"DESCRIBE SELECT * FROM {file}").fetchall()
    columns = {column[0]: column[1] for column in described}
    for text in sorted_texts(lines(connection, file, columns)):
        yield text.encode() + b"\n"
