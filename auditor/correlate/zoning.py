"""The zone of a row, and the small questions that several facts ask alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from json import loads
from typing import Any

Row = Mapping[str, Any]

NONE_SEEN = "none"
"""How a setting that was read and is absent is written."""


def parsed(value: Any) -> Any:
    """Return a JSON column as a value, whether it arrives decoded or as its text."""
    return loads(value) if isinstance(value, str) else value


def matches(text: str | None, globs: str) -> bool:
    """Tell whether a glob takes a text in; nothing takes in what is not known."""
    return text is not None and fnmatchcase(text, globs)


def seconds(later: datetime | None, earlier: datetime | None) -> int | None:
    """Return whole seconds between two times; None when one of them is not known."""
    return None if later is None or earlier is None else int((later - earlier).total_seconds())


def ranks(zones: Iterable[Row]) -> dict[str, int]:
    """Return the rank of each declared zone, 0 the strictest."""
    return {row["zone"]: row["rank"] for row in zones}


def strictest_declared(zones: Iterable[Row]) -> str | None:
    """Return the strictest zone there is: what serves the whole estate serves it too."""
    return min(((row["rank"], row["zone"]) for row in zones), default=(0, None))[1]


def strictest(served: Sequence[Row], rank: Mapping[str, int], *, hidden: bool = False) -> str | None:
    """Return the strictest zone among buckets (rows of `bucket_zone`).

    A bucket without a zone decides nothing: BKT-009 tells of it. One whose tags could not be read, or one that
    could not be listed (`hidden`), may be of any zone, so the answer is known only if nothing is stricter.
    """
    named = sorted({row["zone"] for row in served if row["zone"] is not None})
    best = min((zone for zone in named if zone in rank), key=lambda zone: (rank[zone], zone), default=None)
    if hidden or any(row["zone_known"] is None for row in served):
        return best if best is not None and rank[best] == min(rank.values()) else None
    return best if best is not None or not named else named[0]


def hidden_tables(coverage: Iterable[Row], table: str) -> set[tuple[str, str]]:
    """Return the (account, region) pairs in which rows of a table may be hidden; `*` stands for every region.

    A gap of one setting of one resource (`ARN#setting`) hides no row.
    """
    return {
        (row["account"], row["region"] or "*")
        for row in coverage
        if row["table_name"] == table and not row["complete"] and "#" not in (row["resource"] or "")
    }


def listed(coverage: Iterable[Row], table: str, account: str | None, region: str | None = None) -> bool:
    """Tell whether a table of present state was read to its end in an account, or in one region of it."""
    rows = [
        row
        for row in coverage
        if row["table_name"] == table
        and row["account"] in (account, "*")
        and (region is None or row["region"] in (region, "*", None))
        and "#" not in (row["resource"] or "")
    ]
    whole = any(row["complete"] and row["resource"] in ("*", None) for row in rows)
    return whole and all(row["complete"] for row in rows)
