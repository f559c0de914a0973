"""What the request, the answer and the metadata of an audit entry tell: of Structs in protobuf and of JSON alike."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

Values = dict[str, Any]
_REGION = re.compile(r"/(?:regions|locations)/([^/]+)")
_WORK = re.compile(r"/(?:jobs|batches|sessions)/([^/]+)$")
_SECONDS = re.compile(r"\d+(?:\.\d+)?")
_WORKFLOWS = ("InstantiateWorkflowTemplate", "InstantiateInlineWorkflowTemplate")
_SERVERLESS = re.compile(r"\.(?:Batch|Session)Controller\.")


def told(values: Values, method: str, request: Any, response: Any, metadata: Any) -> Values:
    """Add what a call names: its region, work, cluster and workflow."""
    name, short = values["resource_name"] or "", method.rpartition(".")[2]
    if not values["region"]:
        found = _REGION.search(name)
        values["region"] = found[1] if found else None
    inner = (at(response, key) for key in ("response", "metadata"))
    answers = [response, *(each for each in inner if each is not None), metadata]
    values["job_id"] = _job_id(name, request, answers)
    values["job_uuid"] = _job_uuid(method, answers)
    _cluster(values, short, request, answers)
    values["workflow_jobs"] = _workflow(answers) if short in _WORKFLOWS else None
    return values


def _job_id(name: str, request: Any, answers: list[Any]) -> str | None:
    """Return the id of the job, batch or session a call names.

    SubmitJob answers with the Job; long-running methods answer with an Operation, whose metadata
    (JobMetadata, BatchOperationMetadata, SessionOperationMetadata) or response names it.
    """
    if found := text(request, "job", "reference", "jobId"):
        return found
    for key in ("jobId", "batchId", "sessionId"):
        if found := text(request, key):
            return found
    for path in (("reference", "jobId"), ("jobId",)):
        for answer in answers:
            if found := text(answer, *path):
                return found
    if named := _WORK.search(name):
        return named[1]
    for key in ("batch", "session"):
        for answer in answers:
            if found := _last(text(answer, key)):
                return found
    return None


def _job_uuid(method: str, answers: list[Any]) -> str | None:
    for answer in answers:
        if found := text(answer, "jobUuid"):
            return found
    if _SERVERLESS.search(method):
        for answer in answers:
            for key in ("uuid", "batchUuid", "sessionUuid"):
                if found := text(answer, key):
                    return found
    return None


def _cluster(values: Values, short: str, request: Any, answers: list[Any]) -> None:
    values["cluster_name"] = (
        values["cluster_name"]
        or text(request, "cluster", "clusterName")
        or text(request, "clusterName")
        or text(request, "job", "placement", "clusterName")
        or None
    )
    if not values["cluster_uuid"]:
        uuids = [text(answer, "clusterUuid") for answer in answers]
        uuids += [text(answer, "placement", "clusterUuid") for answer in answers]
        values["cluster_uuid"] = next(filter(None, uuids), None)
    made = short == "CreateCluster"
    account = text(request, "cluster", "config", "gceClusterConfig", "serviceAccount") if made else ""
    values["cluster_service_account"] = account or None
    values["cluster_config"] = _asked_for(request) if made else None


def _asked_for(request: Any) -> Values | None:
    """Return what a CreateCluster request asks for, by the columns of dataproc_cluster; None when it shows no config.

    What it leaves open the image or the project decides, so that is left out; a key or a limit it leaves out is none.
    """
    config = at(at(request, "cluster"), "config")
    if not (type(config) is dict or (type(config) is Value and config.WhichOneof("kind") == "struct_value")):
        return None
    machine = at(config, "gceClusterConfig")
    private = at(machine, "internalIpOnly")
    idle = text(config, "lifecycleConfig", "idleDeleteTtl").removesuffix("s")
    keys = (text(config, "encryptionConfig", name) for name in ("gcePdKmsKeyName", "kmsKey"))
    asked = {
        "image_version": text(config, "softwareConfig", "imageVersion") or None,
        "gce_zone": _last(text(machine, "zoneUri")) or None,
        "internal_ip_only": None if private is None else _true(private),
        "kms_key": next(filter(None, keys), None) or "none",
        "idle_delete_s": int(float(idle)) if _SECONDS.fullmatch(idle) else -1,
        "labels": _labels(at(at(request, "cluster"), "labels")),
    }
    return {name: value for name, value in asked.items() if value is not None}


def _labels(labels: Any) -> dict[str, str]:
    held = labels.struct_value.fields if type(labels) is Value else labels
    return {name: text(value) for name, value in sorted(held.items())} if hasattr(held, "items") else {}


def _workflow(answers: list[Any]) -> list[str] | None:
    """Return the job ids of a WorkflowMetadata's graph; None when no answer holds a graph."""
    for answer in answers:
        nodes = at(at(answer, "graph"), "nodes")
        if isinstance(nodes, list):
            ids = [text(node, "jobId") for node in nodes]
        elif type(nodes) is Value and nodes.WhichOneof("kind") == "list_value":
            ids = [text(node, "jobId") for node in nodes.list_value.values]
        else:
            continue
        return sorted(each for each in ids if each)
    return None


# A Struct or a Value of protobuf, or JSON.

_NULL = Value()
"""What stands for null in JSON, which is there and is none of the rest."""


def at(holder: Any, key: str) -> Any:
    """Return a member of what may hold one, spelt in either way, or None."""
    kind = type(holder)
    if kind is Value:
        fields = holder.struct_value.fields
    elif kind is Struct:
        fields = holder.fields
    elif kind is dict:
        if holder.get(key, _NULL) is None or holder.get(_snake(key), _NULL) is None:
            return _NULL
        fields = holder
    else:
        return None
    found = fields.get(key)
    return fields.get(_snake(key)) if found is None else found


def text(holder: Any, *path: str) -> str:
    """Return the text at a path; empty where there is none."""
    for key in path:
        holder = at(holder, key)
        if holder is None:
            return ""
    if type(holder) is Value:
        return str(holder.string_value)
    return holder if isinstance(holder, str) else ""


def _true(value: Any) -> bool:
    return bool(value.bool_value) if type(value) is Value else value is True


@cache
def _snake(key: str) -> str:
    return re.sub(r"([A-Z])", lambda found: f"_{found[1].lower()}", key)


def _last(name: str) -> str:
    return name.rpartition("/")[2]
