"""Seed AWS Backup: vaults, plans, selections, recovery points and jobs, every time given by the caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

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


def vault_arn_parts(arn: str) -> tuple[str, str, str]:
    """Return account, region and name of a vault's ARN."""
    _, _, _, region, account, _, name = arn.split(":", 6)
    return account, region, name


def aws_backup_key(book: BackupBook) -> str:
    """Return the ARN of the account's `aws/backup` key, which encrypts where nobody chose another."""
    return f"arn:aws:kms:{book.region}:{book.account}:key/{derived_uuid('aws/backup', book.account, book.region)}"


class BackupSeeds:
    """Put, change and drop what AWS Backup holds, without a request."""

    books: Books

    def put_vault(
        self,
        account: str,
        region: str,
        name: str,
        *,
        at: datetime,
        kms_key: str | None = None,
        lock: Mapping[str, Any] | None = None,
        policy: str | None = None,
        type: str = "BACKUP_VAULT",
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Make a vault; `lock` is None or holds any of min_d, max_d and lock_date (absent: governance)."""
        book = self.books.backup_of(account, region)
        arn = book.arn(f"backup-vault:{name}")
        book.vaults[name] = {
            "BackupVaultName": name,
            "BackupVaultArn": arn,
            "VaultType": type,
            "VaultState": "AVAILABLE",
            "EncryptionKeyArn": kms_key or aws_backup_key(book),
            "EncryptionKeyType": "CUSTOMER_MANAGED_KMS_KEY" if kms_key else "AWS_OWNED_KMS_KEY",
            "CreationDate": at,
            "Locked": False,
        }
        book.tags[arn] = dict(tags or {})
        return self.set_vault(arn, lock=lock, policy=policy)

    def set_vault(self, arn: str, **changes: Any) -> str:
        """Change kms_key, lock or policy of a vault; a `lock` or `policy` of None takes it away."""
        account, region, name = vault_arn_parts(arn)
        book = self.books.backup_of(account, region)
        vault = book.vaults[name]
        for setting, value in changes.items():
            if setting == "kms_key":
                vault["EncryptionKeyArn"] = value or aws_backup_key(book)
            elif setting == "lock":
                _lock(vault, value)
            elif setting == "policy":
                book.policies.pop(name, None)
                if value is not None:
                    book.policies[name] = value
            else:
                raise TypeError(f"a vault has no setting {setting!r}")
        judge_member("backup", "BackupVaultListMember", vault)
        return arn

    def put_plan(
        self,
        account: str,
        region: str,
        name: str,
        *,
        at: datetime,
        rules: Sequence[Mapping[str, Any]],
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Make a plan of rules in AWS's own shape (BackupPlan.Rules) and return its id."""
        book = self.books.backup_of(account, region)
        plan_id = derived_uuid("plan", account, region, name)
        plan: Record = {
            "BackupPlanId": plan_id,
            "BackupPlanArn": book.arn(f"backup-plan:{plan_id}"),
            "CreationDate": at,
            "BackupPlanName": name,
        }
        book.plans[plan_id] = plan
        book.selections.setdefault(plan_id, {})
        book.tags[plan["BackupPlanArn"]] = dict(tags or {})
        write_plan(plan, {"BackupPlanName": name, "Rules": [dict(rule) for rule in rules]})
        return plan_id

    def set_plan(
        self,
        plan_id: str,
        *,
        rules: Sequence[Mapping[str, Any]] | None = None,
        name: str | None = None,
    ) -> str:
        """Change the rules or the name of a plan; its version id changes with its content."""
        plan = self._book_of_plan(plan_id).plans[plan_id]
        document = dict(plan["BackupPlan"])
        if rules is not None:
            document["Rules"] = [dict(rule) for rule in rules]
        if name is not None:
            document["BackupPlanName"] = name
        write_plan(plan, document)
        return plan_id

    def put_selection(
        self,
        plan_id: str,
        name: str,
        *,
        at: datetime,
        role: str,
        resources: Sequence[str] = (),
        not_resources: Sequence[str] = (),
        list_of_tags: Sequence[Mapping[str, str]] = (),
        conditions: Mapping[str, Any] | None = None,
    ) -> str:
        """Make a selection of a plan and return its id; the lists are in AWS's own shape."""
        book = self._book_of_plan(plan_id)
        selection_id = derived_uuid("selection", plan_id, name)
        book.selections[plan_id][selection_id] = {
            "SelectionId": selection_id,
            "BackupPlanId": plan_id,
            "CreationDate": at,
            "SelectionName": name,
            "IamRoleArn": role,
            "BackupSelection": {"SelectionName": name, "IamRoleArn": role},
        }
        return self.set_selection(
            selection_id,
            resources=resources,
            not_resources=not_resources,
            list_of_tags=list_of_tags,
            conditions=conditions or {},
        )

    def set_selection(self, selection_id: str, **changes: Any) -> str:
        """Change role, resources, not_resources, list_of_tags or conditions of a selection."""
        members = {
            "role": "IamRoleArn",
            "resources": "Resources",
            "not_resources": "NotResources",
            "list_of_tags": "ListOfTags",
            "conditions": "Conditions",
        }
        record = self._selections_with(selection_id)[selection_id]
        for setting, value in changes.items():
            if setting == "role":
                record["IamRoleArn"] = value
            document = record["BackupSelection"]
            document[members[setting]] = value if isinstance(value, str | Mapping) else list(value)
        judge_member("backup", "BackupSelection", record["BackupSelection"])
        return selection_id

    def drop_selection(self, selection_id: str) -> None:
        """Delete a selection."""
        del self._selections_with(selection_id)[selection_id]

    def put_point(
        self,
        vault_arn: str,
        resource_arn: str,
        *,
        initiated_at: datetime,
        created_at: datetime,
        completed_at: datetime | None,
        status: str = "COMPLETED",
        bytes: int = 0,
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
        bytes: int | None = None,
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
        bytes: int | None = None,
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
        completed_at: datetime | None = None,
        bytes: int | None = None,
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
            "CreatedBy": {"RestoreTestingPlanArn": testing_plan_arn} if testing_plan_arn else None,
        }
        book.restore_jobs[job_id] = judge_member("backup", "RestoreJobsListMember", given(record))
        return job_id

    def set_region(self, account: str, region: str, s3_opt_in: bool) -> None:
        """Opt S3 in or out of AWS Backup in one region."""
        self.books.backup_of(account, region).opted_in["S3"] = s3_opt_in

    def _book_of_plan(self, plan_id: str) -> BackupBook:
        return next(book for book in self.books.backup.values() if plan_id in book.plans)

    def _book_of_point(self, arn: str) -> BackupBook:
        return next(book for book in self.books.backup.values() if arn in book.points)

    def _selections_with(self, selection_id: str) -> dict[str, Record]:
        return next(
            selections
            for book in self.books.backup.values()
            for selections in book.selections.values()
            if selection_id in selections
        )

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
    "role": "IamRoleArn",
    "source_vault_arn": "SourceBackupVaultArn",
    "parent_arn": "ParentRecoveryPointArn",
}


