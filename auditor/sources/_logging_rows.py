"""Rows from log entries, read as raw protobuf.

What an audit entry holds: googleapis/googleapis google/cloud/audit/audit_log.proto, whose comments
say that the delegation list keeps the order of the delegation, first caller first. Which JSON a
method leaves in `request`, `response` and `metadata` is that of the Dataproc API's own messages.
Where a uuid stands only in the request it is not taken: the caller wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.sources.google import moment

Values = dict[str, Any]

_AUDIT_LOG = "google.cloud.audit.AuditLog"
_REGION = re.compile(r"/(?:regions|locations)/([^/]+)")
_WORK = re.compile(r"/(?:jobs|batches|sessions)/([^/]+)$")
_SECONDS = re.compile(r"\d+(?:\.\d+)?")
_SNAKE = re.compile(r"([A-Z])")
SUBMISSIONS = ("SubmitJob", "SubmitJobAsOperation", "CreateBatch", "CreateSession")
"""Methods, without their service, that start work."""
_WORKFLOWS = ("InstantiateWorkflowTemplate", "InstantiateInlineWorkflowTemplate")
_SERVERLESS = re.compile(r"\.(?:Batch|Session)Controller\.")


def entry_id(entry: Any) -> str:
    """Return logName, timestamp to the nanosecond and insertId, which together are unique."""
    stamp = f"{entry.timestamp.seconds}.{entry.timestamp.nanos:09d}"
    return f"{entry.log_name} {stamp} {entry.insert_id}"


def of_audit(entry: Any, project: str) -> Values:
    """Return the row of one audit entry; what its payload does not tell is None."""
    values: Values = {
        "entry_id": entry_id(entry),
        "project": project,
        "region": entry.resource.labels.get("region") or entry.resource.labels.get("location"),
        "at": moment(entry.timestamp),
        "received_at": moment(entry.receive_timestamp),
        "log": entry.log_name.rpartition("%2F")[2] or None,
        "cluster_name": entry.resource.labels.get("cluster_name") or None,
        "cluster_uuid": entry.resource.labels.get("cluster_uuid") or None,
    }
    if entry.HasField("operation"):
        values["operation_id"] = entry.operation.id or None
        values["operation_first"] = entry.operation.first
        values["operation_last"] = entry.operation.last
    audit = _audit_log(entry)
    return values if audit is None else _with_payload(values, audit)


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
    if str(method).endswith(SUBMISSIONS) and values.get("status_code") == 0 and not named:
        return "no job"
    return ""


def _audit_log(entry: Any) -> Any:
    """Return the AuditLog inside, or None where there is none that parses."""
    from google.cloud.audit.audit_log_pb2 import AuditLog
    from google.protobuf.message import DecodeError

    if entry.WhichOneof("payload") != "proto_payload":
        return None
    payload = entry.proto_payload
    if payload.type_url.rpartition("/")[2] != _AUDIT_LOG:
        return None
    try:
        return AuditLog.FromString(payload.value)
    except DecodeError:
        return None


def _with_payload(values: Values, audit: Any) -> Values:
    name, method = audit.resource_name, audit.method_name
    found = _REGION.search(name)
    caller = audit.authentication_info
    known = audit.HasField("authentication_info")
    grants = [each.granted for each in audit.authorization_info]
    short = method.rpartition(".")[2]
    return {
        **values,
        "region": values["region"] or (found[1] if found else None),
        "service": audit.service_name or None,
        "method": method or None,
        "principal_email": caller.principal_email or None,
        "principal_subject": caller.principal_subject or None,
        "static_key_name": caller.service_account_key_name if known else None,
        "delegation": [_delegate(each) for each in caller.service_account_delegation_info] if known else None,
        "caller_ip": audit.request_metadata.caller_ip or None,
        "user_agent": audit.request_metadata.caller_supplied_user_agent or None,
        "resource_name": name or None,
        "granted": all(grants) if grants else None,
        "status_code": audit.status.code,
        **_work(audit, method),
        **_cluster(values, audit, short),
        "workflow_jobs": _workflow(audit) if short in _WORKFLOWS else None,
    }


def _delegate(info: Any) -> str:
    first = info.first_party_principal.principal_email
    return str(info.principal_subject or first or "unknown principal")


def _work(audit: Any, method: str) -> Values:
    """Return the id and uuid of the job, batch or session a call names.

    SubmitJob answers with the Job; long-running methods answer with an Operation, whose metadata
    (JobMetadata, BatchOperationMetadata, SessionOperationMetadata) or response names it.
    """
    named = _WORK.search(audit.resource_name)
    request, answers = audit.request, list(_answers(audit))
    job_id = _first(
        _text(request, "job", "reference", "jobId"),
        _text(request, "jobId"),
        _text(request, "batchId"),
        _text(request, "sessionId"),
        *(_text(answer, "reference", "jobId") for answer in answers),
        *(_text(answer, "jobId") for answer in answers),
        named[1] if named else "",
        *(_last(_text(answer, "batch")) for answer in answers),
        *(_last(_text(answer, "session")) for answer in answers),
    )
    uuids = [_text(answer, "jobUuid") for answer in answers]
    if _SERVERLESS.search(method):
        fields = ("uuid", "batchUuid", "sessionUuid")
        uuids += [_text(answer, field) for answer in answers for field in fields]
    return {"job_id": job_id, "job_uuid": _first(*uuids)}


def _cluster(values: Values, audit: Any, short: str) -> Values:
    request, answers = audit.request, list(_answers(audit))
    account = ("cluster", "config", "gceClusterConfig", "serviceAccount")
    return {
        "cluster_name": _first(
            values["cluster_name"],
            _text(request, "cluster", "clusterName"),
            _text(request, "clusterName"),
            _text(request, "job", "placement", "clusterName"),
        ),
        "cluster_uuid": _first(
            values["cluster_uuid"],
            *(_text(answer, "clusterUuid") for answer in answers),
            *(_text(answer, "placement", "clusterUuid") for answer in answers),
        ),
        "cluster_service_account": _first(_text(request, *account)) if short == "CreateCluster" else None,
        "cluster_config": _asked_for(request) if short == "CreateCluster" else None,
    }


def _asked_for(request: Any) -> Values | None:
    """Return what a CreateCluster request asks for, by the columns of dataproc_cluster; None when it shows no config.

    What it leaves open the image or the project decides, so that is left out; a key or a limit it leaves out is none.
    """
    config = _at(_at(request, "cluster"), "config")
    if config is None or config.WhichOneof("kind") != "struct_value":
        return None
    machine = _at(config, "gceClusterConfig")
    private = _at(machine, "internalIpOnly")
    idle = _text(config, "lifecycleConfig", "idleDeleteTtl").removesuffix("s")
    keys = (_text(config, "encryptionConfig", name) for name in ("gcePdKmsKeyName", "kmsKey"))
    asked = {
        "image_version": _text(config, "softwareConfig", "imageVersion") or None,
        "gce_zone": _last(_text(machine, "zoneUri")) or None,
        "internal_ip_only": private.bool_value if private is not None else None,
        "kms_key": _first(*keys) or "none",
        "idle_delete_s": int(float(idle)) if _SECONDS.fullmatch(idle) else -1,
        "labels": _labels(_at(_at(request, "cluster"), "labels")),
    }
    return {name: value for name, value in asked.items() if value is not None}


def _labels(labels: Any) -> dict[str, str]:
    held = labels.struct_value.fields if labels is not None else {}
    return {name: value.string_value for name, value in sorted(held.items())}


def _workflow(audit: Any) -> list[str] | None:
    """Return the job ids of a WorkflowMetadata's graph; None when no answer holds a graph."""
    for answer in _answers(audit):
        nodes = _at(_at(answer, "graph"), "nodes")
        if nodes is not None and nodes.WhichOneof("kind") == "list_value":
            ids = [_text(node.struct_value, "jobId") for node in nodes.list_value.values]
            return sorted(each for each in ids if each)
    return None


