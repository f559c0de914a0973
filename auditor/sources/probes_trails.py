"""The smallest call of each action on CloudTrail and on the files of its trails."""

from __future__ import annotations

from datetime import timedelta

from auditor.sources.ask import listed, need
from auditor.sources.probes import Probe, Spot
from auditor.sources.probes_calls import Answer, Params, asking, given, has

_TRAIL = ("aws_cloudtrail",)


def _trails(answer: Answer) -> Answer:
    """Return the first trail, with where its files are."""
    for trail in listed(answer, "trailList"):
        if arn := trail.get("TrailARN"):
            prefix = trail.get("S3KeyPrefix")
            return {
                "trail": arn,
                "trail_home": trail.get("HomeRegion"),
                "trail_bucket": trail.get("S3BucketName"),
                "trail_root": f"{prefix}/AWSLogs/" if prefix else "AWSLogs/",
                "trail_organization": trail.get("IsOrganizationTrail"),
            }
    return {}


def _days(spot: Spot) -> Params:
    return {"StartTime": spot.now - timedelta(days=1), "EndTime": spot.now}


def _one_event(_spot: Spot) -> Params:
    return {"MaxResults": 1}


def _of_files(spot: Spot) -> bool:
    """Say whether files of trails are read at all."""
    settings = spot.config.sources.get("aws_cloudtrail")
    return getattr(settings, "events", "auto") != "lookup" and spot.get("trail_bucket") is not None


def _trail_folder(spot: Spot) -> Params | None:
    if not _of_files(spot):
        return None
    root = spot.get("trail_root")
    under = root if spot.get("trail_organization") else f"{root}{spot.account}/CloudTrail/"
    home = spot.get("trail_home") or spot.region
    return {"@region": home, "Bucket": spot.get("trail_bucket"), "Prefix": under, "MaxKeys": 1}


def _trail_file(answer: Answer) -> Answer:
    need(answer, "Name")
    return {"trail_file": answer["Contents"][0]["Key"]} if answer.get("Contents") else {}


def _one_byte(spot: Spot) -> Params | None:
    if not _of_files(spot) or spot.get("trail_file") is None or "/CloudTrail" not in spot.get("trail_file"):
        return None
    home = spot.get("trail_home") or spot.region
    return {
        "@region": home,
        "Bucket": spot.get("trail_bucket"),
        "Key": spot.get("trail_file"),
        "Range": "bytes=0-0",
    }


def _encrypted(answer: Answer) -> Answer:
    answer["Body"].read(1)
    return {"encrypted": str(answer.get("ServerSideEncryption") or "")}


def _get_file(spot: Spot) -> Answer | None:
    """Read one byte of a log file; a refusal that is of its key's tells of the key's action, not of this one."""
    from botocore.exceptions import ClientError

    try:
        return asking("s3", "get_object", _one_byte, _encrypted, absent=("InvalidRange",))(spot)
    except ClientError as error:
        if "kms:Decrypt" not in str(error.response.get("Error", {}).get("Message", "")):
            raise
        return {"encrypted": error}


def _decrypt(spot: Spot) -> Answer | None:
    said = spot.get("encrypted")
    if isinstance(said, Exception):
        raise said
    return {} if str(said or "").startswith("aws:kms") else None


_DESCRIBE_TRAILS, _GET_OBJECT = "cloudtrail:DescribeTrails", "s3:GetObject"
PROBES = (
    Probe(_DESCRIBE_TRAILS, _TRAIL, asking("cloudtrail", "describe_trails", tell=_trails), regional=True),
    *(
        Probe(f"cloudtrail:{action}", _TRAIL, asking("cloudtrail", operation, given(**{param: "trail"}), has(key)),
              (_DESCRIBE_TRAILS,), regional=True)
        for action, operation, param, key in (
            ("GetEventSelectors", "get_event_selectors", "TrailName", "TrailARN"),
            ("GetTrailStatus", "get_trail_status", "Name", "IsLogging"),
        )
    ),
    Probe("cloudtrail:ListPublicKeys", _TRAIL,
          asking("cloudtrail", "list_public_keys", _days, has("PublicKeyList")), regional=True),
    Probe("cloudtrail:LookupEvents", _TRAIL, asking("cloudtrail", "lookup_events", _one_event, has("Events")), regional=True),
    Probe("s3:ListBucket", _TRAIL, asking("s3", "list_objects_v2", _trail_folder, _trail_file),
          (_DESCRIBE_TRAILS,), regional=True),
    Probe(_GET_OBJECT, _TRAIL, _get_file, (_DESCRIBE_TRAILS, "s3:ListBucket"), regional=True),
    Probe("kms:Decrypt", _TRAIL, _decrypt, (_DESCRIBE_TRAILS, "s3:ListBucket", _GET_OBJECT), regional=True),
)  # fmt: skip
