"""What the drivers of a project wrote to Cloud Logging, read and summed up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from auditor.model import Gap, Row, Seen
from auditor.sources._logging_files import HOUR, Files, proven, united, unshown, without
from auditor.sources._logging_rows import timestamp
from auditor.sources._logging_sinks import held
from auditor.sources._logging_sums import Sums
from auditor.sources.ask import Truncated, gap, guard
from auditor.sources.gcp_logging import DRIVER_LOGS, driver_filter, entry_pages, starting
from auditor.sources.google import instant

if TYPE_CHECKING:
    from datetime import datetime

    from auditor.sources._logging_files import Hours, Span
    from auditor.sources._pace import Pace
    from auditor.sources.ask import Ask

_LOG = re.compile(r"projects/([^/]+)/logs/dataproc\.job\.(?:driver|yarn\.container)")


def drivers(ask: Ask, projects: Sequence[str], paces: Mapping[str, Pace]) -> Iterator[Row | Seen | Gap]:
    """Yield sums of the lines that are new, project by project."""
    every = [_Drivers(ask, project) for project in projects]
    for each in every:
        yield from each.lost
    if ask.settings.files and every:
        _from_files(ask, every)
    for each in every:
        yield from each.finish(paces[each.project])


def _from_files(ask: Ask, every: Sequence[_Drivers]) -> None:
    by_project = {each.project: each for each in every}

    def take(entry: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
        found = _LOG.fullmatch(entry["logName"])
        resource = entry.get("resource")
        if not found or found[1] not in by_project or not isinstance(resource, dict):
            return None
        return (found[1], entry) if resource.get("type") == "cloud_dataproc_job" else None

    files = Files(ask)
    for url in files.urls:
        for item in files.read(url, DRIVER_LOGS, min(each.start for each in every), take):
            if isinstance(item, tuple):
                project, entry = item
                by_project[project].take(entry)
            else:
                for each in every:
                    each.delivered(url, item)


class _Drivers:
    """The reading of one project's driver logs; lines after the last one already summed are added to its row."""

    def __init__(self, ask: Ask, project: str) -> None:
        self._ask, self.project, self.until = ask, project, ask.window.until_at
        late = timedelta(seconds=ask.settings.late_s)
        self.start, self.lost = starting(ask, "dataproc_driver_log", project, ask.settings.driver_days, late)
        self._sums = Sums(project, ask.collected("dataproc_driver_log"))
        self._pages = 0
        self._spans: list[Span] = []
        self._hours: list[Hours] = []
        self._by_hour: dict[int, Sums] = {}
        self._why: list[str] = []

    def take(self, entry: Mapping[str, Any]) -> None:
        """Sum up a line of a file, apart for its hour: an hour that is not believed is asked for, and counted then."""
        hour = timestamp(entry.get("timestamp"))[0] // 3600
        sums = self._by_hour.get(hour)
        if sums is None:
            sums = self._by_hour[hour] = Sums(self.project, (), after=self._sums)
        sums.add_json(entry)

    def delivered(self, url: str, hours: Hours) -> None:
        """Take note of the hours that the files of a place show."""
        self._hours.append(hours)
        if hours.unlisted:
            return
        holds = held(self._ask, url, self.project, DRIVER_LOGS)
        if holds.since is None:
            self._why.append(holds.why)
            return
        last = self._ask.now - timedelta(seconds=self._ask.settings.files_late_s)
        self._spans += proven(hours, (max(self.start, holds.since), self.until), last)

    def finish(self, pace: Pace) -> Iterator[Row | Seen | Gap]:
        """Ask for what the files do not show, and say what was seen."""
        seen = united(self._spans)
        left = without((self.start, self.until), seen)
        for hour, sums in sorted(self._by_hour.items()):
            at = instant(hour * 3600, 0)
            if at is not None and any(first < at + HOUR and at < last for first, last in seen):
                self._sums.merge(sums)
        outcomes: list[Seen | Gap] = [self._scope(first, last) for first, last in seen]
        if self._ask.settings.api:
            for first, last in left:
                outcomes += self._asked(first, last, pace)
        else:
            for first, last, reason, why in unshown(left, self._hours, self._why):
                outcomes.append(gap(self._scope(first, last), reason, why))
        yield from outcomes
        yield from (Row("dataproc_driver_log", values) for values in self._sums.rows())
        if self._sums.nameless:
            scope = self._scope(self.start, self.until)
            yield gap(scope, "malformed", f"{self._sums.nameless} driver log entries name no job_uuid")

    def _asked(self, first: datetime, last: datetime, pace: Pace) -> Iterator[Seen | Gap]:
        most = self._ask.settings.driver_pages
        with guard(self._scope(first, last), action="logging.logEntries.list") as read:
            pages = entry_pages(self._ask, self.project, driver_filter(self.project, first, last), pace)
            for page in pages:
                self._pages += 1
                if self._pages > most:
                    raise Truncated(f"more than {most} pages: raise driver_pages")
                self._sums.add(page.entries)
        yield from read

    def _scope(self, first: datetime, last: datetime) -> Seen:
        return Seen("dataproc_driver_log", self.project, "*", "*", first, last)
