"""Rows from log entries: as raw protobuf, as ListLogEntries answers, or as JSON, as a sink writes them to files.

What an audit entry holds: googleapis/googleapis google/cloud/audit/audit_log.proto, whose comments
say that the delegation list keeps the order of the delegation, first caller first. Which JSON a
method leaves in `request`, `response` and `metadata` is that of the Dataproc API's own messages.
Where a uuid stands only in the request it is not taken: the caller wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from auditor.sources._logging_deltas import deltas
from auditor.sources._logging_told import told
from auditor.sources.google import instant, moment

Values = dict[str, Any]

_AUDIT_LOG = "google.cloud.audit.AuditLog"
SUBMISSIONS = ("SubmitJob", "SubmitJobAsOperation", "CreateBatch", "CreateSession")
"""Methods, without their service, that start work."""
_PLAIN = ("GenerateAccessToken", "GenerateIdToken", "SetIamPolicy", "SetIAMPolicy")
"""Methods, without their service, of whose request and answer nothing is kept."""
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z")


def entry_id(log_name: str, seconds: int, nanos: int, insert_id: str) -> str:
    """Return logName, timestamp to the nanosecond and insertId, which together are unique."""
    return f"{log_name} {seconds}.{nanos:09d} {insert_id}"


def of_audit(entry: Any, project: str) -> Values:
    """Return the row of one audit entry in raw protobuf; what its payload does not tell is None."""
    at, log_name, labels = entry.timestamp, entry.log_name, entry.resource.labels
    values: Values = {
        "entry_id": entry_id(log_name, at.seconds, at.nanos, entry.insert_id),
        "project": project,
        "region": labels.get("region") or labels.get("location"),
        "at": moment(at),
        "received_at": moment(entry.receive_timestamp),
        "log": log_name.rpartition("%2F")[2] or None,
        "cluster_name": labels.get("cluster_name") or None,
        "cluster_uuid": labels.get("cluster_uuid") or None,
    }
    if entry.HasField("operation"):
        operation = entry.operation
        values["operation_id"] = operation.id or None
        values["operation_first"] = operation.first
        values["operation_last"] = operation.last
    if not entry.HasField("proto_payload"):
        return values
    payload = entry.proto_payload
    if payload.type_url.rpartition("/")[2] != _AUDIT_LOG:
        return values
    return _of_bytes(values, payload.value)


def _of_bytes(values: Values, payload: bytes) -> Values:
    """Add what an AuditLog tells; nothing when it does not parse."""
    message, struct, broken = _parsers()
    try:
        audit = message(payload)
        method = audit.method_name
        bodies = (
            (None, None, None)
            if method.rpartition(".")[2] in _PLAIN
            else (struct(audit.request), struct(audit.response), struct(audit.metadata))
        )
    except broken:
        return values
    if audit.HasField("authentication_info"):
        caller = audit.authentication_info
        values["principal_email"] = caller.principal_email or None
        values["principal_subject"] = caller.principal_subject or None
        values["static_key_name"] = caller.service_account_key_name
        values["delegation"] = [
            each.principal_subject or each.first_party_principal.principal_email or "unknown principal"
            for each in caller.service_account_delegation_info
        ]
    else:
        values |= _caller(None, None, None, None)
    asked = audit.request_metadata
    granted = [each.granted for each in audit.authorization_info]
    values |= {
        "service": audit.service_name or None,
        "method": method or None,
        "caller_ip": asked.caller_ip or None,
        "user_agent": asked.caller_supplied_user_agent or None,
        "resource_name": audit.resource_name or None,
        "granted": all(granted) if granted else None,
        "status_code": audit.status.code,
    }
    values["deltas"] = deltas(method, bodies[1], audit.service_data)
    return told(values, method, *bodies)


def _caller(email: Any, subject: Any, key: Any, delegation: Any) -> Values:
    return {
        "principal_email": email,
        "principal_subject": subject,
        "static_key_name": key,
        "delegation": delegation,
    }


@cache
def _parsers() -> tuple[Any, Any, type[Exception]]:
    from google.protobuf.message import DecodeError
    from google.protobuf.struct_pb2 import Struct

    from auditor.sources._logging_wire import audit_log

    return audit_log().FromString, Struct.FromString, DecodeError


def of_audit_json(entry: Mapping[str, Any], project: str) -> Values:
    """Return the row of one audit entry in JSON: the very row that `of_audit` makes of it."""
    seconds, nanos = timestamp(entry.get("timestamp"))
    received = timestamp(entry.get("receiveTimestamp"))
    labels = _map(_map(entry, "resource"), "labels")
    log_name = _text(entry, "logName")
    values: Values = {
        "entry_id": entry_id(log_name, seconds, nanos, _text(entry, "insertId")),
        "project": project,
        "region": labels.get("region") or labels.get("location"),
        "at": instant(seconds, nanos),
        "received_at": instant(*received),
        "log": log_name.rpartition("%2F")[2] or None,
        "cluster_name": labels.get("cluster_name") or None,
        "cluster_uuid": labels.get("cluster_uuid") or None,
    }
    if isinstance(operation := entry.get("operation"), dict):
        values["operation_id"] = operation.get("id") or None
        values["operation_first"] = operation.get("first") is True
        values["operation_last"] = operation.get("last") is True
    audit = entry.get("protoPayload")
    if not isinstance(audit, dict) or _text(audit, "@type").rpartition("/")[2] != _AUDIT_LOG:
        return values
    caller = audit.get("authenticationInfo")
    if isinstance(caller, dict):
        values |= _caller(
            caller.get("principalEmail") or None,
            caller.get("principalSubject") or None,
            _text(caller, "serviceAccountKeyName"),
            [
                _text(each, "principalSubject")
                or _text(_map(each, "firstPartyPrincipal"), "principalEmail")
                or "unknown principal"
                for each in _maps(caller, "serviceAccountDelegationInfo")
            ],
        )
    else:
        values |= _caller(None, None, None, None)
    asked, method = _map(audit, "requestMetadata"), _text(audit, "methodName")
    granted = [each.get("granted") is True for each in _maps(audit, "authorizationInfo")]
    code = _map(audit, "status").get("code", 0)
    values |= {
        "service": audit.get("serviceName") or None,
        "method": method or None,
        "caller_ip": asked.get("callerIp") or None,
        "user_agent": asked.get("callerSuppliedUserAgent") or None,
        "resource_name": audit.get("resourceName") or None,
        "granted": all(granted) if granted else None,
        "status_code": code,
    }
    plain = method.rpartition(".")[2] in _PLAIN
    request, response, metadata = (
        None if plain else audit.get(each) for each in ("request", "response", "metadata")
    )
    values["deltas"] = deltas(method, response, audit.get("serviceData"))
    return told(values, method, request, response, metadata)


def timestamp(text: object) -> tuple[int, int]:
    """Return a Timestamp in JSON as seconds and nanoseconds since 1970; 0 and 0 where there is none."""
    if not isinstance(text, str) or not (found := _TIME.fullmatch(text)):
        return 0, 0
    whole, fraction = found.groups()
    return _second(whole), int(fraction.ljust(9, "0")) if fraction else 0


@lru_cache(maxsize=4096)
def _second(text: str) -> int:
    from datetime import datetime

    try:
        return int(datetime.fromisoformat(f"{text}+00:00").timestamp())
    except ValueError:
        return 0


def _map(holder: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = holder.get(key)
    return found if isinstance(found, dict) else {}


def _maps(holder: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = holder.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _text(holder: Mapping[str, Any], key: str) -> str:
    found = holder.get(key)
    return found if isinstance(found, str) else ""


def unclear(values: Mapping[str, Any]) -> str:
    """Return what a row lacks that an absence could hang on; empty when it lacks nothing.

    Such a row may be any call at all, so nothing in its project and time is known to be absent.
    """
    if values.get("at") is None:
        return "no time"
    method = values.get("method")
    if not method or not values.get("service"):
        return "no method"
    if not values.get("principal_email") and not values.get("principal_subject"):
        return "no principal"
    named = values.get("job_id") or values.get("job_uuid")
    if not named and values.get("status_code") == 0 and str(method).endswith(SUBMISSIONS):
        return "no job"
    return ""
