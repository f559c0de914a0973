"""AWS Backup's answers about recovery points."""

from __future__ import annotations

from datetime import timedelta

from auditor.sandbox.aws.backup_jobs import filtered
from auditor.sandbox.aws.backup_vaults import vault_named
from auditor.sandbox.aws.books import Here, Params, Record, Refused
from auditor.sandbox.aws.judge import only
from auditor.sandbox.aws.paging import page


def list_recovery_points_by_backup_vault(here: Here, asked: Params) -> Record:
    """List what a vault holds, newest first."""
    vault_named(here.backup, asked["BackupVaultName"])
    rows = [p for p in here.backup.points.values() if p["BackupVaultName"] == asked["BackupVaultName"]]
    return page("backup", "ListRecoveryPointsByBackupVault", asked, filtered(rows, asked))


def list_recovery_points_by_resource(here: Here, asked: Params) -> Record:
    """List the recovery points of a resource, newest first; here the size is spelled BackupSizeBytes."""
    rows = [
        {**point, "BackupSizeBytes": point["BackupSizeInBytes"]}
        for point in here.backup.points.values()
        if point["ResourceArn"] == asked["ResourceArn"]
    ]
    return page("backup", "ListRecoveryPointsByResource", asked, filtered(rows, {}))


def _point(here: Here, asked: Params) -> Record:
    point = here.backup.points.get(asked["RecoveryPointArn"])
    if point is None or point["BackupVaultName"] != asked["BackupVaultName"]:
        raise Refused(
            "ResourceNotFoundException",
            f"Recovery point {asked['RecoveryPointArn']} does not exist",
        )
    return point


def describe_recovery_point(here: Here, asked: Params) -> Record:
    """Describe one recovery point."""
    return only("backup", "DescribeRecoveryPointOutput", _point(here, asked))


def get_recovery_point_restore_metadata(here: Here, asked: Params) -> Record:
    """Give what a restore would need."""
    point = _point(here, asked)
    return {
        "BackupVaultArn": point["BackupVaultArn"],
        "RecoveryPointArn": point["RecoveryPointArn"],
        "ResourceType": point["ResourceType"],
        "RestoreMetadata": {"DestinationBucketName": point["ResourceName"]},
    }


def update_recovery_point_lifecycle(here: Here, asked: Params) -> Record:
    """Change when a recovery point is deleted."""
    point = _point(here, asked)
    point["Lifecycle"] = asked.get("Lifecycle") or {}
    point.pop("CalculatedLifecycle", None)
    days = point["Lifecycle"].get("DeleteAfterDays", -1)
    if days > 0:
        point["CalculatedLifecycle"] = {"DeleteAt": point["CreationDate"] + timedelta(days=days)}
    return only("backup", "UpdateRecoveryPointLifecycleOutput", point)


def delete_recovery_point(here: Here, asked: Params) -> Record:
    """Delete a recovery point, unless the vault's lock forbids it."""
    point = _point(here, asked)
    vault = vault_named(here.backup, point["BackupVaultName"])
    ends = point.get("CalculatedLifecycle", {}).get("DeleteAt")
    if vault["Locked"] and (ends is None or ends > here.now):
        raise Refused(
            "InvalidRequestException",
            "The vault is locked and the recovery point is within its retention",
        )
    del here.backup.points[point["RecoveryPointArn"]]
    return {}


def disassociate_recovery_point(here: Here, asked: Params) -> Record:
    """Stop a continuous recovery point, which keeps what it holds."""
    _point(here, asked)["Status"] = "STOPPED"
    return {}
