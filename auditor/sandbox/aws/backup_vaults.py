"""AWS Backup's answers about vaults, tags, protected resources and the region."""

from __future__ import annotations

from auditor.sandbox.aws.backup_seeds import aws_backup_key
from auditor.sandbox.aws.books import BackupBook, Here, Params, Record, Refused
from auditor.sandbox.aws.judge import only
from auditor.sandbox.aws.paging import page


def vault_named(book: BackupBook, name: str) -> Record:
    """Return a vault; raises Refused."""
    if name not in book.vaults:
        raise Refused("ResourceNotFoundException", f"Backup vault {name} does not exist")
    return book.vaults[name]


def _counted(book: BackupBook, vault: Record) -> Record:
    held = sum(point["BackupVaultName"] == vault["BackupVaultName"] for point in book.points.values())
    return {**vault, "NumberOfRecoveryPoints": held}


def list_backup_vaults(here: Here, asked: Params) -> Record:
    """List the vaults of the region, by name."""
    book = here.backup
    wanted = asked.get("ByVaultType")
    rows = [
        _counted(book, vault)
        for _, vault in sorted(book.vaults.items())
        if wanted in (None, vault["VaultType"])
    ]
    return page("backup", "ListBackupVaults", asked, rows)


def describe_backup_vault(here: Here, asked: Params) -> Record:
    """Describe one vault; AWS refuses a name it does not know as denied, to tell nobody which names exist."""
    book = here.backup
    if asked["BackupVaultName"] not in book.vaults:
        raise Refused("AccessDeniedException", "Insufficient privileges to perform this action.", 403)
    return only("backup", "DescribeBackupVaultOutput", _counted(book, book.vaults[asked["BackupVaultName"]]))


def create_backup_vault(here: Here, asked: Params) -> Record:
    """Make a vault, dated now."""
    book, name = here.backup, asked["BackupVaultName"]
    if name in book.vaults:
        raise Refused("AlreadyExistsException", f"Backup vault with name {name} already exists")
    arn = book.arn(f"backup-vault:{name}")
    key = asked.get("EncryptionKeyArn")
    book.vaults[name] = {
        "BackupVaultName": name,
        "BackupVaultArn": arn,
        "VaultType": "BACKUP_VAULT",
        "VaultState": "AVAILABLE",
        "EncryptionKeyArn": key or aws_backup_key(book),
        "EncryptionKeyType": "CUSTOMER_MANAGED_KMS_KEY" if key else "AWS_OWNED_KMS_KEY",
        "CreationDate": here.now,
        "Locked": False,
    }
    book.tags[arn] = dict(asked.get("BackupVaultTags") or {})
    return only("backup", "CreateBackupVaultOutput", book.vaults[name])


def delete_backup_vault(here: Here, asked: Params) -> Record:
    """Delete an empty vault."""
    book = here.backup
    vault = _counted(book, vault_named(book, asked["BackupVaultName"]))
    if vault["NumberOfRecoveryPoints"]:
        raise Refused(
            "InvalidRequestException",
            "Backup vault cannot be deleted because it contains recovery points",
        )
    del book.vaults[asked["BackupVaultName"]]
    return {}


def put_backup_vault_lock_configuration(here: Here, asked: Params) -> Record:
    """Lock a vault: with ChangeableForDays it becomes immutable, without it stays governance."""
    from datetime import timedelta

    vault = vault_named(here.backup, asked["BackupVaultName"])
    if vault.get("LockDate") and vault["LockDate"] <= here.now:
        raise Refused("InvalidRequestException", "Vault Lock configuration is immutable")
    for member in ("MinRetentionDays", "MaxRetentionDays", "LockDate"):
        vault.pop(member, None)
    vault |= {m: asked[m] for m in ("MinRetentionDays", "MaxRetentionDays") if asked.get(m) is not None}
    vault["Locked"] = True
    if asked.get("ChangeableForDays") is not None:
        vault["LockDate"] = here.now + timedelta(days=asked["ChangeableForDays"])
    return {}


def delete_backup_vault_lock_configuration(here: Here, asked: Params) -> Record:
    """Unlock a vault whose lock is not immutable yet."""
    vault = vault_named(here.backup, asked["BackupVaultName"])
    if vault.get("LockDate") and vault["LockDate"] <= here.now:
        raise Refused("InvalidRequestException", "Vault Lock configuration is immutable")
    for member in ("MinRetentionDays", "MaxRetentionDays", "LockDate"):
        vault.pop(member, None)
    vault["Locked"] = False
    return {}


def put_backup_vault_access_policy(here: Here, asked: Params) -> Record:
    """Set the access policy of a vault."""
    vault_named(here.backup, asked["BackupVaultName"])
    here.backup.policies[asked["BackupVaultName"]] = asked["Policy"]
    return {}


