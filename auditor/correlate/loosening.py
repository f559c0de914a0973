"""What of the parameters and of the zones' limits is looser than it was when the rules were approved.

A change whose direction is not plain counts as looser: whoever approves the rules approves their numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from json import dumps
from typing import Any

LIMITS = {"capture_s": "up", "retention_d": "down", "copy_lag_s": "up", "bucket_min_d": "down"}
"""Limits of a zone, and which way of each asks for less; -1 asks for nothing."""
OTHERS = ("copy_to", "regions", "supersede", "rank")

Key = tuple[str, str, str]


def loosened(
    details: Mapping[str, Any], params: Iterable[Mapping[str, Any]], zones: Iterable[Mapping[str, Any]]
) -> list[str]:
    """Return in words what differs from an approval to the looser side, or to a side nobody can tell; sorted."""
    return sorted({*_params(details, params), *_zones(details, zones)})


def _params(details: Mapping[str, Any], params: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    approved: dict[Key, Any] = {
        (rule, zone, name): value for rule, zone, name, value in details.get("params", ())
    }
    now: dict[Key, Any] = {(row["rule"], row["zone"], row["name"]): row["value"] for row in params}
    for key in sorted({*approved, *now}):
        rule, zone, name = key
        before = _effective(approved, key)
        after = _effective(now, key)
        way = (details.get("looser") or {}).get(f"{rule}/{name}", "")
        if before != after and not _stricter(before, after, way):
            yield f"{rule} {name} ({zone}): {_said(before)} -> {_said(after)}"


def _effective(values: Mapping[Key, Any], key: Key) -> Any:
    rule, _, name = key
    return values.get(key, values.get((rule, "default", name)))


def _zones(details: Mapping[str, Any], zones: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    approved = {row["zone"]: row for row in details.get("zones", ())}
    now = {row["zone"]: row for row in zones}
    for zone in sorted({*approved, *now}):
        if zone not in now or zone not in approved:
            yield f"zone {zone}: {'is no longer there' if zone in approved else 'is new'}"
            continue
        for name, way in (*LIMITS.items(), *((other, "") for other in OTHERS)):
            before, after = approved[zone].get(name), now[zone].get(name)
            if before != after and not (name in LIMITS and _limit_stricter(before, after, way)):
                yield f"zone {zone} {name}: {_said(before)} -> {_said(after)}"


def _limit_stricter(before: Any, after: Any, way: str) -> bool:
    if before == -1:
        return after is not None
    return after != -1 and _stricter(before, after, way)


def _stricter(before: Any, after: Any, way: str) -> bool:
    """Say whether a number moved plainly to the stricter side."""
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in (before, after)):
        return False
    return (way == "up" and after < before) or (way == "down" and after > before)


def _said(value: Any) -> str:
    return "not set" if value is None else dumps(value, sort_keys=True, ensure_ascii=False)
