"""AWS Backup's answers about backup, copy and restore jobs; it forgets a job after thirty days."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from auditor.sandbox.aws.backup_seeds import vault_arn_parts
from auditor.sandbox.aws.backup_vaults import vault_named
from auditor.sandbox.aws.books import JOBS_KEPT, Books, Here, Params, Record, Refused
from auditor.sandbox.aws.judge import only
from auditor.sandbox.aws.paging import page
from auditor.sandbox.aws.point_seeds import PointSeeds

_BY = {
    "ByResourceArn": "ResourceArn",
    "ByResourceType": "ResourceType",
    "ByBackupVaultName": "BackupVaultName",
    "ByState": "State",
    "ByStatus": "Status",
    "ByAccountId": "AccountId",
    "ByDestinationVaultArn": "DestinationBackupVaultArn",
    "ByParentRecoveryPointArn": "ParentRecoveryPointArn",
    "ByParentJobId": "ParentJobId",
    "ByMessageCategory": "MessageCategory",
    "BySourceRecoveryPointArn": "SourceRecoveryPointArn",
}
_BY_TIME = {
    "ByCreatedBefore": ("CreationDate", -1),
    "ByCreatedAfter": ("CreationDate", 1),
    "ByCompleteBefore": ("CompletionDate", -1),
    "ByCompleteAfter": ("CompletionDate", 1),
}


class _Writer(PointSeeds):
    """The seeds, written by an API call."""

    def __init__(self, books: Books) -> None:
        self.books = books


def filtered(rows: Iterable[Record], asked: Params) -> list[Record]:
    """Return the rows that every By... parameter keeps, newest first."""

    def kept(row: Record) -> bool:
        for by, member in _BY.items():
            if asked.get(by) not in (None, "*", row.get(member)):
                return False
        for by, (member, sign) in _BY_TIME.items():
            edge, have = asked.get(by), row.get(member)
            if edge is not None and (have is None or (have - _aware(edge)).total_seconds() * sign <= 0):
                return False
        plan = asked.get("ByBackupPlanId")
        return plan is None or row.get("CreatedBy", {}).get("BackupPlanId") == plan

    return sorted(
        filter(kept, rows),
        key=lambda row: (
            row["CreationDate"],
            str(row.get("RecoveryPointArn")),
            str(row.get("BackupJobId")),
        ),
        reverse=True,
    )


def _aware(time: Any) -> Any:
    from datetime import UTC

    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _young(here: Here, jobs: dict[str, Record]) -> list[Record]:
    return [job for job in jobs.values() if here.now - job["CreationDate"] <= JOBS_KEPT]


def list_backup_jobs(here: Here, asked: Params) -> Record:
    """List backup jobs, newest first."""
    return page("backup", "ListBackupJobs", asked, filtered(_young(here, here.backup.backup_jobs), asked))


def list_copy_jobs(here: Here, asked: Params) -> Record:
    """List copy jobs, newest first."""
    return page("backup", "ListCopyJobs", asked, filtered(_young(here, here.backup.copy_jobs), asked))


def list_restore_jobs(here: Here, asked: Params) -> Record:
    """List restore jobs, newest first."""
    rows = filtered(_young(here, here.backup.restore_jobs), asked)
    wanted = asked.get("ByRestoreTestingPlanArn")
    if wanted is not None:
        rows = [row for row in rows if row.get("CreatedBy", {}).get("RestoreTestingPlanArn") == wanted]
    return page("backup", "ListRestoreJobs", asked, rows)


def _job(jobs: dict[str, Record], job_id: str) -> Record:
    if job_id not in jobs:
        raise Refused("ResourceNotFoundException", f"Job {job_id} does not exist")
    return jobs[job_id]


def describe_backup_job(here: Here, asked: Params) -> Record:
    """Describe one backup job."""
    return only("backup", "DescribeBackupJobOutput", _job(here.backup.backup_jobs, asked["BackupJobId"]))


def describe_copy_job(here: Here, asked: Params) -> Record:
    """Describe one copy job."""
    return {"CopyJob": only("backup", "CopyJob", _job(here.backup.copy_jobs, asked["CopyJobId"]))}


def describe_restore_job(here: Here, asked: Params) -> Record:
    """Describe one restore job."""
    return only("backup", "DescribeRestoreJobOutput", _job(here.backup.restore_jobs, asked["RestoreJobId"]))


def start_backup_job(here: Here, asked: Params) -> Record:
    """Back a resource up at once: the sandbox's jobs are done when they start."""
    writer, now = _Writer(here.books), here.now
    vault = vault_named(here.backup, asked["BackupVaultName"])
    point = writer.put_point(
        vault["BackupVaultArn"],
        asked["ResourceArn"],
        initiated_at=now,
        created_at=now,
        completed_at=now,
        delete_after_d=(asked.get("Lifecycle") or {}).get("DeleteAfterDays"),
        role=asked["IamRoleArn"],
        tags=asked.get("RecoveryPointTags"),
    )
    job = writer.put_backup_job(
        here.account,
        here.region,
        vault_arn=vault["BackupVaultArn"],
        point_arn=point,
        resource_arn=asked["ResourceArn"],
        state="COMPLETED",
        created_at=now,
        completed_at=now,
        bytes=0,
        role=asked["IamRoleArn"],
    )
    return {"BackupJobId": job, "RecoveryPointArn": point, "CreationDate": now, "IsParent": False}


