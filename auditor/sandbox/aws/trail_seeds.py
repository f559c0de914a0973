"""Seed CloudTrail: trails, and what happened, told both as log files in S3 and by LookupEvents."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from auditor.sandbox.aws.books import Record, derived_id, digest, given
from auditor.sandbox.aws.judge import judge_member
from auditor.sandbox.aws.s3_seeds import S3Seeds
from auditor.sandbox.aws.selectors import is_management, records

DELIVERY = timedelta(minutes=5)
"""CloudTrail writes a log file about every five minutes."""
_FLAGS = {
    "bucket": "S3BucketName",
    "prefix": "S3KeyPrefix",
    "multi_region": "IsMultiRegionTrail",
    "global_events": "IncludeGlobalServiceEvents",
    "validated": "LogFileValidationEnabled",
}
_RESOURCE_TYPES = {
    "bucketName": "AWS::S3::Bucket",
    "roleName": "AWS::IAM::Role",
    "roleArn": "AWS::IAM::Role",
}


def new_trail(account: str, region: str, name: str) -> Record:
    """Return a trail that has not begun to log, with the selectors every new trail has."""
    return {
        "Name": name,
        "TrailARN": f"arn:aws:cloudtrail:{region}:{account}:trail/{name}",
        "HomeRegion": region,
        "HasCustomEventSelectors": False,
        "HasInsightSelectors": False,
        "IsOrganizationTrail": False,
        "Selectors": {
            "EventSelectors": [
                {
                    "ReadWriteType": "All",
                    "IncludeManagementEvents": True,
                    "DataResources": [],
                    "ExcludeManagementEventSources": [],
                }
            ]
        },
        "Status": {"IsLogging": False},
    }


class TrailSeeds(S3Seeds):
    """Put and change trails, and record events, without a request."""

    def put_trail(
        self,
        account: str,
        region: str,
        name: str,
        *,
        bucket: str,
        at: datetime,
        prefix: str = "",
        multi_region: bool = True,
        global_events: bool = True,
        logging: bool = True,
        validated: bool = True,
        management: str = "All",
        data_arns: Sequence[str] = ("arn:aws:s3",),
        data_read_write: str = "All",
        advanced: Sequence[Mapping[str, Any]] | None = None,
        delivered_at: datetime | None = None,
        delivery_error: str | None = None,
    ) -> str:
        """Make a trail and return its ARN.

        `management`: All, ReadOnly, WriteOnly or None. `data_arns`: S3 ARNs whose data events it records.
        `advanced`: AdvancedEventSelectors in CloudTrail's shape, which stand in place of both.
        """
        trail = new_trail(account, region, name)
        self.books.trails_of(account, region).trails[name] = trail
        return self.set_trail(
            trail["TrailARN"],
            at=at,
            bucket=bucket,
            prefix=prefix,
            multi_region=multi_region,
            global_events=global_events,
            logging=logging,
            validated=validated,
            management=management,
            data_arns=data_arns,
            data_read_write=data_read_write,
            advanced=advanced,
            delivered_at=delivered_at or (at if logging else None),
            delivery_error=delivery_error,
        )

    def set_trail(self, arn: str, *, at: datetime, **changes: Any) -> str:
        """Change settings of a trail, by the names that `put_trail` has; `at` dates a start or stop of logging."""
        trail = self._trail(arn)
        chosen = trail.setdefault("Chosen", {})
        for setting, value in changes.items():
            if setting in _FLAGS:
                trail[_FLAGS[setting]] = value
            elif setting == "logging":
                status = trail["Status"]
                if value != status["IsLogging"]:
                    status |= {
                        "IsLogging": value,
                        "StartLoggingTime" if value else "StopLoggingTime": at,
                    }
            elif setting in {"delivered_at", "delivery_error"}:
                member = "LatestDeliveryTime" if setting == "delivered_at" else "LatestDeliveryError"
                trail["Status"].pop(member, None)
                trail["Status"] |= given({member: value})
            elif setting in {"management", "data_arns", "data_read_write", "advanced"}:
                chosen[setting] = value
            else:
                raise TypeError(f"a trail has no setting {setting!r}")
        trail["Selectors"] = _selectors(**chosen)
        trail["HasCustomEventSelectors"] = True
        if not trail.get("S3KeyPrefix"):
            trail.pop("S3KeyPrefix", None)
        judge_member("cloudtrail", "Trail", trail)
        judge_member("cloudtrail", "GetTrailStatusResponse", trail["Status"])
        judge_member("cloudtrail", "GetEventSelectorsResponse", trail["Selectors"])
        return arn

    def drop_trail(self, arn: str) -> None:
        """Delete a trail; its log files stay."""
        trail = self._trail(arn)
        del self.books.trails_of(arn.split(":")[4], trail["HomeRegion"]).trails[trail["Name"]]

    def put_events(self, account: str, region: str, events: Sequence[Mapping[str, Any]]) -> list[str]:
        """Record CloudTrail records in their JSON shape and return the keys of the log files written.

        Every trail that logs now and selects an event gets it, in its bucket, five minutes after the event at the
        latest; management events also stand in LookupEvents of the region.
        """
        book = self.books.trails_of(account, region)
        book.events += [_looked_up(event) for event in events if is_management(event)]
        keys = []
        for trail in self._logging_in(account, region):
            files: dict[datetime, list[Mapping[str, Any]]] = defaultdict(list)
            for event in events:
                if records(trail, event):
                    files[_delivered(event)].append(event)
            for at, batch in sorted(files.items()):
                keys.append(self._write(trail, account, region, at, batch))
        return keys

    def _write(
        self,
        trail: Record,
        account: str,
        region: str,
        at: datetime,
        batch: Sequence[Mapping[str, Any]],
    ) -> str:
        """Put one log file where CloudTrail puts it, and move the trail's latest delivery on."""
        body = json.dumps({"Records": list(batch)}, separators=(",", ":"), ensure_ascii=True).encode()
        prefix = f"{trail['S3KeyPrefix']}/" if trail.get("S3KeyPrefix") else ""
        mark = derived_id("", trail["TrailARN"], digest(body))
        key = (
            f"{prefix}AWSLogs/{account}/CloudTrail/{region}/{at:%Y/%m/%d}/"
            f"{account}_CloudTrail_{region}_{at:%Y%m%dT%H%MZ}_{mark}.json.gz"
        )
        packed = gzip.compress(body, compresslevel=6, mtime=0)
        trail.setdefault("Files", []).append((at, region, key, sha256(body).hexdigest()))
        self.put_object(trail["S3BucketName"], key, packed, at=at)
        before = trail["Status"].get("LatestDeliveryTime")
        trail["Status"]["LatestDeliveryTime"] = at if before is None else max(before, at)
        return key

    def _trail(self, arn: str) -> Record:
        return next(
            trail
            for book in self.books.trails.values()
            for trail in book.trails.values()
            if trail["TrailARN"] == arn
        )

    def _logging_in(self, account: str, region: str) -> list[Record]:
        """Return the account's trails that log in a region."""
        return [
            trail
            for (owner, home), book in sorted(self.books.trails.items())
            for _, trail in sorted(book.trails.items())
            if owner == account
            and trail["Status"]["IsLogging"]
            and (home == region or trail["IsMultiRegionTrail"])
        ]


