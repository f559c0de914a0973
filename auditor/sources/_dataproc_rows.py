"""Rows from Dataproc's messages, read as raw protobuf."""

from __future__ import annotations

from typing import Any

from auditor.sources.google import moment, word

Values = dict[str, Any]

TERMINAL = {
    "job": frozenset({"DONE", "ERROR", "CANCELLED"}),
    "batch": frozenset({"SUCCEEDED", "FAILED", "CANCELLED"}),
    "session": frozenset({"TERMINATED", "FAILED"}),
}
_RUNNING = {"RUNNING", "ACTIVE"}
"""A session that runs is ACTIVE."""
_MAIN = (
    "main_python_file_uri",
    "main_class",
    "main_jar_file_uri",
    "main_r_file_uri",
    "notebook_file_uri",
    "query_file_uri",
)
_LISTS = ("args", "params")
_MAPS = ("script_variables", "query_variables")


def of_job(job: Any, project: str, region: str) -> Values:
    """Return the row of a Job; `job_uuid` is None when the message lacks it."""
    history = [(word(status, "state"), moment(status.state_start_time)) for status in _statuses(job)]
    state = word(job.status, "state")
    job_id = job.reference.job_id
    kind = job.WhichOneof("type_job")
    work = getattr(job, kind) if kind else None
    return {
        "job_uuid": job.job_uuid or None,
        "kind": "job",
        "job_id": job_id or None,
        "name": f"projects/{project}/regions/{region}/jobs/{job_id}",
        "project": project,
        "region": region,
        "state_detail": job.status.details or None,
        "done": job.done,
        "submitted_at": next((at for _, at in history if at), None),
        **_course("job", state, history, moment(job.status.state_start_time)),
        "cluster_name": job.placement.cluster_name or None,
        "cluster_uuid": job.placement.cluster_uuid or None,
        "type": kind.removesuffix("_job") if kind else None,
        **_work(work),
        "properties": dict(work.properties) if work is not None else None,
        "labels": dict(job.labels),
        "driver_output_uri": job.driver_output_resource_uri or None,
    }


def of_batch(batch: Any, project: str, region: str) -> Values:
    """Return the row of a Batch."""
    kind = batch.WhichOneof("batch_config")
    return {
        **_serverless("batch", batch, project, region),
        "type": kind.removesuffix("_batch") if kind else None,
        **_work(getattr(batch, kind) if kind else None),
    }


def of_session(session: Any, project: str, region: str) -> Values:
    """Return the row of an interactive Session."""
    kind = session.WhichOneof("session_config")
    return {
        **_serverless("session", session, project, region),
        "type": kind.removesuffix("_session") if kind else None,
        "arguments": [],
    }


def _serverless(kind: str, message: Any, project: str, region: str) -> Values:
    history = [(word(past, "state"), moment(past.state_start_time)) for past in message.state_history]
    state, at = word(message, "state"), moment(message.state_time)
    history.append((state, at))
    return {
        "job_uuid": message.uuid or None,
        "kind": kind,
        "job_id": message.name.rpartition("/")[2] or None,
        "name": message.name or None,
        "project": project,
        "region": region,
        "state_detail": message.state_message or None,
        "done": state in TERMINAL[kind],
        "submitted_at": moment(message.create_time),
        **_course(kind, state, history, at),
        "service_account": message.environment_config.execution_config.service_account or None,
        "creator": message.creator or None,
        "properties": dict(message.runtime_config.properties),
        "labels": dict(message.labels),
        "driver_output_uri": message.runtime_info.output_uri or None,
    }


def _statuses(job: Any) -> list[Any]:
    every = [*job.status_history, job.status]
    return sorted(every, key=lambda s: (s.state_start_time.seconds, s.state_start_time.nanos))


def _course(kind: str, state: str, history: list[tuple[str, Any]], at: Any) -> Values:
    """Return state and times; `started_at` is left to the caller's `submitted_at` by `finish`."""
    started = sorted(since for past, since in history if past in _RUNNING and since)
    return {
        "state": state,
        "started_at": started[0] if started else None,
        "finished_at": at if state in TERMINAL[kind] else None,
    }


def finish(values: Values) -> Values:
    """Return a row whose `started_at` falls back to `submitted_at`, as the schema says."""
    return {**values, "started_at": values["started_at"] or values["submitted_at"]}


def _work(work: Any) -> Values:
    """Return main and arguments of any kind of work; variables of SQL as `NAME=VALUE`."""
    if work is None:
        return {}
    fields = work.DESCRIPTOR.fields_by_name
    main = next((getattr(work, name) for name in _MAIN if name in fields and getattr(work, name)), "")
    if not main and "query_list" in fields:
        main = ";\n".join(work.query_list.queries)
    arguments = [text for name in _LISTS if name in fields for text in _texts(getattr(work, name))]
    for name in _MAPS:
        if name in fields:
            arguments += [f"{key}={value}" for key, value in sorted(getattr(work, name).items())]
    return {"main": main or None, "arguments": arguments}


def _texts(values: Any) -> list[str]:
    return [str(value) for value in values]


def of_cluster(cluster: Any, project: str, region: str) -> Values:
    """Return the row of a listed Cluster; one on GKE has no `config`, its settings are NULL."""
    values: Values = {
        "cluster_uuid": cluster.cluster_uuid or None,
        "cluster_name": cluster.cluster_name or None,
        "project": project,
        "region": region,
        "origin": "api",
        "created_at": _created(cluster),
        "state": word(cluster.status, "state"),
        "labels": dict(cluster.labels),
    }
    if not cluster.HasField("config"):
        return values
    config, machine = cluster.config, cluster.config.gce_cluster_config
    encryption, idle = config.encryption_config, config.lifecycle_config
    ttl = idle.HasField("idle_delete_ttl")
    mapping = config.security_config.identity_config.user_service_account_mapping
    return {
        **values,
        "service_account": machine.service_account or None,
        "user_service_accounts": dict(mapping),
        "image_version": config.software_config.image_version or None,
        "gce_zone": machine.zone_uri.rpartition("/")[2] or None,
        "internal_ip_only": machine.internal_ip_only if machine.HasField("internal_ip_only") else None,
        "kms_key": encryption.gce_pd_kms_key_name or encryption.kms_key or "none",
        "idle_delete_s": idle.idle_delete_ttl.seconds if ttl else -1,
        "properties": dict(config.software_config.properties),
    }


def _created(cluster: Any) -> Any:
    starts = [
        moment(status.state_start_time)
        for status in (*cluster.status_history, cluster.status)
        if word(status, "state") == "CREATING"
    ]
    return min((start for start in starts if start), default=None)


def of_template(template: Any, project: str, region: str) -> Values:
    """Return the row of a WorkflowTemplate."""
    return {
        "name": template.name or None,
        "project": project,
        "region": region,
        "version": template.version,
        "steps": [
            {
                "step_id": step.step_id,
                "type": (step.WhichOneof("job_type") or "").removesuffix("_job"),
            }
            for step in template.jobs
        ],
        "labels": dict(template.labels),
        "updated_at": moment(template.update_time),
    }
