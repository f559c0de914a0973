"""Seed AWS Backup: recovery points, and backup, copy and restore jobs, every time given by the caller."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from auditor.sandbox.aws.backup_seeds import vault_arn_parts
from auditor.sandbox.aws.books import BackupBook, Books, Record, derived_uuid, digest, given
from auditor.sandbox.aws.judge import judge_member

RESOURCE_TYPES = {
    "s3": "S3",
    "dynamodb": "DynamoDB",
    "rds": "RDS",
    "elasticfilesystem": "EFS",
    "ec2": "EC2",
}
"""AWS Backup's names of the services whose resources the sandbox knows."""


def resource_type(arn: str) -> str:
    """Return AWS Backup's word for the kind of a resource."""
    service = arn.split(":")[2]
    return RESOURCE_TYPES.get(service, service.upper())


class PointSeeds:
    """Put, change and drop recovery points and jobs, without a request."""

    books: Books

    def put_point(
        self,
        vault_arn: str,
        resource_arn: str,
        *,
        initiated_at: datetime,
        created_at: datetime,
        completed_at: datetime | None,
        status: str = "COMPLETED",
        bytes: int = 0,  # noqa: A002 - the column's name
        delete_after_d: int | None = None,
        continuous: bool = False,
        encrypted: bool = True,
        kms_key: str | None = None,
        plan_id: str | None = None,
        rule_id: str | None = None,
        role: str | None = None,
        source_vault_arn: str | None = None,
        deletes_after_copy: bool = False,
        message: str | None = None,
        is_parent: bool = False,
        parent_arn: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Make a recovery point and return its ARN.

        `delete_after_d`: days; -1 keeps for ever; None gives no lifecycle. `is_parent` makes a composite.
        """
        account, region, name = vault_arn_parts(vault_arn)
        book = self.books.backup_of(account, region)
        vault = book.vaults[name]
        record = {
            "BackupVaultName": name,
            "BackupVaultArn": vault_arn,
            "VaultType": vault["VaultType"],
            "ResourceArn": resource_arn,
            "ResourceName": resource_arn.rsplit(":", maxsplit=1)[-1],
            "ResourceType": resource_type(resource_arn),
            "IsParent": is_parent,
            "StorageClass": "WARM",
            "EncryptionKeyArn": vault["EncryptionKeyArn"],
            "EncryptionKeyType": vault["EncryptionKeyType"],
            "InitiationDate": initiated_at,
        }
        arn = _point_arn(book, record, continuous=continuous)
        record["RecoveryPointArn"] = arn
        book.points[arn] = record
        book.tags[arn] = dict(tags or {})
        return self.set_point(
            arn,
            created_at=created_at,
            completed_at=completed_at,
            status=status,
            bytes=bytes,
            delete_after_d=delete_after_d,
            encrypted=encrypted,
            **given({"kms_key": kms_key}),
            plan_id=plan_id,
            rule_id=rule_id,
            role=role or f"arn:aws:iam::{account}:role/service-role/AWSBackupDefaultServiceRole",
            source_vault_arn=source_vault_arn,
            deletes_after_copy=deletes_after_copy,
            message=message,
            parent_arn=parent_arn,
        )

    def set_point(self, arn: str, **changes: Any) -> str:
        """Change a recovery point, by the names that `put_point` has; None takes a member away."""
        book = self._book_of_point(arn)
        point = book.points[arn]
        if "tags" in changes:
            book.tags[arn] = dict(changes.pop("tags"))
        if {"plan_id", "rule_id"} & changes.keys():
            point["CreatedBy"] = self._created_by(
                changes.pop("plan_id", None), changes.pop("rule_id", None), point.get("CreatedBy")
            )
        if {"delete_after_d", "deletes_after_copy"} & changes.keys():
            before = point.get("Lifecycle") or {}
            days = changes.pop("delete_after_d", before.get("DeleteAfterDays"))
            copied = changes.pop("deletes_after_copy", "DeleteAfterEvent" in before)
            event = "DELETE_AFTER_COPY" if copied else None
            point["Lifecycle"] = given({"DeleteAfterDays": days, "DeleteAfterEvent": event}) or None
        for name, value in changes.items():
            point[_POINT_MEMBERS[name]] = value
        days = (point.get("Lifecycle") or {}).get("DeleteAfterDays", -1)
        point["CalculatedLifecycle"] = (
            {"DeleteAt": point["CreationDate"] + timedelta(days=days)} if days > 0 else None
        )
        for member in [member for member, value in point.items() if value is None]:
            del point[member]
        judge_member("backup", "RecoveryPointByBackupVault", point)
        return arn

    def drop_point(self, arn: str) -> None:
        """Delete a recovery point: it expired or somebody removed it."""
        book = self._book_of_point(arn)
        del book.points[arn]
        book.tags.pop(arn, None)

    def put_backup_job(
        self,
        account: str,
        region: str,
        *,
        vault_arn: str,
        resource_arn: str,
        state: str,
        created_at: datetime,
        point_arn: str | None = None,
        message: str | None = None,
        category: str | None = None,
        started_at: datetime | None = None,
        completed_at: datetime | None = None,
        bytes: int | None = None,  # noqa: A002 - the column's name
        plan_id: str | None = None,
        rule_id: str | None = None,
        job_id: str | None = None,
        role: str | None = None,
    ) -> str:
        """Make a backup job (columns of table `backup_job`) and return its id."""
        book = self.books.backup_of(account, region)
        job_id = job_id or derived_uuid("backup-job", vault_arn, resource_arn, created_at, point_arn).upper()
        record = {
            **_job(account, resource_arn, state, message, category, created_at, completed_at, role),
            "BackupJobId": job_id,
            "BackupVaultName": vault_arn_parts(vault_arn)[2],
            "BackupVaultArn": vault_arn,
            "RecoveryPointArn": point_arn,
            "InitiationDate": started_at,
            "StartBy": started_at,
            "BackupSizeInBytes": bytes,
            "PercentDone": "100.0" if state in {"COMPLETED", "PARTIAL"} else "0.0",
            "CreatedBy": self._created_by(plan_id, rule_id, None),
        }
        book.backup_jobs[job_id] = judge_member("backup", "BackupJob", given(record))
        return job_id

    def put_copy_job(
        self,
        account: str,
        region: str,
        *,
        source_vault_arn: str,
        source_point_arn: str,
        dest_vault_arn: str,
        resource_arn: str,
        state: str,
        created_at: datetime,
        dest_point_arn: str | None = None,
        message: str | None = None,
        category: str | None = None,
        completed_at: datetime | None = None,
        bytes: int | None = None,  # noqa: A002 - the column's name
        plan_id: str | None = None,
        rule_id: str | None = None,
        copy_job_id: str | None = None,
        role: str | None = None,
    ) -> str:
        """Make a copy job (columns of table `backup_copy_job`), in its source's account and region."""
        book = self.books.backup_of(account, region)
        job_id = copy_job_id or derived_uuid("copy-job", source_point_arn, dest_vault_arn, created_at).upper()
        record = {
            **_job(account, resource_arn, state, message, category, created_at, completed_at, role),
            "CopyJobId": job_id,
            "SourceBackupVaultArn": source_vault_arn,
            "SourceRecoveryPointArn": source_point_arn,
            "DestinationBackupVaultArn": dest_vault_arn,
            "DestinationRecoveryPointArn": dest_point_arn,
            "BackupSizeInBytes": bytes,
            "CreatedBy": self._created_by(plan_id, rule_id, None),
        }
        book.copy_jobs[job_id] = judge_member("backup", "CopyJob", given(record))
        return job_id

    def put_restore_job(
        self,
        account: str,
        region: str,
        *,
        point_arn: str,
        state: str,
        created_at: datetime,
        resource_arn: str | None = None,
        created_arn: str | None = None,
        message: str | None = None,
        validation: str | None = None,
        validation_message: str | None = None,
        completed_at: datetime | None = None,
        bytes: int | None = None,  # noqa: A002 - the column's name
        role: str | None = None,
        testing_plan_arn: str | None = None,
        restore_job_id: str | None = None,
    ) -> str:
        """Make a restore job (columns of table `backup_restore_job`) and return its id."""
        book = self.books.backup_of(account, region)
        job_id = restore_job_id or derived_uuid("restore-job", point_arn, created_at).upper()
        record = {
            "AccountId": account,
            "RestoreJobId": job_id,
            "RecoveryPointArn": point_arn,
            "SourceResourceArn": resource_arn,
            "ResourceType": resource_type(resource_arn or "arn:aws:s3:::"),
            "Status": state,
            "StatusMessage": message,
            "CreationDate": created_at,
            "CompletionDate": completed_at,
            "PercentDone": "100.0" if state == "COMPLETED" else "0.0",
            "BackupSizeInBytes": bytes,
            "IamRoleArn": role or f"arn:aws:iam::{account}:role/service-role/AWSBackupDefaultServiceRole",
            "CreatedResourceArn": created_arn,
            "ValidationStatus": validation,
            "ValidationStatusMessage": validation_message,
            "CreatedBy": {"RestoreTestingPlanArn": testing_plan_arn} if testing_plan_arn else None,
        }
        book.restore_jobs[job_id] = judge_member("backup", "RestoreJobsListMember", given(record))
        return job_id

    def _book_of_point(self, arn: str) -> BackupBook:
        return next(book for book in self.books.backup.values() if arn in book.points)

    def _created_by(self, plan_id: str | None, rule_id: str | None, before: Record | None) -> Record | None:
        """Say which plan and rule made something, as RecoveryPointCreator does."""
        if plan_id is None and rule_id is None:
            return before
        creator = {"BackupPlanId": plan_id, "BackupRuleId": rule_id}
        for book in self.books.backup.values():
            if plan_id in book.plans:
                plan = book.plans[plan_id]
                creator |= {
                    "BackupPlanArn": plan["BackupPlanArn"],
                    "BackupPlanVersion": plan["VersionId"],
                }
        return given({**(before or {}), **creator})


_POINT_MEMBERS = {
    "initiated_at": "InitiationDate",
    "created_at": "CreationDate",
    "completed_at": "CompletionDate",
    "status": "Status",
    "message": "StatusMessage",
    "bytes": "BackupSizeInBytes",
    "encrypted": "IsEncrypted",
    "kms_key": "EncryptionKeyArn",
    "key_type": "EncryptionKeyType",
    "role": "IamRoleArn",
    "source_vault_arn": "SourceBackupVaultArn",
    "parent_arn": "ParentRecoveryPointArn",
}


def _point_arn(book: BackupBook, record: Record, *, continuous: bool) -> str:
    """Derive an ARN in AWS's forms: a continuous point is told by its infix alone."""
    resource = record["ResourceArn"]
    same = (record["BackupVaultArn"], resource, record["InitiationDate"])
    name = resource.rsplit(":", 1)[-1]
    for again in range(len(book.points) + 1):
        mark = digest("point", *same, again)
        if record["IsParent"]:
            tail = f"composite:{name}-{mark[:8]}"
        elif continuous:
            tail = f"continuous:{name}-{mark[:8]}"
        elif record["ResourceType"] == "S3":
            tail = f"{name}-{record['InitiationDate']:%Y%m%d%H%M%S}-{mark[:8]}"
        else:
            tail = derived_uuid(mark).upper()
        arn = book.arn(f"recovery-point:{tail}")
        if arn not in book.points:
            return arn
    raise AssertionError("unreachable: one more name than there are points")


def _job(
    account: str,
    resource_arn: str,
    state: str,
    message: str | None,
    category: str | None,
    created_at: datetime,
    completed_at: datetime | None,
    role: str | None,
) -> Record:
    """Return what backup and copy jobs share; a finished job without a category gets AWS's own."""
    if category is None:
        category = {
            "COMPLETED": "SUCCESS",
            "FAILED": "FAILURE",
            "ABORTED": "ABORTED",
            "EXPIRED": "EXPIRED",
        }.get(state)
    return {
        "AccountId": account,
        "ResourceArn": resource_arn,
        "ResourceName": resource_arn.rsplit(":", maxsplit=1)[-1],
        "ResourceType": resource_type(resource_arn),
        "State": state,
        "StatusMessage": message,
        "MessageCategory": category,
        "CreationDate": created_at,
        "CompletionDate": completed_at,
        "IamRoleArn": role or f"arn:aws:iam::{account}:role/service-role/AWSBackupDefaultServiceRole",
        "IsParent": False,
    }
