"""Trails, and from their records: sessions issued, objects written, and changes of the estate.

Calls, for A accounts with G regions each (us-east-1 always among them) and T trails: A·G
DescribeTrails + 2·T; then per trail that is read, the calls of `_cloudtrail_files`, and of each trail
that writes digests those of `_cloudtrail_digests`; 1 ListBuckets an
account whose trails record the writes to some buckets only. Without a trail that can be read:
LookupEvents, ceil(STS events / 50) + ceil(write events / 50), at least 2, per account and region.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from auditor.model import Cursor, Gap, Row, Seen, Window
from auditor.sources._cloudtrail_digests import Digests
from auditor.sources._cloudtrail_files import Reader
from auditor.sources._cloudtrail_record import read_record
from auditor.sources._cloudtrail_trails import Trail, trails
from auditor.sources._marked import marked
from auditor.sources.ask import guard, listed, need

if TYPE_CHECKING:
    from auditor.sources.ask import Ask

TABLES = ("cloudtrail_trail", "cloudtrail_digest", "sts_session", "s3_data_event", "aws_change")
AFTER = ("aws_iam",)
ACTIONS = (
    "cloudtrail:DescribeTrails",
    "cloudtrail:GetEventSelectors",
    "cloudtrail:GetTrailStatus",
    "cloudtrail:ListPublicKeys",
    "cloudtrail:LookupEvents",
    "kms:Decrypt",
    "s3:GetObject",
    "s3:ListAllMyBuckets",
    "s3:ListBucket",
)
LOOKUP_KEPT = timedelta(days=90)
"""LookupEvents reaches back this far (CloudTrail API Reference)."""
LOOKUPS = (
    {"AttributeKey": "EventSource", "AttributeValue": "sts.amazonaws.com"},
    {"AttributeKey": "ReadOnly", "AttributeValue": "false"},
)
"""One attribute a call is allowed: these two bring sessions and changes."""
LOOKUP_WORKERS = 2
Table = Literal["sts_session", "s3_data_event", "aws_change"]
EVENTS: tuple[Table, ...] = ("sts_session", "s3_data_event", "aws_change")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where events are read from."""

    events: Literal["auto", "files", "lookup"] = "auto"
    """`files`: the log files of trails, in S3. `lookup`: LookupEvents, which holds management events
    of the last 90 days and never says who wrote an object. `auto`: files, and lookup for an account
    that has no trail that can be read."""
    digests: bool = True
    """Read the digest files of trails that write them, and check their signatures and the hashes of the log files read:
    24 files a day for each trail and region."""
    digests_most: int = 10_000
    """Digests of one trail that are read in one scan; more of them are a gap."""


