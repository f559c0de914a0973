"""AuditLog declared again with the fields that are kept: bytes of the others are passed over, not parsed.

Types and numbers are taken from googleapis/googleapis google/cloud/audit/audit_log.proto as its package has it. Requests,
responses, metadata and a service's own data stay bytes until a method is one that tells something in them: to parse them
costs five times the rest.
"""

from __future__ import annotations

from functools import cache
from typing import Any

_KEPT: dict[str, Any] = {
    "service_name": None,
    "method_name": None,
    "resource_name": None,
    "status": {"code": None},
    "authentication_info": {
        "principal_email": None,
        "principal_subject": None,
        "service_account_key_name": None,
        "service_account_delegation_info": {
            "principal_subject": None,
            "first_party_principal": {"principal_email": None},
        },
    },
    "authorization_info": {"granted": None},
    "request_metadata": {"caller_ip": None, "caller_supplied_user_agent": None},
    "request": bytes,
    "response": bytes,
    "metadata": bytes,
    "service_data": bytes,
}


@cache
def audit_log() -> Any:
    """Return the class of messages; `request`, `response` and `metadata` hold a google.protobuf.Struct each, as bytes.

    `service_data` holds a google.protobuf.Any, as bytes too.
    """
    from google.cloud.audit.audit_log_pb2 import AuditLog
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message_factory import GetMessageClass

    file = FileDescriptorProto(name="kept/audit_log.proto", package="kept", syntax="proto3")
    _declare(file.message_type.add(name="AuditLog"), AuditLog.DESCRIPTOR, _KEPT, "kept.AuditLog")
    pool = DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call,unused-ignore]
    return GetMessageClass(pool.FindMessageTypeByName("kept.AuditLog"))


def _declare(into: Any, described: Any, kept: dict[str, Any], name: str) -> None:
    for field_name, below in kept.items():
        known = described.fields_by_name[field_name]
        field = into.field.add(name=known.name, number=known.number)
        field.label = field.LABEL_REPEATED if known.is_repeated else field.LABEL_OPTIONAL
        if below is None:
            field.type = known.type
        elif below is bytes:
            field.type = field.TYPE_BYTES
        else:
            inner = "".join(part.title() for part in field_name.split("_"))
            field.type, field.type_name = field.TYPE_MESSAGE, f".{name}.{inner}"
            _declare(into.nested_type.add(name=inner), known.message_type, below, f"{name}.{inner}")
