"""What was seen: coverage as a question that a link can ask, answered with the gaps in words."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

_SLACK = timedelta(seconds=1)
"""Two listings that touch within a second are one: windows are whole seconds at their sources."""

_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_EVER = (_FIRST, _LAST)
_Asked = tuple[str, str, str, str | None, tuple[str, ...]]
"""Table, account, region and resource of a question, and what counts as read."""
_LONG_RUN = timedelta(days=7)
"""A job that was submitted longer ago than this is not looked for behind a gap."""


@dataclass(frozen=True, slots=True)
class _Reading:
    region: str
    resource: str
    from_at: datetime | None
    until_at: datetime | None
    complete: bool
    words: str
    reason: str


class _Place:
    """Readings of one table and account, by what they are of: there may be one of each of very many resources."""

    def __init__(self) -> None:
        self._of: dict[str, list[_Reading]] = defaultdict(list)
        self._unread: list[_Reading] = []
        """Gaps of single resources."""

    def add(self, reading: _Reading) -> None:
        base = reading.resource.partition("#")[0]
        self._of[base].append(reading)
        if not reading.complete and base != "*":
            self._unread.append(reading)

    def every(self) -> Iterator[_Reading]:
        for readings in self._of.values():
            yield from readings

    def about(self, resource: str | None) -> list[_Reading]:
        """Return what may say something of a resource, or of the whole: that one was read says nothing of others."""
        more = self._unread if resource is None else self._of.get(resource, ()) if resource != "*" else ()
        return [*self._of.get("*", ()), *more]


class Sight:
    """Answers whether a table was read to its end in a place and over a time.

    A question has no gaps only if some complete listing covers it and no gap touches it: nothing asked is
    nothing seen.
    """

    def __init__(self, coverage: Iterable[Mapping[str, Any]]) -> None:
        self._readings: dict[tuple[str, str], _Place] = defaultdict(_Place)
        self._jobs: dict[datetime, list[str]] = {}
        self._accounts: dict[str, list[str]] = {}
        self._whole: dict[_Asked, list[list[tuple[datetime, datetime]]]] = {}
        self._timeless: dict[tuple[str, str | None, str, str | None, tuple[str, ...]], list[str]] = {}
        for row in coverage:
            place = (row["table_name"], row["account"] or "*")
            words = "" if row["complete"] else _words(row)
            self._readings[place].add(
                _Reading(
                    row["region"] or "*",
                    row["resource"] or "*",
                    row["from_at"],
                    row["until_at"],
                    bool(row["complete"]),
                    words,
                    row["reason"] or "",
                )
            )

    def jobs_gaps(self, until: datetime) -> list[str]:
        """Return what hides jobs that may have run at a time, anywhere: none that was submitted later did."""
        if until not in self._jobs:
            self._jobs[until] = self.gaps("dataproc_job", None, until_at=until, since=until - _LONG_RUN)
        return self._jobs[until]

    def accounts(self, table: str) -> list[str]:
        """Return the accounts (or projects) that the table was asked for."""
        if table not in self._accounts:
            self._accounts[table] = sorted(account for name, account in self._readings if name == table)
        return self._accounts[table]

    def gaps(
        self,
        table: str,
        account: str | None,
        *,
        region: str = "*",
        resource: str | None = None,
        from_at: datetime | None = None,
        until_at: datetime | None = None,
        since: datetime | None = None,
        but: tuple[str, ...] = (),
    ) -> list[str]:
        """Return what hides the table there, in words; an empty list means it was seen.

        `account` None means every account that was asked. Times narrow the question for tables of events; one
        without a start asks of its end alone, and gaps `since` an earlier time count too where rows of then still
        matter. Without a `resource` the question is whether all were seen: the listing of one resource vouches for
        that one only, and a gap of one resource or of one setting of it hides no other. Gaps whose reason is in
        `but` count as read: the caller knows what to make of them.
        """
        from_at = until_at if from_at is None else from_at
        if account is not None and self._seen(table, account, region, resource, from_at, until_at, but):
            return []
        if not (from_at is None and until_at is None and since is None):
            return self._told(table, account, region, resource, from_at, until_at, since, but)
        asked = (table, account, region, resource, but)
        if asked not in self._timeless:
            self._timeless[asked] = self._told(table, account, region, resource, None, None, None, but)
        return list(self._timeless[asked])

    def _seen(
        self,
        table: str,
        account: str,
        region: str,
        resource: str | None,
        from_at: datetime | None,
        until_at: datetime | None,
        but: tuple[str, ...],
    ) -> bool:
        """Tell whether no gap is anywhere near, and one reading after the other covers it all: then nothing hides it."""
        asked = (table, account, region, resource, but)
        found = self._whole.get(asked)
        if found is None:
            found = self._whole[asked] = self._spans(*asked)
        for spans in found:
            if spans[0] == _EVER:
                whole = from_at is None or until_at is None or from_at <= until_at
            elif from_at is None or until_at is None:
                whole = False
            else:
                place = bisect_right(spans, (from_at, _LAST)) - 1
                whole = place >= 0 and from_at <= until_at <= spans[place][1]
            if whole:
                return True
        return False

    def whole(
        self, table: str, account: str, *, region: str = "*", resource: str | None = None
    ) -> Sequence[tuple[datetime, datetime]]:
        """Return times, in order and apart, over each of which `gaps` is empty for certain; there may be more."""
        asked = (table, account, region, resource, ())
        found = self._whole.get(asked)
        if found is None:
            found = self._whole[asked] = self._spans(*asked)
        return found[0] if found else ()

    def _every(self, table: str, account: str) -> Iterable[_Reading]:
        place = self._readings.get((table, account))
        return place.every() if place else ()

    def _spans(
        self, table: str, account: str, region: str, resource: str | None, but: tuple[str, ...]
    ) -> list[list[tuple[datetime, datetime]]]:
        """Return the times that were read without a break, of the account and of all; none if a gap is there at any time."""
        names = (account, "*")
        placed = [[r for r in self._every(table, name) if _meets(r.region, region)] for name in names]
        if not all(reading.complete or reading.reason in but for readings in placed for reading in readings):
            return []
        found = []
        for readings in placed:
            times = sorted(
                (reading.from_at or _FIRST, reading.until_at or _LAST)
                for reading in readings
                if reading.resource in ("*", resource) and reading.region in ("*", region)
            )
            spans: list[tuple[datetime, datetime]] = []
            for first, last in times:
                if spans and first <= spans[-1][1]:
                    spans[-1] = spans[-1][0], max(spans[-1][1], last)
                else:
                    spans.append((first, last))
            if spans:
                found.append(spans)
        return found

    def _told(
        self,
        table: str,
        account: str | None,
        region: str,
        resource: str | None,
        from_at: datetime | None,
        until_at: datetime | None,
        since: datetime | None,
        but: tuple[str, ...],
    ) -> list[str]:
        """Return the gaps of one question, reading by reading."""
        accounts = self.accounts(table) if account is None else [account, "*"]
        found: list[str] = []
        complete = False
        for name in accounts:
            place = self._readings.get((table, name))
            placed = [r for r in place.about(resource) if _meets(r.region, region)] if place else []
            readings = [reading for reading in placed if _touches(reading, from_at, until_at)]
            found += [
                reading.words
                for reading in (placed if since is not None else readings)
                if not reading.complete
                and _touches(reading, since or from_at, until_at)
                and reading.reason not in but
                and _hides(reading, resource)
            ]
            whole = [
                reading
                for reading in readings
                if (reading.complete or reading.reason in but) and reading.resource in ("*", resource)
            ]
            vouching = {r.region for r in placed if r.complete and r.resource in ("*", resource)}
            asked = vouching if region == "*" else {region}
            covered = all(
                _covered([r for r in whole if _meets(r.region, each)], from_at, until_at)
                for each in asked - {"*"} or {"*"}
            )
            if account is None and name != "*" and not covered and not found:
                found.append(_unread(table, name, region, from_at, until_at))
            complete = complete or covered
        if not complete and not found:
            found.append(_unread(table, account or "any account", region, from_at, until_at))
        return sorted(set(found))


def _hides(reading: _Reading, resource: str | None) -> bool:
    """Tell whether a gap may hide the resource, or any row at all when none is named."""
    if resource is None:
        return "#" not in reading.resource  # ARN#setting: the row is there, one of its columns is not
    return _meets(reading.resource.partition("#")[0], resource)


def _words(row: Mapping[str, Any]) -> str:
    place = "/".join(part for part in (row["account"], row["region"]) if part and part != "*")
    resource = "" if row["resource"] in (None, "*") else f" of {row['resource']}"
    return f"{row['table_name']}{resource} in {place or 'every place'}: {row['detail'] or row['reason']}"


def _unread(
    table: str, account: str, region: str, from_at: datetime | None, until_at: datetime | None
) -> str:
    place = account if region == "*" else f"{account}/{region}"
    when = ""
    if from_at is not None and until_at is not None:
        when = f" for {from_at:%Y-%m-%dT%H:%MZ} to {until_at:%Y-%m-%dT%H:%MZ}"
    return f"{table} was not read in {place}{when}"


def _meets(one: str, other: str) -> bool:
    return one == "*" or other == "*" or one == other


def _touches(reading: _Reading, from_at: datetime | None, until_at: datetime | None) -> bool:
    """Tell whether a reading has to do with a time; readings are half-open, questions are closed."""
    first, last = reading.from_at, reading.until_at
    if from_at is not None and last is not None and (last < from_at or (last == from_at and first != last)):
        return reading.complete and last == from_at  # it may still reach the moment before the question
    return not (until_at is not None and first is not None and first > until_at)


def _covered(readings: list[_Reading], from_at: datetime | None, until_at: datetime | None) -> bool:
    """Tell whether the union of readings covers the whole time asked for."""
    if not readings:
        return False
    if from_at is None or until_at is None:
        return True
    reached = from_at
    for reading in sorted(readings, key=lambda r: (r.from_at is not None, r.from_at)):
        if reading.from_at is not None and reading.from_at > reached + _SLACK:
            return False
        if reading.until_at is None:
            return True
        reached = max(reached, reading.until_at)
        if reached + _SLACK >= until_at:
            return True
    return False


def read_back(coverage: Iterable[Mapping[str, Any]], table: str, now: datetime) -> datetime | None:
    """Return since when a table of events was read without a gap until now, in every account that was asked."""
    whole: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    gaps: dict[str, list[datetime]] = defaultdict(list)
    for row in coverage:
        if row["table_name"] != table or row["from_at"] is None:
            continue
        account = row["account"] or "*"
        until = now if row["until_at"] is None else row["until_at"]
        if not row["complete"]:
            gaps[account].append(until)
        elif (row["resource"] or "*") == "*":
            whole[account].append((until, row["from_at"]))
    back = []
    for account in whole.keys() | gaps.keys():
        reached = now
        for until, since in sorted(whole[account], reverse=True):
            if until + _SLACK >= reached:
                reached = min(reached, since)
        back.append(min(now, max([reached, *gaps[account]])))
    return max(back, default=None)