@dataclass(slots=True)
class _Account:
    """What is known of one account's events while it is read."""

    account: str
    regions: list[str]
    trails: list[Trail]
    buckets: list[str] = field(default_factory=list)
    buckets_gap: tuple[str, str] | None = None
    """Why the buckets of the account are not known, as a reason and its words; None when they are."""
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Why trails could not be read: reason and detail."""

    def unread(self, otherwise: str) -> tuple[str, str]:
        """Return why no log file was read, as a reason and its words."""
        if not self.refused:
            return "not_enabled", otherwise
        return self.refused[0][0], "; ".join(detail for _, detail in self.refused)

    @property
    def partial(self) -> bool:
        """Whether a trail records the writes to some buckets and not to others."""
        chosen = [trail.selection for trail in self.trails if trail.selection]
        return not any(one.everything for one in chosen) and any(one.data for one in chosen)


def collect(ask: Ask) -> Iterator[Row | Seen | Gap | Cursor]:
    """Describe every trail, then read what they recorded of each account."""
    settings: Settings = ask.settings
    found: list[Trail] = []
    undescribed: list[Gap] = []
    for each in trails(ask, found):
        undescribed += [each] if isinstance(each, Gap) else []
        yield each
    accounts = [
        _Account(
            account,
            sorted({*ask.regions(account), "us-east-1"}),
            [trail for trail in found if trail.serves(account)],
            refused=[(one.reason, one.detail) for one in undescribed if one.account == account],
        )
        for account in ask.accounts()
    ]
    for here in accounts:
        if here.partial:
            _list_buckets(ask, here)
    names = {here.account: here.buckets for here in accounts}
    for trail in found:
        yield Row("cloudtrail_trail", trail.values(names.get(trail.owner, [])))
        yield from trail.gaps
    arns = _arns(ask)
    sessions: set[int] = set()
    for here in accounts:
        readers: list[Reader] = []
        if settings.events != "lookup":
            yield from _files(ask, here, arns, sessions, readers)
        yield from _digests(ask, here, readers)
        if readers:
            yield from _coverage(ask, here, readers)
        elif settings.events == "files":
            reason, why = here.unread("no trail records this account")
            yield from (_gap(ask, table, here.account, reason, why) for table in EVENTS)
        else:
            yield from _looked_up(ask, here, arns, sessions)


def _digests(ask: Ask, here: _Account, readers: list[Reader]) -> Iterator[Row | Seen | Gap]:
    """Read the digests of the account's own trails that write them; the log files were read before."""
    settings: Settings = ask.settings
    known = {reader.trail.arn: reader for reader in readers}
    for trail in here.trails if settings.digests else ():
        if not trail.validated or trail.owner != here.account:
            continue
        window = ask.window
        scope = Seen("cloudtrail_digest", here.account, "*", trail.arn, window.from_at, window.until_at)
        reader = known.get(trail.arn)
        if reader is None:
            reader = Reader(ask, trail, here.account, {}, set())
            with guard(scope) as read:
                reader.locate()
            if not read.ok:
                yield from read
                continue
        yield from Digests(reader, settings.digests_most).collect()


def _arns(ask: Ask) -> dict[tuple[str, str], str]:
    """Return ARNs of roles and users by name, since events hold names without their paths."""
    return {
        (f"{row['account']}:{kind}", row["name"]): row["arn"]
        for kind in ("role", "user")
        for row in ask.collected(f"iam_{kind}")
    }


def _list_buckets(ask: Ask, here: _Account) -> None:
    with guard(Seen("s3_data_event", here.account)) as read:
        pages = marked(
            ask.clients.aws("s3", here.account).list_buckets,
            {"ContinuationToken": "ContinuationToken"},
            "Buckets",
            more="",
            MaxBuckets=10_000,
        )
        names = (need(one, "Name") for page in pages for one in listed(page, "Buckets"))
        here.buckets = sorted(name for name in names if ask.bucket_in(name))
    here.buckets_gap = None if read.ok else (read.reason, read.detail)


def _gap(
    ask: Ask,
    table: Table,
    account: str,
    reason: str,
    detail: str,
    *,
    region: str = "*",
    resource: str = "*",
    from_at: datetime | None = None,
    until_at: datetime | None = None,
    window: Window | None = None,
) -> Gap:
    window = window or ask.window
    start, end = from_at or window.from_at, until_at or window.until_at
    return Gap(table, account, region, resource, reason, detail, start, end)


def _files(
    ask: Ask,
    here: _Account,
    arns: dict[tuple[str, str], str],
    seen: set[int],
    readers: list[Reader],
) -> Iterator[Row | Cursor]:
    """Read the log files of the fewest trails that record all that any of them does."""
    done: set[tuple[str, str]] = set()
    for trail in sorted(here.trails, key=lambda each: (-len(each.shares), each.arn)):
        if trail.selection is None:
            here.refused += [(one.reason, one.detail) for one in trail.gaps[-1:]]
        scope = "*" if trail.multi_region else trail.home
        shares = {(share, scope) for share in trail.shares}
        new = {one for one in shares - done if (one[0], "*") not in done}
        if not new or (("data:*", "*") in done and all(one[0].startswith("data:") for one in new)):
            continue
        reader = Reader(ask, trail, here.account, arns, seen)
        read, regions = reader.regions()
        if not read.ok:
            here.refused.append((read.reason, f"{trail.arn}: {read.detail}"))
            continue
        done |= shares
        readers.append(reader)
        for region in regions:
            yield from reader.rows(region)


