"""Cloud Logging: who triggered what, and what the drivers wrote. One bulk read a project each.

Every filter states its times: `google.cloud.logging.Client` adds the last 24 hours to one that
does not. Pages of 1,000, the most ListLogEntries takes; its quota is 60 calls a minute and project
(cloud.google.com/logging/quotas). Admin Activity entries are always written, and kept 400 days in
`_Required`; Data Access entries, GenerateAccessToken and GenerateIdToken among them, exist only
where the estate switched them on, and without logging.privateLogEntries.list they are left out of
an answer without a word (cloud.google.com/logging/docs/audit).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from auditor.model import Gap, Row, Seen, Window
from auditor.sources.ask import Ask, Suspect, Truncated, cut, gap, guard, safe_text

if TYPE_CHECKING:
    from auditor.sources.google import Patience

TABLES = ("gcp_audit_entry", "dataproc_driver_log")
AFTER: tuple[str, ...] = ()
ACTIONS = ("logging.logEntries.list", "logging.privateLogEntries.list")

METHODS = (
    "JobController.SubmitJob",
    "JobController.CancelJob",
    "JobController.DeleteJob",
    "BatchController.CreateBatch",
    "BatchController.DeleteBatch",
    "SessionController.CreateSession",
    "SessionController.DeleteSession",
    "ClusterController.CreateCluster",
    "ClusterController.DeleteCluster",
    "ClusterController.UpdateCluster",
    "WorkflowTemplateService.InstantiateWorkflowTemplate",
    "WorkflowTemplateService.InstantiateInlineWorkflowTemplate",
    "GenerateAccessToken",
    "GenerateIdToken",
    "SetIamPolicy",
)
"""What a methodName may hold: with `:` a part is enough, whatever the service's version, so that
SubmitJob takes SubmitJobAsOperation in and SetIamPolicy google.iam.admin.v1.SetIAMPolicy."""
_DRIVER_LOGS = ("dataproc.job.driver", "dataproc.job.yarn.container")
"""In cluster mode the driver's log is the one of its YARN container."""
_NAMED = 50
"""Unclear entries that get a gap of their own; later ones share one."""
_INSTANT = timedelta(seconds=1)
_SKEW = timedelta(minutes=10)
"""How much earlier than the submission of a job its entry may be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How Cloud Logging is read."""

    call_timeout_s: float = 60.0
    """Seconds that one call may take."""
    retry_s: float = 120.0
    """Seconds for which a throttled or unavailable call is repeated."""
    late_s: int = 3600
    """Seconds that an entry may arrive late: so much is read again in every scan."""
    audit_days: int = 400
    """Days that Admin Activity entries are kept; Google's own figure."""
    driver_logs: bool = True
    """Whether to sum up what the drivers wrote."""
    driver_days: int = 30
    """Days that the log bucket of the driver logs keeps entries; Google's default."""
    driver_pages: int = 300
    """Most pages of driver logs in one scan and project; more is a gap."""

    @property
    def patience(self) -> Patience:
        """The budget of one call."""
        from auditor.sources.google import Patience

        return Patience(self.call_timeout_s, self.retry_s)


def collect(ask: Ask) -> Iterator[Row | Seen | Gap]:
    """Yield audit entries and summed driver logs of every project in scope, project by project."""
    for project in ask.accounts("gcp"):
        yield from _audit(ask, project)
        if ask.settings.driver_logs:
            yield from _drivers(ask, project)
        else:
            window = Seen("dataproc_driver_log", project, "*", "*", *_ends(ask.window))
            yield gap(window, "not_configured", "driver_logs is off in the configuration")


def audit_filter(project: str, from_at: datetime, until_at: datetime) -> str:
    """Return the one filter of a project's audit entries."""
    logs = " OR ".join(
        f'"projects/{project}/logs/cloudaudit.googleapis.com%2F{log}"' for log in ("activity", "data_access")
    )
    methods = " OR ".join(f'"{method}"' for method in METHODS)
    when = _between(from_at, until_at)
    return f"logName=({logs}) AND {when} AND protoPayload.methodName:({methods})"


def driver_filter(project: str, from_at: datetime, until_at: datetime) -> str:
    """Return the one filter of a project's driver logs."""
    logs = " OR ".join(f'"projects/{project}/logs/{log}"' for log in _DRIVER_LOGS)
    kind = 'resource.type="cloud_dataproc_job"'
    return f"logName=({logs}) AND {kind} AND {_between(from_at, until_at)}"


def _between(from_at: datetime, until_at: datetime) -> str:
    from auditor.sources.google import rfc3339

    return f'timestamp>="{rfc3339(from_at)}" AND timestamp<"{rfc3339(until_at)}"'


def _ends(window: Window) -> tuple[datetime, datetime]:
    return window.from_at, window.until_at


def _pages(ask: Ask, project: str, query: str) -> Iterator[Any]:
    from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
    from google.cloud.logging_v2.types import ListLogEntriesRequest

    from auditor.sources.google import pages

    client = ask.clients.gcp(LoggingServiceV2Client, project)
    request = ListLogEntriesRequest(
        resource_names=[f"projects/{project}"],
        filter=query,
        order_by="timestamp asc",
        page_size=1000,
    )
    return pages(client.list_log_entries, request, ask.settings.patience)


