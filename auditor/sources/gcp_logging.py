"""Cloud Logging: who triggered what, and what the drivers wrote. By ListLogEntries, by files of a sink, or by both.

Every filter states its times: `google.cloud.logging.Client` adds the last 24 hours to one that
does not. Pages of 1,000, the most ListLogEntries takes; its quota is 60 calls a minute and project
(cloud.google.com/logging/quotas), and the wait for it is told as progress. A scan after the first asks for
what was received since the one before and 48 hours ahead of it, so that an entry may be late. Admin Activity
entries are always written, and kept 400 days in `_Required`; Data Access entries, GenerateAccessToken and
GenerateIdToken among them, exist only where the estate switched them on, and without
logging.privateLogEntries.list they are left out of an answer without a word
(cloud.google.com/logging/docs/audit).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from auditor.model import Cursor, Gap, Row, Seen
from auditor.sources._pace import Pace
from auditor.sources.ask import Ask, cut, gap, guard, safe_text

if TYPE_CHECKING:
    from auditor.sources._logging_files import Hours, Span
    from auditor.sources._logging_known import Known
    from auditor.sources.google import Patience

TABLES = ("gcp_audit_entry", "dataproc_driver_log")
AFTER: tuple[str, ...] = ()
ACTIONS = (
    "logging.logEntries.list",
    "logging.privateLogEntries.list",
    "logging.sinks.list",
    "s3:GetObject",
    "s3:ListBucket",
    "storage.objects.get",
    "storage.objects.list",
)

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
    "MoveProject",
    "UpdateProject",
    "DeleteProject",
    "CreateServiceAccount",
    "DeleteServiceAccount",
    "DisableServiceAccount",
    "EnableServiceAccount",
    "UndeleteServiceAccount",
    "UploadServiceAccountKey",
    "v1.UpdateRole",
    "v1.DeleteRole",
    "v1.UndeleteRole",
    "ConfigServiceV2.CreateBucket",
    "ConfigServiceV2.UpdateBucket",
    "ConfigServiceV2.DeleteBucket",
    "ConfigServiceV2.UndeleteBucket",
    "ConfigServiceV2.CreateSink",
    "ConfigServiceV2.UpdateSink",
    "ConfigServiceV2.DeleteSink",
)
"""What a methodName may hold: with `:` a part is enough, whatever the service's version, so that
SubmitJob takes SubmitJobAsOperation in, SetIamPolicy google.iam.admin.v1.SetIAMPolicy, and CreateServiceAccount
CreateServiceAccountKey. From the accounts on they tell who changed what drift watches."""
AUDIT_LOGS = ("cloudaudit.googleapis.com/activity", "cloudaudit.googleapis.com/data_access")
DRIVER_LOGS = ("dataproc.job.driver", "dataproc.job.yarn.container")
"""In cluster mode the driver's log is the one of its YARN container."""
OVERLAP = timedelta(hours=48)
"""How long before the scan before an entry may have been received and is asked for again."""
_NAMED = 50
"""Unclear entries that get a gap of their own; later ones share one."""
_INSTANT = timedelta(seconds=1)
_MOST_SPANS = 12
"""Stretches that are asked for one by one; more of them are asked for in one."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How Cloud Logging is read."""

    call_timeout_s: float = 60.0
    """Seconds that one call may take."""
    retry_s: float = 120.0
    """Seconds for which a throttled or unavailable call is repeated."""
    late_s: int = 3600
    """Seconds that an entry may arrive late where it is asked for by its own time: so much is read again."""
    calls_per_minute: int = 60
    """Calls of ListLogEntries a minute and project; Google's own quota, which it does not raise."""
    api: bool = True
    """Whether ListLogEntries is asked; with `files`, for the hours that these do not show."""
    files: tuple[str, ...] = ()
    """Where sinks of Cloud Logging deliver files, or something copies them to: gs://BUCKET/PREFIX, s3://BUCKET/PREFIX,
    file:///FOLDER."""
    files_hold: tuple[str, ...] = ()
    """Logs that the files hold whole, of every project in scope, such as cloudaudit.googleapis.com/activity; empty: what
    the sinks that deliver to a gs:// bucket say."""
    files_late_s: int = 14400
    """Seconds after the end of an hour in which its files may still be delivered."""
    storage_endpoint: str = ""
    """Where Cloud Storage is; empty: Google."""
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


def collect(ask: Ask) -> Iterator[Row | Seen | Gap | Cursor]:
    """Yield audit entries and summed driver logs of every project in scope."""
    from auditor.sources._logging_drivers import drivers

    projects = ask.accounts("gcp")
    paces = {project: _pace(ask, project) for project in projects}
    yield from _audit(ask, projects, paces)
    if ask.settings.driver_logs:
        yield from drivers(ask, projects, paces)
        return
    for project in projects:
        window = Seen("dataproc_driver_log", project, "*", "*", ask.window.from_at, ask.window.until_at)
        yield gap(window, "not_configured", "driver_logs is off in the configuration")