def _coverage(ask: Ask, here: _Account, readers: list[Reader]) -> Iterator[Seen | Gap]:
    """Say of each table where the trails that were read had it recorded, and where not."""
    for table in EVENTS:
        serving = [one for one in readers if one.trail.feeds(table)]
        if not serving:
            yield _gap(ask, table, here.account, "not_enabled", _unrecorded(table, readers))
            continue
        wide = any(one.trail.multi_region for one in serving)
        places = ["*"] if wide else sorted({one.trail.home for one in serving})
        for place in places:
            yield from _recorded(ask, here, table, place, serving)
        for region in () if wide else here.regions:
            if region not in places:
                why = f"no trail records {region}: {serving[0].trail.arn} is of one region"
                yield _gap(ask, table, here.account, "not_enabled", why, region=region)
        for reader in serving:
            yield from _holes(ask, here, table, reader)


def _span(ask: Ask, readers: list[Reader]) -> Window:
    """Return the time that all of some trails were read for: the window, and what cursors went back for."""
    return Window(max(one.seen_from for one in readers), ask.window.until_at)


def _unrecorded(table: Table, readers: list[Reader]) -> str:
    trail = readers[0].trail
    recorded = trail.selection.management if trail.selection else "None"
    match table:
        case "sts_session":
            return f"{trail.arn} records management events {recorded}: issues of sessions are reads"
        case "aws_change":
            return f"{trail.arn} records management events {recorded}: changes are writes"
    return f"{trail.arn} records no write data events of S3"


def _recorded(
    ask: Ask, here: _Account, table: Table, place: str, serving: list[Reader]
) -> Iterator[Seen | Gap]:
    window = _span(ask, serving)
    selections = [
        one.trail.selection
        for one in serving
        if one.trail.selection and (one.trail.multi_region or one.trail.home == place)
    ]
    if table != "s3_data_event" or any(one.everything for one in selections):
        yield Seen(table, here.account, place, "*", window.from_at, window.until_at)
        return
    if here.buckets_gap:
        reason, detail = here.buckets_gap
        why = f"which buckets have their writes recorded is not known: {detail}"
        yield _gap(ask, table, here.account, reason, why, region=place, window=window)
        return
    for bucket in here.buckets:
        arn = f"arn:aws:s3:::{bucket}"
        if any(one.whole(bucket) for one in selections):
            yield Seen(table, here.account, place, arn, window.from_at, window.until_at)
        else:
            why = f"no trail records every write to {bucket}"
            gone = partial(_gap, ask, table, here.account, "not_enabled", why, window=window)
            yield gone(region=place, resource=arn)


def _holes(ask: Ask, here: _Account, table: Table, reader: Reader) -> Iterator[Gap]:
    """Yield the stretches that a trail did not record, did not deliver, or that were not read."""
    trail, window, selection = reader.trail, _span(ask, [reader]), reader.trail.selection
    region = "*" if trail.multi_region else trail.home
    hole = partial(_gap, ask, table, here.account, region=region, window=window)
    for start, end in _silence(trail, window.from_at, window.until_at):
        yield hole("not_enabled", f"{trail.arn} did not log", from_at=start, until_at=end)
    if trail.status is None:
        yield hole("failed", f"whether {trail.arn} logs is not known: GetTrailStatus was refused")
    elif error := trail.status.get("LatestDeliveryError"):
        since = max(trail.time("LatestDeliveryTime") or window.from_at, window.from_at)
        why = f"{trail.arn} cannot deliver: {error}"
        yield hole("failed", why, from_at=min(since, window.until_at))
    if table == "s3_data_event" and (reader.selectors_set_at or window.from_at) > window.from_at:
        why = f"{trail.arn} was told anew what to record; what it recorded before is not known"
        yield hole("not_enabled", why, until_at=reader.selectors_set_at)
    if table != "s3_data_event" and trail.about.get("IncludeGlobalServiceEvents") is False:
        why = f"{trail.arn} leaves out global services"
        yield hole("not_enabled", why, region="us-east-1")
    for source in sorted(selection.excluded if selection and table == "aws_change" else ()):
        yield hole("not_enabled", f"{trail.arn} leaves out {source}", resource=source)
    for miss in sorted({one for one in reader.misses if one.table in ("", table)}, key=repr):
        yield Gap(
            table, here.account, miss.region, "*", miss.reason, miss.detail, miss.from_at, miss.until_at
        )


