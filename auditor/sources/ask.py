"""What a source is handed, and how what it meets becomes rows, coverage and gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from queue import Full, Queue
from threading import Event
from types import TracebackType
from typing import Any, Self, TypeVar

from auditor.canonical import cut, safe_text
from auditor.model import Gap, Place, Row, Seen, Standing, Window
from auditor.outputs import Output
from auditor.sources._reasons import Malformed, Refused, Suspect, Truncated, cut_short, reason_of
from auditor.sources.clients import BudgetSpent, Clients

__all__ = (
    "Ask",
    "BudgetSpent",
    "Clients",
    "Guard",
    "Malformed",
    "Refused",
    "Suspect",
    "Truncated",
    "cut",
    "cut_short",
    "guard",
    "listed",
    "need",
    "pages",
    "reason_of",
    "safe_text",
)

_T = TypeVar("_T")
_R = TypeVar("_R")
_BATCH = 100


@dataclass(frozen=True, slots=True)
class Ask:
    """One source's assignment in one scan."""

    source: str
    """Module name of the source."""
    settings: Any
    places: tuple[Place, ...]
    """Every account and region, project and region, in scope."""
    window: Window
    """The events that are wanted; listings of present state ignore it."""
    now: datetime
    clients: Clients
    collected: Callable[..., Iterable[Mapping[str, Any]]] = field(default=lambda _table, _only=(): ())
    """Rows of a table that earlier sources or an earlier scan collected; after the table the columns that are wanted, if
    not all."""
    exports: frozenset[str] = frozenset()
    service_accounts: frozenset[str] = frozenset()
    """E-mails of service accounts that the configuration names, in lower case."""
    zone_tag: str = "data-zone"
    zone_label: str = "data-zone"
    bucket_in: Callable[[str], bool] = field(default=lambda _bucket: True)
    """Whether the scope of the configuration takes a bucket."""
    covered: Callable[[str], Sequence[Seen]] = field(default=lambda _table: ())
    """What earlier scans read to the end of a table of events: where a cursor may start."""
    before: Callable[[str], Iterable[Mapping[str, Any]]] = field(default=lambda _table: ())
    """Rows of a table in the scan before: what cannot change need not be asked again."""
    coverage: Callable[[str], Sequence[Seen | Gap]] = field(default=lambda _table: ())
    """What sources before this one saw of a table, and what they did not; of events earlier scans too."""
    outputs: Callable[[], Iterable[tuple[Mapping[str, Any], Output]]] = field(default=lambda: ())
    """Each job that was collected with each prefix it speaks of."""
    capture: timedelta = timedelta(hours=12)
    """Within this an export of the strictest zone must be captured."""
    spool: Path | None = None
    """Where the scan keeps what is too large for memory; None: where the machine keeps temporary files."""
    cursor: Callable[[str], str | None] = field(default=lambda _scope: None)
    """Where the last recorded scan left this source in a scope; None: read the whole window."""
    progress: Callable[[str, Mapping[str, Any]], None] = field(default=lambda _event, _fields: None)
    """Told what takes long, as `collect` tells what it does."""
    earliest: datetime | None = None
    """From when a feed is read in a scope that was never read before; None: from the window's start."""
    overlap: timedelta = timedelta()
    """A feed is read again this far back from where it was left: records arrive late."""
    standing: Callable[[str, str, str, str], Standing | None] = field(default=lambda *_scope: None)
    """What an earlier scan read of a table, account, region and resource; None: read it anew."""
    wanted: Callable[[str], frozenset[str] | None] = field(default=lambda _table: None)
    """The columns of a table that the loaded rules read: costly ones may be left out; None: all."""

    def accounts(self, cloud: str = "aws") -> tuple[str, ...]:
        """Return the accounts or projects of a cloud in scope, sorted."""
        return tuple(sorted({place.account for place in self.places if place.cloud == cloud}))

    def regions(self, account: str) -> tuple[str, ...]:
        """Return the regions of an account or project in scope, sorted."""
        return tuple(sorted({place.region for place in self.places if place.account == account}))

    def since(self, scope: str) -> datetime:
        """Return from when to read a feed whose cursor in this scope is a time: never later than the window's start."""
        start = self.window.from_at
        left = self.cursor(scope)
        if left is not None:
            return min(start, datetime.fromisoformat(left) - self.overlap)
        return start if self.earliest is None else min(start, self.earliest)

    def rows(self, table: str) -> Sequence[Row]:
        """Return what earlier sources collected of a table, or an earlier scan of events."""
        return [Row(table, values) for values in self.collected(table)]

    def export_buckets(self) -> set[str]:
        """Return the buckets that exports are known to be written to."""
        return set(self.exports)

    def side_by_side(self, cap: int, do: Callable[[_T], _R], todo: Iterable[_T]) -> Iterator[_R]:
        """Yield `do` of each in the order given, at most `cap` at once and in memory.

        The first exception rises in its turn: guard inside `do` what may fail.
        """
        waiting = iter(todo)
        with ThreadPoolExecutor(cap, thread_name_prefix=self.source) as pool:
            running = [pool.submit(do, one) for one in islice(waiting, cap)]
            while running:
                done = running.pop(0).result()
                running.extend(pool.submit(do, one) for one in islice(waiting, 1))
                yield done

    def merged(
        self, cap: int, readers: Sequence[Callable[[], Iterator[_T]]], *, ahead: int = 500
    ) -> Iterator[_T]:
        """Yield what every reader yields, `cap` of them running at once, as it comes.

        At most `ahead` values wait to be taken, so a long listing never stands in memory. The
        first exception of a reader rises here; guard inside a reader what may fail.
        """
        queue: Queue[tuple[_T, ...] | BaseException | None] = Queue(max(1, ahead // _BATCH))
        stop = Event()

        def put(what: tuple[_T, ...] | BaseException | None) -> None:
            while not stop.is_set():
                with suppress(Full):
                    queue.put(what, timeout=0.1)
                    return

        def run(reader: Callable[[], Iterator[_T]]) -> None:
            try:
                values = reader()
                while not stop.is_set() and (batch := tuple(islice(values, _BATCH))):
                    put(batch)
                put(None)
            except BaseException as error:  # noqa: BLE001 - raised again by the one who takes
                put(error)

        with ThreadPoolExecutor(cap, thread_name_prefix=self.source) as pool:
            try:
                for reader in readers:
                    pool.submit(run, reader)
                left = len(readers)
                while left:
                    found = queue.get()
                    if found is None:
                        left -= 1
                    elif isinstance(found, BaseException):
                        raise found
                    else:
                        yield from found
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)


def listed(page: Mapping[str, Any], key: str) -> list[Any]:
    """Return the list of a page; Suspect when the key is missing: `{}` is no empty estate."""
    found = page.get(key)
    if not isinstance(found, list):
        raise Suspect(f"the answer has no {key}")
    return found


def need(item: Mapping[str, Any], key: str) -> Any:
    """Return what every item has by the vendor's own model; Malformed when this one has it not."""
    try:
        return item[key]
    except (KeyError, TypeError):
        raise Malformed(f"an item of the answer has no {key}") from None


def pages(client: Any, operation: str, key: str, **params: Any) -> Iterator[list[Any]]:
    """Yield the list of each page of a botocore listing, `operation` in snake case.

    Truncated when pages were read and the rest failed for a reason that a later scan may not meet.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    read = 0
    try:
        for page in client.get_paginator(operation).paginate(**params):
            found = listed(page, key)
            read += 1
            yield found
    except (BotoCoreError, ClientError, ResponseParserError, Suspect, UnicodeDecodeError) as error:
        if cut := cut_short(read, error):
            raise cut from error
        raise


class Guard:
    """Turns what goes wrong inside `with` into gaps, and what goes well into coverage.

    with guard(Seen("backup_plan", account, region)) as read:
        ...
    yield from read

    Exceptions that no vendor throws rise: they are mistakes of ours, and cost the whole source.
    """

    def __init__(self, *scopes: Seen, action: str = "", also: Sequence[Seen] = ()) -> None:
        self._scopes = scopes
        self._also = also
        self._action = action
        self.reason = ""
        self.detail = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        found = reason_of(error, action=self._action)
        if found is None:
            return False
        self.reason, self.detail = found
        return True

    @property
    def ok(self) -> bool:
        """Nothing went wrong so far."""
        return not self.reason

    def __iter__(self) -> Iterator[Seen | Gap]:
        """Yield a Seen for each scope; a Gap for each, and for `also`, if something went wrong."""
        if self.ok:
            yield from self._scopes
        else:
            for scope in (*self._scopes, *self._also):
                yield gap(scope, self.reason, self.detail)


def guard(*scopes: Seen, action: str = "", also: Sequence[Seen] = ()) -> Guard:
    """Guard the reading of `scopes`; `also`: what only this listing can lead to.

    `action` is the permission to name when it is not the operation's own name.
    """
    return Guard(*scopes, action=action, also=also)


def gap(scope: Seen, reason: str, detail: str) -> Gap:
    """Return the gap that stands where `scope` should have been."""
    return Gap(
        scope.table,
        scope.account,
        scope.region,
        scope.resource,
        reason,
        detail,
        scope.from_at,
        scope.until_at,
    )