def write_plan(plan: Record, document: Record) -> None:
    """Put a plan's document with AWS's defaults and derived rule ids; the version follows the content."""
    for rule in document["Rules"]:
        rule.setdefault("ScheduleExpression", "cron(0 5 ? * * *)")
        rule.setdefault("ScheduleExpressionTimezone", "Etc/UTC")
        rule.setdefault("StartWindowMinutes", 480)
        rule.setdefault("CompletionWindowMinutes", 10080)
        rule.setdefault("RuleId", derived_uuid("rule", plan["BackupPlanId"], rule["RuleName"]))
    judge_member("backup", "BackupPlan", document)
    plan["BackupPlan"] = document
    plan["BackupPlanName"] = document["BackupPlanName"]
    plan["VersionId"] = digest("version", plan["BackupPlanId"], document)[:48]


def _lock(vault: Record, lock: Mapping[str, Any] | None) -> None:
    for member in ("MinRetentionDays", "MaxRetentionDays", "LockDate"):
        vault.pop(member, None)
    vault["Locked"] = lock is not None
    if lock is not None:
        unknown = lock.keys() - {"min_d", "max_d", "lock_date"}
        if unknown:
            raise TypeError(f"a lock has no {', '.join(sorted(unknown))}")
        vault |= given(
            {
                "MinRetentionDays": lock.get("min_d"),
                "MaxRetentionDays": lock.get("max_d"),
                "LockDate": lock.get("lock_date"),
            }
        )


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
