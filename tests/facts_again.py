"""The facts of one snapshot, and those of others that differ little: only what a difference reaches is derived again."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any

from auditor.canonical import name
from auditor.correlate import Step, added, adds, derived, run_step, steps
from auditor.correlate import _module as module_of
from auditor.engines.duckdb import Engine
from auditor.rulelang.rule import Rule

Rows = Collection[Mapping[str, Any]]


class Facts:
    """Every fact of an engine's snapshot, derived once; what differs is derived in transactions that are taken back.

    A step is run again when a table that it may read differs. What a Python step yields is compared with what it
    yielded before, and put into the engine only where it is something else: most differences end there.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._undisturbed: dict[str, Rows | None] = {}
        self._yielded: dict[str, list[Any]] = {}
        for step in steps():
            if step.language == "sql":
                run_step(engine, step)
                continue
            self._yielded[step.table] = list(derived(engine, step, self._undisturbed))
            put(engine, step, self._yielded[step.table])
        self._marks = {step.table: mark(self.engine, step.table) for step in steps()}

    def derive(self, stale: set[str]) -> None:
        """Run the steps again that may read a table that differs, and add the tables that come out differently."""
        held = {table: rows for table, rows in self._undisturbed.items() if table not in stale}
        for step in steps():
            if not stale & reads(step):
                continue
            if step.language == "py":
                rows = list(derived(self.engine, step, held))
                if rows == self._yielded[step.table] and not stale.intersection(adds(step)):
                    continue
                self.engine.execute(f"DELETE FROM {name(step.table)}")
                put(self.engine, step, rows)
            else:
                run_step(self.engine, step)
            if mark(self.engine, step.table) != self._marks[step.table]:
                stale.add(step.table)
                held.pop(step.table, None)


def put(engine: Engine, step: Step, rows: Rows) -> None:
    """Put what a Python step yielded into its table, and the rows that it adds as they stand."""
    engine.insert(step.table, rows)
    for other in added(engine, step):
        engine.add(step.table, other)


def mark(engine: Engine, table: str) -> Any:
    """Return what tells two contents of a table apart, whatever the order of its rows; None where it was not made."""
    there = "SELECT 1 FROM duckdb_tables() WHERE table_name = ?"
    if table.startswith("plain_") and not engine.rows(there, [table]):
        return None
    return engine.rows(f"SELECT count(*) AS n, sum(hash(t)) AS mark FROM {name(table)} t")[0]


def sources_of(rule: Rule) -> set[str]:
    """Return the tables whose coverage a rule asks for."""
    return {source for source, _ in (*rule.reads, *rule.table.listed_by)}


@cache
def reads(step: Step) -> frozenset[str]:
    """Return what a step may read: for SQL every word of it, which is more than enough."""
    found: Iterable[str] = re.findall(r"\w+", step.text)
    return frozenset((*module_of(step).READS, *adds(step)) if step.language == "py" else found)
