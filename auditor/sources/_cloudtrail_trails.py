"""Trails of the accounts in scope, and what each one records.

Selectors by the CloudTrail API Reference: EventSelector, AdvancedEventSelector, AdvancedFieldSelector.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from auditor.model import Gap, Seen
from auditor.sources.ask import gap, guard, listed, need

if TYPE_CHECKING:
    from auditor.sources.ask import Ask

S3_OBJECT = "AWS::S3::Object"
EVERY_BUCKET = frozenset({"arn:aws:s3", "arn:aws:s3:::"})
_KNOWN = frozenset({"eventCategory", "readOnly", "resources.type", "resources.ARN", "eventSource"})
"""Fields whose meaning for our question is known; a selector with another one records less."""


@dataclass(frozen=True, slots=True)
class Writes:
    """One selector's share of S3's write events: everything under `under`, but not `but`."""

    under: tuple[str, ...] = ()
    """Prefixes of object ARNs; empty: every object."""
    but: tuple[str, ...] = ()

    def whole(self, bucket: str) -> bool:
        """Whether every write to the bucket is recorded."""
        arn = f"arn:aws:s3:::{bucket}/"
        if any(each.startswith(arn) or arn.startswith(each) for each in self.but):
            return False
        return not self.under or any(arn.startswith(each) for each in self.under)


@dataclass(frozen=True, slots=True)
class Selection:
    """What a trail records, as far as it matters here."""

    reads: bool
    """Management events with `readOnly: true`: issues of sessions are among them."""
    writes: bool
    excluded: frozenset[str]
    """Event sources left out of the management writes."""
    data: tuple[Writes, ...]

    @property
    def management(self) -> str:
        names = {(True, True): "All", (True, False): "ReadOnly", (False, True): "WriteOnly"}
        return names.get((self.reads, self.writes), "None")

    @property
    def everything(self) -> bool:
        """Whether the writes to every bucket are recorded, known or not."""
        return Writes() in self.data

    def whole(self, bucket: str) -> bool:
        return any(each.whole(bucket) for each in self.data)


@dataclass(slots=True)
class Trail:
    """One trail, asked about once, by its owner where that is in scope."""

    arn: str
    asker: str
    about: Mapping[str, Any]
    status: Mapping[str, Any] | None = None
    selection: Selection | None = None
    gaps: list[Gap] = field(default_factory=list)

    @property
    def owner(self) -> str:
        return self.arn.split(":")[4]

    @property
    def home(self) -> str:
        return str(self.about.get("HomeRegion") or self.arn.split(":")[3])

    @property
    def multi_region(self) -> bool:
        return bool(self.about.get("IsMultiRegionTrail"))

    @property
    def validated(self) -> bool:
        """Whether it writes digests of its log files."""
        return bool(self.about.get("LogFileValidationEnabled"))

    @property
    def prefix(self) -> str:
        """The key prefix its log files stand under, with a slash if there is one."""
        prefix = str(self.about.get("S3KeyPrefix") or "")
        return f"{prefix}/" if prefix else ""

    def serves(self, account: str) -> bool:
        """Whether it records the events of an account."""
        return account == self.owner or bool(self.about.get("IsOrganizationTrail"))

    @property
    def shares(self) -> set[str]:
        """What it adds to what is known: tables, and `data:` with what of S3; nothing when its selectors were refused."""
        selection = self.selection
        if selection is None:
            return set()
        shares = {"sts_session"} if selection.reads else set()
        shares |= {"aws_change"} if selection.writes else set()
        if selection.everything:
            return shares | {"data:*"}
        return shares | {f"data:{one}" for one in selection.data}

    def feeds(self, table: str) -> bool:
        """Whether it records anything of a table."""
        return any(
            share == table or (table == "s3_data_event" and share[:5] == "data:") for share in self.shares
        )

    def time(self, name: str) -> datetime | None:
        """Return a time of its status; None when there is none, or the status was refused."""
        at = (self.status or {}).get(name)
        return at if isinstance(at, datetime) else None

    def values(self, buckets: list[str]) -> dict[str, Any]:
        """Return its row; `buckets`: names that a selection by exclusion is spelt out with."""
        about, status = self.about, self.status
        flags = {
            "multi_region": "IsMultiRegionTrail",
            "global_events": "IncludeGlobalServiceEvents",
            "validated": "LogFileValidationEnabled",
        }
        return {
            "arn": self.arn,
            "name": about.get("Name"),
            "account": self.owner,
            "region": self.home,
            "logging": None if status is None else status.get("IsLogging"),
            **{column: about.get(flag) for column, flag in flags.items()},
            "management_events": self.selection and self.selection.management,
            "write_data_arns": None if self.selection is None else _arns(self.selection, buckets),
            "bucket": about.get("S3BucketName"),
            "prefix": about.get("S3KeyPrefix") or "",
            "started_at": self.time("StartLoggingTime"),
            "delivered_at": self.time("LatestDeliveryTime"),
            "delivery_error": None if status is None else status.get("LatestDeliveryError") or "",
        }


def _arns(selection: Selection, buckets: list[str]) -> list[str]:
    if selection.everything:
        return ["*"]
    named = {each for one in selection.data if not one.but for each in one.under}
    but = [one for one in selection.data if one.but]
    named |= {f"arn:aws:s3:::{name}/" for name in buckets if any(one.whole(name) for one in but)}
    return sorted(named)


def trails(ask: Ask, into: list[Trail]) -> Iterator[Seen | Gap]:
    """Find every trail once. Calls: one a region and account, and two a trail.

    A multi-region or organization trail shows in every region it records; the owner is asked about
    it in its home region.
    """
    found: dict[str, Trail] = {}
    for account in ask.accounts():
        for region in sorted({*ask.regions(account), "us-east-1"}):
            with guard(Seen("cloudtrail_trail", account, region)) as read:
                client = ask.clients.aws("cloudtrail", account, region)
                for about in listed(client.describe_trails(), "trailList"):
                    arn = need(about, "TrailARN")
                    if arn not in found or arn.split(":")[4] == account != found[arn].asker:
                        found[arn] = Trail(arn, account, about)
            yield from read
    into += [found[arn] for arn in sorted(found)]
    for trail in into:
        _ask_about(ask, trail)


def _ask_about(ask: Ask, trail: Trail) -> None:
    place = (trail.owner, trail.home)
    client = ask.clients.aws("cloudtrail", trail.asker, trail.home)
    with guard(Seen("cloudtrail_trail", *place, trail.arn)) as read:
        status = client.get_trail_status(Name=trail.arn)
        need(status, "IsLogging")
        trail.status = status
    if not read.ok:
        for column in ("logging", "started_at", "delivered_at", "delivery_error"):
            scope = Seen("cloudtrail_trail", *place, f"{trail.arn}#{column}")
            trail.gaps.append(gap(scope, read.reason, read.detail))
    with guard(Seen("cloudtrail_trail", *place, trail.arn)) as read:
        trail.selection = selected(client.get_event_selectors(TrailName=trail.arn))
    if not read.ok:
        for column in ("management_events", "write_data_arns"):
            scope = Seen("cloudtrail_trail", *place, f"{trail.arn}#{column}")
            trail.gaps.append(gap(scope, read.reason, read.detail))


def selected(reply: Mapping[str, Any]) -> Selection:
    """Return what selectors of either kind come to; Suspect when there are none at all."""
    advanced = reply.get("AdvancedEventSelectors")
    shares = (
        [_advanced(each) for each in advanced]
        if advanced
        else [_basic(each) for each in listed(reply, "EventSelectors")]
    )
    writing = [share.excluded for share in shares if share.writes]
    return Selection(
        reads=any(share.reads for share in shares),
        writes=bool(writing),
        excluded=frozenset.intersection(*writing) if writing else frozenset(),
        data=tuple(sorted({each for share in shares for each in share.data}, key=repr)),
    )


def _basic(selector: Mapping[str, Any]) -> Selection:
    kind = selector.get("ReadWriteType", "All")
    management = bool(selector.get("IncludeManagementEvents", True))
    data: list[Writes] = []
    for resource in selector.get("DataResources") or ():
        if resource.get("Type") == S3_OBJECT and kind != "ReadOnly":
            values = resource.get("Values") or ()
            if EVERY_BUCKET.intersection(values):
                data.append(Writes())
            elif values:
                data.append(Writes(tuple(sorted(values))))
    return Selection(
        reads=management and kind != "WriteOnly",
        writes=management and kind != "ReadOnly",
        excluded=frozenset(selector.get("ExcludeManagementEventSources") or ()),
        data=tuple(data),
    )


def _advanced(selector: Mapping[str, Any]) -> Selection:
    nothing = Selection(reads=False, writes=False, excluded=frozenset(), data=())
    tests = {need(one, "Field"): one for one in listed(selector, "FieldSelectors")}
    if tests.keys() - _KNOWN:
        return nothing
    category = tests.get("eventCategory", {}).get("Equals") or []
    only = _only(tests.get("readOnly"))
    if category == ["Management"]:
        source = tests.get("eventSource", {})
        if any(source.get(key) for key in source if key not in {"Field", "NotEquals"}):
            return nothing
        return Selection(
            reads=only != "false",
            writes=only != "true",
            excluded=frozenset(source.get("NotEquals") or ()),
            data=(),
        )
    objects = S3_OBJECT in (tests.get("resources.type", {}).get("Equals") or ())
    if category != ["Data"] or not objects or only == "true" or "eventSource" in tests:
        return nothing
    arn = tests.get("resources.ARN", {})
    if arn.get("EndsWith") or arn.get("NotEndsWith"):
        return nothing
    under = (*(arn.get("StartsWith") or ()), *(arn.get("Equals") or ()))
    but = (*(arn.get("NotStartsWith") or ()), *(arn.get("NotEquals") or ()))
    every = bool(EVERY_BUCKET.intersection(under))
    share = Writes(() if every else tuple(sorted(under)), tuple(sorted(but)))
    return Selection(reads=False, writes=False, excluded=frozenset(), data=(share,))


def _only(test: Mapping[str, Any] | None) -> str:
    """Return `true` or `false` when a selector takes only such events; empty when both."""
    if not test:
        return ""
    kept = {"true", "false"}
    if equals := test.get("Equals"):
        kept &= set(equals)
    kept -= set(test.get("NotEquals") or ())
    return kept.pop() if len(kept) == 1 else ""
