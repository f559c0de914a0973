"""Every job, batch and session with what the chain needs of it: how it ended, and as whom it ran.

A job has no service account of its own: it comes from its cluster, from CreateCluster when the cluster is gone, or
from the batch or session itself. A job that was deleted before it was collected is known from its audit entries alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import Any

from auditor.correlate import Rows, Tables
from auditor.correlate.callers import caller, succeeded

TABLE = "chain_job"
READS = ("dataproc_job", "dataproc_cluster", "gcp_audit_entry", "config_subject", "as_of", "certain_job")
ADDS = ("certain_job",)
LONG = {"certain_job": "dataproc_job"}

_KEPT = (
    "job_uuid",
    "kind",
    "job_id",
    "project",
    "region",
    "state",
    "state_detail",
    "submitted_at",
    "finished_at",
    "cluster_name",
    "cluster_uuid",
    "creator",
    "arguments",
    "properties",
)
_ENTRY = (
    "entry_id",
    "at",
    "method",
    "granted",
    "status_code",
    "principal_email",
    "principal_subject",
    "delegation",
    "project",
    "region",
    "job_id",
    "job_uuid",
    "cluster_name",
    "cluster_uuid",
)
COLUMNS = {
    "dataproc_job": (*_KEPT, "started_at", "done", "service_account", "labels"),
    "gcp_audit_entry": _ENTRY,
    "certain_job": ("job_uuid",),
}
_DELETES = (".DeleteJob", ".DeleteBatch", ".DeleteSession")
WHERE = {
    "dataproc_job": "NOT EXISTS (SELECT 1 FROM certain_job c WHERE c.job_uuid = dataproc_job.job_uuid)",
    "gcp_audit_entry": f"""{" OR ".join(f"method LIKE '%{name}'" for name in _DELETES)}
        OR job_uuid <> '' AND NOT EXISTS (SELECT 1 FROM certain_job c WHERE c.job_uuid = gcp_audit_entry.job_uuid)""",
}
"""Of long tables: the jobs that are left to this step, and the entries that may tell who submitted one of them, of a job
that was not seen, or that one was deleted."""
WELL = {"job": {"DONE"}, "batch": {"SUCCEEDED"}, "session": {"TERMINATED"}}
FAILED = {"ERROR", "CANCELLED", "FAILED"}


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a job."""
    (now,) = tables["as_of"]
    subjects = {row["service_account"].lower(): row["subject"] for row in tables["config_subject"]}
    clusters = {row["cluster_uuid"]: row for row in tables["dataproc_cluster"]}
    mapping = any(cluster["user_service_accounts"] for cluster in clusters.values())
    submitters = _submitters(tables["gcp_audit_entry"]) if mapping else {}
    told: set[str] = set()
    for job in chain(
        tables["dataproc_job"], _deleted(tables["gcp_audit_entry"], told, tables["certain_job"])
    ):
        told.add(job["job_uuid"])
        account, why = _service_account(job, clusters, submitters)
        labels = job["labels"] or {}
        yield {
            **{name: job[name] for name in _KEPT},
            "started_at": job["started_at"] or job["submitted_at"],
            "ending": _ending(job),
            "service_account": account,
            "service_account_because": why,
            "subject": subjects.get(account.lower()) if account else None,
            "zone_label": labels.get(now["zone_label"]) if job["labels"] is not None else None,
            "export_label": labels.get(now["export_label"]),
            "owner_label": labels.get("owner"),
            "labels_known": job["labels"] is not None,
        }


def _ending(job: Mapping[str, Any]) -> str:
    """Return `well`, `failed`, `deleted`, `running` or `unknown`."""
    if job["state"] == "DELETED":
        return "deleted"
    if not job["done"]:
        return "unknown" if job["done"] is None or job["state"] is None else "running"
    if job["state"] in WELL.get(job["kind"], ()):
        return "well"
    return "failed" if job["state"] in FAILED else "unknown"


