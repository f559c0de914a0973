"""What rules judge of a waiver: whether it is complete, still holds, and still covers an open finding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.zoning import matches, seconds, strictest_declared

TABLE = "waiver_facts"
READS = ("history_waiver", "history_finding", "config_zone", "as_of")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a waiver."""
    (now,) = tables["as_of"]
    for waiver in tables["history_waiver"]:
        open_ = [
            finding
            for finding in tables["history_finding"]
            if matches(finding["rule"], waiver["rule"] or "")
            and matches(finding["subject_key"], waiver["subject"] or "")
        ]
        ends = waiver["expires_at"]
        yield {
            "subject_key": waiver["waiver_id"],
            "zone": strictest_declared(tables["config_zone"]),
            "account": None,
            "project": None,
            "owner": waiver["requester"],
            "region": None,
            "rule": waiver["rule"],
            "covers": waiver["subject"],
            "reason": waiver["reason"] or "",
            "requester": waiver["requester"] or "",
            "approver": waiver["approver"] or "",
            "created_at": waiver["created_at"],
            "expires_at": ends,
            "expires": ends is not None,
            "expired": ends is not None and ends <= now["as_of"],
            "lasts_s": seconds(ends, waiver["created_at"]),
            "open_findings": len(open_),
        }