def _pace(ask: Ask, project: str) -> Pace:
    def waiting(seconds: float) -> None:
        told = {"source": ask.source, "project": project, "seconds": round(seconds), "for": "ListLogEntries"}
        ask.progress("waiting", told)
        ask.clients.check()

    return Pace(ask.settings.calls_per_minute, waiting=waiting)


def audit_filter(project: str, from_at: datetime, until_at: datetime, *, by: str = "timestamp") -> str:
    """Return the one filter of a project's audit entries; `by`: which time of theirs begins it."""
    logs = " OR ".join(f'"projects/{project}/logs/{_escaped(log)}"' for log in AUDIT_LOGS)
    methods = " OR ".join(f'"{method}"' for method in METHODS)
    return f"logName=({logs}) AND {_between(from_at, until_at, by)} AND protoPayload.methodName:({methods})"


def driver_filter(project: str, from_at: datetime, until_at: datetime) -> str:
    """Return the one filter of a project's driver logs."""
    logs = " OR ".join(f'"projects/{project}/logs/{log}"' for log in DRIVER_LOGS)
    kind = 'resource.type="cloud_dataproc_job"'
    return f"logName=({logs}) AND {kind} AND {_between(from_at, until_at)}"


def _escaped(log: str) -> str:
    return log.replace("/", "%2F")


def _between(from_at: datetime, until_at: datetime, by: str = "timestamp") -> str:
    from auditor.sources.google import rfc3339

    return f'{by}>="{rfc3339(from_at)}" AND timestamp<"{rfc3339(until_at)}"'


def entry_pages(ask: Ask, project: str, query: str, pace: Pace) -> Iterator[Any]:
    """Yield the pages of ListLogEntries, no faster than its quota."""
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
    return pages(client.list_log_entries, request, ask.settings.patience, pace)


def _audit(
    ask: Ask, projects: Sequence[str], paces: Mapping[str, Pace]
) -> Iterator[Row | Seen | Gap | Cursor]:
    """Read the files first, all projects at once, then ask ListLogEntries for what they do not show."""
    from auditor.sources._logging_known import Known, known

    heard = known(ask, projects)
    audits = [_Audit(ask, project, heard.get(project, Known())) for project in projects]
    for each in audits:
        yield from each.lost
    if ask.settings.files and audits:
        yield from _from_files(ask, audits)
    for each in audits:
        yield from each.finish(paces[each.project])


