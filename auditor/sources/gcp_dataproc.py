"""Dataproc: jobs, batches, sessions, clusters and workflow templates, region by region.

ListJobs filters by `insertTime`, ListBatches and ListSessions by `create_time` (docstrings of
their requests in google-cloud-dataproc). What had not ended when it was last seen is asked for by
name. ListClusters does not show deleted clusters, the normal case for clusters that live for one
job: these are rebuilt from the audit entries of their creation and deletion.

An empty message is a legal answer of gRPC and looks like an empty estate. So each listing of work
reaches back to the newest one already known, and an answer without any is suspect when something
known should have been in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from auditor.model import Gap, Place, Row, Seen
from auditor.sources._dataproc_history import History, telling
from auditor.sources.ask import Ask, Guard, Malformed, Suspect, cut, gap, guard, safe_text

if TYPE_CHECKING:
    from auditor.sources.google import Patience

TABLES = ("dataproc_job", "dataproc_cluster", "dataproc_workflow_template")
AFTER = ("gcp_logging",)
ACTIONS = (
    "dataproc.jobs.list",
    "dataproc.jobs.get",
    "dataproc.batches.list",
    "dataproc.batches.get",
    "dataproc.sessions.list",
    "dataproc.sessions.get",
    "dataproc.clusters.list",
    "dataproc.workflowTemplates.list",
)

Item = Row | Seen | Gap


@dataclass(frozen=True, slots=True)
class Settings:
    """How Dataproc is read."""

    call_timeout_s: float = 60.0
    """Seconds that one call may take."""
    retry_s: float = 60.0
    """Seconds for which a throttled or unavailable call is repeated."""
    workers: int = 8
    """Regions read side by side."""

    @property
    def patience(self) -> Patience:
        """The budget of one call."""
        from auditor.sources.google import Patience

        return Patience(self.call_timeout_s, self.retry_s)


def collect(ask: Ask) -> Iterator[Item]:
    """Yield everything of every project and region in scope, in their order."""
    history = History(ask)
    places = sorted(
        (place for place in ask.places if place.cloud == "gcp"),
        key=lambda place: (place.account, place.region),
    )

    def read(place: Place) -> list[Item]:
        here = _Here(ask, place, history)
        found = list(_work(here))
        jobs = [item.values for item in found if isinstance(item, Row)]
        return [*found, *_clusters(here, jobs), *_templates(here)]

    submitted: dict[str, list[tuple[datetime, str]]] = {}
    for items in ask.side_by_side(ask.settings.workers, read, places):
        for item in items:
            if isinstance(item, Row) and item.table == "dataproc_job" and item.values["submitted_at"]:
                times = submitted.setdefault(item.values["project"], [])
                times.append((item.values["submitted_at"], item.values["kind"]))
        yield from items
    yield from _silent_logs(ask, history, submitted)


@dataclass(frozen=True, slots=True)
class _Here:
    """One place, and what is known of it."""

    ask: Ask
    place: Place
    history: History

    def client(self, service: str) -> Any:
        """Return the client of one of Dataproc's services in this place."""
        from google.cloud import dataproc_v1

        cls = getattr(dataproc_v1, f"{service}Client")
        return self.ask.clients.gcp(cls, self.place.account, self.place.region)

    def seen(self, table: str, resource: str = "*") -> Seen:
        """Return the coverage of a table, or of one resource, in this place."""
        return Seen(table, self.place.account, self.place.region, resource)

    def since(self, table: str) -> Seen:
        """Return the coverage of a table of events, from where no earlier scan has read."""
        from auditor.sources.google import unread

        start = unread(self.ask, table, self.place.account, self.place.region)
        return replace(self.seen(table), from_at=start, until_at=self.ask.window.until_at)


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of work, in the words of its requests."""

    name: str
    many: str
    noun: str
    nouns: str
    time: str
    """The filter's word for the time of creation."""

    @property
    def permission(self) -> str:
        """The permission to list it."""
        return f"dataproc.{self.many}.list"


_KINDS = (
    _Kind("job", "jobs", "Job", "Jobs", "insertTime"),
    _Kind("batch", "batches", "Batch", "Batches", "create_time"),
    _Kind("session", "sessions", "Session", "Sessions", "create_time"),
)


