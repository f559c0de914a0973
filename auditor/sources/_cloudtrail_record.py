"""One CloudTrail record as a row: a session, a write of an object, or a change of the estate.

Fields by the CloudTrail User Guide, "CloudTrail record contents" and "userIdentity element".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from auditor.canonical import canonical
from auditor.model import Row

SESSIONS = frozenset(
    {
        "AssumeRole",
        "AssumeRoleWithSAML",
        "AssumeRoleWithWebIdentity",
        "AssumeRoot",
        "GetFederationToken",
        "GetSessionToken",
    }
)
WRITES = frozenset(
    {
        "CompleteMultipartUpload",
        "CopyObject",
        "DeleteObject",
        "DeleteObjects",
        "PostObject",
        "PutObject",
    }
)
"""What makes or takes away a version. Parts of uploads do not, nor do tags, ACLs and restores."""
CHANGED = frozenset({"s3", "iam", "backup", "cloudtrail", "kms"})
"""Services whose changes are kept."""
HALF_DAY = frozenset({"GetFederationToken", "GetSessionToken"})
"""Sessions of 12 hours when no duration is asked (AWS STS API Reference); the others of one."""
LONGEST_REQUEST = 10_000
_READS = ("Describe", "Get", "Head", "List", "Select")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EXPIRATION = re.compile(r"([A-Z][a-z]{2}) (\d{1,2}), (\d{4}),? (\d{1,2}):(\d{2}):(\d{2})\s(AM|PM)")

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a record came to."""

    row: Row | None
    lacks: tuple[str, ...] = ()
    """Fields that every such record has and this one has not."""
    at: datetime | None = None


def read_record(record: object, arns: Mapping[tuple[str, str], str], account: str) -> Reading:
    """Return a record's row, None for what is not kept; `account`: whose trail delivered it.

    `arns`: (kind, name) of IAM roles and users to ARN, for their paths are in no event.
    """
    if not isinstance(record, dict):
        return Reading(None, ("everything",))
    source, name = record.get("eventSource"), record.get("eventName")
    at = _time(record.get("eventTime"))
    if not isinstance(source, str) or not isinstance(name, str):
        missing = ("eventSource",) * (not isinstance(source, str))
        return Reading(None, (*missing, *("eventName",) * (not isinstance(name, str))), at)
    service = source.removesuffix(".amazonaws.com")
    if service == "sts" and name in SESSIONS:
        table, more = "sts_session", _session(record, name, at)
    elif service == "s3" and name in WRITES:
        table, more = "s3_data_event", _write(record)
    elif service in CHANGED and _is_change(record, name):
        table, more = "aws_change", _change(record, service, arns, account)
    else:
        return Reading(None, at=at)
    event_id = _text(record.get("eventID"))
    values = {
        "event_id": event_id or _digest(record),
        "account": _text(record.get("recipientAccountId")) or account,
        "region": _text(record.get("awsRegion")),
        "event_name": name,
        "source_ip": _text(record.get("sourceIPAddress")),
        "error_code": _text(record.get("errorCode")) or "",
        ("issued_at" if table == "sts_session" else "at"): at,
    }
    if table == "sts_session":
        values["session_key"] = more.get("access_key_id") or values["event_id"]
    if table != "s3_data_event":
        values["user_agent"] = _text(record.get("userAgent"))
    return Reading(Row(table, values | more), _lacking(record, table, values | more), at)


def _lacking(record: Record, table: str, values: Record) -> tuple[str, ...]:
    lacks = [name for name in ("eventID", "awsRegion") if not _text(record.get(name))]
    if _time(record.get("eventTime")) is None:
        lacks.append("eventTime")
    if not isinstance(record.get("userIdentity"), dict):
        lacks.append("userIdentity")
    if not values["error_code"]:
        if table == "s3_data_event":
            lacks += [name for name in ("bucket",) if not values.get(name)]
            if values["event_name"] != "DeleteObjects" and not values.get("key"):
                lacks.append("key")
        if table == "sts_session" and "Role" in values["event_name"] and not values["role_arn"]:
            lacks.append("roleArn")
    return tuple(lacks)