def _selectors(
    management: str,
    data_arns: Sequence[str],
    data_read_write: str,
    advanced: Sequence[Mapping[str, Any]] | None,
) -> Record:
    """Write what a trail records as CloudTrail does: one selector where reads and writes agree, else two."""
    if advanced is not None:
        return {"AdvancedEventSelectors": [dict(selector) for selector in advanced]}
    data = [{"Type": "AWS::S3::Object", "Values": list(data_arns)}] if data_arns else []
    if management in ("None", data_read_write) or not data:
        chosen = data_read_write if management == "None" else management
        return {"EventSelectors": [_selector(chosen, management != "None", data)]}
    return {"EventSelectors": [_selector(management, True, []), _selector(data_read_write, False, data)]}


def _selector(read_write: str, management: bool, data: list[Record]) -> Record:
    return {
        "ReadWriteType": read_write,
        "IncludeManagementEvents": management,
        "DataResources": data,
        "ExcludeManagementEventSources": [],
    }


def event_time(event: Mapping[str, Any]) -> datetime:
    """Return when a record says it happened."""
    return datetime.fromisoformat(event["eventTime"]).astimezone(UTC)


def _delivered(event: Mapping[str, Any]) -> datetime:
    """Return when the file that holds an event is written: the next five minutes that are full."""
    at = event_time(event)
    floor = at.replace(minute=at.minute - at.minute % 5, second=0, microsecond=0)
    return floor + DELIVERY


def _looked_up(event: Mapping[str, Any]) -> Record:
    """Return a record as LookupEvents gives it."""
    identity = event.get("userIdentity", {})
    issuer = identity.get("sessionContext", {}).get("sessionIssuer", {})
    principal = str(identity.get("principalId", ""))
    user = identity.get("userName") or principal.partition(":")[2] or issuer.get("userName")
    asked = event.get("requestParameters") or {}
    return given(
        {
            "EventId": event["eventID"],
            "EventName": event["eventName"],
            "ReadOnly": str(bool(event.get("readOnly"))).lower(),
            "AccessKeyId": identity.get("accessKeyId"),
            "EventTime": event_time(event).replace(microsecond=0),
            "EventSource": event["eventSource"],
            "Username": user,
            "Resources": [
                {"ResourceType": kind, "ResourceName": str(asked[name])}
                for name, kind in _RESOURCE_TYPES.items()
                if name in asked
            ],
            "CloudTrailEvent": json.dumps(event, separators=(",", ":")),
        }
    )