def _answers(audit: Any) -> Iterator[Any]:
    """Yield the structs in which a service may tell what it did."""
    yield audit.response
    for name in ("response", "metadata"):
        inner = _at(audit.response, name)
        if inner is not None:
            yield inner
    yield audit.metadata


def _at(holder: Any, key: str) -> Any:
    """Return a member of a Struct or of a Value that holds one, spelt in either way, or None."""
    if holder is None:
        return None
    if holder.DESCRIPTOR.name == "Value":
        holder = holder.struct_value
    if holder.DESCRIPTOR.name != "Struct":
        return None
    for spelt in (key, _SNAKE.sub(lambda found: f"_{found[1].lower()}", key)):
        if spelt in holder.fields:
            return holder.fields[spelt]
    return None


def _text(holder: Any, *path: str) -> str:
    for key in path:
        holder = _at(holder, key)
    if holder is None or holder.WhichOneof("kind") != "string_value":
        return ""
    return str(holder.string_value)


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _first(*texts: str | None) -> str | None:
    return next((text for text in texts if text), None)


def message_of(entry: Any) -> str:
    """Return what a driver's log line says, at most 500 characters."""
    from google.protobuf.json_format import MessageToJson

    kind = entry.WhichOneof("payload")
    if kind == "text_payload":
        return str(entry.text_payload)[:500]
    if kind == "json_payload":
        said = _text(entry.json_payload, "message")
        whole = {"indent": None, "sort_keys": True, "ensure_ascii": False}
        return (said or MessageToJson(entry.json_payload, **whole))[:500]
    return ""
