"""One fact at a time: what tests bend in a proven chain, and what must come of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from chain_world import ACCOUNT, Tables, at, chains, gap, proven

Bend = Callable[[Tables], object]
Case = tuple[str, str, str, Bend]
"""A sentence, the link it is about, the state that must come out, and the bend."""


def put(table: str, index: int = 0, **values: Any) -> Bend:
    """Change a row."""
    return lambda tables: tables[table][index].update(values)


def put_all(table: str, **values: Any) -> Bend:
    """Change every row of a table."""
    return lambda tables: [row.update(values) for row in tables[table]]


def add(table: str, *rows: dict[str, Any]) -> Bend:
    """Add rows."""
    return lambda tables: tables.setdefault(table, []).extend(rows)


def drop(table: str, index: int = 0) -> Bend:
    """Take a row away."""
    return lambda tables: tables[table].pop(index)


def clear(*names: str) -> Bend:
    """Empty tables."""
    return lambda tables: [tables[name].clear() for name in names]


def both(*bends: Bend) -> Bend:
    """Do one after the other."""
    return lambda tables: [bend(tables) for bend in bends]


def early(hour: int, minute: int = 0) -> Bend:
    """Judge on the day of the export instead of a week later."""
    return put("as_of", as_of=at(5, hour, minute))


def hidden(table: str, account: str = ACCOUNT, **more: Any) -> Bend:
    """Add a gap."""
    return add("coverage", gap(table, account, **more))


def never_asked(table: str) -> Bend:
    """Take a table's coverage away."""
    return lambda tables: tables.update(
        coverage=[row for row in tables["coverage"] if row["table_name"] != table]
    )


def bent(*bends: Bend) -> Tables:
    """Return a proven chain, bent."""
    tables = proven()
    for bend in bends:
        bend(tables)
    return tables


def of(cases: list[Case]) -> pytest.MarkDecorator:
    """Make a test of each case, named by its sentence."""
    return pytest.mark.parametrize(
        ("sentence", "link", "state", "bend"), cases, ids=[case[0] for case in cases]
    )


def holds(link: str, state: str, bend: Bend, uuid: str = "u-1") -> dict[str, Any]:
    """Assert the state of one link of the bent chain; return the export."""
    export = chains(bent(bend))[uuid]
    because = export[f"{link}_because"]
    assert export[f"{link}_state"] == state, because
    assert because
    assert export[f"{link}_broken"] == {"broken": True, "proven": False, "not_required": False}.get(state)
    if state == "proven":
        assert export[f"{link}_refs"] or link == "retention"
    return export