def _silence(trail: Trail, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield when the trail did not log within a window, as far as its status tells."""
    started, stopped = trail.time("StartLoggingTime"), trail.time("StopLoggingTime")
    if trail.status is None:
        return
    if not trail.status.get("IsLogging"):
        since = max(stopped or start, start)
        if since < end:
            yield since, end
        return
    if started and started > start:
        since = max(stopped, start) if stopped and stopped < started else start
        yield since, min(started, end)


def _looked_up(
    ask: Ask, here: _Account, arns: dict[tuple[str, str], str], seen: set[int]
) -> Iterator[Row | Seen | Gap | Cursor]:
    """Read management events by LookupEvents: sessions and changes, but no writes of objects."""
    window = ask.window
    reason, why = here.unread("no trail with data events was found")
    why = f"LookupEvents holds no data events; {why}"
    yield _gap(ask, "s3_data_event", here.account, reason, why)
    kept_from = ask.now - LOOKUP_KEPT
    tables: tuple[Table, Table] = ("sts_session", "aws_change")
    if window.from_at < kept_from:
        why = "LookupEvents reaches back 90 days"
        end = min(kept_from, window.until_at)
        yield from (_gap(ask, table, here.account, "out_of_reach", why, until_at=end) for table in tables)
    if kept_from >= window.until_at:
        return
    look = partial(_region, ask, here.account, arns, kept_from)
    for rows, coverage in ask.side_by_side(LOOKUP_WORKERS, look, here.regions):
        for row in rows:
            name = "session_key" if row.table == "sts_session" else "event_id"
            mark = hash((row.table, row.values[name]))
            if mark not in seen:
                seen.add(mark)
                yield row
        yield from coverage


def _region(
    ask: Ask, account: str, arns: dict[tuple[str, str], str], kept_from: datetime, region: str
) -> tuple[list[Row], list[Seen | Gap | Cursor]]:
    """Look up a region from where it was left: at what is new, and again at what may have come late."""
    scope, until = f"lookup {account}/{region}", ask.window.until_at
    start = max(ask.since(scope), kept_from)
    scopes = [Seen(table, account, region, "*", start, until) for table in ("sts_session", "aws_change")]
    rows: list[Row] = []
    lacks: dict[str, Gap] = {}
    with guard(*scopes) as read:
        client = ask.clients.aws("cloudtrail", account, region)
        for attribute in LOOKUPS:
            for page in marked(
                client.lookup_events,
                {"NextToken": "NextToken"},
                "Events",
                more="",
                LookupAttributes=[attribute],
                StartTime=start,
                EndTime=until,
                MaxResults=50,
            ):
                for event in listed(page, "Events"):
                    reading = read_record(_told(event), arns, account)
                    if reading.row is not None and reading.row.table != "s3_data_event":
                        rows.append(reading.row)
                    if reading.lacks:
                        detail = f"event {event.get('EventId')} lacks {', '.join(reading.lacks)}"
                        lacks.setdefault(detail, Gap("", account, region, "*", "malformed", detail))
    rows.sort(key=lambda row: (row.table, row.values["event_id"]))
    coverage: list[Seen | Gap | Cursor] = [*read]
    if read.ok:
        coverage.append(Cursor(scope, until.isoformat()))
    for _, one in sorted(lacks.items()):
        coverage += (
            Gap(scope.table, account, region, "*", one.reason, one.detail, start, until) for scope in scopes
        )
    return rows, coverage


def _told(event: dict[str, Any]) -> object:
    """Return the record a looked-up event carries as text; None when it cannot be read."""
    try:
        return json.loads(event.get("CloudTrailEvent", ""))
    except (ValueError, RecursionError):
        return None
