"""The smallest call of each action on AWS Backup, and on the keys that its vaults name."""

from __future__ import annotations

from auditor.sources.ask import need
from auditor.sources.probes import Probe, Spot
from auditor.sources.probes_calls import Answer, Params, asking, first, given, has

_BACKUP, _KMS = ("aws_backup",), ("aws_kms",)


def _list(
    operation: str, key: str, after: str = "", params: dict[str, str] | None = None, **names: str
) -> Probe:
    """Return a listing of AWS Backup."""
    action = f"backup:{''.join(word.capitalize() for word in operation.split('_'))}"
    named = given(**(params or {}))

    def asked(spot: Spot) -> Params | None:
        found = named(spot)
        return None if found is None else {"MaxResults": 1, **found}

    call = asking("backup", operation, asked, first(key, **names))
    return Probe(action, _BACKUP, call, (after,) if after else (), regional=True)


_VAULTS, _PLANS, _SELECTIONS = (
    "backup:ListBackupVaults",
    "backup:ListBackupPlans",
    "backup:ListBackupSelections",
)
_GONE = ("ResourceNotFoundException",)
_OF_BACKUP = (
    Probe(
        "backup:DescribeRegionSettings",
        _BACKUP,
        asking("backup", "describe_region_settings", tell=has("ResourceTypeOptInPreference")),
        regional=True,
    ),
    _list(
        "list_backup_vaults",
        "BackupVaultList",
        vault="BackupVaultName",
        vault_arn="BackupVaultArn",
        key_arn="EncryptionKeyArn",
    ),
    _list("list_backup_plans", "BackupPlansList", plan="BackupPlanId"),
    _list("list_backup_jobs", "BackupJobs"),
    _list("list_copy_jobs", "CopyJobs"),
    _list("list_restore_jobs", "RestoreJobs"),
    _list("list_protected_resources", "Results"),
    _list("list_frameworks", "Frameworks"),
    _list("list_report_plans", "ReportPlans"),
    _list(
        "list_recovery_points_by_backup_vault",
        "RecoveryPoints",
        _VAULTS,
        {"BackupVaultName": "vault"},
        point="RecoveryPointArn",
    ),
    _list(
        "list_backup_selections",
        "BackupSelectionsList",
        _PLANS,
        {"BackupPlanId": "plan"},
        selection="SelectionId",
    ),
    Probe(
        "backup:GetBackupPlan",
        _BACKUP,
        asking("backup", "get_backup_plan", given(BackupPlanId="plan"), has("BackupPlan")),
        (_PLANS,),
        regional=True,
    ),
    Probe(
        "backup:GetBackupSelection",
        _BACKUP,
        asking(
            "backup",
            "get_backup_selection",
            given(BackupPlanId="plan", SelectionId="selection"),
            has("BackupSelection"),
        ),
        (_PLANS, _SELECTIONS),
        regional=True,
    ),
    *(
        Probe(
            f"backup:{action}",
            _BACKUP,
            asking("backup", operation, given(BackupVaultName="vault"), has(key), absent=_GONE),
            (_VAULTS,),
            regional=True,
        )
        for action, operation, key in (
            ("GetBackupVaultAccessPolicy", "get_backup_vault_access_policy", "Policy"),
            ("GetBackupVaultNotifications", "get_backup_vault_notifications", "SNSTopicArn"),
        )
    ),
    Probe(
        "backup:ListTags",
        _BACKUP,
        asking("backup", "list_tags", given(ResourceArn="vault_arn"), has("Tags")),
        (_VAULTS,),
        regional=True,
    ),
)


def _own_key(spot: Spot) -> Params | None:
    """Return a key of this account that a vault names."""
    arn = str(spot.get("key_arn") or "")
    return {"KeyId": arn} if f":{spot.account}:" in arn else None


def _customers_key(spot: Spot) -> Params | None:
    return _own_key(spot) if spot.get("manager") == "CUSTOMER" else None


def _rotating_key(spot: Spot) -> Params | None:
    return _customers_key(spot) if spot.get("spec") == "SYMMETRIC_DEFAULT" else None


def _described(answer: Answer) -> Answer:
    said = need(answer, "KeyMetadata")
    return {"manager": said.get("KeyManager"), "spec": said.get("KeySpec")}


_DESCRIBE = "kms:DescribeKey"
_OF_KMS = (
    Probe(_DESCRIBE, _KMS, asking("kms", "describe_key", _own_key, _described), (_VAULTS,), regional=True),
    Probe(
        "kms:GetKeyPolicy",
        _KMS,
        asking("kms", "get_key_policy", _customers_key, has("Policy")),
        (_VAULTS, _DESCRIBE),
        regional=True,
    ),
    Probe(
        "kms:GetKeyRotationStatus",
        _KMS,
        asking("kms", "get_key_rotation_status", _rotating_key, has("KeyRotationEnabled")),
        (_VAULTS, _DESCRIBE),
        regional=True,
    ),
)
PROBES = (*_OF_BACKUP, *_OF_KMS)
