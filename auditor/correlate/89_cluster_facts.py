"""Clusters that are there or were since the scan before: how they are built, how long they live, whose zones they mix.

A cluster's zone is its label's, else the strictest of the jobs that ran on it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.zoning import Row, parsed, ranks, seconds

TABLE = "cluster_facts"
READS = ("dataproc_cluster", "job_facts", "dataproc_job", "gcp_project", "config_zone", "as_of")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a cluster."""
    (now,) = tables["as_of"]
    account_of = import_module("auditor.correlate.47_service_account_facts").account_of
    numbers = {row["project"]: row["number"] for row in tables["gcp_project"]}
    rank = ranks(tables["config_zone"])
    judged = {row["subject_key"]: row for row in tables["job_facts"]}
    jobs: dict[str, list[Row]] = defaultdict(list)
    for job in tables["dataproc_job"]:
        if job["cluster_uuid"] and job["job_uuid"] in judged:
            jobs[job["cluster_uuid"]].append(judged[job["job_uuid"]])
    there = [row for row in tables["dataproc_cluster"] if _lately(row, now["previous_at"])]
    zones = {
        row["cluster_uuid"]: _zone(row, jobs[row["cluster_uuid"]], now["zone_label"], rank) for row in there
    }
    mates: dict[str, list[Row]] = defaultdict(list)
    for row in there:
        if account := account_of(row, numbers):
            mates[account.lower()].append(row)
    for row in there:
        account = account_of(row, numbers)
        beside = mates[account.lower()] if account else []
        held = {zones[each["cluster_uuid"]] for each in beside}
        named = sorted(zone for zone in held if zone is not None)
        nameless = sorted(each["cluster_name"] for each in beside if zones[each["cluster_uuid"]] is None)
        decided = bool(account) and (not nameless or len(named) > 1)
        yield {
            "subject_key": f"projects/{row['project']}/regions/{row['region']}/clusters/{row['cluster_name']}"
            f"@{row['cluster_uuid']}",
            "zone": zones[row["cluster_uuid"]],
            "account": None,
            "project": row["project"],
            "owner": (parsed(row["labels"]) or {}).get("owner"),
            "region": row["region"],
            "cluster_name": row["cluster_name"],
            "origin": row["origin"],
            "gone": row["deleted_at"] is not None,
            "service_account": account,
            "kms_key": row["kms_key"],
            "internal_ip_only": row["internal_ip_only"],
            "age_s": seconds(row["deleted_at"] or now["as_of"], row["created_at"]),
            "idle_delete_s": row["idle_delete_s"],
            "account_zones": named if decided else None,
            "account_zones_says": _says(account, beside, zones, nameless),
        }


def _lately(cluster: Row, previous: Any) -> bool:
    gone = cluster["deleted_at"]
    return gone is None or previous is None or gone > previous


def _zone(cluster: Row, jobs: list[Row], label: str, rank: Mapping[str, int]) -> str | None:
    own = (parsed(cluster["labels"]) or {}).get(label)
    if own:
        return str(own)
    named = {job["zone"] for job in jobs}
    if not named or None in named:
        return None
    return str(min(named, key=lambda zone: (rank.get(zone, len(rank)), zone)))


def _says(
    account: str | None, beside: list[Row], zones: Mapping[str, str | None], nameless: list[str]
) -> str:
    if account is None:
        return "as whom it runs is not known"
    if nameless:
        return f"no zone is known of {', '.join(nameless[:5])}"
    return ", ".join(sorted({f"{row['cluster_name']} ({zones[row['cluster_uuid']]})" for row in beside})[:5])
