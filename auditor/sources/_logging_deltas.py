"""What an audit entry says that its call changed: the bindings and log types of a policy, the name of a key that was made.

A policy is set whole, and only its delta tells which of its bindings a call added: google/iam/v1/logging/audit_data.proto and
google/iam/v1/policy.proto of googleapis/googleapis; cloud.google.com/iam/docs/review-iam-policy-history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from auditor.sources._logging_told import text

POLICIES = ("SetIamPolicy", "SetIAMPolicy")
_KEYS = ("CreateServiceAccountKey", "UploadServiceAccountKey")
_AUDIT_DATA = "google.iam.v1.logging.AuditData"


def deltas(method: str, response: Any, service_data: Any) -> list[dict[str, str]] | None:
    """Return what a call changed, as the entry says; None when it does not say. `service_data`: bytes of an Any, or JSON."""
    short = method.rpartition(".")[2]
    if short in _KEYS:
        name = text(response, "name")
        return [{"key": name}] if name else None
    if short not in POLICIES or not service_data:
        return None
    said = _parsed(service_data) if isinstance(service_data, bytes) else service_data
    delta = said.get("policyDelta") if isinstance(said, dict) and _is(said.get("@type")) else None
    if not isinstance(delta, dict):
        return None
    found = [
        {
            "action": _text(each, "action"),
            "role": _text(each, "role"),
            "member": _text(each, "member"),
            "condition": _text(_map(each.get("condition")), "expression")
            or ("(empty)" if "condition" in each else ""),
        }
        for each in _maps(delta, "bindingDeltas")
    ]
    found += [{name: _text(each, key) for name, key in _LOGGED} for each in _maps(delta, "auditConfigDeltas")]
    return found or None


_LOGGED = (
    ("action", "action"),
    ("service", "service"),
    ("log_type", "logType"),
    ("exempted", "exemptedMember"),
)


def _is(kind: Any) -> bool:
    return isinstance(kind, str) and kind.rpartition("/")[2] == _AUDIT_DATA


def _parsed(data: bytes) -> dict[str, Any] | None:
    """Return the JSON of an Any that holds such data; None of any other, and of what does not parse."""
    from google.iam.v1.logging.audit_data_pb2 import AuditData
    from google.protobuf.any_pb2 import Any as Packed
    from google.protobuf.json_format import MessageToDict
    from google.protobuf.message import DecodeError

    try:
        packed = Packed.FromString(data)
        if not _is(packed.type_url):
            return None
        return {"@type": packed.type_url, **MessageToDict(AuditData.FromString(packed.value))}
    except DecodeError:
        return None


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _maps(holder: Mapping[str, Any], key: str) -> Iterable[Mapping[str, Any]]:
    found = holder.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _text(holder: Mapping[str, Any], key: str) -> str:
    found = holder.get(key)
    return found if isinstance(found, str) else ""
