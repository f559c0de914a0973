"""What one snapshot comes to, and a judge of many that differ little: only what a difference reaches is judged again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from facts_again import Facts, sources_of

from auditor.builtin import builtin
from auditor.canonical import name, sql_columns
from auditor.correlate import correlate
from auditor.engines.duckdb import Engine
from auditor.evaluate import evaluate
from auditor.model import LINKS
from auditor.relations import from_parquet
from auditor.rulepack import Pack, load
from auditor.schema import tables as schema_tables
from auditor.snapshot import Snapshot
from auditor.sources import source

Rows = Mapping[Any, Mapping[str, Any]]
_READ = {
    "outcome": (("rule", "subject_key"), ("subject_table", "verdict", "reason", "because")),
    "export": (("export_id",), [f"{link}_{part}" for link in LINKS for part in ("state", "strength", "because", "gaps")]),
    "orphan_session": (("session_key",), ("orphan", "because")),
    "protection": (("bucket_arn",), ("covered", "observed")),
}  # fmt: skip
"""The key of each table that the laws are about, and the columns they speak of."""


@cache
def pack() -> Pack:
    """Return the rules that ship, unproven: their examples have tests of their own."""
    return load([builtin("rules")], [builtin("rules") / "frameworks"], prove=False)


@dataclass(frozen=True)
class Judged:
    """What one snapshot comes to: verdicts by rule and subject, links by export, and sessions by key."""

    outcomes: Rows
    exports: Rows
    sessions: Rows
    protection: Rows


def judged(snapshot: Snapshot) -> Judged:
    """Correlate and evaluate in memory, from nothing; nothing is written."""
    with Engine.open(snapshot) as engine:
        correlate(engine)
        evaluate(engine, pack())
        return Judged(*(_read(engine, table) for table in _READ))


def _read(engine: Engine, table: str) -> dict[Any, Mapping[str, Any]]:
    key, columns = _READ[table]
    rows = engine.rows(f"SELECT {', '.join((*key, *columns))} FROM {table}")
    return {tuple(row[part] for part in key) if len(key) > 1 else row[key[0]]: row for row in rows}


class Judge:
    """An engine that holds one snapshot judged; others are judged from it in transactions that are taken back.

    Of another snapshot only the tables of some sources count, and their coverage: all else is as it was. A step is run
    again when a table it may read differs, a rule is judged again when the facts of its subjects differ or the coverage
    of what it reads. `test_faults_walk_others` holds it to what `judged` says from nothing.
    """

    def __init__(self, truth: Snapshot) -> None:
        self.truth = truth
        self.engine = Engine.open(truth, threads=1)
        self.engine.execute("PRAGMA disable_optimizer")  # of a few rows it costs more than it saves
        self.engine._writable("coverage")
        self._facts = Facts(self.engine)
        evaluate(self.engine, pack())
        self.undisturbed = Judged(*(_read(self.engine, table) for table in _READ))
        self._coverage = list(truth.rows("coverage"))

    def close(self) -> None:
        self.engine.close()

    def judged(self, case: Snapshot, owners: Collection[str]) -> Judged:
        """Return what the undisturbed snapshot comes to with what some sources collected in another."""
        self.engine.execute("BEGIN TRANSACTION")
        try:
            return self._judged(case, owners)
        finally:
            self.engine.execute("ROLLBACK")

    def _judged(self, case: Snapshot, owners: Collection[str]) -> Judged:
        stale = {
            table
            for owner in owners
            for table in source(owner).TABLES
            if _digest(case, table) != _digest(self.truth, table)
        }
        for table in sorted(stale):
            self._load(table, case)
        moved = self._cover(case, owners)
        stale |= {"coverage"} if moved else set()
        self._facts.derive(stale)
        again = [rule for rule in pack().rules if rule.table.name in stale or moved & sources_of(rule)]
        evaluate(self.engine, replace(pack(), rules=tuple(again)))
        ids = {rule.id for rule in again}
        kept = {key: row for key, row in self.undisturbed.outcomes.items() if key[0] not in ids}
        before = (self.undisturbed.exports, self.undisturbed.sessions, self.undisturbed.protection)
        return Judged(
            kept | _read(self.engine, "outcome"),
            *(
                _read(self.engine, table) if table in stale else rows
                for table, rows in zip(list(_READ)[1:], before, strict=True)
            ),
        )

    def _cover(self, case: Snapshot, owners: Collection[str]) -> set[str]:
        """Put the coverage of some sources in the place of theirs; return the tables of which it says something else."""
        ours = [row for row in self._coverage if row["source"] not in owners]
        theirs = [row for row in case.rows("coverage") if row["source"] in owners]
        was, now = _by_table(self._coverage), _by_table([*ours, *theirs])
        moved = {table for table in {*was, *now} if was.get(table) != now.get(table)}
        if moved:
            self.engine.execute("DELETE FROM coverage")
            self.engine.insert("coverage", [*ours, *theirs])
        return moved

    def _load(self, table: str, case: Snapshot) -> None:
        """Put a table of the case in the place of the undisturbed one."""
        kind = "VIEW" if table in self.engine._views else "TABLE"
        self.engine.execute(f"DROP {kind} {name(table)}")
        columns, path = sql_columns(schema_tables()[table]), case.tables(table)
        if path is None:
            self.engine._create(table, columns)
            return
        source = from_parquet(self.engine._connection, path, columns)
        self.engine.execute(f"CREATE {kind} {name(table)} AS SELECT * FROM {source}")


def _digest(snapshot: Snapshot, table: str) -> str | None:
    return (snapshot.manifest["tables"].get(table) or {}).get("digest")


def _by_table(coverage: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return what is said of each table's coverage, in one order."""
    found: dict[str, list[str]] = {}
    for row in coverage:
        found.setdefault(row["table_name"], []).append(repr(sorted(row.items())))
    return {table: sorted(rows) for table, rows in found.items()}
