"""What the sinks of a project deliver to a bucket: only a log that one takes whole can be known to be silent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from auditor.sources.ask import guard

if TYPE_CHECKING:
    from auditor.sources.ask import Ask

_OR = re.compile(r"\s+OR\s+")
_TERM = re.compile(
    r'(?:LOG_ID\(\s*"(?P<id>[^"\\]+)"\s*\)|logName\s*(?P<operator>[=:])\s*"(?P<name>[^"\\]+)")'
)


@dataclass(frozen=True, slots=True)
class Held:
    """Whether the files of a place hold every entry of some logs of a project."""

    since: datetime | None
    """Entries received since then are there; None: not known to be."""
    why: str = ""
    """Why that is not known."""


def held(ask: Ask, url: str, project: str, logs: Iterable[str]) -> Held:
    """Return what is known of a place, from the configuration or from the sinks of the project."""
    wanted = sorted(logs)
    if declared := ask.settings.files_hold:
        missing = [log for log in wanted if log not in declared]
        if missing:
            return Held(None, f"files_hold does not name {', '.join(missing)}")
        return Held(_ever(ask))
    parts = urlsplit(url)
    if parts.scheme != "gs":
        return Held(None, f"what {url} holds is not known: name the logs that it holds whole in files_hold")
    sinks: list[Any] = []
    with guard(action="logging.sinks.list") as read:
        sinks = [
            each
            for each in _sinks(ask, project)
            if each.destination == f"storage.googleapis.com/{parts.netloc}"
        ]
    if not read.ok:
        return Held(None, f"the sinks of {project} were not read: {read.detail}")
    since: list[datetime] = []
    for log in wanted:
        found = [_since(ask, sink) for sink in sinks if takes(sink, project, log)]
        if not found:
            return Held(None, f"no sink of {project} is known to deliver all of {log} to {parts.netloc}")
        since.append(min(found))
    return Held(max(since))


def _ever(ask: Ask) -> datetime:
    return datetime(1970, 1, 1, tzinfo=ask.now.tzinfo)


def _since(ask: Ask, sink: Any) -> datetime:
    """Return when the sink became what it is: what its filter was before is not known."""
    from auditor.sources.google import moment

    return moment(sink.update_time) or moment(sink.create_time) or _ever(ask)


def _sinks(ask: Ask, project: str) -> Iterable[Any]:
    from google.cloud.logging_v2.services.config_service_v2 import ConfigServiceV2Client
    from google.cloud.logging_v2.types import ListSinksRequest

    from auditor.sources.google import pages

    client = ask.clients.gcp(ConfigServiceV2Client, project)
    request = ListSinksRequest(parent=f"projects/{project}", page_size=1000)
    for page in pages(client.list_sinks, request, ask.settings.patience):
        yield from page.sinks


def takes(sink: Any, project: str, log: str) -> bool:
    """Say whether a sink is known to take every entry of a log: one filter of names joined by OR, or none, is understood."""
    if sink.disabled or any(not each.disabled for each in sink.exclusions):
        return False
    text = sink.filter.strip()
    if not text:
        return True
    full = f"projects/{project}/logs/{quote(log, safe='')}"
    terms = [_TERM.fullmatch(each.strip()) for each in _OR.split(text)]
    if not all(terms):
        return False
    return any(
        term["id"] == log
        or (term["name"].lower() in full.lower() if term["operator"] == ":" else term["name"] == full)
        for term in terms
        if term is not None
    )
