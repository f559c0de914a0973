"""Which events a trail records: CloudTrail's event selectors, basic and advanced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditor.sandbox.aws.books import Record

Event = Mapping[str, Any]


def is_management(event: Event) -> bool:
    """Say whether a record is a management event."""
    return bool(
        event.get("eventCategory", "Management" if event.get("managementEvent", True) else "Data")
        == "Management"
    )


def records(trail: Record, event: Event) -> bool:
    """Say whether a trail records an event."""
    selectors = trail["Selectors"]
    if "AdvancedEventSelectors" in selectors:
        return any(_advanced(selector, event) for selector in selectors["AdvancedEventSelectors"])
    return any(_basic(selector, event) for selector in selectors["EventSelectors"])


def _basic(selector: Record, event: Event) -> bool:
    wanted = selector["ReadWriteType"]
    if wanted != "All" and (wanted == "ReadOnly") != bool(event.get("readOnly")):
        return False
    if is_management(event):
        excluded = selector.get("ExcludeManagementEventSources") or []
        return bool(selector["IncludeManagementEvents"]) and event["eventSource"] not in excluded
    arns = _arns(event)
    return any(
        _covers(value, arn)
        for resource in selector.get("DataResources") or []
        if resource["Type"] == "AWS::S3::Object"
        for value in resource["Values"]
        for arn in arns
    )


def _covers(value: str, arn: str) -> bool:
    """Say whether a data resource value takes an object: `arn:aws:s3` takes all, else a prefix of the ARN."""
    return value in {"arn:aws:s3", "arn:aws:s3:::"} or arn.startswith(value)


def _advanced(selector: Mapping[str, Any], event: Event) -> bool:
    return all(_field(test, event) for test in selector["FieldSelectors"])


def _field(test: Mapping[str, Any], event: Event) -> bool:
    have = _values(test["Field"], event)
    tests: dict[str, Callable[[str, str], bool]] = {
        "Equals": str.__eq__,
        "StartsWith": str.startswith,
        "EndsWith": str.endswith,
    }
    for name, meets in tests.items():
        if test.get(name) and not any(meets(value, want) for value in have for want in test[name]):
            return False
        if test.get(f"Not{name}") and any(
            meets(value, want) for value in have for want in test[f"Not{name}"]
        ):
            return False
    return True


def _values(field: str, event: Event) -> list[str]:
    """Return an event's values of a field that advanced selectors name."""
    if field == "eventCategory":
        return ["Management" if is_management(event) else "Data"]
    if field == "readOnly":
        return [str(bool(event.get("readOnly"))).lower()]
    if field == "resources.type":
        return ["AWS::S3::Object"] if not is_management(event) else []
    if field == "resources.ARN":
        return _arns(event)
    return [str(event[field])] if field in event else []


def _arns(event: Event) -> list[str]:
    """Return the ARNs of the objects of an S3 data event; the bucket's with a slash when it names no key."""
    told = [
        r["ARN"]
        for r in event.get("resources") or []
        if r.get("type", "AWS::S3::Object") == "AWS::S3::Object"
    ]
    asked = event.get("requestParameters") or {}
    if told or "bucketName" not in asked:
        return [arn for arn in told if arn]
    return [f"arn:aws:s3:::{asked['bucketName']}/{asked.get('key', '')}"]
