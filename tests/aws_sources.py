"""Ask one AWS source of a sandbox, and look at what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from types import ModuleType
from typing import Any

from auditor.canonical import stored
from auditor.model import Bulk, Cursor, Gap, Place, Row, Seen, Window
from auditor.schema import tables
from auditor.sources.ask import Ask, Clients
from auditor.sources.clients import Access
from auditor.tablefiles import rows_of

A, B = "111111111111", "222222222222"
MADE = datetime(2026, 1, 1, tzinfo=UTC)
FROM = datetime(2026, 3, 2, tzinfo=UTC)
NOW = datetime(2026, 3, 9, tzinfo=UTC)


@dataclass(frozen=True)
class Found:
    """What one run of a source yielded, sorted apart."""

    rows: list[Row]
    seen: list[Seen]
    gaps: list[Gap]
    clients: Clients
    cursors: list[Cursor] = field(default_factory=list)

    def of(self, table: str, **match: Any) -> list[dict[str, Any]]:
        return [
            dict(row.values)
            for row in self.rows
            if row.table == table and match.items() <= row.values.items()
        ]

    def only(self, table: str, **match: Any) -> dict[str, Any]:
        (row,) = self.of(table, **match)
        return row

    def missing(self, table: str) -> list[tuple[str, str, str]]:
        return [(gap.region, gap.resource, gap.reason) for gap in self.gaps if gap.table == table]

    def covered(self, table: str) -> list[tuple[str, str]]:
        return [(seen.region, seen.resource) for seen in self.seen if seen.table == table]


@cache
def shared(
    endpoint: str, accounts: tuple[str, ...] = (A,), attempts: int = 1, read_timeout_s: float = 20
) -> Clients:
    """Return clients that many tests use: each costs a second to make."""
    roles = {account: f"arn:aws:iam::{account}:role/auditor" for account in accounts if account != A}
    return Clients(
        Access(aws_endpoint=endpoint, attempts=attempts, read_timeout_s=read_timeout_s, roles=roles)
    )


def look(
    source: ModuleType,
    endpoint: str,
    *,
    accounts: Iterable[str] = (A,),
    regions: Iterable[str] = ("us-east-1",),
    attempts: int = 1,
    read_timeout_s: float = 20,
    settings: Any = None,
    clients: Clients | None = None,
    cursors: Mapping[str, str] | None = None,
    **more: Any,
) -> Found:
    """Run `collect` and check that every row fits its table."""
    found: list[Row | Bulk | Seen | Gap | Cursor] = []
    clients = clients or shared(endpoint, tuple(accounts), attempts, read_timeout_s)
    places = tuple(Place("aws", account, region) for account in accounts for region in regions)
    asked: Mapping[str, Any] = {
        "window": Window(FROM, NOW),
        "now": NOW,
        "cursor": (cursors or {}).get,
    } | more
    ask = Ask(source.__name__, settings or source.Settings(), places, clients=clients, **asked)
    for one in source.collect(ask):
        if isinstance(one, Bulk):
            found += (Row(one.table, values) for values in rows_of(one.table, one.path))
        else:
            found.append(one)
    rows = [one for one in found if isinstance(one, Row)]
    for row in rows:
        stored(tables()[row.table], row.values)
    return Found(
        rows,
        [one for one in found if isinstance(one, Seen)],
        [one for one in found if isinstance(one, Gap)],
        clients,
        [one for one in found if isinstance(one, Cursor)],
    )
