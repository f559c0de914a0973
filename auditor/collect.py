"""Runs the configured sources side by side, each within its own fault boundary, into a snapshot.

Sources run in waves: one starts when those it comes `AFTER` are done. What a source yields goes
to disk at once; what it could not see is coverage, a table like the others. Tables of events are
carried from the snapshot before, with the time that was seen of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Lock
from typing import Any

from auditor.canonical import safe_text
from auditor.coverage import Observed, merged, rows_of, suspicious
from auditor.increments import Increments, Limits
from auditor.model import Bulk, Cursor, Gap, Row, Seen, Window
from auditor.outputs import Output, outputs
from auditor.reach import access, limit, places, waves
from auditor.schema import tables as schema_tables
from auditor.snapshot import Snapshot, Writer, head
from auditor.sources import NAMES, Source, running, source, stands_in
from auditor.sources.ask import Ask, reason_of
from auditor.sources.clients import Clients
from auditor.sources.pages import Pages

Progress = Callable[[str, Mapping[str, Any]], None]
"""Told of `started`, `read`, `waiting` and `collected`, with fields for a person or a log; from any thread."""
_TOLD = 64
"""Rows from one `read` to the next."""

_BUCKET = re.compile(r"s3[an]?://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?![a-z0-9.-])")


def collect(
    config: Any,
    *,
    now: datetime,
    window: Window,
    carried: Snapshot | None = None,
    cursors: Mapping[tuple[str, str], str] | None = None,
    full: bool = False,
    overlap: timedelta = timedelta(),
    into: Path,
    progress: Progress | None = None,
    sources: Mapping[str, Source] | None = None,
) -> Snapshot:
    """Ask every configured source; return a draft in `into`, to be `joined` and so published.

    Nothing a source does rises from here: what fails is a gap for its tables. `cursors` are the positions that the
    last recorded scan left, by source and scope; without `carried` none is used, for a cursor goes on from rows at
    hand. A `full` pass uses no cursor and carries no setting. `sources` replaces the product's own. OSError when
    what was read cannot be written.
    """
    known = sources if sources is not None else {each: source(each) for each in NAMES}
    with Writer(into) as writer:
        pages = Pages(writer.raw if limit(config, "keep_raw", False) else None, now)
        clients = Clients(access(config), pages=pages, owner=config)
        scan = _Scan(config, now, window, carried, writer, clients, progress or _silent, full, overlap)
        scan.cursors.update(cursors if carried and cursors else {})
        scan.carry()
        asked = running(known, config.sources)
        scan.sources = sum(map(len, waves(known, asked)))
        for wave in waves(known, asked):
            scan.exports = None  # waves before this one may have named more
            with ThreadPoolExecutor(len(wave), thread_name_prefix="source") as pool:
                list(pool.map(lambda each: scan.run(each, known[each]), wave))
        if unwritten := writer.unwritten or pages.unwritten:
            raise unwritten  # a full disk is no fault of a source, though it stopped one
        for each in sorted(known.keys() - config.sources.keys()):
            if not stands_in(each, known, asked):
                scan.not_configured(each, known[each])
        scan.cover()
        about = head(as_of=now, window=window) | {
            "gaps": sum(isinstance(each.what, Gap) for each in scan.coverage),
            "queries": pages.queries(),
            "calls": pages.calls(),
            "refused": pages.refused(),
            "identities": scan.identities(),
            "endpoints": {
                "aws": _host(clients.access.aws_endpoint),
                "gcp": _host(clients.access.gcp_endpoint),
            },
            "carried": carried.id if carried else None,
            "pass": scan.increments.told(),
            "cursors": [[*scope, position] for scope, position in sorted(scan.cursors.items())],
        }
        return writer.seal(about, draft=True)


def _silent(_event: str, _fields: Mapping[str, Any]) -> None:
    """Say nothing."""


def _host(endpoint: str | None) -> str:
    """Return an endpoint without its port, which a sandbox picks anew; empty: the vendor."""
    return re.sub(r":\d+/?$", "", endpoint or "")


@dataclass(slots=True)
class _Scan:
    """One run of `collect`: what its threads share."""

    config: Any
    now: datetime
    window: Window
    carried: Snapshot | None
    writer: Writer
    clients: Clients
    progress: Progress
    full: bool
    overlap: timedelta
    sources: int = 0
    """How many are configured."""
    coverage: list[Observed] = field(default_factory=list)
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Rows of each table, account and region."""
    cursors: dict[tuple[str, str], str] = field(default_factory=dict)
    """Where each source is in each scope: as it was left, or as it was read on to now."""
    increments: Increments = field(init=False)
    exports: frozenset[str] | None = None
    """Buckets that the waves before this one know exports to be written to; None until a source asks."""
    _naming: Lock = field(default_factory=Lock)
    _before: list[Observed] | None = None
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.increments = Increments(
            self.carried,
            now=self.now,
            full=self.full,
            limits=Limits.of(self.config),
            coverage=self._so_far,
            rows=self.writer.rows,
            clocks=self.clients.pages.clocks,
        )

    def carry(self) -> None:
        """Take over the rows of events of the scan before: they never change once seen."""
        if self.carried is None:
            return
        for table in schema_tables().values():
            path = self.carried.tables(table.name)
            if table.feed and path:
                self.writer.carry(table.name, path, bulk=self.carried.bulk(table.name))

    def run(self, name: str, module: Source) -> None:
        """Run one source: the boundary that no fault of it passes."""
        self.progress("started", {"source": name, "of": self.sources, "about": self._rows_before(module)})
        rows, found, cursors = 0, list[Seen | Gap](), dict[str, str]()
        try:
            ask = self._ask(name, module)
            for each in module.collect(ask):
                if isinstance(each, Row):
                    rows += self._take(name, each, found)
                    if rows % _TOLD == 1:
                        self.progress("read", {"source": name, "table": each.table, "rows": rows})
                elif isinstance(each, Bulk):
                    rows += self._take_bulk(name, each, found)
                    self.progress("read", {"source": name, "table": each.table, "rows": rows})
                elif isinstance(each, Cursor):
                    scope, at = safe_text(each.scope), safe_text(each.position)
                    cursors[scope] = min(
                        cursors.get(scope, at), at
                    )  # in any order the same, and never too far
                else:
                    found.append(each)
            ask.clients.close()
        # Whatever one source does, the others go on and its tables were not seen.
        except Exception as error:  # noqa: BLE001
            reason, detail = reason_of(error) or ("failed", f"{type(error).__name__}: {error}")
            detail = f"{name} stopped: {detail}"
            found += (Gap(table, "*", reason=reason, detail=detail) for table in module.TABLES)
            cursors.clear()
        with self._lock:
            self.cursors |= {(name, scope): at for scope, at in cursors.items()}
            self.coverage += (self._observed(name, each) for each in found)
        gaps = sum(isinstance(each, Gap) for each in found)
        self.progress("collected", {"source": name, "rows": rows, "gaps": gaps})

    def _rows_before(self, module: Source) -> int | None:
        """Return how many rows the scan before took of a source; None where tables of events make that say nothing."""
        if self.carried is None or any(schema_tables()[table].feed for table in module.TABLES):
            return None
        told = self.carried.manifest["tables"]
        return sum(int(told[table]["rows"]) for table in module.TABLES if table in told)

    def _ask(self, name: str, module: Source) -> Ask:
        settings = self.config.sources.get(name) or module.Settings()
        left = {} if self.increments.full else dict(self.cursors)  # as the scan before left them
        lookback = timedelta(seconds=getattr(getattr(self.config, "scan", None), "lookback", 0))
        budget_s = getattr(settings, "budget_s", None) or limit(self.config, "budget_s", 900)
        return Ask(
            source=name,
            settings=settings,
            places=places(self.config),
            window=self.window,
            now=self.now,
            clients=self.clients.for_source(name, budget_s=budget_s),
            collected=self.writer.rows,
            exports=self._exports() if module.AFTER else frozenset(),
            service_accounts=frozenset(self._service_accounts()),
            zone_tag=getattr(self.config, "zone_tag", "data-zone"),
            zone_label=getattr(self.config, "zone_label", "data-zone"),
            bucket_in=self._in_scope,
            covered=self._covered,
            before=self.carried.rows if self.carried else _no_rows,
            cursor=lambda scope: left.get((name, safe_text(scope))),
            progress=self.progress,
            coverage=self._coverage_of,
            outputs=self._outputs,
            spool=self.writer.spool,
            capture=self._capture(),
            earliest=None if self.increments.full or not lookback else self.now - lookback,
            overlap=self.overlap,
            standing=self.increments.standing,
        )

    def _take(self, name: str, row: Row, found: list[Seen | Gap]) -> int:
        """Store a row; one that does not fit its table is a gap of its own."""
        account = str(row.values.get("account") or row.values.get("project") or "*")
        region = str(row.values.get("region") or "*")
        try:
            self.writer.add(row.table, row.values, source=name)
        except (TypeError, ValueError, RecursionError) as error:
            detail = f"a row of {row.table} does not fit its schema: {error}"
            found.append(Gap(row.table, account, region, reason="malformed", detail=detail[:500]))
            return 0
        self.increments.took(row.table, row.values)
        with self._lock:
            self.counts[row.table, account, region] += 1
        return 1

    def _take_bulk(self, name: str, bulk: Bulk, found: list[Seen | Gap]) -> int:
        """Store a file of rows; one that does not fit its table is a gap of the whole table."""
        try:
            counted = self.writer.bulk(bulk.table, bulk.path, source=name)
        except ValueError as error:
            found.append(Gap(bulk.table, "*", reason="malformed", detail=str(error)[:500]))
            return 0
        with self._lock:
            for (account, region), rows in counted.items():
                self.counts[bulk.table, account, region] += rows
        return sum(counted.values())

    def _observed(self, name: str, each: Seen | Gap) -> Observed:
        """Say when something was seen; what a table of events does not date is the whole window."""
        if each.from_at is None and schema_tables()[each.table].feed:
            each = dated(each, self.window)
        if isinstance(each, Seen) and each.observed_at is not None:
            return Observed(name, replace(each, observed_at=None), each.observed_at)
        return Observed(name, each, self.now)

    def not_configured(self, name: str, module: Source) -> None:
        """Leave a gap for every table of a source that the configuration does not name."""
        detail = f"[sources.{name}] is not in the configuration"
        self.coverage += (
            self._observed(name, Gap(table, "*", reason="not_configured", detail=detail))
            for table in module.TABLES
        )

    def cover(self) -> None:
        """Write the coverage of this scan and, for events, of those before."""
        if self.carried is not None:
            self.coverage += suspicious(self.carried, self.counts, self.coverage, self.writer.rows, self.now)
            for row in self.increments.differences():
                self.writer.add("carried_difference", row)
            self.coverage += self._earlier()
        self.coverage = [self._relied_on(each) for each in merged(self.coverage)]
        for each in self.coverage:
            self.writer.add("coverage", each.row())
        for clock in self.clients.pages.clocks():
            self.writer.add("api_clock", clock)

    def _relied_on(self, each: Observed) -> Observed:
        """Return coverage as it is, or a gap where what it tells of was read too long ago."""
        oldest = self.now - self.increments.limits.stale
        what = each.what
        if isinstance(what, Gap) or what.from_at is not None or each.at >= oldest:
            return each
        detail = f"last read at {each.at:%Y-%m-%dT%H:%M:%SZ}, longer ago than [scan] max_age"
        return replace(
            each, what=Gap(what.table, what.account, what.region, what.resource, "stale", detail), at=self.now
        )

    def _so_far(self) -> list[Observed]:
        """Return what is covered by now: by sources that are done, and by the scans before."""
        with self._lock:
            now = list(self.coverage)
        return [*now, *self._earlier()]

    def _covered(self, table: str) -> list[Seen]:
        """Return what earlier scans read to the end of a table of events."""
        return [
            each.what for each in self._earlier() if isinstance(each.what, Seen) and each.what.table == table
        ]

    def _coverage_of(self, table: str) -> list[Seen | Gap]:
        """Return what was seen of a table and what was not, by this scan so far and, of events, by those before."""
        with self._lock:
            now = list(self.coverage)
        return [each.what for each in merged([*now, *self._earlier()]) if each.what.table == table]

    def _capture(self) -> timedelta:
        """Return within what time an export of the strictest zone must be captured; a day when no zone says."""
        told = [getattr(zone, "capture", None) for zone in _each(getattr(self.config, "zones", ()))]
        return timedelta(seconds=min((limit for limit in told if limit and limit > 0), default=86_400))

    def _outputs(self) -> Iterator[tuple[Mapping[str, Any], Output]]:
        """Yield each job that was collected with each prefix it speaks of."""
        exports = [asdict(export) for export in _each(getattr(self.config, "exports", ()))]
        label = getattr(self.config, "export_label", "export")
        for job in self.writer.rows("dataproc_job"):
            for output in outputs(job, exports, label):
                yield job, output

    def _earlier(self) -> list[Observed]:
        """Return what the snapshot before covers of tables of events; read once."""
        with self._lock:
            if self._before is None:
                self._before = list(rows_of(self.carried)) if self.carried else []
            return self._before

    def _in_scope(self, bucket: str) -> bool:
        """Say whether the scope takes a bucket: it includes it, and no exclusion names it."""
        scope = getattr(getattr(self.config, "scope", None), "buckets", None)
        include = tuple(_globs(getattr(scope, "include", None) or ("*",)))
        exclude = tuple(_globs(getattr(scope, "exclude", None) or ()))
        return any(fnmatchcase(bucket, glob) for glob in include) and not any(
            fnmatchcase(bucket, glob) for glob in exclude
        )

    def _service_accounts(self) -> Iterator[str]:
        """Yield the service accounts that the configuration lets export or trigger, in lower case."""
        named = {
            *getattr(self.config, "subjects", ()),
            *(str(getattr(each, "subject_of", "")) for each in _each(getattr(self.config, "federation", ()))),
            *(str(getattr(each, "principal", "")) for each in _each(getattr(self.config, "automations", ()))),
        }
        yield from (each.lower() for each in named if each.endswith("gserviceaccount.com"))

    def _exports(self) -> frozenset[str]:
        """Return the buckets that exports are written to; looked for once a wave, for whichever source asks first."""
        with self._naming:
            if self.exports is None:
                self.exports = frozenset(self._export_buckets())
            return self.exports

    def _export_buckets(self) -> set[str]:
        """Return the buckets that the configuration, a job or a federated session's write names."""
        named = {
            str(getattr(each, "bucket", "") or "")
            for each in (
                *_each(getattr(self.config, "exports", ())),
                *_each(getattr(self.config, "federation", ())),
            )
        }
        told = ("arguments", "properties", "labels", "main")
        for job in self.writer.rows("dataproc_job", told):
            for column in told:
                named.update(_BUCKET.findall(str(job[column] or "")))
        roles = {
            session["role_arn"]
            for session in self.writer.rows("sts_session", ("event_name", "role_arn"))
            if session["event_name"] == "AssumeRoleWithWebIdentity" and session["role_arn"]
        }
        named.update(
            event["bucket"]
            for event in self.writer.rows("s3_data_event", ("role_arn", "bucket"))
            if event["role_arn"] in roles and event["bucket"]
        )
        return {bucket for bucket in named if bucket and self._in_scope(bucket)}

    def identities(self) -> list[dict[str, str]]:
        """Return who we are in each account, as GetCallerIdentity said."""
        return sorted(
            (
                {"account": row["account"], "caller": row["caller_arn"]}
                for row in self.writer.rows("aws_account")
                if row["caller_arn"]
            ),
            key=lambda each: each["account"],
        )


def _no_rows(_table: str) -> Iterator[Mapping[str, Any]]:
    return iter(())


def dated(each: Seen | Gap, window: Window) -> Seen | Gap:
    """Return coverage that is about a whole window."""
    return replace(each, from_at=window.from_at, until_at=window.until_at)


def _each(section: Any) -> Iterator[Any]:
    yield from section.values() if isinstance(section, Mapping) else section or ()


def _globs(patterns: Iterable[Any]) -> Iterator[str]:
    for pattern in patterns:
        yield str(getattr(pattern, "match", pattern))