def _session(record: Record, name: str, at: datetime | None) -> dict[str, Any]:
    who, asked, answer = (
        _map(record, key) for key in ("userIdentity", "requestParameters", "responseElements")
    )
    credentials = _map(answer, "credentials")
    failed = bool(record.get("errorCode"))
    duration = _int(asked.get("durationSeconds")) or (43_200 if name in HALF_DAY else 3_600)
    expires = _expiration(credentials.get("expiration"))
    if expires is None and at is not None and not failed:
        expires = at + timedelta(seconds=duration)
    principal = _text(who.get("principalId")) or ""
    parts = principal.split(":")
    return {
        "access_key_id": _text(credentials.get("accessKeyId")),
        "expires_at": None if failed else expires,
        "duration_s": duration,
        "role_arn": _text(asked.get("roleArn")),
        "session_name": _text(asked.get("roleSessionName")) or _text(asked.get("name")),
        "provider": _text(who.get("identityProvider"))
        or _text(answer.get("provider"))
        or _text(asked.get("principalArn") or asked.get("providerId")),
        "subject": _text(answer.get("subjectFromWebIdentityToken"))
        or (_text(who.get("userName")) if who.get("type") == "WebIdentityUser" else None),
        "audience": _text(answer.get("audience"))
        or (parts[1] if who.get("type") == "WebIdentityUser" and len(parts) == 3 else None),
        "caller_arn": _text(who.get("arn")) or principal or _text(who.get("invokedBy")),
        "caller_access_key_id": _text(who.get("accessKeyId")),
    }


def _write(record: Record) -> dict[str, Any]:
    who, asked, answer, extra = (
        _map(record, key)
        for key in ("userIdentity", "requestParameters", "responseElements", "additionalEventData")
    )
    arn = _text(who.get("arn")) or _text(who.get("invokedBy"))
    issuer = _map(_map(who, "sessionContext"), "sessionIssuer")
    version = "x-amz-version-id"
    return {
        "bucket": _text(asked.get("bucketName")),
        "key": _text(asked.get("key")),
        "version_id": _text(answer.get(version))
        or _text(extra.get(version))
        or _text(asked.get("versionId")),
        "access_key_id": _text(who.get("accessKeyId")),
        "principal_type": _text(who.get("type")),
        "principal_arn": arn,
        "role_arn": _text(issuer.get("arn")),
        "session_name": arn.rpartition("/")[2] if arn and ":assumed-role/" in arn else None,
        "bytes": _int(extra.get("bytesTransferredIn")),
        **_encryption(asked, answer, extra),
    }


_SSE = "x-amz-server-side-encryption"
_APPLIED = {"SSE_S3": "AES256", "SSE_KMS": "aws:kms", "SSE_C": "SSE-C"}


def _encryption(asked: Record, answer: Record, extra: Record) -> dict[str, Any]:
    """Return what a write was encrypted by: what S3 answered, else what it says it applied, else nothing.

    A completed multipart upload may say nothing: it was decided when the upload began (Amazon S3 User Guide,
    "Monitoring default encryption with CloudTrail and CloudWatch"). What was only asked for proves nothing.
    """
    applied = _text(extra.get("SSEApplied")) or ""
    said = _text(answer.get(_SSE)) or _APPLIED.get(applied.removeprefix("Default_"))
    if _text(answer.get(f"{_SSE}-customer-algorithm")) or applied == "SSE_C":
        said = "SSE-C"
    key = _text(answer.get(f"{_SSE}-aws-kms-key-id"))
    if key is None and said in ("aws:kms", "aws:kms:dsse"):
        key = _text(asked.get(f"{_SSE}-aws-kms-key-id"))  # S3 refuses a write that it cannot encrypt as asked
    return {"encryption": said, "kms_key": key if said and said.startswith("aws:kms") else None}


def _is_change(record: Record, name: str) -> bool:
    if record.get("eventCategory") == "Data" or record.get("managementEvent") is False:
        return False
    read_only = record.get("readOnly")
    if isinstance(read_only, bool):
        return not read_only
    return not name.startswith(_READS)  # records older than event version 1.06 do not say


def _change(
    record: Record, service: str, arns: Mapping[tuple[str, str], str], account: str
) -> dict[str, Any]:
    who, asked = _map(record, "userIdentity"), _map(record, "requestParameters")
    owner = _text(record.get("recipientAccountId")) or account
    return {
        "service": service,
        "resource": _resource(record, service, asked, arns, owner),
        "actor": _text(who.get("arn")) or _text(who.get("invokedBy")) or _text(who.get("principalId")),
        "access_key_id": _text(who.get("accessKeyId")),
        "request": _request(record.get("requestParameters")),
    }


