"""Which findings a waiver is of."""

from __future__ import annotations

from auditor.correlate.zoning import Row, matches


def covers(waiver: Row, finding: Row) -> bool:
    """Say whether a waiver is of a finding: of this very one, or of its rule and its subject."""
    if waiver["finding_id"] is not None:
        return bool(waiver["finding_id"] == finding["finding_id"])
    return matches(finding["rule"], waiver["rule"] or "") and matches(
        finding["subject_key"], waiver["subject"] or ""
    )
