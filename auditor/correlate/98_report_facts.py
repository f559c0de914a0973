"""What rules judge of reports: whether somebody signed off the very bytes, and whether there are reports at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.zoning import Row, seconds, strictest_declared

TABLE = "report_facts"
READS = ("history_report", "history_signoff", "history_scan", "config_zone", "as_of")

NONE = "none"


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a report, and one for the time since the last of them."""
    (now,) = tables["as_of"]
    zone = strictest_declared(tables["config_zone"])
    signed: dict[str, Row] = {}
    for row in sorted(tables["history_signoff"], key=lambda row: -row["seq"]):
        if row["kind"] == "report":
            signed[row["subject"]] = row  # the first of them stands
    reports = sorted(tables["history_report"], key=lambda row: (row["at"], row["sha256"]))
    latest = {(report["from_at"], report["to_at"]): report["sha256"] for report in reports}
    for report in reports:
        mine = signed.get(report["sha256"])
        yield _subject(report["sha256"], zone) | {
            "file": report["file"],
            "from_at": report["from_at"],
            "to_at": report["to_at"],
            "written": True,
            "superseded": latest[report["from_at"], report["to_at"]] != report["sha256"],
            "age_s": seconds(now["as_of"], report["at"]),
            "signed": mine is not None,
            "signed_by": mine["signer"] if mine else "",
            "signed_after_s": seconds(mine["at"], report["at"]) if mine else None,
        }
    scans = [
        row["at"] for row in tables["history_scan"] if row["state"] == "finished" and row["at"] is not None
    ]
    covered = max((report["to_at"] for report in reports), default=None)
    since = covered or min(scans, default=None)
    if since is not None:
        yield _subject(NONE, zone) | {
            "file": "",
            "from_at": since,
            "to_at": now["as_of"],
            "written": False,
            "superseded": False,
            "age_s": seconds(now["as_of"], since),
            "signed": False,
            "signed_by": "",
            "signed_after_s": None,
        }


def _subject(key: str, zone: str | None) -> dict[str, Any]:
    return {"subject_key": key, "zone": zone, "account": None, "project": None, "owner": None, "region": None}
