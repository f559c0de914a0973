"""Matters of one cause made into one message for one channel, small enough to read. Pure."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

from auditor.alerts.items import Item, rank
from auditor.alerts.text import LARGEST_BYTES, clean, iso, line, wire
from auditor.ledger import Alert
from auditor.ledger.values import CLOSING, OPENING
from auditor.watch.gcp import TABLES as GOOGLE
from auditor.watch.told import not_decided

_ITEMS = 25
_TOP = 5

_TITLES = {
    "opened": "{what} fails",
    "regressed": "{what} fails again",
    "worsened": "{what} got worse",
    "changed": "{what} changed",
    "recovered": "{what} is well again",
    "vanished": "{what} is gone; nobody saw it fixed",
    "went_unknown": "{what} cannot be judged",
    "scanner_blind": "{what} cannot be read",
    "flapping": "{what} comes and goes: nothing more is told of it before it was calm for a day",
    "waiver_over": "{what} fails, and its waiver is over",
}


class Affected:
    """The exports that resources are part of, looked up once for all of them."""

    def __init__(self, exports: Iterable[Mapping[str, Any]], resources: AbstractSet[str]) -> None:
        self._by: dict[str, list[tuple[bool, str]]] = {}
        for row in exports if resources else ():
            of = {row.get("export_id"), row.get("bucket_arn"), row.get("proving_point")} & resources
            for resource in of:
                export = (str(row.get("state")) == "proven", str(row.get("export_id")))
                self._by.setdefault(str(resource), []).append(export)

    def by(self, items: Iterable[Item]) -> list[str]:
        """Return the exports that items concern, those in trouble first."""
        found = {export for item in items for export in self._by.get(item.resource, ())}
        return [line(export) for _, export in sorted(found)]


NO_EXPORTS = Affected((), frozenset())


def message(
    channel: str,
    event: str,
    items: Sequence[Item],
    now: datetime,
    *,
    title: str = "",
    exports: Affected = NO_EXPORTS,
    held: Mapping[str, str] | None = None,
    also_closes: Iterable[str] = (),
    more: Mapping[str, Any] | None = None,
    known_by: Sequence[str] = (),
) -> Alert:
    """Return one message of items; `known_by` is what its id is made of where that is not its content and its time.

    `held` says what keeps it from being sent, `also_closes` what is over beside its items, `more` what else it says.
    """
    items = sorted(items, key=lambda item: (rank(item.severity), item.resource, item.key))
    first = items[0]
    keys = tuple(sorted({*(item.key for item in items), *also_closes}))
    opens = tuple(sorted({item.key for item in items if item.event in OPENING}))
    closes = tuple(sorted({*(item.key for item in items if item.event in CLOSING), *also_closes}))
    affected = exports.by(items)
    counts = Counter(item.event for item in items)
    data: dict[str, Any] = {
        "title": line(f"[{first.severity.upper()}] {title or _title(items, event)}"),
        "event": event,
        "severity": first.severity,
        "count": len(items),
        "exports": {"count": len(affected), "top": affected[:_TOP]},
        "items": [dict(item.said) for item in items[:_ITEMS]],
        "items_left_out": max(0, len(items) - _ITEMS),
        **({"events": dict(sorted(counts.items()))} if len(counts) > 1 else {}),
        **({"held": dict(held)} if held else {}),
        **(more or {}),
    }
    body = {"type": f"auditor.{event}", "timestamp": iso(now), "data": data}
    _shrink(body, data)
    if data["items_left_out"]:
        data.setdefault("look", f"auditor drift --since {iso(now)}")  # lists everything that moved
    parts = [channel, event, *first.group, *keys, *((held or {}).values()), iso(now)]
    digest = hashlib.sha256(json.dumps(list(known_by) or parts).encode()).hexdigest()
    return Alert(
        f"msg_{digest[:32]}",
        channel,
        event,
        keys,
        body,
        opens=opens,
        closes=closes,
        matters={item.key: item.short() for item in items},
        held=(held or {}).get("by"),
    )


def _title(items: Sequence[Item], event: str) -> str:
    first = items[0]
    if first.event in _ROW_EVENTS and (words := in_words(first.said)):
        return f"{words}, and {len(items) - 1} more" if len(items) > 1 else words
    what = str(first.said.get("rule") or first.said.get("field") or "").strip()
    subject = f"{what} on {first.resource}" if what else first.resource
    template = _TITLES.get(first.event, _TITLES.get(event, "{what}"))
    if first.event == "worsened" and not_decided(str(first.said.get("because") or "")):
        template = "{what} may have got worse"
    title = template.format(what=subject)
    return f"{title}, and {len(items) - 1} more" if len(items) > 1 else title


_ROW_EVENTS = ("worsened", "changed", "recovered", "vanished")


def in_words(said: Mapping[str, Any]) -> str:
    """Say what it comes to that settings changed, or a row of them came or went; empty where that is not told in words."""
    if said.get("rule"):
        return ""
    because = str(said.get("because") or "").partition("; away from the state ")[0]
    if said.get("field"):  # what settings of Google Cloud come to is said in words; their names say little
        return because if said.get("resource_type") in GOOGLE else ""
    if said.get("change") not in ("appeared", "vanished"):
        return ""
    resource = str(said.get("resource"))
    words = because.removeprefix(f"{resource}: ")
    if words.startswith(("is new", "is gone")):
        _, colon, rest = words.partition(": ")
        return rest if colon else f"{resource} {words}"
    return words


def _shrink(body: Mapping[str, Any], data: dict[str, Any]) -> None:
    """Leave items out, then words, until the message is small enough; it says how many."""
    while len(wire(body)) > LARGEST_BYTES - 64 and len(data["items"]) > 1:
        data["items"].pop()
        data["items_left_out"] += 1
    if len(wire(body)) > LARGEST_BYTES - 64:
        data["items"] = [
            {name: clean(v, 200) if isinstance(v, str) else v for name, v in item.items()}
            for item in data["items"]
        ]
        data["exports"]["top"] = [clean(name, 200) for name in data["exports"]["top"]]