def _audit(ask: Ask, project: str) -> Iterator[Row | Seen | Gap]:
    from auditor.sources._dataproc_history import telling
    from auditor.sources._logging_rows import of_audit, unclear

    known = [row.values for row in ask.rows("gcp_audit_entry") if row.values["project"] == project]
    start, lost = _start(ask, "gcp_audit_entry", project, ask.settings.audit_days)
    yield from lost
    start = _reaching_back(ask, start, known)
    unheard = _unheard(ask, project, known)
    start = min([start, *(at for at, _ in unheard)])
    until = ask.window.until_at
    expected = {v["entry_id"] for v in known if _lasting(v, start) and v["at"] < until}
    found = {v["entry_id"]: (v["at"], why) for v in known if (why := unclear(v))}
    scope = Seen("gcp_audit_entry", project, "*", "*", start, until)
    heard = not telling(kind for _, kind in unheard)
    with guard(scope, action="logging.logEntries.list") as read:
        for page in _pages(ask, project, audit_filter(project, start, until)):
            for entry in page.entries:
                values = of_audit(entry, project)
                entry_id = safe_text(cut(values["entry_id"]))
                expected.discard(entry_id)
                heard = True
                if why := unclear(values):
                    found[entry_id] = (values["at"], why)
                yield Row("gcp_audit_entry", values)
        if expected:
            raise Suspect(
                f"{len(expected)} audit entries that an earlier scan read are not in the answer, "
                f"the first {min(expected)}"
            )
        if not heard:
            raise Suspect(f"work was submitted in {project}, but no audit entry tells of it")
    yield from read
    yield from _unclear(project, found, ask.window)


def _start(ask: Ask, table: str, project: str, kept_days: int) -> tuple[datetime, list[Gap]]:
    """Return where to read from, and a gap for what the log no longer keeps."""
    from auditor.sources.google import unread

    start = unread(ask, table, project, overlap=timedelta(seconds=ask.settings.late_s))
    oldest = ask.now - timedelta(days=kept_days)
    if start >= oldest:
        return start, []
    until = min(oldest, ask.window.until_at)
    scope = Seen(table, project, "*", "*", start, until)
    return until, [gap(scope, "out_of_reach", f"Cloud Logging keeps these {kept_days} days")]


def _reaching_back(ask: Ask, start: datetime, known: Sequence[Mapping[str, Any]]) -> datetime:
    """Return an earlier start that takes in the newest entry already known.

    An empty answer is legal and looks like a quiet project; asked this way a true answer never is
    empty once a project has been heard of.
    """
    oldest = ask.now - timedelta(days=ask.settings.audit_days)
    activity = [values["at"] for values in known if _lasting(values, oldest)]
    return min(start, max(activity, default=start))


def _unheard(ask: Ask, project: str, known: Sequence[Mapping[str, Any]]) -> list[tuple[datetime, str]]:
    """Return time and kind of known work later than any entry that earlier answers held."""
    oldest = ask.now - timedelta(days=ask.settings.audit_days)
    heard = max((v["at"] for v in known if v["at"]), default=oldest)
    return [
        (row.values["submitted_at"] - _SKEW, row.values["kind"])
        for row in ask.rows("dataproc_job")
        if row.values["project"] == project
        and row.values["submitted_at"]
        and row.values["submitted_at"] - _SKEW > heard
    ]


def _lasting(values: Mapping[str, Any], oldest: datetime) -> bool:
    return bool(values.get("log") == "activity" and values.get("at") and values["at"] >= oldest)


def _unclear(project: str, found: Mapping[str, tuple[datetime | None, str]], window: Window) -> Iterator[Gap]:
    """Yield a gap over the project for the time of each entry that may be any call.

    Entries of earlier scans are told again: they are not read again, and their row is no clearer.
    """
    timed = sorted((at, key, why) for key, (at, why) in found.items() if at is not None)
    for at, key, why in timed[:_NAMED]:
        scope = Seen("gcp_audit_entry", project, "*", "*", at, at + _INSTANT)
        yield gap(scope, "malformed", f"the audit entry {key} has {why}")
    if rest := timed[_NAMED:]:
        scope = Seen("gcp_audit_entry", project, "*", "*", rest[0][0], rest[-1][0] + _INSTANT)
        yield gap(scope, "malformed", f"{len(rest)} more audit entries lack what they need")
    for key, (_, why) in sorted(each for each in found.items() if each[1][0] is None):
        scope = Seen("gcp_audit_entry", project, "*", "*", *_ends(window))
        yield gap(scope, "malformed", f"the audit entry {key} has {why}")


def _drivers(ask: Ask, project: str) -> Iterator[Row | Seen | Gap]:
    """Sum up the driver logs; lines after the last one already summed are added to its row."""
    from auditor.sources._logging_sums import Sums

    start, lost = _start(ask, "dataproc_driver_log", project, ask.settings.driver_days)
    yield from lost
    until = ask.window.until_at
    sums = Sums(project, ask.collected("dataproc_driver_log"))
    scope = Seen("dataproc_driver_log", project, "*", "*", start, until)
    with guard(scope, action="logging.logEntries.list") as read:
        pages = _pages(ask, project, driver_filter(project, start, until))
        for number, page in enumerate(pages, 1):
            if number > ask.settings.driver_pages:
                raise Truncated(f"more than {number - 1} pages: raise driver_pages")
            sums.add(page.entries)
    yield from read
    yield from (Row("dataproc_driver_log", values) for values in sums.rows())
    if sums.nameless:
        yield gap(scope, "malformed", f"{sums.nameless} driver log entries name no job_uuid")