def _work(here: _Here) -> Iterator[Item]:
    """Yield the jobs, batches and sessions of a place; its listing is whole if all three are."""
    scope = here.since("dataproc_job")
    guards: list[Guard] = []
    for kind in _KINDS:
        read: set[str] = set()
        with guard(scope, action=kind.permission) as guarded:
            yield from _listed(here, kind, scope, read)
        guards.append(guarded)
        if guarded.ok:
            yield from _unfinished(here, kind, read)
    failed = [guarded for guarded in guards if not guarded.ok]
    for guarded in failed:
        yield from guarded
    if not failed:
        yield scope


def _listed(here: _Here, kind: _Kind, scope: Seen, read: set[str]) -> Iterator[Row]:
    """Yield the work of one kind in `scope`, adding each uuid to `read`."""
    start, until = scope.from_at or here.ask.window.from_at, here.ask.window.until_at
    known = here.history.work(here.place, kind.name)
    since = min(start, here.history.newest(known, default=start))
    nameless = 0
    for message in _messages(here, kind, since):
        values = _values(kind, message, here.place)
        if values["job_uuid"] is None:
            nameless += 1
        elif _within(values["submitted_at"], since, until):
            read.add(safe_text(cut(values["job_uuid"])))
            yield Row("dataproc_job", values)
    if nameless:
        raise Malformed(f"{nameless} {kind.many} have no uuid")
    expected = here.history.expected(here.place, kind.name, since, until)
    if expected and not read:
        raise Suspect(f"the answer lists no {kind.many}, but {min(expected)} should be there")


def _within(at: datetime | None, since: datetime, until: datetime) -> bool:
    """Return whether work was submitted in time; work that says nothing of it is kept."""
    return at is None or since <= at < until


def _messages(here: _Here, kind: _Kind, since: datetime) -> Iterator[Any]:
    """Yield what a listing from `since` shows.

    ListJobs documents `insertTime` with `<=` alone; should it refuse `>=`, all jobs are read.
    """
    from google.api_core.exceptions import InvalidArgument

    from auditor.sources.google import rfc3339

    query = f'{kind.time} >= "{rfc3339(since)}"'
    try:
        yield from _filtered(here, kind, query)
    except InvalidArgument:
        if kind.name != "job":
            raise
        yield from _filtered(here, kind, "")


def _filtered(here: _Here, kind: _Kind, query: str) -> Iterator[Any]:
    from google.cloud import dataproc_v1

    from auditor.sources.google import pages

    place = here.place
    where = (
        {"project_id": place.account, "region": place.region}
        if kind.name == "job"
        else {"parent": f"projects/{place.account}/locations/{place.region}"}
    )
    request = getattr(dataproc_v1, f"List{kind.nouns}Request")(**where, filter=query, page_size=1000)
    method = getattr(here.client(f"{kind.noun}Controller"), f"list_{kind.many}")
    for page in pages(method, request, here.ask.settings.patience):
        yield from getattr(page, kind.many)


def _values(kind: _Kind, message: Any, place: Place) -> dict[str, Any]:
    from auditor.sources import _dataproc_rows as rows

    read = {"job": rows.of_job, "batch": rows.of_batch, "session": rows.of_session}[kind.name]
    return rows.finish(read(message, place.account, place.region))


def _unfinished(here: _Here, kind: _Kind, read: set[str]) -> Iterator[Item]:
    """Ask by name for work that had not ended when it was last seen.

    Its coverage is told each time, so that a gap of an earlier scan ends when the work is found.
    """
    for values in here.history.work(here.place, kind.name):
        uuid = str(values["job_uuid"])
        if values.get("finished_at") is not None:
            continue
        start = values.get("submitted_at") or here.ask.window.from_at
        scope = replace(here.seen("dataproc_job", uuid), from_at=start, until_at=here.ask.window.until_at)
        if uuid in read:
            yield scope
            continue
        with guard(scope, action=f"dataproc.{kind.many}.get") as guarded:
            found = _got(here, kind, values)
            if found is not None and found["job_uuid"] == uuid:
                yield Row("dataproc_job", found)
            elif not here.history.deleted(here.place, kind.name, values):
                raise Suspect(f"{kind.name} {values.get('job_id')} is gone and its end was never seen")
        yield from guarded