def _from_files(ask: Ask, audits: Sequence[_Audit]) -> Iterator[Row]:
    from auditor.sources._logging_files import Files
    from auditor.sources._logging_rows import of_audit_json

    by_project = {each.project: each for each in audits}
    until = ask.window.until_at

    def take(entry: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
        found = _AUDIT_LOG.fullmatch(entry["logName"])
        payload = entry.get("protoPayload")
        if not found or found[1] not in by_project or not isinstance(payload, dict):
            return None
        if not _METHOD.search(str(payload.get("methodName", ""))):
            return None
        values = of_audit_json(entry, found[1])
        return None if values["at"] is not None and values["at"] >= until else (found[1], values)

    files = Files(ask)
    for url in files.urls:
        for item in files.read(url, AUDIT_LOGS, min(each.start for each in audits), take):
            if not isinstance(item, tuple):
                for each in audits:
                    each.delivered(url, item)
                continue
            project, values = item
            yield by_project[project].row(values)


_AUDIT_LOG = re.compile(r"projects/([^/]+)/logs/cloudaudit\.googleapis\.com%2F(?:activity|data_access)")
_METHOD = re.compile("|".join(map(re.escape, METHODS)), re.IGNORECASE)


class _Audit:
    """The reading of one project's audit entries."""

    def __init__(self, ask: Ask, project: str, known: Known) -> None:
        from auditor.sources._logging_files import OVERLAP as LATE
        from auditor.sources._logging_rows import unclear

        self._ask, self.project, self._unclear = ask, project, unclear
        self.until = ask.window.until_at
        self.scope_name = f"{project} audit"
        late = LATE if ask.settings.files else timedelta(seconds=ask.settings.late_s)
        self.start, self.lost = starting(ask, "gcp_audit_entry", project, ask.settings.audit_days, late)
        self._by = "timestamp"
        if received := self._received():
            self._by, self.start = "receiveTimestamp", received
        unheard = known.unheard
        # An empty answer is legal and looks like a quiet project; asked back to the newest entry that is known, a true
        # answer never is empty once a project has been heard of.
        newest = known.newest[self._by] if known.newest else None
        self.start = min([self.start, newest or self.start, *(at for at, _ in unheard)])
        self._expected = {
            key
            for key, times in known.recent.items()
            if (at := times[self._by]) and self.start <= at < self.until
        }
        self._found = dict(known.unclear)
        self._heard = not telling_of(unheard)
        self._spans: list[Span] = []
        self._hours: list[Hours] = []
        self._why: list[str] = []

    def _received(self) -> datetime | None:
        """Return since when entries are asked for by their receipt: from the cursor, where coverage bears it out."""
        from auditor.sources.google import unread

        left = self._ask.cursor(self.scope_name)
        if left is None or self._ask.settings.files:
            return None
        try:
            at = datetime.fromisoformat(left)
        except ValueError:
            return None
        return at - OVERLAP if at <= unread(self._ask, "gcp_audit_entry", self.project) else None

    def row(self, values: dict[str, Any]) -> Row:
        """Take note of an entry."""
        key = safe_text(cut(values["entry_id"]))
        self._expected.discard(key)
        self._heard = True
        if why := self._unclear(values):
            self._found[key] = (values["at"], why)
        return Row("gcp_audit_entry", values)

    def delivered(self, url: str, hours: Hours) -> None:
        """Take note of the hours that the files of a place show."""
        from auditor.sources._logging_files import proven
        from auditor.sources._logging_sinks import held

        self._hours.append(hours)
        if hours.unlisted:
            return
        holds = held(self._ask, url, self.project, AUDIT_LOGS)
        if holds.since is None:
            self._why.append(holds.why)
            return
        last = self._ask.now - timedelta(seconds=self._ask.settings.files_late_s)
        self._spans += proven(hours, (max(self.start, holds.since), self.until), last)

    def finish(self, pace: Pace) -> Iterator[Row | Seen | Gap | Cursor]:
        """Ask for what the files do not show, and say what was seen."""
        from auditor.sources._logging_files import united, unshown, without
        from auditor.sources._logging_rows import of_audit

        seen = united(self._spans)
        left = without((self.start, self.until), seen)
        outcomes: list[Seen | Gap] = []
        if self._ask.settings.api:
            for first, last in left if len(left) <= _MOST_SPANS else [(self.start, self.until)]:
                query = audit_filter(self.project, first, last, by=self._by)
                with guard(self._scope(first, last), action="logging.logEntries.list") as read:
                    for page in entry_pages(self._ask, self.project, query, pace):
                        for entry in page.entries:
                            yield self.row(of_audit(entry, self.project))
                outcomes += read
        else:
            for first, last, reason, why in unshown(left, self._hours, self._why):
                outcomes.append(gap(self._scope(first, last), reason, why))
        outcomes += (self._scope(first, last) for first, last in seen)
        whole = not any(isinstance(each, Gap) for each in outcomes)
        if whole and (doubt := self._doubt()):
            outcomes = [gap(self._scope(self.start, self.until), "suspect", doubt)]
        elif whole and not self._ask.settings.files:
            from auditor.sources.google import rfc3339

            yield Cursor(self.scope_name, rfc3339(self.until))
        yield from outcomes
        yield from _unclear(self.project, self._found, self._ask)

    def _scope(self, first: datetime, last: datetime) -> Seen:
        return Seen("gcp_audit_entry", self.project, "*", "*", first, last)

    def _doubt(self) -> str:
        """Return why an answer that reached its end is not believed."""
        if self._expected:
            return (
                f"{len(self._expected)} audit entries that an earlier scan read are not in the answer, "
                f"the first {min(self._expected)}"
            )
        return "" if self._heard else f"work was submitted in {self.project}, but no audit entry tells of it"


def telling_of(unheard: Iterable[tuple[datetime, str]]) -> bool:
    """Say whether work that an audit entry must tell of was heard of."""
    from auditor.sources._dataproc_history import telling

    return bool(telling(kind for _, kind in unheard))


def starting(
    ask: Ask, table: str, project: str, kept_days: int, late: timedelta
) -> tuple[datetime, list[Gap]]:
    """Return where to read from, and a gap for what the log no longer keeps."""
    from auditor.sources.google import unread

    start = unread(ask, table, project, overlap=late)
    oldest = ask.now - timedelta(days=kept_days)
    if start >= oldest or not ask.settings.api:
        return start, []
    until = min(oldest, ask.window.until_at)
    scope = Seen(table, project, "*", "*", start, until)
    return until, [gap(scope, "out_of_reach", f"Cloud Logging keeps these {kept_days} days")]


def _unclear(project: str, found: Mapping[str, tuple[datetime | None, str]], ask: Ask) -> Iterator[Gap]:
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
        scope = Seen("gcp_audit_entry", project, "*", "*", ask.window.from_at, ask.window.until_at)
        yield gap(scope, "malformed", f"the audit entry {key} has {why}")
