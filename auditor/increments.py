"""What need not be read again: settings that the change feed shows unwritten since an earlier scan read them.

docs/increments.md says when they stand. In one sentence: the scan before read them whole, not long ago; since a little
before that, every management write of their account and region was read, up to where events may still be on their way;
and none of those is a write to them, or one of which cannot be told what it wrote to. Whatever would have stood and is
read anew all the same is compared: a difference says that the feed hid a write.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from auditor import __version__
from auditor.canonical import canonical, cut, stamp, stored
from auditor.changefeed import FEED, Feed
from auditor.coverage import Observed
from auditor.model import Gap, Standing
from auditor.schema import tables as schema_tables
from auditor.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Carried:
    """One table whose rows may stand."""

    service: str
    """Whose writes change it: `eventSource` without `.amazonaws.com`."""
    columns: frozenset[str]
    """What stands and is compared; the rest of a row is read anew by each scan."""
    resource: Callable[[Mapping[str, Any]], str]
    """The resource that a row is of, as coverage names it."""
    lasting: Callable[[Mapping[str, Any]], bool] = lambda _row: True
    """Whether only an API call on this resource can change the row: time alone, or another region, cannot."""


def _arn(row: Mapping[str, Any]) -> str:
    return str(row["arn"])


def _plan(row: Mapping[str, Any]) -> str:
    return f"arn:aws:backup:{row['region']}:{row['account']}:backup-plan:{row['plan_id']}"


def _lasting_key(row: Mapping[str, Any]) -> bool:
    """No key whose end is set, whose material may expire, or whose settings another region's key shares."""
    return row["state"] == "Enabled" and row["origin"] == "AWS_KMS" and row["multi_region"] is False


def _all_but(table: str, *fresh: str) -> frozenset[str]:
    return frozenset(column.name for column in schema_tables()[table].columns) - {*fresh}


