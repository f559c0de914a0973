"""The facts, as named steps in order.

`NN_name.sql` is one SELECT whose result becomes the table `name`; `NN_name.py` names its TABLE, the tables it READS
(small ones only; of those that are not short the COLUMNS it needs) and a pure `derive`. What grows with objects is SQL;
what is judged one export at a time is Python (docs/adr/0003). Rows of a table that SQL can say as well, of which nothing
is in doubt, are a SQL step's; the Python step that makes the table names it in ADDS and yields the others. Of long
tables it reads the rows for which WHERE holds. A SQL step that it names in LONG, beside a table, only spares it rows of
that table: it is not worth its planning while they are few, and makes none of them. The tables `plain_*`, which tell the
exports that leave no doubt, are made of many exports alone.
The text of the steps is evidence too: `steps()` is what a bundle carries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.schema import tables as schema_tables
from auditor.spool import spooled, uncollected

if TYPE_CHECKING:
    from auditor.engines.duckdb import Engine

Rows = Collection[Mapping[str, Any]]
Tables = Mapping[str, Rows]

_HELD = 2000
"""Rows of the longest table that is held in memory between steps."""
_MANY = 400
"""Exports from which on those that leave no doubt are told by SQL: of fewer the judges say it sooner than it is planned."""
_SPARED = 6000
"""Rows of a table from which on SQL spares Python some of them: fewer may be judged without a plan (judge.py), which an
anti-join of many would need.
"""
_STEP = re.compile(r"(\d\d)_(\w+)\.(sql|py)")


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its file, the table it makes, and its text."""

    name: str
    table: str
    language: str
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of the step's text."""
        return sha256(self.text.encode()).hexdigest()


@cache
def steps() -> tuple[Step, ...]:
    """Return every step in the order of their numbers."""
    found = []
    for path in sorted(Path(__file__).parent.iterdir(), key=lambda path: path.name):
        match = _STEP.fullmatch(path.name)
        if match:
            found.append(Step(path.name, match[2], match[3], path.read_text(encoding="utf-8")))
    return tuple(found)


def correlate(
    engine: Engine, *, until: str = "99", around: Callable[[Step, Callable[[], None]], None] | None = None
) -> None:
    """Derive every fact table of the snapshot that the engine holds, to the steps numbered `until`.

    `around` is handed each step with what runs it, and must run it: to time it, or to tell of it.
    """
    held: dict[str, Rows | None] = {}
    last = {name: step for step in steps() for name in _reads(step)}
    for step in steps():
        if step.name[:2] > until:
            break
        if around is None:
            run_step(engine, step, held)
        else:
            around(step, partial(run_step, engine, step, held))
        for name in _reads(step):
            if last[name] is step:
                held.pop(name, None)


def run_step(engine: Engine, step: Step, held: dict[str, Rows | None] | None = None) -> None:
    """Make the table of one step; `held` keeps short tables for the steps that read them next."""
    if _is_plain(step.table) and _few(engine):
        return
    held = {} if held is None else held
    if step.language == "sql":
        if _not_worth(engine, step.table, held):
            engine.without_rows(step.table, _spares()[step.table][0])
        else:
            engine.run(step.table, step.text)
    else:
        with uncollected():
            engine.insert(step.table, derived(engine, step, held))
        for other in added(engine, step):
            if not _not_worth(engine, other, held):
                engine.add(step.table, other, last=other in getattr(_module(step), "LAST", ()))


def _is_plain(table: str) -> bool:
    """Tell whether a table is of those that tell which exports leave no doubt: without them all are judged."""
    return table.startswith("plain_")


def _few(engine: Engine) -> bool:
    ((row),) = engine.rows("SELECT count(*) AS n FROM export_output")
    return bool(row["n"] < _MANY)


def adds(step: Step) -> Sequence[str]:
    """Return the tables whose rows are, as they stand, rows of the table that a step makes."""
    return () if step.language == "sql" else getattr(_module(step), "ADDS", ())


def added(engine: Engine, step: Step) -> Sequence[str]:
    """Return those of them that were made."""
    return [other for other in adds(step) if not (_is_plain(other) and _few(engine))]


def derived(engine: Engine, step: Step, held: dict[str, Rows | None]) -> Iterable[Mapping[str, Any]]:
    """Return what a step in Python yields, put nowhere yet; `held` as of `run_step`."""
    found: Iterable[Mapping[str, Any]] = _module(step).derive(read(engine, step, held))
    return found


def read(engine: Engine, step: Step, held: dict[str, Rows | None], *, whole: bool = False) -> Tables:
    """Return the tables that a step in Python is given; `held` as of `run_step`.

    What it names as LEFT_OUT, rows that have a value in common with another table, is not in them, unless they are
    asked for `whole`.
    """
    columns, where, out = (getattr(_module(step), name, {}) for name in ("COLUMNS", "WHERE", "LEFT_OUT"))
    plain = any(map(_is_plain, _reads(step))) and not whole and not _few(engine)
    found: dict[str, Rows] = {}
    for name in _reads(step):
        if _is_plain(name) and not plain:
            found[name] = ()
        elif plain and name in out:
            column, other = out[name]
            others = f"NOT EXISTS (SELECT 1 FROM {other} o WHERE o.{column} = {name}.{column})"
            found[name] = engine.streamed(name, columns[name], others)
        else:
            found[name] = _rows(engine, name, columns.get(name), held, where.get(name, ""))
    return found


def _module(step: Step) -> Any:
    return import_module(f"auditor.correlate.{step.name.removesuffix('.py')}")


def _reads(step: Step) -> Sequence[str]:
    return () if step.language == "sql" else _module(step).READS


def _rows(
    engine: Engine, table: str, columns: Sequence[str] | None, held: dict[str, Rows | None], where: str
) -> Rows:
    """Return the rows of a table: all of them while they are few, else those columns and rows that the step needs."""
    rows = held.get(table)
    if rows is not None:
        return rows
    if _not_worth(engine, table, held):
        return ()
    if columns is not None and (table in held or _count(engine, table) > _HELD):
        held[table] = None
        return engine.streamed(table, columns, where)
    source = (
        engine.each(table)
        if table in schema_tables()
        else engine.stream(f"SELECT * FROM {table} ORDER BY ALL")
    )
    rows = spooled(source) if columns is None else list(source)
    held[table] = rows if len(rows) <= _HELD else None
    return rows


def _not_worth(engine: Engine, table: str, held: Mapping[str, Rows | None]) -> bool:
    """Tell whether the rows of a SQL step are left to Python, as the table that it spares rows of has not many."""
    if table not in _spares():
        return False
    long = _spares()[table][1]
    return held.get(long) is not None or _count(engine, long) <= _SPARED


def _count(engine: Engine, table: str) -> int:
    return int(engine.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"])


@cache
def _spares() -> Mapping[str, tuple[str, str]]:
    """Return what SQL steps only spare Python: by their table the one they are added to, and the long one."""
    made = [step for step in steps() if step.language == "py"]
    return {
        other: (step.table, long)
        for step in made
        for other, long in getattr(_module(step), "LONG", {}).items()
    }
