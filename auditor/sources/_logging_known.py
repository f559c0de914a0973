"""What earlier scans know of a project's audit log: what an answer that is to be believed must hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditor.sources.ask import Ask

_SKEW = timedelta(minutes=10)
"""How much earlier than the submission of a job its entry may be."""
_BACK = timedelta(hours=48)
_COLUMNS = (
    "entry_id", "project", "at", "received_at", "log", "method", "service", "principal_email", "principal_subject",
    "job_id", "job_uuid", "status_code",
)  # fmt: skip

Times = dict[str, datetime | None]
"""The times of an entry, by the name that filters have for them."""


@dataclass(slots=True)
class Known:
    """What is known of one project; its size is that of two days, not of the log."""

    newest: Times | None = None
    """The newest Admin Activity entry that the log still keeps."""
    recent: dict[str, Times] = field(default_factory=dict)
    """Admin Activity entries of the time that is read again, and the newest, by id."""
    unclear: dict[str, tuple[datetime | None, str]] = field(default_factory=dict)
    """Entries that may be any call, by id: their time and what they lack."""
    unheard: list[tuple[datetime, str]] = field(default_factory=list)
    """Time and kind of work later than any entry."""


def known(ask: Ask, projects: Iterable[str]) -> dict[str, Known]:
    """Return what is known of each project, in one pass over the rows at hand."""
    from auditor.sources._logging_rows import unclear
    from auditor.sources.google import unread

    oldest = ask.now - timedelta(days=ask.settings.audit_days)
    found = {project: Known() for project in projects}
    since = {project: unread(ask, "gcp_audit_entry", project) - _BACK for project in found}
    heard: dict[str, datetime] = {}
    newest: dict[str, str] = {}
    for values in ask.collected("gcp_audit_entry", _COLUMNS):
        project = values["project"]
        if project not in found:
            continue
        this, at, key = found[project], values["at"], values["entry_id"]
        if at is not None:
            heard[project] = max(at, heard.get(project, at))
        if why := unclear(values):
            this.unclear[key] = (at, why)
        if not _lasting(values, oldest):
            continue
        times: Times = {"timestamp": at, "receiveTimestamp": values.get("received_at")}
        if this.newest is None or (this.newest["timestamp"] or at) < at:
            this.newest, newest[project] = times, key
        if at >= since[project] or (times["receiveTimestamp"] or at) >= since[project]:
            this.recent[key] = times
    for project, key in newest.items():
        found[project].recent.setdefault(key, found[project].newest or {})
    for row in ask.collected("dataproc_job", ("project", "submitted_at", "kind")):
        project, at = row["project"], row["submitted_at"]
        if project in found and at and at - _SKEW > heard.get(project, oldest):
            found[project].unheard.append((at - _SKEW, row["kind"]))
    return found


def _lasting(values: Mapping[str, Any], oldest: datetime) -> bool:
    return bool(values.get("log") == "activity" and values.get("at") and values["at"] >= oldest)