def get_backup_vault_access_policy(here: Here, asked: Params) -> Record:
    """Give the access policy of a vault; ResourceNotFoundException when it has none."""
    vault = vault_named(here.backup, asked["BackupVaultName"])
    name = vault["BackupVaultName"]
    if name not in here.backup.policies:
        raise Refused("ResourceNotFoundException", f"No access policy is attached to vault {name}")
    return {
        "BackupVaultName": name,
        "BackupVaultArn": vault["BackupVaultArn"],
        "Policy": here.backup.policies[name],
    }


def delete_backup_vault_access_policy(here: Here, asked: Params) -> Record:
    """Take the access policy of a vault away."""
    vault_named(here.backup, asked["BackupVaultName"])
    here.backup.policies.pop(asked["BackupVaultName"], None)
    return {}


def put_backup_vault_notifications(here: Here, asked: Params) -> Record:
    """Let a vault tell a topic of some events."""
    vault_named(here.backup, asked["BackupVaultName"])
    here.backup.notifications[asked["BackupVaultName"]] = {
        "SNSTopicArn": asked["SNSTopicArn"],
        "BackupVaultEvents": list(asked["BackupVaultEvents"]),
    }
    return {}


def get_backup_vault_notifications(here: Here, asked: Params) -> Record:
    """Say whom a vault tells of which events; ResourceNotFoundException when it tells nobody."""
    vault = vault_named(here.backup, asked["BackupVaultName"])
    told = here.backup.notifications.get(vault["BackupVaultName"])
    if told is None:
        raise Refused("ResourceNotFoundException", "No notifications are configured for this vault")
    return {
        "BackupVaultName": vault["BackupVaultName"],
        "BackupVaultArn": vault["BackupVaultArn"],
        **told,
    }


def delete_backup_vault_notifications(here: Here, asked: Params) -> Record:
    """Let a vault tell nobody any more."""
    vault_named(here.backup, asked["BackupVaultName"])
    here.backup.notifications.pop(asked["BackupVaultName"], None)
    return {}


def list_protected_resources(here: Here, asked: Params) -> Record:
    """List what has a recovery point, with its latest backup; copies do not count as backups."""
    latest: dict[str, Record] = {}
    for point in here.backup.points.values():
        before = latest.get(point["ResourceArn"])
        if "SourceBackupVaultArn" not in point and (
            before is None or point["CreationDate"] >= before["CreationDate"]
        ):
            latest[point["ResourceArn"]] = point
    rows = [
        {
            "ResourceArn": arn,
            "ResourceType": point["ResourceType"],
            "ResourceName": point["ResourceName"],
            "LastBackupTime": point["CreationDate"],
            "LastBackupVaultArn": point["BackupVaultArn"],
            "LastRecoveryPointArn": point["RecoveryPointArn"],
        }
        for arn, point in sorted(latest.items())
    ]
    return page("backup", "ListProtectedResources", asked, rows)


def describe_protected_resource(here: Here, asked: Params) -> Record:
    """Describe one protected resource."""
    for row in list_protected_resources(here, {})["Results"]:
        if row["ResourceArn"] == asked["ResourceArn"]:
            return only("backup", "DescribeProtectedResourceOutput", row)
    raise Refused("ResourceNotFoundException", f"{asked['ResourceArn']} is not protected")


def describe_region_settings(here: Here, asked: Params) -> Record:  # noqa: ARG001 - it has no parameters
    """Say which services are opted in to AWS Backup in the region."""
    return {
        "ResourceTypeOptInPreference": dict(here.backup.opted_in),
        "ResourceTypeManagementPreference": {"S3": True},
    }


def update_region_settings(here: Here, asked: Params) -> Record:
    """Opt services in or out."""
    here.backup.opted_in |= asked.get("ResourceTypeOptInPreference") or {}
    return {}


def list_tags(here: Here, asked: Params) -> Record:
    """Give the tags of a vault, a plan or a recovery point."""
    arn = asked["ResourceArn"]
    if arn not in here.backup.tags:
        raise Refused("ResourceNotFoundException", f"{arn} does not exist")
    return {"Tags": dict(sorted(here.backup.tags[arn].items()))}


def tag_resource(here: Here, asked: Params) -> Record:
    """Tag a vault, a plan or a recovery point."""
    list_tags(here, asked)
    here.backup.tags[asked["ResourceArn"]] |= asked["Tags"]
    return {}


def untag_resource(here: Here, asked: Params) -> Record:
    """Take tags away."""
    list_tags(here, asked)
    for key in asked["TagKeyList"]:
        here.backup.tags[asked["ResourceArn"]].pop(key, None)
    return {}