CARRIED: Mapping[str, Carried] = {
    "s3_bucket": Carried("s3", _all_but("s3_bucket", "tags"), _arn),
    "kms_key": Carried("kms", _all_but("kms_key", "named_as"), _arn, _lasting_key),
    "backup_vault": Carried(
        "backup", frozenset({"created_at", "policy", "notify_topic", "notify_events"}), _arn
    ),
    "backup_selection": Carried("backup", _all_but("backup_selection"), _plan),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How long what was read stands, and how late events may be."""

    carry: timedelta = timedelta(days=1)
    """Zero: nothing stands."""
    stale: timedelta = timedelta(days=7)
    late: timedelta = timedelta(hours=1)
    """Events are on their way no longer than this (`[horizons] cloudtrail`)."""
    skew: timedelta = timedelta(minutes=2)

    @classmethod
    def of(cls, config: Any) -> Limits:
        """Read the limits from the parts of a configuration that say something of them."""
        scan, horizons = getattr(config, "scan", None), getattr(config, "horizons", None)
        told = {
            "carry": getattr(scan, "carry_max_age", None),
            "stale": getattr(scan, "max_age", None),
            "late": getattr(horizons, "cloudtrail", None),
            "skew": getattr(horizons, "skew", None),
        }
        return cls(**{name: timedelta(seconds=s) for name, s in told.items() if s is not None})

    @property
    def margin(self) -> timedelta:
        """How long before an observation a write may have been made that it does not show."""
        return self.late + self.skew


@dataclass(slots=True)
class _Before:
    """What the scan before holds of one table."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    seen: dict[str, list[Mapping[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    gaps: dict[str, list[Mapping[str, Any]]] = field(default_factory=lambda: defaultdict(list))


class Increments:
    """What may stand of the scan before, asked by sources from many threads, and what came of it."""

    def __init__(
        self,
        before: Snapshot | None,
        *,
        now: datetime,
        full: bool,
        limits: Limits,
        coverage: Callable[[], Collection[Observed]],
        rows: Callable[[str], Iterable[Mapping[str, Any]]],
        clocks: Callable[[], Iterable[Mapping[str, Any]]] = tuple,
    ) -> None:
        self.before = before
        self.now = now
        self.full = full or before is None
        self.limits = limits
        self._coverage = coverage
        self._rows = rows
        self._clocks = clocks
        self._lock = Lock()
        self._tables: dict[str, _Before] = {}
        self._feed: Feed | None = None
        self._stood: dict[tuple[str, str], datetime] = {}
        self._expected: dict[tuple[str, str], tuple[str, str, Standing]] = {}
        """Table and resource, to account, region and what would have stood."""
        self._read: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)

    def standing(self, table: str, account: str, region: str, resource: str) -> Standing | None:
        """Return what stands of a scope; None when it must be read anew."""
        if self.before is None or not self.limits.carry:
            return None
        with self._lock:
            found = self._unwritten(table, account, region, resource)
            if found is None:
                return None
            if self.full or self.now - found.observed_at > min(self.limits.carry, self.limits.stale):
                self._expected[table, resource] = (account, region, found)
                return None
            self._stood[table, resource] = found.observed_at
            return found

    def _unwritten(self, table: str, account: str, region: str, resource: str) -> Standing | None:
        """Return what would stand if this were no full pass and its age were of no matter."""
        found = self._observed(table, account, region, resource)
        if found is None or not self._clock_is_right():
            return None
        if not timedelta() < self.now - found.observed_at <= self.limits.stale:
            return None
        carried = CARRIED[table]
        since = found.observed_at - self.limits.margin
        feed = self._told()
        if not self._proven(feed, table, account, region, since, self.now - self.limits.late):
            return None
        if feed.written(carried.service, account, resource, since):
            return None
        if feed.principal_gone(canonical([_of(row, carried.columns) for row in found.rows]), since):
            return None
        return found

    def _proven(
        self, feed: Feed, table: str, account: str, region: str, since: datetime, until: datetime
    ) -> bool:
        assert self.before is not None
        settled = self.before.as_of - self.limits.margin
        return feed.unbroken(CARRIED[table].service, account, region, since, until, settled)

    def _observed(self, table: str, account: str, region: str, resource: str) -> Standing | None:
        """Return the rows of the scan before, where it read their scope to its end."""
        assert self.before is not None
        if self.before.manifest.get("product") != __version__:
            return None  # another version may have read less
        had = self._had(table)
        rows = had.rows.get(resource, [])
        places = (region, "*")
        seen = [
            row
            for name in (
                (resource, "*") if rows else (resource,)
            )  # that there is none, a whole list does not tell
            for row in had.seen.get(name, ())
            if row["account"] == account and row["region"] in places
        ]
        gaps = (
            row
            for name in (resource, "*")
            for row in had.gaps.get(name, ())
            if row["account"] in (account, "*") and row["region"] in places
        )
        if not seen or any(gaps):
            return None
        if not all(row["account"] == account and CARRIED[table].lasting(row) for row in rows):
            return None
        return Standing(tuple(rows), min(row["observed_at"] for row in seen))

    def _had(self, table: str) -> _Before:
        assert self.before is not None
        if table not in self._tables:
            had = self._tables[table] = _Before()
            for row in self.before.rows(table):
                had.rows[CARRIED[table].resource(row)].append(row)
            for row in self.before.rows("coverage"):
                if row["table_name"] == table:
                    into = had.seen if row["complete"] else had.gaps
                    into[row["resource"].partition("#")[0]].append(row)
        return self._tables[table]

    def _told(self) -> Feed:
        if self._feed is None:
            oldest = self.now - self.limits.stale - self.limits.margin
            columns = ("service", "account", "region", "resource", "at", "event_name", "error_code")
            events = (
                {name: row[name] for name in columns}
                for row in self._rows(FEED)
                if row["at"] is None or row["at"] >= oldest
            )
            self._feed = Feed(self._coverage(), events, self.now)
        return self._feed

    def _clock_is_right(self) -> bool:
        """Say whether this host's clock is near those of the services, now and at the scan before."""
        assert self.before is not None
        most = self.limits.margin.total_seconds()
        return all(
            abs(row["skew_s"] or 0) <= most for row in (*self._clocks(), *self.before.rows("api_clock"))
        )

    def took(self, table: str, row: Mapping[str, Any]) -> None:
        """Note a row that this scan read of what would have stood."""
        if table in CARRIED and self._expected:
            key = table, CARRIED[table].resource(row)
            if key in self._expected:
                with self._lock:
                    self._read[key].append(row)

    def differences(self) -> Iterator[dict[str, Any]]:
        """Yield rows of `carried_difference`: those of scans before that still stand, then what this one found."""
        if self.before is not None:
            yield from self._kept(self.before)
        hidden = {
            (each.what.table, each.what.resource.partition("#")[0])
            for each in self._coverage()
            if isinstance(each.what, Gap)
        }
        for (table, resource), (account, region, was) in sorted(
            self._expected.items(), key=lambda one: one[0]
        ):
            if {(table, resource), (table, "*")} & hidden:
                continue
            about = {"table_name": table, "resource": resource, "account": account, "region": region}
            times = {"observed_at": was.observed_at, "found_at": self.now, "confirmed": False}
            for key, name, before, now in _differing(table, was.rows, self._read[table, resource]):
                yield about | times | {"row_key": key, "field": name, "carried": before, "read": now}

    def _kept(self, before: Snapshot) -> Iterator[dict[str, Any]]:
        """Yield earlier differences that no event has explained; a full pass after one was confirmed closes it."""
        for row in before.rows("carried_difference"):
            if row["confirmed"] and self.full:
                continue
            carried = CARRIED.get(row["table_name"])
            if carried is None:
                continue
            since, until = row["observed_at"] - self.limits.margin, row["found_at"] + self.limits.margin
            feed = self._told()
            if feed.written(carried.service, row["account"], row["resource"], since, until):
                continue
            settled = until <= self.now - self.limits.late and self._proven(
                feed, row["table_name"], row["account"], row["region"], since, until
            )
            yield row | {"confirmed": bool(row["confirmed"] or settled)}

    def told(self) -> dict[str, Any]:
        """Return what the manifest says of this pass: whether it is full, and what stands of earlier ones."""
        counted: dict[str, int] = defaultdict(int)
        for table, _ in self._stood:
            counted[table] += 1
        full_at = self.now if self.full else last_full(self.before)
        oldest = min(self._stood.values(), default=None)
        return {
            "full": self.full,
            "full_at": full_at and stamp(full_at),
            "scopes": len(self._stood),
            "tables": dict(sorted(counted.items())),
            "compared": len(self._expected),
            "oldest": oldest and stamp(oldest),
        }


