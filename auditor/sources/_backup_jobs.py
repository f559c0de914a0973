"""Backup, copy and restore jobs, as far back as AWS Backup keeps them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from auditor.sources._backup_spot import PAGE, Found, Spot
from auditor.sources.ask import Malformed, gap, guard, need, pages

KEPT = timedelta(days=30)
"""How long AWS Backup keeps jobs."""


def jobs(place: Spot, kind: Jobs) -> Found:
    """Read one kind of jobs from a little before the window; what AWS has forgotten is a gap."""
    window, now = place.ask.window, place.ask.now
    from_at = max(window.from_at - timedelta(days=place.ask.settings.overlap_d), now - KEPT)
    scope = replace(place.seen(kind.table), from_at=min(from_at, window.until_at), until_at=window.until_at)
    with guard(scope) as read:
        for page in pages(
            place.client,
            kind.operation,
            kind.key,
            ByResourceType="S3",
            ByCreatedAfter=from_at,
            PaginationConfig=PAGE,
        ):
            for job in page:
                yield place.row(kind.table, **kind.columns(job))
    yield from read
    if window.from_at < from_at:
        forgotten = replace(scope, from_at=window.from_at, until_at=min(from_at, window.until_at))
        yield gap(
            forgotten,
            "out_of_reach",
            f"AWS Backup keeps jobs for {KEPT.days} days: scan at least that often",
        )


def _backup_job(job: Mapping[str, Any]) -> dict[str, Any]:
    made_by = job.get("CreatedBy") or {}
    return {
        "job_id": need(job, "BackupJobId"),
        "vault_arn": job.get("BackupVaultArn"),
        "point_arn": job.get("RecoveryPointArn"),
        "resource_arn": job.get("ResourceArn"),
        "state": job.get("State"),
        "message": job.get("StatusMessage"),
        "category": job.get("MessageCategory"),
        "created_at": _created(job),
        # StartBy is when a job that has not started is given up: no start at all.
        "started_at": job.get("InitiationDate") or _created(job),
        "completed_at": job.get("CompletionDate"),
        "bytes": job.get("BackupSizeInBytes"),
        "plan_id": made_by.get("BackupPlanId"),
        "rule_id": made_by.get("BackupRuleId"),
    }


def _copy_job(job: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "copy_job_id": need(job, "CopyJobId"),
        "source_vault_arn": job.get("SourceBackupVaultArn"),
        "source_point_arn": job.get("SourceRecoveryPointArn"),
        "dest_vault_arn": job.get("DestinationBackupVaultArn"),
        "dest_point_arn": job.get("DestinationRecoveryPointArn"),
        "resource_arn": job.get("ResourceArn"),
        "state": job.get("State"),
        "message": job.get("StatusMessage"),
        "category": job.get("MessageCategory"),
        "created_at": _created(job),
        "completed_at": job.get("CompletionDate"),
        "bytes": job.get("BackupSizeInBytes"),
        "plan_id": (job.get("CreatedBy") or {}).get("BackupPlanId"),
    }


def _restore_job(job: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "restore_job_id": need(job, "RestoreJobId"),
        "point_arn": job.get("RecoveryPointArn"),
        "resource_arn": job.get("SourceResourceArn"),
        "created_arn": job.get("CreatedResourceArn"),
        "state": job.get("Status"),
        "message": job.get("StatusMessage"),
        "validation": job.get("ValidationStatus") or "none",
        "validation_message": job.get("ValidationStatusMessage") or "",
        "created_at": _created(job),
        "completed_at": job.get("CompletionDate"),
        "role_arn": job.get("IamRoleArn"),
        "testing_plan_arn": (job.get("CreatedBy") or {}).get("RestoreTestingPlanArn") or "",
    }


def _created(job: Mapping[str, Any]) -> datetime:
    at = need(job, "CreationDate")
    if not isinstance(at, datetime):
        raise Malformed("a job's CreationDate is no time")
    return at


@dataclass(frozen=True, slots=True)
class Jobs:
    """One of the three listings of jobs."""

    table: str
    operation: str
    key: str
    columns: Callable[[Mapping[str, Any]], dict[str, Any]]


JOBS = (
    Jobs("backup_job", "list_backup_jobs", "BackupJobs", _backup_job),
    Jobs("backup_copy_job", "list_copy_jobs", "CopyJobs", _copy_job),
    Jobs("backup_restore_job", "list_restore_jobs", "RestoreJobs", _restore_job),
)
