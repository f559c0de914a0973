"""The facts, as named steps in order.

`NN_name.sql` is one SELECT whose result becomes the table `name`; `NN_name.py` names its TABLE, the tables it READS
(small ones only) and a pure `derive`. What grows with objects is SQL; what is judged one export at a time is Python
(docs/adr/0003). The text of the steps is evidence too: `steps()` is what a bundle carries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.schema import tables as schema_tables

if TYPE_CHECKING:
    from auditor.engines.duckdb import Engine

Rows = Sequence[Mapping[str, Any]]
Tables = Mapping[str, Rows]

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


def correlate(engine: Engine) -> None:
    """Derive every fact table of the snapshot that the engine holds."""
    for step in steps():
        run_step(engine, step)


def run_step(engine: Engine, step: Step) -> None:
    """Make the table of one step."""
    if step.language == "sql":
        engine.run(step.table, step.text)
    else:
        engine.insert(step.table, _derived(engine, step))


def _derived(engine: Engine, step: Step) -> Iterator[Mapping[str, Any]]:
    module = import_module(f"auditor.correlate.{step.name.removesuffix('.py')}")
    known = schema_tables()
    tables = {
        name: engine.table(name) if name in known else engine.rows(f"SELECT * FROM {name} ORDER BY ALL")
        for name in module.READS
    }
    return module.derive(tables)  # type: ignore[no-any-return]
