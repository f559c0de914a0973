"""How well a zone's promise of capture was kept: of the exports due in the last 30 days, how many were captured in time.

Exports of this scan are judged anew; of those that no scan looks at any more the last word of an earlier scan stands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.zoning import parsed

TABLE = "zone_facts"
READS = ("export", "history_export", "config_zone", "as_of")

WINDOW = timedelta(days=30)
_WORDS = {"proven": "captured", "broken": "missed"}
"""What a state of the recovery point link counts as; superseded and empty exports do not count, all else is open."""


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a declared zone."""
    (now,) = tables["as_of"]
    counts: dict[str, Counter[str]] = {row["zone"]: Counter() for row in tables["config_zone"]}
    present: set[str] = set()
    for export in tables["export"]:
        present.add(export["export_id"])
        _count(counts, export["zone"], export["capture_due_at"], export["recovery_point_state"], now["as_of"])
    for old in tables["history_export"]:
        if old["export_id"] not in present:
            state = ((parsed(old["links"]) or {}).get("recovery_point") or [None])[0]
            _count(counts, old["zone"], old["capture_due_at"], state, now["as_of"], "earlier")
    for zone, count in sorted(counts.items()):
        yield {
            "subject_key": zone,
            "zone": zone,
            "account": None,
            "project": None,
            "owner": None,
            "region": None,
            "due": count["due"],
            "captured": count["captured"],
            "missed": count["missed"],
            "open": count["open"],
            "all_seen": None if count["open"] else True,
            "earlier": count["earlier"],
        }


def _count(
    counts: Mapping[str, Counter[str]],
    zone: str | None,
    due_at: datetime | None,
    state: str | None,
    now: datetime,
    *also: str,
) -> None:
    if zone is None or zone not in counts:
        return  # without a zone nothing was promised: JOB-003 and BKT-009 tell
    if due_at is None or not now - WINDOW < due_at <= now or state == "not_required":
        return
    counts[zone].update(("due", _WORDS.get(state or "", "open"), *also))
