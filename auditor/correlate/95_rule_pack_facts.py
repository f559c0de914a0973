"""What rules judge of the rules themselves: whether somebody approved them, and their numbers, as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.loosening import loosened
from auditor.correlate.zoning import parsed, strictest_declared

TABLE = "rule_pack_facts"
READS = ("rule_pack", "history_signoff", "params", "config_zone")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield the one row of the rules; none when it is not known what they are."""
    for pack in tables["rule_pack"]:
        signed = sorted(
            (row for row in tables["history_signoff"] if row["kind"] == "rules"), key=lambda row: row["seq"]
        )
        mine = [row for row in signed if row["subject"] == pack["digest"]]
        # The last word on these very rules counts, in the order of the chain.
        last = mine[-1] if mine and mine[-1]["decision"] == "approved" else None
        zones = [
            {**row, "copy_to": parsed(row["copy_to"]), "regions": parsed(row["regions"])}
            for row in tables["config_zone"]
        ]
        yield {
            "subject_key": "rules",
            "zone": strictest_declared(tables["config_zone"]),
            "account": None,
            "project": None,
            "owner": last["signer"] if last else None,
            "region": None,
            "digest": pack["digest"],
            "rules": pack["rules"],
            "broken": pack["broken"],
            "approved": last is not None,
            "approved_by": last["signer"] if last else "",
            "approved_at": last["at"] if last else None,
            "approvals": sum(row["decision"] == "approved" for row in signed),
            "loosened": loosened(parsed(last["details"]) or {}, tables["params"], zones) if last else [],
        }
