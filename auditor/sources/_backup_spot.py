"""AWS Backup in one account and region: what every reader of it starts from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from auditor.model import Gap, Row, Seen
from auditor.sources.ask import Ask, Suspect, need

PAGE = {"PageSize": 1000}
Found = Iterator[Row | Seen | Gap]


@dataclass(frozen=True, slots=True)
class Spot:
    """One account and region, and its client."""

    ask: Ask
    account: str
    region: str

    @property
    def client(self) -> Any:
        return self.ask.clients.aws("backup", self.account, self.region)

    def seen(self, table: str, resource: str = "*") -> Seen:
        return Seen(table, self.account, self.region, resource)

    def row(self, table: str, **values: Any) -> Row:
        return Row(table, {"account": self.account, "region": self.region, **values})


def named(*keys: str) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Return a check that an item has what names it; else Malformed, in its guard."""

    def checked(item: Mapping[str, Any]) -> Mapping[str, Any]:
        for key in keys:
            need(item, key)
        return item

    return checked


def inner(answer: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = answer.get(key)
    if not isinstance(found, Mapping):
        raise Suspect(f"the answer has no {key}")
    return found
