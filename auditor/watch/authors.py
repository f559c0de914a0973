"""Who changed a setting, from the management events of AWS or the audit entries of Google Cloud, or why nobody is named."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from auditor.model import Drift, Gap, Seen
from auditor.watch import entries, gcp
from auditor.watch.events import ELSEWHERE, EVENTS, TOGETHER
from auditor.watch.values import Watched

_FEED = "aws_change"
_EVENT = "CloudTrail event"
LATE = "late: "
"""How a reason begins that came to be known after the change was told."""
_GLOBAL = "us-east-1"
"""Where CloudTrail records what is global."""
_SAID = re.compile(
    r"(?:CloudTrail event (?P<event_id>\S+)|Cloud Audit entry (?P<entry_id>.+?)) \((?P<event_name>[^)]*)\)"
    r"(?:, from (?P<address>.+?))?(?:, for (?P<caller>.+?))?(?:, by the key (?P<key>.+?))?"
    r"(?:, the newest of (?P<of>\d+) that fit)?"
)


@dataclass(frozen=True, slots=True)
class Trace:
    """What the trail says of the one who changed something, beside who it was."""

    event_id: str | None = None
    event_name: str | None = None
    address: str | None = None
    session: str | None = None
    """Name of the session, where a role was assumed; who acted through a service account, the first caller first."""
    others: int = 0
    """Events that fit too, all older."""


def trace(drift: Drift) -> Trace:
    """Read what `actor_reason` says: the ledger keeps it as the one sentence that its chain binds."""
    reason = drift.actor_reason.removeprefix(LATE)
    reason = reason.partition(": ")[2] if drift.rule else reason
    found = _SAID.fullmatch(reason)
    if drift.actor is None or found is None:
        return Trace()
    _, assumed, rest = drift.actor.partition(":assumed-role/")
    session = rest.partition("/")[2] if assumed else ""
    return Trace(
        found["event_id"] or found["entry_id"],
        found["event_name"],
        found["address"],
        session or found["caller"],
        int(found["of"] or 1) - 1,
    )


def is_late(one: Drift) -> bool:
    """Say whether a drift only tells who made a change that was told before."""
    return one.actor_reason.startswith(LATE)


def with_change(kind: str, name: str | None) -> str:
    """Say by which change of its subject a finding has its author: of a setting, or of the whole row."""
    return {"appeared": "as it is new", "vanished": "as it is gone"}.get(kind, f"with the change of {name}")


def behind(changes: Iterable[Drift]) -> dict[str, Drift]:
    """Return the change with a known author that a finding may come of, by the key of what is judged.

    Of several that tell of one subject under other keys, one that made it weaker counts, else the first.
    """
    found: dict[str, Drift] = {}
    judged: dict[str, Drift] = {}
    for one in changes:
        if one.actor is None:
            continue
        found[one.subject_key] = one
        found[f"{one.subject_table}/{one.subject_key}#{one.field or one.kind}"] = (
            one  # as rules judge a change
        )
        for key in gcp.judged_as(one.subject_table, one.subject_key):
            if key not in judged or (one.direction == "worse" != judged[key].direction):
                judged[key] = one
    return {**judged, **found}


class Authors:
    """Who changed what, from the feed of management events and from the audit entries."""

    def __init__(
        self,
        changes: Iterable[Mapping[str, Any]],
        coverage: Sequence[Seen | Gap],
        settles: timedelta = timedelta(0),
        audited: Iterable[Mapping[str, Any]] = (),
        audited_settles: timedelta = timedelta(0),
        unique_ids: Mapping[str, str] | None = None,
    ) -> None:
        self._changes: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        """By name, and by what may name its resource: ten thousand changes are not each looked for among ten thousand."""
        for change in changes:
            if not change.get("error_code") and change.get("actor"):
                for mark in _marks(change):
                    self._changes.setdefault((str(change.get("event_name")), mark), []).append(change)
        self._coverage = [part for part in coverage if part.table in (_FEED, entries.FEED)]
        self._settles = {_FEED: settles, entries.FEED: audited_settles}
        self._audited = audited
        self._entries: dict[tuple[str, str], list[Mapping[str, Any]]] | None = None
        """By method and project; not read before something of Google Cloud changed: most are of jobs."""
        self._unique_ids = unique_ids or {}

    def of(
        self,
        field: str,
        one: Watched,
        since: datetime | None,
        now: datetime,
        keys: Collection[str] = (),
        *,
        sight: bool = True,
    ) -> tuple[Mapping[str, Any] | None, str]:
        """Return the newest event that explains a change, and why it or nobody is named.

        `field` is a column, `+` of a row that came, `-` of one that is gone; `keys` are other resources whose events tell of it.
        Without `sight` it is not said how well the trail was seen where there is none.
        """
        feed, what = (entries.FEED, "Cloud Audit entry") if one.table in entries.METHODS else (_FEED, _EVENT)
        if feed == _FEED:
            names = TOGETHER.get((one.table, field)) or EVENTS.get(one.table, {}).get(field, ())
        else:
            names = entries.METHODS[one.table].get(field, ())
        why = entries.beyond(one) if feed == entries.FEED else ELSEWHERE.get(one.table, "")
        if why or not names:
            return None, f"not found, because {why or f'no {what} is known to tell of {one.table} {field}'}"
        found = self._events(names, one, keys) if feed == _FEED else self._audit_entries(names, one, field)
        fitting = [
            each
            for each in found
            if (since is None or when(each.get("at")) > since) and when(each.get("at")) <= now
        ]
        if fitting:
            change = max(fitting, key=lambda c: (when(c.get("at")), str(c.get("event_id"))))
            words = [f"{what} {change.get('event_id')} ({change.get('event_name')})"]
            if change.get("source_ip"):
                words.append(f"from {change['source_ip']}")
            if change.get("by"):
                words.append(str(change["by"]))
            if len(fitting) > 1:
                words.append(f"the newest of {len(fitting)} that fit")
            return change, ", ".join(words)
        if not sight:
            return None, ""
        between = f"between {_iso(since)} and {_iso(now)}" if since else f"before {_iso(now)}"
        return (
            None,
            f"not found, because no {what} names this change {between}; {self._sight(feed, one, since)}",
        )

    def _events(
        self, names: Iterable[str], one: Watched, keys: Collection[str]
    ) -> Iterator[Mapping[str, Any]]:
        sought = {*_sought(one), *keys}
        found = {
            id(change): change
            for name in names
            for mark in sought
            for change in self._changes.get((name, mark), ())
        }
        return (each for each in found.values() if concerns(each, one) or each.get("resource") in keys)

    def _audit_entries(self, names: Iterable[str], one: Watched, change: str) -> Iterator[Mapping[str, Any]]:
        if self._entries is None:
            self._entries = {}
            for row in entries.changes(self._audited):
                self._entries.setdefault((row["event_name"], row["project"]), []).append(row)
        for name in names:
            for row in self._entries.get((name, one.account), ()):
                if entries.concerns(row, one, self._unique_ids, change):
                    yield row

    def _sight(self, feed: str, one: Watched, since: datetime | None) -> str:
        """Say how well the trail was seen in that time."""
        regions = {"*", one.region, _GLOBAL}
        mine = [
            part
            for part in self._coverage
            if part.table == feed
            and part.account in {"*", one.account}
            and (one.region == "*" or part.region in regions)
            and (since is None or part.until_at is None or when(part.until_at) > since)
            and not _of_another(part.resource, one.table)
        ]
        gaps = sorted({_gap(part) for part in mine if isinstance(part, Gap)})
        if gaps:
            return f"{feed} in {one.account} had a gap: {'; '.join(gaps)}"
        if not mine:
            return f"{feed} was not read in {one.account}"
        settles = int(self._settles[feed].total_seconds() // 60)
        what = "events" if feed == _FEED else "entries"
        late = f", and {what} of its last {settles} min may still be on their way" if settles else ""
        return f"{feed} in {one.account} was read to its end{late}"


def _of_another(resource: str, table: str) -> bool:
    """Say whether a gap is of the events of one service alone, and another's than the table's."""
    service = {"aws_account": "s3"}.get(table, table.partition("_")[0])
    return resource.endswith(".amazonaws.com") and resource != f"{service}.amazonaws.com"


def _gap(part: Gap) -> str:
    words = part.detail or part.reason
    if part.from_at and part.until_at:
        return f"{words} (between {_iso(when(part.from_at))} and {_iso(when(part.until_at))})"
    return words


def _marks(change: Mapping[str, Any]) -> set[str]:
    """Return what a row that a change concerns may be sought by."""
    resource, account = str(change.get("resource") or ""), str(change.get("account"))
    return {resource, resource.rpartition(":")[2], account, f"{account} {change.get('region')}"}


def _sought(one: Watched) -> set[str]:
    if one.table == "backup_region":
        return {f"{one.account} {one.region}"}
    if one.table == "aws_account":
        return {one.account}
    return {one.key, one.key.split("/")[0]} if one.table.startswith("backup_") else {one.key}


def concerns(change: Mapping[str, Any], one: Watched) -> bool:
    """Say whether an event is about the resource of a setting."""
    resource = str(change.get("resource") or "")
    if one.table == "backup_region":
        return (change.get("account"), change.get("region")) == (one.account, one.region)
    if one.table == "aws_account":
        return change.get("account") == one.account
    if resource == one.key:
        return True
    return one.table.startswith("backup_") and resource.endswith(f":{one.key.split('/')[0]}")


def when(value: Any) -> datetime:
    """Read a time as DuckDB gives it (naive, UTC) or as a source does."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return datetime.min.replace(tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _iso(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
