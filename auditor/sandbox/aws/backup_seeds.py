"""Seed AWS Backup: vaults, plans and selections, every time given by the caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from auditor.sandbox.aws.books import BackupBook, Books, Record, derived_uuid, digest, given
from auditor.sandbox.aws.judge import judge_member
from auditor.sandbox.aws.kms_seeds import named_key


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
        notify: Mapping[str, Any] | None = None,
        type: str = "BACKUP_VAULT",  # noqa: A002 - AWS's and werkzeug's word
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Make a vault; `lock` is None or holds any of min_d, max_d and lock_date (absent: governance).

        `notify` is None or {topic, events}: the SNS topic it tells, and of what.
        """
        book = self.books.backup_of(account, region)
        arn = book.arn(f"backup-vault:{name}")
        book.vaults[name] = {
            "BackupVaultName": name,
            "BackupVaultArn": arn,
            "VaultType": type,
            "VaultState": "AVAILABLE",
            "EncryptionKeyArn": self._key_of(book, kms_key),
            "EncryptionKeyType": "CUSTOMER_MANAGED_KMS_KEY" if kms_key else "AWS_OWNED_KMS_KEY",
            "CreationDate": at,
            "Locked": False,
        }
        book.tags[arn] = dict(tags or {})
        return self.set_vault(arn, lock=lock, policy=policy, notify=notify)

    def _key_of(self, book: BackupBook, kms_key: str | None) -> str:
        """Return the key a vault is made with: the one chosen, else the account's `aws/backup`."""
        if kms_key:
            return named_key(self.books, kms_key)
        return named_key(self.books, aws_backup_key(book), alias="alias/aws/backup")

    def set_vault(self, arn: str, **changes: Any) -> str:
        """Change kms_key, lock, policy or notify of a vault; None takes any but the key away."""
        account, region, name = vault_arn_parts(arn)
        book = self.books.backup_of(account, region)
        vault = book.vaults[name]
        for setting, value in changes.items():
            if setting == "kms_key":
                vault["EncryptionKeyArn"] = self._key_of(book, value)
            elif setting == "lock":
                _lock(vault, value)
            elif setting == "policy":
                book.policies.pop(name, None)
                if value is not None:
                    book.policies[name] = value
            elif setting == "notify":
                book.notifications.pop(name, None)
                if value is not None:
                    told = {"SNSTopicArn": value["topic"], "BackupVaultEvents": list(value["events"])}
                    book.notifications[name] = judge_member(
                        "backup", "GetBackupVaultNotificationsOutput", told
                    )
            else:
                raise TypeError(f"a vault has no setting {setting!r}")
        judge_member("backup", "BackupVaultListMember", vault)
        return arn

    def put_report_plan(
        self,
        account: str,
        region: str,
        name: str,
        *,
        at: datetime,
        template: str = "BACKUP_JOB_REPORT",
        status: str = "COMPLETED",
        succeeded_at: datetime | None = None,
    ) -> str:
        """Make a report plan and return its ARN; a name that is there is replaced."""
        book = self.books.backup_of(account, region)
        record = {
            "ReportPlanArn": book.arn(
                f"report-plan:{name}-{derived_uuid('report-plan', account, region, name)}"
            ),
            "ReportPlanName": name,
            "ReportSetting": {"ReportTemplate": template},
            "ReportDeliveryChannel": {"S3BucketName": f"reports-{account}"},
            "DeploymentStatus": status,
            "CreationTime": at,
            "LastSuccessfulExecutionTime": succeeded_at,
        }
        book.report_plans[name] = judge_member("backup", "ReportPlan", given(record))
        return str(record["ReportPlanArn"])

    def put_framework(
        self,
        account: str,
        region: str,
        name: str,
        *,
        at: datetime,
        controls: int = 11,
        status: str = "COMPLETED",
    ) -> str:
        """Make a framework and return its ARN; a name that is there is replaced."""
        book = self.books.backup_of(account, region)
        record = {
            "FrameworkArn": book.arn(f"framework:{name}-{derived_uuid('framework', account, region, name)}"),
            "FrameworkName": name,
            "NumberOfControls": controls,
            "DeploymentStatus": status,
            "CreationTime": at,
        }
        book.frameworks[name] = judge_member("backup", "Framework", record)
        return str(record["FrameworkArn"])

    def drop_report_plan(self, account: str, region: str, name: str) -> None:
        """Delete a report plan."""
        del self.books.backup_of(account, region).report_plans[name]

    def drop_framework(self, account: str, region: str, name: str) -> None:
        """Delete a framework."""
        del self.books.backup_of(account, region).frameworks[name]

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

    def set_region(self, account: str, region: str, s3_opt_in: bool) -> None:
        """Opt S3 in or out of AWS Backup in one region."""
        self.books.backup_of(account, region).opted_in["S3"] = s3_opt_in

    def _book_of_plan(self, plan_id: str) -> BackupBook:
        return next(book for book in self.books.backup.values() if plan_id in book.plans)

    def _selections_with(self, selection_id: str) -> dict[str, Record]:
        return next(
            selections
            for book in self.books.backup.values()
            for selections in book.selections.values()
            if selection_id in selections
        )


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