def start_copy_job(here: Here, asked: Params) -> Record:
    """Copy a recovery point to another vault; continuous points are refused, as AWS does."""
    writer, now = _Writer(here.books), here.now
    source = here.backup.points.get(asked["RecoveryPointArn"])
    if source is None:
        raise Refused(
            "ResourceNotFoundException",
            f"Recovery point {asked['RecoveryPointArn']} does not exist",
        )
    if ":recovery-point:continuous:" in source["RecoveryPointArn"]:
        raise Refused(
            "InvalidParameterValueException",
            "Continuous recovery points cannot be copied on demand",
        )
    account, region, name = vault_arn_parts(asked["DestinationBackupVaultArn"])
    vault_named(here.books.backup_of(account, region), name)
    lifecycle = asked.get("Lifecycle") or source.get("Lifecycle") or {}
    point = writer.put_point(
        asked["DestinationBackupVaultArn"],
        source["ResourceArn"],
        initiated_at=now,
        created_at=now,
        completed_at=now,
        bytes=source["BackupSizeInBytes"],
        delete_after_d=lifecycle.get("DeleteAfterDays"),
        role=asked["IamRoleArn"],
        source_vault_arn=source["BackupVaultArn"],
    )
    job = writer.put_copy_job(
        here.account,
        here.region,
        source_vault_arn=source["BackupVaultArn"],
        source_point_arn=source["RecoveryPointArn"],
        dest_vault_arn=asked["DestinationBackupVaultArn"],
        dest_point_arn=point,
        resource_arn=source["ResourceArn"],
        state="COMPLETED",
        created_at=now,
        completed_at=now,
        bytes=source["BackupSizeInBytes"],
        role=asked["IamRoleArn"],
    )
    return {"CopyJobId": job, "CreationDate": now, "IsParent": False}


def start_restore_job(here: Here, asked: Params) -> Record:
    """Restore a recovery point at once, into the bucket its metadata names."""
    source = here.backup.points.get(asked["RecoveryPointArn"])
    if source is None:
        raise Refused(
            "ResourceNotFoundException",
            f"Recovery point {asked['RecoveryPointArn']} does not exist",
        )
    bucket = asked["Metadata"].get("DestinationBucketName", source["ResourceName"])
    job = _Writer(here.books).put_restore_job(
        here.account,
        here.region,
        point_arn=source["RecoveryPointArn"],
        resource_arn=source["ResourceArn"],
        created_arn=f"arn:aws:s3:::{bucket}",
        state="COMPLETED",
        created_at=here.now,
        completed_at=here.now,
        bytes=source["BackupSizeInBytes"],
        role=asked.get("IamRoleArn"),
    )
    return {"RestoreJobId": job}