def last_full(snapshot: Snapshot | None) -> datetime | None:
    """Return when the last full pass was, up to and with the scan of a snapshot; before there were others, each was one."""
    if snapshot is None:
        return None
    told = snapshot.manifest.get("pass", {}).get("full_at")
    return datetime.fromisoformat(told) if told else snapshot.as_of


def _of(row: Mapping[str, Any], columns: Collection[str]) -> dict[str, Any]:
    return {name: row[name] for name in sorted(columns) if row.get(name) is not None}


def _differing(
    table: str, was: Iterable[Mapping[str, Any]], now: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, str, str, str]]:
    """Yield key, field, carried value and value read of each difference; a value that is NULL was not read."""
    described, columns = schema_tables()[table], CARRIED[table].columns

    def keyed(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        every = (stored(described, row) for row in rows)
        return {canonical([row[name] for name in described.key]): row for row in every}

    old, new = keyed(was), keyed(now)
    for key in sorted(old.keys() | new.keys()):
        if key not in old or key not in new:
            yield key, "*", _presence(key in old), _presence(key in new)
            continue
        for name in sorted(columns):
            before, after = old[key].get(name), new[key].get(name)
            if before is not None and after is not None and before != after:
                yield key, name, cut(str(before), 2000), cut(str(after), 2000)


def _presence(there: bool) -> str:
    return "there" if there else "not there"