def _resource(
    record: Record,
    service: str,
    asked: Record,
    arns: Mapping[tuple[str, str], str],
    account: str,
) -> str | None:
    """Return the ARN of what was changed, from the request, else where the record lists one."""
    region = _text(record.get("awsRegion")) or ""
    here = f"arn:aws:{service}:{region}:{account}"
    named = {key: text for key in asked if (text := _text(asked[key]))}
    match service:
        case "s3" if bucket := named.get("bucketName"):
            return f"arn:aws:s3:::{bucket}"
        case "iam":
            return _iam_resource(record, named, arns, account)
        case "backup":
            for key in ("recoveryPointArn", "backupPlanArn", "backupVaultArn"):
                if key in named:
                    return named[key]
            if plan := named.get("backupPlanId"):
                return f"{here}:backup-plan:{plan}"
            if vault := named.get("backupVaultName"):
                return f"{here}:backup-vault:{vault}"
            made = _map(record, "responseElements")
            return _text(made.get("backupPlanArn")) or _listed_arn(record)
        case "cloudtrail" if name := named.get("name", named.get("trailName", "")):
            return name if name.startswith("arn:") else f"{here}:trail/{name}"
        case "kms" if key_id := named.get("keyId"):
            if key_id.startswith("arn:"):
                return key_id
            kind = "" if key_id.startswith("alias/") else "key/"
            return _listed_arn(record) or f"{here}:{kind}{key_id}"
    return _listed_arn(record)


def _iam_resource(
    record: Record, named: Mapping[str, str], arns: Mapping[tuple[str, str], str], account: str
) -> str | None:
    for key, kind in (("roleName", "role"), ("userName", "user"), ("groupName", "group")):
        if name := named.get(key):
            made = _text(_map(_map(record, "responseElements"), kind).get("arn"))
            path = named.get("path", "/")
            plain = f"arn:aws:iam::{account}:{kind}{path}{name}"
            return made or arns.get((f"{account}:{kind}", name)) or plain
    for key in ("policyArn", "openIDConnectProviderArn", "sAMLProviderArn"):
        if key in named:
            return named[key]
    answer = _map(record, "responseElements")
    provider = _text(answer.get("openIDConnectProviderArn")) or _text(answer.get("sAMLProviderArn"))
    return provider or _text(_map(answer, "policy").get("arn")) or _listed_arn(record)


def _listed_arn(record: Record) -> str | None:
    resources = record.get("resources")
    for one in resources if isinstance(resources, list) else ():
        if isinstance(one, dict) and (arn := _text(one.get("ARN"))):
            return arn
    return None


def _request(asked: object) -> object:
    """Return what was asked; as the first characters of its JSON when that is long."""
    if asked is None:
        return {}
    try:
        text = canonical(asked)
    except (TypeError, ValueError, RecursionError):
        return "unreadable"
    return asked if len(text) <= LONGEST_REQUEST else text[:LONGEST_REQUEST]


def _digest(record: Record) -> str:
    """Return an id for a record without one, from all it says."""
    try:
        text = canonical(record)
    except (TypeError, ValueError, RecursionError):
        text = repr(record)
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _time(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _expiration(text: object) -> datetime | None:
    """Read `Sep 2, 2026 11:04:12 PM`, as Java writes it: some versions put one more comma."""
    if not isinstance(text, str):
        return None
    found = _EXPIRATION.fullmatch(text.strip())
    if found is None or found[1] not in _MONTHS:
        return _time(text)
    month = _MONTHS.index(found[1]) + 1
    hour = int(found[4]) % 12 + (12 if found[7] == "PM" else 0)
    try:
        return datetime(int(found[3]), month, int(found[2]), hour, int(found[5]), int(found[6]), tzinfo=UTC)
    except ValueError:
        return None


def _map(holder: Record, key: str) -> Record:
    value = holder.get(key)
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _int(value: object) -> int | None:
    """Return a whole number: CloudTrail writes byte counts as 1234.0."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = int(float(value))
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 2**63 else None