def _got(here: _Here, kind: _Kind, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the present row of a piece of work by its name; None when there is none."""
    from google.api_core.exceptions import NotFound
    from google.cloud import dataproc_v1

    place = here.place
    where = (
        {"project_id": place.account, "region": place.region, "job_id": values["job_id"]}
        if kind.name == "job"
        else {"name": values["name"]}
    )
    request = getattr(dataproc_v1, f"Get{kind.noun}Request")(**where)
    method = getattr(here.client(f"{kind.noun}Controller"), f"get_{kind.name}")
    try:
        message = method(request=request, **here.ask.settings.patience.options())
    except NotFound:
        return None
    found = _values(kind, type(message).pb(message), place)
    if found["job_uuid"] is None:
        raise Suspect(f"the {kind.name} {values['job_id']} was answered without its uuid")
    return found


def _clusters(here: _Here, jobs: list[Mapping[str, Any]]) -> Iterator[Item]:
    """Yield the clusters that are there, and those that the audit log tells of."""
    from google.cloud.dataproc_v1 import ListClustersRequest

    from auditor.sources import _dataproc_rows as rows
    from auditor.sources.google import pages

    place = here.place
    scope = here.since("dataproc_cluster")
    listed: dict[str, dict[str, Any]] = {}
    nameless = 0
    with guard(scope, action="dataproc.clusters.list") as read:
        method = here.client("ClusterController").list_clusters
        request = ListClustersRequest(project_id=place.account, region=place.region, page_size=1000)
        for page in pages(method, request, here.ask.settings.patience):
            for cluster in page.clusters:
                values = rows.of_cluster(cluster, place.account, place.region)
                if values["cluster_uuid"] is None:
                    nameless += 1
                else:
                    listed[values["cluster_uuid"]] = values
        if nameless:
            raise Malformed(f"{nameless} clusters have no uuid")
        if not listed and (alive := here.history.alive(place)):
            raise Suspect(f"the answer lists no clusters, but {alive[0]} was not deleted")
    yield from read
    for values in here.history.clusters(place, listed, jobs):
        yield Row("dataproc_cluster", values)


def _templates(here: _Here) -> Iterator[Item]:
    from google.cloud.dataproc_v1 import ListWorkflowTemplatesRequest

    from auditor.sources import _dataproc_rows as rows
    from auditor.sources.google import pages

    place = here.place
    table = "dataproc_workflow_template"
    count = 0
    with guard(here.seen(table), action="dataproc.workflowTemplates.list") as read:
        method = here.client("WorkflowTemplateService").list_workflow_templates
        request = ListWorkflowTemplatesRequest(
            parent=f"projects/{place.account}/regions/{place.region}", page_size=1000
        )
        for page in pages(method, request, here.ask.settings.patience):
            for template in page.templates:
                values = rows.of_template(template, place.account, place.region)
                if values["name"] is None:
                    raise Malformed("a workflow template has no name")
                count += 1
                yield Row(table, values)
        known = [
            before["name"]
            for before in here.ask.before(table)
            if (before["project"], before["region"]) == (place.account, place.region)
        ]
        if known and not count:
            raise Suspect(f"the answer lists no workflow templates, but {min(known)} was there")
    yield from read


_SETTLED = timedelta(hours=1)
_SKEW = timedelta(minutes=10)


def _silent_logs(
    ask: Ask, history: History, submitted: Mapping[str, list[tuple[datetime, str]]]
) -> Iterator[Seen | Gap]:
    """Yield a gap for each audit log that holds nothing of a time in which work was submitted.

    Admin Activity entries cannot be switched off, so the answer that held none was not the truth.
    The gap ends with the first scan in which the log is heard; gcp_logging reads it again.
    """
    for project in sorted({place.account for place in ask.places if place.cloud == "gcp"}):
        fresh = submitted.get(project, [])
        settled = [each for each in fresh if ask.window.from_at <= each[0] <= ask.now - _SETTLED]
        start = min((at for at, _ in settled), default=ask.now) - _SKEW
        scope = Seen("gcp_audit_entry", project, "*", "*", start, ask.window.until_at)
        if telling(kind for _, kind in settled) and not history.heard(project, start):
            silent = f"work was submitted in {project}, but no audit entry tells of it"
            yield gap(scope, "suspect", silent)
        since = history.unheard_since(project, ask.before("gcp_audit_entry"))
        if since is not None and history.heard(project, since - _SKEW):
            yield replace(scope, from_at=since - _SKEW)
