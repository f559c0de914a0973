"""Which mappings of [[duties]] are other than in the scan before, and the approved change that explains each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.changed import approved
from auditor.correlate.zoning import strictest_declared
from auditor.schema import tables as schema_tables

TABLE = "identity_map_facts"
READS = ("config_duty", "config_change", "history_watch", "as_of", "config_zone")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a mapping, there or remembered."""
    (now,) = tables["as_of"]
    key = schema_tables()["config_duty"].key
    here = {"/".join(str(row[part]) for part in key): row for row in tables["config_duty"]}
    before = {row["key"] for row in tables["history_watch"] if row["table_name"] == "config_duty"}
    compared = now["previous_at"] is not None and bool(before)
    changes = [
        {**row, "from_at": _utc(row["from_at"]), "until_at": _utc(row["until_at"])}
        for row in tables["config_change"]
    ]
    fallback = strictest_declared(tables["config_zone"])
    declared = {row["zone"] for row in tables["config_zone"]}
    for mapping in sorted({*here, *before}):
        row = here.get(mapping)
        change = "" if not compared or (row and mapping in before) else "added" if row else "removed"
        matched, record, by = None, None, None
        if change:
            matched, record, by = approved(
                changes, mapping, None, _utc(now["previous_at"]), _utc(now["as_of"])
            )
        yield {
            "subject_key": mapping,
            "zone": row["zone"] if row and row["zone"] in declared else fallback,
            "account": None,
            "project": None,
            "owner": None,
            "region": None,
            "group_name": mapping.partition("/")[0],
            "compared": compared,
            "change": change,
            "recorded": matched is True,
            "change_id": record,
            "approved_by": by,
            "says": f"{change}: {record}, approved by {by}" if record else change or "as before",
        }


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
