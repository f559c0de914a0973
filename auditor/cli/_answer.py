"""The machine-readable contract: one envelope round every answer, and the rows in it. docs/json.md states it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from auditor.model import LINKS

if TYPE_CHECKING:
    from auditor.cli._reading import Standing
    from auditor.ledger import FindingRow
    from auditor.model import Drift

VERSION = 1


def stamp(at: datetime | None) -> str | None:
    """Return a time as RFC 3339 in UTC with `Z`."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def answer(command: str, standing: Standing | None, rows: Iterable[Mapping[str, Any]], **more: Any) -> None:
    """Print an answer about one scan."""
    scan = standing.scan if standing else None
    envelope(
        command,
        rows,
        scan=scan.scan if scan else None,
        as_of=scan.at if scan else None,
        complete=bool(scan and scan.complete),
        gaps=standing.gaps() if standing else [],
        **more,
    )


def envelope(
    command: str,
    rows: Iterable[Mapping[str, Any]],
    *,
    scan: str | None = None,
    as_of: datetime | None = None,
    complete: bool = True,
    gaps: Iterable[Mapping[str, Any]] = (),
    **more: Any,
) -> None:
    """Print one answer: sorted keys, ASCII only, so that no name in it can act on a terminal."""
    said = {
        "schema": f"auditor.{command}/{VERSION}",
        "scan": scan,
        "as_of": as_of,
        "complete": complete,
        "gaps": list(gaps),
        "rows": list(rows),
        **more,
    }
    click.echo(json.dumps(said, sort_keys=True, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return stamp(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


_EXPORT = (
    "export_id", "export_key", "job_uuid", "job_id", "kind", "project", "region", "account", "bucket", "prefix",
    "started_at", "finished_at", "ended_at", "objects", "bytes", "zone", "owner", "found_by", "declared",
    "service_account", "state", "strength", "due_at", "first_problem", "superseded_by",
)  # fmt: skip


def export_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the table `export` as `exports --json` gives it."""
    said = {name: row[name] for name in _EXPORT}
    said["links"] = {
        link: {
            "state": row[f"{link}_state"],
            "strength": row[f"{link}_strength"],
            "due_at": row[f"{link}_due_at"],
            "because": row[f"{link}_because"],
            "refs": row[f"{link}_refs"] or [],
        }
        for link in LINKS
    }
    return said


_OUTCOME = (
    "rule", "code", "severity", "subject_table", "subject_key", "zone", "account", "project", "owner", "params",
    "verdict", "reason", "because", "failed_checks", "unknown_checks", "gaps", "refs",
)  # fmt: skip
_EMPTY: dict[str, Any] = {"params": {}, "failed_checks": [], "unknown_checks": [], "gaps": [], "refs": []}


def outcome_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the table `outcome` as `outcomes --json` gives it."""
    return {name: _EMPTY.get(name) if row[name] is None else row[name] for name in _OUTCOME}


def finding_row(row: FindingRow) -> dict[str, Any]:
    """Return a finding as `findings --json` gives it."""
    return {
        "finding_id": row.finding_id,
        "rule": row.rule,
        "code": row.code,
        "severity": row.severity,
        "subject_table": row.subject_table,
        "subject_key": row.subject_key,
        "zone": row.zone,
        "account": row.account,
        "project": row.project,
        "owner": row.owner,
        "params": row.params,
        "verdict": row.verdict,
        "state": finding_state(row),
        "waiver": row.waiver,
        "since": row.opened_at,
        "closed_at": row.closed_at,
        "last_fail_at": row.last_fail_at,
        "because": row.because,
        "failed_checks": row.failed_checks,
        "unknown_checks": row.unknown_checks,
        "gaps": row.gaps,
        "controls": row.controls,
        "remedy": row.remedy,
        "evidence": row.refs,
    }


def finding_state(row: FindingRow) -> str:
    """Return `open`, `waived` or `closed`."""
    return "waived" if row.state == "open" and row.waiver else row.state


def drift_row(row: Drift, before: datetime | None) -> dict[str, Any]:
    """Return a change as `drift --json` gives it; `before` is when the scan before the one that saw it looked."""
    from auditor.watch.authors import trace

    found = trace(row)
    return {
        **{
            name: getattr(row, name)
            for name in (
                "drift_id", "kind", "rule", "subject_table", "subject_key", "field", "before", "after", "direction",
                "changed_at", "detected_at", "actor", "actor_reason", "severity", "because",
            )
        },
        "looked_before_at": before,
        "event_id": found.event_id,
        "event_name": found.event_name,
        "address": found.address,
        "session": found.session,
        "events_beside": found.others,
    }  # fmt: skip