def _service_account(
    job: Mapping[str, Any],
    clusters: Mapping[str, Mapping[str, Any]],
    submitters: Mapping[str, str],
) -> tuple[str | None, str]:
    if job["service_account"]:
        return job["service_account"], f"the {job['kind']} itself names it"
    if not job["cluster_uuid"]:
        return None, f"the {job['kind']} names neither a service account nor a cluster"
    cluster = clusters.get(job["cluster_uuid"])
    if cluster is None:
        return None, f"cluster {job['cluster_name']} ({job['cluster_uuid']}) was not seen"
    mapped = {person.lower(): account for person, account in (cluster["user_service_accounts"] or {}).items()}
    if mapped:
        person = submitters.get(job["job_uuid"])
        if person in mapped:
            return mapped[person], f"the cluster maps {person} to it"
        if person:
            return None, f"cluster {job['cluster_name']} maps no account to {person}, who submitted"
        return None, f"cluster {job['cluster_name']} maps people to accounts, and who submitted is not known"
    origin = "the CreateCluster entry of" if cluster["origin"] == "audit" else "the record of"
    if not cluster["service_account"]:
        return None, f"{origin} cluster {job['cluster_name']} names no service account"
    return cluster["service_account"], f"{origin} its cluster {job['cluster_name']} names it"


def _submitters(entries: Rows) -> dict[str, str]:
    """Return who submitted each job, where all successful entries of it name the same person."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in entries:
        if row["job_uuid"] and "SubmitJob" in (row["method"] or "") and succeeded(row):
            found[row["job_uuid"]].add(caller(row) or "")
    return {uuid: people.pop() for uuid, people in found.items() if len(people) == 1}


_SUBMITS = (".SubmitJob", ".SubmitJobAsOperation", ".CreateBatch", ".CreateSession")


def _matters(entry: Mapping[str, Any], told: Collection[str]) -> bool:
    """Tell whether an entry may say that a job was deleted, or submitted and not seen."""
    method = entry["method"] or ""
    unseen = entry["job_uuid"] and entry["job_uuid"] not in told
    return entry["at"] is not None and method.endswith((*_DELETES, *_SUBMITS) if unseen else _DELETES)


def _deleted(entries: Rows, told: set[str], certain: Rows) -> Iterator[Mapping[str, Any]]:
    """Yield jobs that only audit entries tell of: submitted, and deleted before a scan saw them.

    `told` holds the jobs that were seen, those that are yielded among them, but not those of `certain`.
    """
    removed: dict[tuple[str, str], list[Any]] = defaultdict(list)
    ordered = sorted(
        (row for row in entries if _matters(row, told) and succeeded(row)),
        key=lambda row: (row["at"], row["entry_id"]),
    )
    for row in ordered:
        if (row["method"] or "").endswith(_DELETES):
            removed[row["project"], row["job_id"]].append(row["at"])
    if not removed:
        return
    told.update(row["job_uuid"] for row in certain)
    for entry in ordered:
        uuid, method = entry["job_uuid"], entry["method"] or ""
        if not uuid or uuid in told or not method.endswith(_SUBMITS):
            continue
        gone = next((at for at in removed[entry["project"], entry["job_id"]] if at >= entry["at"]), None)
        if gone is None:
            continue
        yield {
            "job_uuid": uuid,
            "kind": "batch" if "Batch" in method else "session" if "Session" in method else "job",
            "job_id": entry["job_id"],
            "project": entry["project"],
            "region": entry["region"],
            "state": "DELETED",
            "state_detail": "deleted before a scan collected it",
            "done": True,
            "submitted_at": entry["at"],
            "started_at": entry["at"],
            "finished_at": gone,
            "cluster_name": entry["cluster_name"],
            "cluster_uuid": entry["cluster_uuid"],
            "service_account": None,
            "creator": None,
            "arguments": [],
            "properties": {},
            "labels": None,
        }
