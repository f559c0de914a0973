"""CloudTrail's answers: trails, their status and selectors, and LookupEvents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from auditor.sandbox.aws.books import Here, Params, Record, Refused
from auditor.sandbox.aws.judge import only
from auditor.sandbox.aws.paging import page

LOOKUP_KEPT = timedelta(days=90)
"""LookupEvents reaches back 90 days (API reference)."""
_LOOKUP = {
    "EventId": "EventId",
    "EventName": "EventName",
    "ReadOnly": "ReadOnly",
    "Username": "Username",
    "EventSource": "EventSource",
    "AccessKeyId": "AccessKeyId",
}


def trails_seen(here: Here) -> list[Record]:
    """Return the trails of a region, and the multi-region ones of others, by ARN."""
    return sorted(
        (
            trail
            for (account, region), book in here.books.trails.items()
            for trail in book.trails.values()
            if account == here.account and (region == here.region or trail["IsMultiRegionTrail"])
        ),
        key=lambda trail: str(trail["TrailARN"]),
    )


def _trail(here: Here, name: str) -> Record:
    for trail in trails_seen(here):
        if name in (trail["Name"], trail["TrailARN"]):
            return trail
    raise Refused("TrailNotFoundException", f"Unknown trail: {name} for the user: {here.account}")


def describe_trails(here: Here, asked: Params) -> Record:
    """Describe trails: with shadows of multi-region trails unless told not to."""
    rows = trails_seen(here)
    if asked.get("includeShadowTrails") is False:
        rows = [trail for trail in rows if trail["HomeRegion"] == here.region]
    named = asked.get("trailNameList") or []
    if named:
        rows = [trail for trail in rows if trail["Name"] in named or trail["TrailARN"] in named]
    return {"trailList": [only("cloudtrail", "Trail", trail) for trail in rows]}


def get_trail(here: Here, asked: Params) -> Record:
    """Give one trail."""
    return {"Trail": only("cloudtrail", "Trail", _trail(here, asked["Name"]))}


def list_trails(here: Here, asked: Params) -> Record:
    """List trails by name."""
    return page("cloudtrail", "ListTrails", asked, trails_seen(here))


def get_trail_status(here: Here, asked: Params) -> Record:
    """Say whether a trail logs, and when it last delivered."""
    return only("cloudtrail", "GetTrailStatusResponse", _trail(here, asked["Name"])["Status"])


def get_event_selectors(here: Here, asked: Params) -> Record:
    """Give what a trail records: event selectors, or advanced ones in their place."""
    trail = _trail(here, asked["TrailName"])
    return {"TrailARN": trail["TrailARN"], **trail["Selectors"]}


def put_event_selectors(here: Here, asked: Params) -> Record:
    """Set what a trail records."""
    trail = _trail(here, asked["TrailName"])
    chosen = "AdvancedEventSelectors" if asked.get("AdvancedEventSelectors") else "EventSelectors"
    trail["Selectors"] = {chosen: asked.get(chosen) or []}
    trail["HasCustomEventSelectors"] = True
    return {"TrailARN": trail["TrailARN"], **trail["Selectors"]}


def create_trail(here: Here, asked: Params) -> Record:
    """Make a trail, dated now and not logging yet, as CloudTrail does."""
    from auditor.sandbox.aws.trail_seeds import new_trail

    if asked["Name"] in here.trails.trails:
        raise Refused("TrailAlreadyExistsException", f"Trail {asked['Name']} already exists")
    trail = new_trail(here.account, here.region, asked["Name"])
    trail |= {
        "S3BucketName": asked["S3BucketName"],
        "IsMultiRegionTrail": bool(asked.get("IsMultiRegionTrail")),
        "IncludeGlobalServiceEvents": asked.get("IncludeGlobalServiceEvents") is not False,
        "LogFileValidationEnabled": bool(asked.get("EnableLogFileValidation")),
    }
    if asked.get("S3KeyPrefix"):
        trail["S3KeyPrefix"] = asked["S3KeyPrefix"]
    here.trails.trails[asked["Name"]] = trail
    return only("cloudtrail", "CreateTrailResponse", trail)


def delete_trail(here: Here, asked: Params) -> Record:
    """Delete a trail."""
    here.trails.trails.pop(_trail(here, asked["Name"])["Name"], None)
    return {}


def start_logging(here: Here, asked: Params) -> Record:
    """Start a trail."""
    _trail(here, asked["Name"])["Status"] |= {"IsLogging": True, "StartLoggingTime": here.now}
    return {}


def stop_logging(here: Here, asked: Params) -> Record:
    """Stop a trail."""
    _trail(here, asked["Name"])["Status"] |= {"IsLogging": False, "StopLoggingTime": here.now}
    return {}


def lookup_events(here: Here, asked: Params) -> Record:
    """List management events of the region, newest first, 50 a page, 90 days back; at most one attribute."""
    if asked.get("EventCategory"):
        raise Refused("InvalidEventCategoryException", "the sandbox has no insight events")
    attributes = asked.get("LookupAttributes") or []
    if len(attributes) > 1:
        raise Refused("InvalidLookupAttributesException", "You can specify only one lookup attribute")
    first = max(_time(asked.get("StartTime")) or here.now - LOOKUP_KEPT, here.now - LOOKUP_KEPT)
    last = _time(asked.get("EndTime"))
    rows = [
        event
        for event in here.trails.events
        if first <= event["EventTime"]
        and (last is None or event["EventTime"] <= last)
        and all(_meets(event, attribute) for attribute in attributes)
    ]
    rows.sort(key=lambda event: (event["EventTime"], event["EventId"]), reverse=True)
    return page("cloudtrail", "LookupEvents", asked, rows, most=50)


def _meets(event: Record, attribute: Record) -> bool:
    key, value = attribute["AttributeKey"], attribute["AttributeValue"]
    if key in _LOOKUP:
        return bool(event.get(_LOOKUP[key]) == value)
    return any(value == resource.get(key) for resource in event["Resources"])


def _time(value: Any) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.fromtimestamp(float(value), UTC)


def list_public_keys(here: Here, asked: Params) -> Record:
    """List the key that digests of this region are signed with; it serves for ever."""
    from auditor.sandbox.aws.digest_seeds import fingerprint, public_key

    key = {
        "Value": public_key(here.region),
        "ValidityStartTime": datetime(2020, 1, 1, tzinfo=UTC),
        "ValidityEndTime": datetime(2040, 1, 1, tzinfo=UTC),
        "Fingerprint": fingerprint(here.region),
    }
    return page("cloudtrail", "ListPublicKeys", asked, [key])
