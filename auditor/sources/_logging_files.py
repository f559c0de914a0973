"""Log entries from the files that a sink of Cloud Logging delivers: `LOG_ID/YYYY/MM/DD/08:00:00_08:59:59_S0.json`.

Layout by cloud.google.com/logging/docs/export/storage: a folder a log and day; hourly files, sharded (`S0`, `S1` …), of JSON
lines; entries that were received in another hour than theirs come in addenda (`A0:UNIX_TIME`). The first file may take three
hours, and a sink exports only what is received after it was made.

An hour counts as seen where a file of it stands and every file of it was read, it ended `files_late_s` ago, and the sink is known
to take the whole log: no file at all may be a quiet hour or a sink that does not deliver, so it is not seen. Quiet hours are what
ListLogEntries is asked for beside the files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from auditor.sources._log_places import Named, Place, lines, place
from auditor.sources.ask import Malformed, guard, safe_text

if TYPE_CHECKING:
    from auditor.sources.ask import Ask

OVERLAP = timedelta(hours=48)
"""What is delivered so late is read again and added."""
HOUR = timedelta(hours=1)
WORKERS = 4
_NAME = re.compile(r"/(\d{4}/\d\d/\d\d)/(\d\d):00:00_\d\d:59:59_[SA]\d+(?::\d+)?\.json$")
_BAD_LINES = 5

Span = tuple[datetime, datetime]
Take = Callable[[Mapping[str, Any]], Any]


@dataclass(slots=True)
class Hours:
    """What is known of the hours of some logs in one place."""

    there: set[datetime] = field(default_factory=set)
    """Hours that a file stands for."""
    lost: dict[datetime, tuple[str, str]] = field(default_factory=dict)
    """Hours with a file that could not be read to its end: reason and detail."""
    unlisted: tuple[str, str] | None = None
    """Why the files could not be listed."""


class Files:
    """The files of every place in the configuration."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.urls: tuple[str, ...] = tuple(ask.settings.files)

    def read(self, url: str, logs: Sequence[str], since: datetime, take: Take) -> Iterator[Any]:
        """Yield what `take` makes of each entry of the hours since a time, or delivered since; then the Hours.

        `take` is called by several threads, and returns None for what is not kept.
        """
        hours = Hours()
        ask, found = self._ask, list[tuple[datetime, Named]]()
        with guard() as read:
            there = place(ask, url)
            for log in logs:
                first = f"{log}/{since - OVERLAP:%Y/%m/%d}/"
                for file in there.files(f"{log}/", first):
                    hour = hour_of(file.name)
                    if hour is None or hour >= ask.window.until_at:
                        continue
                    if hour + HOUR > since or file.delivered_at >= since:
                        found.append((hour, file))
            readers = [partial(self._entries, there, hour, file, take, hours) for hour, file in found]
            yield from ask.merged(WORKERS, readers)
        if not read.ok:
            hours.unlisted = (read.reason, f"{url}: {read.detail}")
        yield hours

    def _entries(self, there: Place, hour: datetime, file: Named, take: Take, hours: Hours) -> Iterator[Any]:
        """Yield what is kept of one file; a line that is no entry costs its hour, and the others are read."""
        bad: list[str] = []
        with guard() as read:
            for number, line in enumerate(lines(there.chunks(file)), 1):
                try:
                    entry = parsed(line)
                except Malformed as error:
                    if len(bad) < _BAD_LINES:
                        bad.append(f"line {number} is {error}")
                    continue
                if entry is not None and (made := take(entry)) is not None:
                    yield made
        hours.there.add(hour)
        if bad or not read.ok:
            reason, why = (read.reason, read.detail) if not read.ok else ("malformed", "; ".join(bad))
            hours.lost[hour] = max(
                hours.lost.get(hour, ("", "")), (reason, safe_text(f"{there.url}: {file.name}: {why}")[:500])
            )


def hour_of(name: str) -> datetime | None:
    """Return the hour whose entries a file holds; None for what is no file of a sink."""
    found = _NAME.search(f"/{name}")
    if found is None:
        return None
    try:
        return datetime.strptime(f"{found[1]}/{found[2]}", "%Y/%m/%d/%H").replace(tzinfo=UTC)
    except ValueError:
        return None


def parsed(line: bytes) -> dict[str, Any] | None:
    """Return the entry of a line; None for an empty one, Malformed for what is no entry."""
    import orjson

    if not line.strip():
        return None
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            entry = json.loads(line)  # which takes lone surrogates, and what nests deeper
        except (ValueError, RecursionError) as error:
            raise Malformed(f"not JSON: {str(error) or 'nested too deeply'}") from None
    if not isinstance(entry, dict) or not isinstance(entry.get("logName"), str):
        raise Malformed("no log entry")
    return entry


def proven(hours: Hours, within: Span, until: datetime) -> list[Span]:
    """Return the stretches of a time whose hours were seen whole; `until`: later hours may still be delivered."""
    start, end = within
    spans: list[Span] = []
    for hour in sorted(hours.there - hours.lost.keys()):
        first, last = max(hour, start), min(hour + HOUR, end)
        if first >= last or hour + HOUR > until:
            continue
        if spans and spans[-1][1] == first:
            spans[-1] = (spans[-1][0], last)
        else:
            spans.append((first, last))
    return spans


def without(within: Span, spans: Sequence[Span]) -> list[Span]:
    """Return what is left of a time when sorted stretches are taken out."""
    start, end = within
    left: list[Span] = []
    for first, last in spans:
        if first > start:
            left.append((start, min(first, end)))
        start = max(start, last)
    if start < end:
        left.append((start, end))
    return left


def united(spans: Sequence[Span]) -> list[Span]:
    """Unite stretches that overlap or touch."""
    out: list[Span] = []
    for first, last in sorted(spans):
        if out and first <= out[-1][1]:
            out[-1] = (out[-1][0], max(last, out[-1][1]))
        else:
            out.append((first, last))
    return out


def unshown(
    left: Sequence[Span], places: Sequence[Hours], why: Sequence[str]
) -> Iterator[tuple[datetime, datetime, str, str]]:
    """Yield the stretches that no file shows, each with a gap's reason and words."""
    for hours in places:
        if hours.unlisted:
            yield from ((first, last, *hours.unlisted) for first, last in left)
            return
    if why:
        yield from ((first, last, "suspect", "; ".join(sorted(set(why)))) for first, last in left)
        return
    for first, last in left:
        lost = sorted(
            said for hours in places for at, said in hours.lost.items() if at < last and first < at + HOUR
        )
        yield (first, last, *lost[0]) if lost else (first, last, "suspect", _QUIET)


_QUIET = (
    "no log file of these hours stands there yet: nothing was logged, or the sink did not deliver; with api = true "
    "ListLogEntries is asked"
)
