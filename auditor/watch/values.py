"""Watched settings as plain values: which columns, written so that equal settings are equal text, and which rows are gone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from auditor.model import Gap, Seen
from auditor.policy.once import once
from auditor.schema import Column, Table

_SETS = frozenset(
    {"policy", "trust_policy", "inline_policies", "attached_policies", "client_ids", "thumbprints",
     "write_data_arns", "resources", "not_resources", "list_of_tags",
     "exempted", "permissions", "exclusions"}
)  # fmt: skip
"""Columns whose lists are read as sets: their order says nothing."""


ABSENT = "none"
_KNOWN_BY = {("backup_vault", "lock_date"): "locked"}
"""Columns whose NULL says that there is none, where the other is known."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One watched setting of one resource, as last known."""

    table: str
    key: str
    """The row's key, parts joined by `/`."""
    field: str
    value: str | None
    """Text in one canonical form; None: not known."""
    account: str = "*"
    region: str = "*"
    at: datetime | None = None
    """When it was last known; the start of the time in which it may have changed."""


Fields = Mapping[str, Watched]
"""The watched settings of one row, by column."""
Row = tuple[str, str]
"""Table and key."""


def watched(table: Table, row: Mapping[str, Any]) -> Iterator[Watched]:
    """Yield the watched settings of one row of a source table, or of a table of the configuration, which has no place."""
    columns = [column for column in table.columns if column.watch]
    if not columns:
        return
    # A part that is a time says since when, not what.
    key = "/".join(str(row.get(part, "")) for part in table.key if table.column(part).type != "TIME")
    placed = table.kind == "source"
    account = str((row.get("account") or row.get("project") or "*") if placed else "*")
    region = str((row.get("region") or "*") if placed else "*")
    for column in columns:
        value = plain(column, row.get(column.name))
        if value is None and row.get(_KNOWN_BY.get((table.name, column.name), "")) is not None:
            value = ABSENT
        yield Watched(table.name, key, column.name, value, account, region)


_DECODER = json.JSONDecoder(object_pairs_hook=once)


def plain(column: Column, value: Any) -> str | None:
    """Write a value so that equal settings are equal text, whatever the order of their keys."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    parsed: Any = value
    if isinstance(value, str):
        if column.type != "JSON" and column.name not in _SETS:
            return value
        try:
            parsed = _DECODER.decode(value)
        except (ValueError, RecursionError):
            return value  # not JSON, or with a key twice: then every byte may matter
    try:
        return canonical(_unordered(parsed) if column.name in _SETS else parsed)
    except RecursionError:
        return repr(value)


def _unordered(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _unordered(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        if len(value) < 2:
            return [_unordered(item) for item in value]
        return sorted((_unordered(item) for item in value), key=canonical)
    return value


def canonical(value: Any) -> str:
    """Write JSON in its one form."""
    return _as_json(value)


_as_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def by_table(coverage: Sequence[Seen | Gap]) -> dict[str, list[Seen | Gap]]:
    """Sort coverage by the table it tells of.

    What a policy of Google Cloud logs is read with its bindings, and seen where these are, whatever of the policies above it
    was not.
    """
    found: dict[str, list[Seen | Gap]] = {}
    for part in coverage:
        if part.table != _LOGGED:
            found.setdefault(part.table, []).append(part)
        if part.table == _BOUND and part.resource == "*":
            found.setdefault(_LOGGED, []).append(replace(part, table=_LOGGED))
    return found


_BOUND, _LOGGED, _KEYS = "gcp_iam_binding", "gcp_audit_config", "gcp_service_account_key"
_OF_ACCOUNT = re.compile(r"projects/[^/]+/serviceAccounts/([^/]+)")
_ONE_BY_ONE = frozenset((_BOUND, _LOGGED, _KEYS))
"""Tables of which each policy, and the keys of each account, are asked for by themselves: a gap of one hides no other."""


def place_of(one: Watched) -> str:
    """Return what a row of such a table was asked of, as its coverage names it: empty for a project's own policy."""
    found = _OF_ACCOUNT.match(one.key) if one.table in (_BOUND, _KEYS) else None
    return "" if found is None else found[1] if one.table == _KEYS else found[0]


def listings(coverage: Sequence[Seen | Gap]) -> set[tuple[str, str, str]]:
    """Return what was listed to its end, as table, account and region; of service accounts each that was asked for.

    Clusters are asked for one by one too, and come and go too fast to be remembered.
    """
    return {
        (table, part.account, part.region if part.resource == "*" else part.resource)
        for table, parts in by_table(coverage).items()
        for part in parts
        if isinstance(part, Seen)
        and (part.resource == "*" or table == _KEYS or (table == _BOUND and _OF_ACCOUNT.match(part.resource)))
    }


def lost(one: Watched, coverage: Sequence[Seen | Gap]) -> bool:
    """Say whether a row that was not yielded is gone: its listing was read without a gap."""
    if one.table in _ONE_BY_ONE:
        place = place_of(one) or "*"
        mine = [part for part in coverage if (part.account, part.resource) == (one.account, place)]
        return bool(mine) and all(isinstance(part, Seen) for part in mine)
    seen = False
    for part in coverage:
        if part.table != one.table or part.account not in {"*", one.account}:
            continue
        if "*" not in {part.region, one.region} and part.region != one.region:
            continue
        if isinstance(part, Seen):
            seen = seen or part.resource == "*" or one.key.split("/")[0] in part.resource
        elif "#" not in part.resource:
            return False  # of whatever it is the gap, the row may stand behind it
    return seen
