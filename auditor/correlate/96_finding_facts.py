"""What rules judge of findings: how long each was open when the scan before saw it last, and whether it is waived.

Whether this scan still finds it is not known yet, so its age is that of the last scan: a finding that is resolved by now is not
called older than it grew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.waiving import covers
from auditor.correlate.zoning import seconds

TABLE = "finding_facts"
READS = ("history_finding", "history_waiver", "as_of")

OWN = "SCN-010"
"""The rule that judges these: a finding of it would beget another for ever."""


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a finding."""
    (now,) = tables["as_of"]
    in_force = [
        row
        for row in tables["history_waiver"]
        if row["created_at"] <= now["as_of"]
        and (row["expires_at"] is None or row["expires_at"] > now["as_of"])
    ]
    for finding in tables["history_finding"]:
        if finding["code"] == OWN:
            continue
        yield {
            "subject_key": finding["finding_id"],
            "zone": finding["zone"],
            "account": finding["account"],
            "project": finding["project"],
            "owner": finding["owner"],
            "region": None,
            "rule": finding["rule"],
            "code": finding["code"],
            "about": finding["subject_key"],
            "verdict": finding["verdict"],
            "severity": finding["severity"],
            "opened_at": finding["since"],
            "open_s": seconds(now["previous_at"], finding["since"]),
            "waived": any(covers(waiver, finding) for waiver in in_force),
        }
