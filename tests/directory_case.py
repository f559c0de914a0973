"""What tests of directories have in common: one collect, sorted by what it yields."""

from __future__ import annotations

from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from auditor.model import Gap, Row, Seen, Window
from auditor.sources.ask import Ask, Clients, reason_of

NOW = datetime(2026, 3, 2, tzinfo=UTC)
Found = tuple[dict[str, dict[str, Any]], set[tuple[str, str]], list[str], list[Gap]]


def read(module: ModuleType, settings: Any) -> Found:
    """Return users by id, memberships, tables seen to their end, and gaps."""
    clients = Clients()
    ask = Ask(module.__name__.rpartition(".")[2], settings, (), Window(NOW, NOW), NOW, clients)
    found: list[Any] = []
    try:
        found += module.collect(ask)
    except Exception as error:  # noqa: BLE001 - the boundary of collect.py
        reason, detail = reason_of(error) or ("failed", str(error))
        found += [Gap(table, "*", reason=reason, detail=detail) for table in module.TABLES]
    users = {
        row.values["id"]: dict(row.values)
        for row in found
        if isinstance(row, Row) and row.table == "directory_user"
    }
    members = {
        (row.values["user_id"], row.values["group_name"])
        for row in found
        if isinstance(row, Row) and row.table == "directory_membership"
    }
    seen = [each.table for each in found if isinstance(each, Seen)]
    read.calls = clients.pages.calls()  # type: ignore[attr-defined]
    return users, members, seen, [each for each in found if isinstance(each, Gap)]
