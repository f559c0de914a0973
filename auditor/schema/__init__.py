"""Every table and column of a snapshot and of the facts derived from it: type, unit, meaning.

Types are those of DuckDB and Spark alike: TEXT, INT (64 bit), BOOL, TIME (UTC, microseconds), JSON (text that
holds canonical JSON). There are no floats: a parallel sum of them differs from run to run. Units stand in the name:
`_s` seconds, `_d` days, `_h` hours, `bytes`. NULL always means "not known", never "none": a setting that was read and
is absent has a word of its own (`Off`, `none`, `[]`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

Type = Literal["TEXT", "INT", "BOOL", "TIME", "JSON"]
Unseen = Literal["none", "raise", "lower", "either"]
"""What rows that were not seen could do to a fact: nothing, only raise it, only lower it, or either.
A BOOL is raised from false to true, a NULL is raised to a value."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column, with what a rule author must know of it."""

    name: str
    type: Type
    meaning: str
    reads: tuple[tuple[str, str], ...] = ()
    """(source table, scope): the tables behind a fact. Scope says which gaps matter to the row: `resource`, `region`
    (its account and region), `account`, or `all` (any gap of that table anywhere)."""
    unseen: Unseen = "none"
    watch: str = ""
    """Not empty: a change of this column between scans is drift. `up` means more is better, `down` less is better,
    `A>B>C` lists values from best to worst, `change` means that `auditor/watch/` asks what it comes to."""
    why: str = ""
    """The column of the same row that says why this one is NULL, for the sentence of an unknown."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its key, its columns, and for subjects of rules how a row names itself."""

    name: str
    meaning: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    kind: Literal["source", "joined", "fact"] = "source"
    small: bool = True
    """Python steps may read only small tables."""
    feed: str = ""
    """The time column of a table of events: rows never change once seen, so they are carried into later snapshots.
    Empty: a table of present state, asked for again in every scan."""
    entity: str = ""
    """The catalogue's word for a row, when rules may judge it (`subject_table` in the output)."""
    listed_by: tuple[tuple[str, str], ...] = ()
    """For subjects: the source tables whose gaps may hide whole subjects. One unknown outcome stands for each gap."""

    def column(self, name: str) -> Column:
        """Return one column by name; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name}")


def text(name: str, meaning: str, **more: object) -> Column:
    """Describe a TEXT column."""
    return Column(name, "TEXT", meaning, **more)  # type: ignore[arg-type]


def integer(name: str, meaning: str, **more: object) -> Column:
    """Describe an INT column."""
    return Column(name, "INT", meaning, **more)  # type: ignore[arg-type]


def boolean(name: str, meaning: str, **more: object) -> Column:
    """Describe a BOOL column."""
    return Column(name, "BOOL", meaning, **more)  # type: ignore[arg-type]


def time(name: str, meaning: str, **more: object) -> Column:
    """Describe a TIME column."""
    return Column(name, "TIME", meaning, **more)  # type: ignore[arg-type]


def json(name: str, meaning: str, **more: object) -> Column:
    """Describe a JSON column."""
    return Column(name, "JSON", meaning, **more)  # type: ignore[arg-type]


@cache
def tables() -> dict[str, Table]:
    """Return every table by name, in the order they are described."""
    from auditor.schema import (
        aws,
        chain,
        entities,
        entities_people,
        entities_scanner,
        gcp,
        gcp_access,
        joined,
        steps,
    )

    every = (
        *gcp.TABLES,
        *gcp_access.TABLES,
        *aws.TABLES,
        *joined.TABLES,
        *steps.TABLES,
        *chain.TABLES,
        *entities.TABLES,
        *gcp_access.FACTS,
        *entities_people.TABLES,
        *entities_scanner.TABLES,
    )
    return {table.name: table for table in every}
