"""What rules judge of a waiver: whether it is complete, still holds, and still covers an open finding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.waiving import covers
from auditor.correlate.zoning import seconds, strictest_declared
from auditor.persons import same_person

TABLE = "waiver_facts"
READS = ("history_waiver", "history_finding", "history_scan", "config_zone", "as_of")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a waiver."""
    (now,) = tables["as_of"]
    for waiver in tables["history_waiver"]:
        open_ = [finding for finding in tables["history_finding"] if covers(waiver, finding)]
        ends = waiver["expires_at"]
        yield {
            "subject_key": waiver["waiver_id"],
            "zone": strictest_declared(tables["config_zone"]),
            "account": None,
            "project": None,
            "owner": waiver["requester"],
            "region": None,
            "rule": waiver["rule"],
            "covers": waiver["subject"]
            if waiver["finding_id"] is None
            else f"finding {waiver['finding_id']}",
            "reason": waiver["reason"] or "",
            "requester": waiver["requester"] or "",
            "approver": waiver["approver"] or "",
            "created_at": waiver["created_at"],
            "expires_at": ends,
            "expires": ends is not None,
            "expired": ends is not None and ends <= now["as_of"],
            "lasts_s": seconds(ends, waiver["created_at"]),
            "open_findings": len(open_),
            "same_person": same_person(waiver["requester"] or "", waiver["approver"] or ""),
            "back_dated": waiver["entered_after"] is not None
            and waiver["created_at"] < waiver["entered_after"],
            "scans_since": sum(
                scan["state"] == "finished" and scan["at"] > waiver["created_at"]
                for scan in tables["history_scan"]
            ),
        }
