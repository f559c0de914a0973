"""How a matter stands that a channel was told of: whether it still fails, cannot be judged, or is over."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from auditor.ledger.values import stamp

if TYPE_CHECKING:
    from auditor.ledger.matters import OpenFinding

SCAN = "scan"
"""Rules judge each scan as a subject of its own; what lasts from scan to scan is one matter, and is told once."""


def scan_rule(said: Mapping[str, Any]) -> str:
    """Return the rule of a matter that is of the scanning; empty of any other."""
    return str(said.get("rule") or "") if said.get("resource_type") == SCAN else ""


def scan_findings(conn: sqlite3.Connection) -> set[str]:
    """Return the open findings of the last scan as a subject, by their ids."""
    rows = conn.execute(
        "SELECT finding_id FROM finding WHERE until_scan IS NULL AND subject_table = ?", (SCAN,)
    )
    return {str(row[0]) for row in rows}


class Ended:
    """When settings were last set right, or their resources were gone: read once, if anything asks.

    And what fails of the last scan.
    """

    def __init__(self, conn: sqlite3.Connection, findings: Iterable[OpenFinding]) -> None:
        self._conn = conn
        self.scans = {each.rule: each for each in findings if each.subject_table == SCAN}
        """By rule: each scan has findings of its own, and what they say of the scanning is one matter."""
        self._found: dict[tuple[str, str, str | None], str] | None = None

    def after(self, table: str, key: str, name: str | None, since: str) -> bool:
        """Say whether a setting ended after a time."""
        if self._found is None:
            self._found = {
                (row[0], row[1], row[2]): row[3]
                for row in self._conn.execute(
                    "SELECT subject_table, subject_key, CASE kind WHEN 'vanished' THEN NULL ELSE field END, "
                    "max(detected_at) FROM drift WHERE rule IS NULL AND (direction = 'better' OR kind = 'vanished') "
                    "GROUP BY 1, 2, 3"
                )
            }
        return any(self._found.get((table, key, each), "") > since for each in (name, None))


def stands_now(
    said: Mapping[str, Any], findings: Mapping[str, OpenFinding], ended: Ended, since: str
) -> tuple[str, str, str]:
    """Return how a matter stands that was last raised at a time, why, and how severe it is.

    One that has begun anew since, and has only ever been unknown, is another: this one is over.
    """
    because, severity = str(said.get("because") or ""), str(said.get("severity") or "medium")
    if rule := scan_rule(said):
        last = ended.scans.get(rule)
        return (last.verdict, last.because, last.severity) if last else ("over", because, severity)
    if finding_id := said.get("finding_id"):
        found = findings.get(str(finding_id))
        if found is None or (not found.failed and stamp(found.opened_at) > since):
            return "over", because, severity
        return found.verdict, found.because, found.severity
    if said.get("field") and ended.after(
        str(said.get("resource_type")), str(said.get("resource")), str(said["field"]), since
    ):
        return "over", because, severity
    return "open", because, severity


def of_old(conn: sqlite3.Connection, incident: str | None) -> dict[str, Any]:
    """Return what is known of a matter that was told before this was kept: the message that told of it."""
    row = conn.execute(
        "SELECT json_extract(body, '$.data.severity'), json_extract(body, '$.data.title') FROM outbox "
        "WHERE alert_id = ?",
        (incident,),
    ).fetchone()
    severity, title = row or ("medium", None)
    return {"severity": severity, "resource": title or "what an earlier message told of"}
