"""Which CloudTrail events explain a change of what is watched."""

from __future__ import annotations

_BLOCK = ("PutBucketPublicAccessBlock", "DeleteBucketPublicAccessBlock")
_VAULT_LOCK = ("PutBackupVaultLockConfiguration", "DeleteBackupVaultLockConfiguration")
_ROLE = ("PutRolePolicy", "DeleteRolePolicy", "AttachRolePolicy", "DetachRolePolicy")
_FENCE = ("PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary")
_VERSION = ("CreatePolicyVersion", "SetDefaultPolicyVersion", "DeletePolicyVersion")
_SELECTION = ("CreateBackupSelection", "DeleteBackupSelection")
EVENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "aws_account": dict.fromkeys(
        ("block_public_acls", "ignore_public_acls", "block_public_policy", "restrict_public_buckets"),
        ("PutAccountPublicAccessBlock", "DeleteAccountPublicAccessBlock"),
    ),
    "s3_bucket": {
        "versioning": ("PutBucketVersioning",),
        "mfa_delete": ("PutBucketVersioning",),
        "encryption": ("PutBucketEncryption", "DeleteBucketEncryption"),
        "kms_key_arn": ("PutBucketEncryption", "DeleteBucketEncryption"),
        "block_public_acls": _BLOCK,
        "ignore_public_acls": _BLOCK,
        "block_public_policy": _BLOCK,
        "restrict_public_buckets": _BLOCK,
        "ownership": ("PutBucketOwnershipControls", "DeleteBucketOwnershipControls"),
        "policy": ("PutBucketPolicy", "DeleteBucketPolicy"),
        "logging_target": ("PutBucketLogging",),
        "eventbridge": ("PutBucketNotification", "PutBucketNotificationConfiguration"),
        "lifecycle": (
            "PutBucketLifecycle", "PutBucketLifecycleConfiguration", "DeleteBucketLifecycle",
        ),
        "replication": ("PutBucketReplication", "DeleteBucketReplication"),
        "+": ("CreateBucket",),
        "-": ("DeleteBucket",),
    },
    "iam_role": {
        "max_session_s": ("UpdateRole",),
        "trust_policy": ("UpdateAssumeRolePolicy",),
        "inline_policies": ("PutRolePolicy", "DeleteRolePolicy"),
        "attached_policies": ("AttachRolePolicy", "DetachRolePolicy"),
        "boundary_arn": _FENCE,
        "+": ("CreateRole",),
        "-": ("DeleteRole",),
    },
    "iam_policy": {
        "version": _VERSION,
        "document": _VERSION,
        "+": ("CreatePolicy",),
        "-": ("DeletePolicy",),
    },
    "iam_provider": {
        "client_ids": (
            "AddClientIDToOpenIDConnectProvider", "RemoveClientIDFromOpenIDConnectProvider",
        ),
        "thumbprints": ("UpdateOpenIDConnectProviderThumbprint",),
        "+": ("CreateOpenIDConnectProvider", "CreateSAMLProvider"),
        "-": ("DeleteOpenIDConnectProvider", "DeleteSAMLProvider"),
    },
    "cloudtrail_trail": {
        "logging": ("StartLogging", "StopLogging"),
        "multi_region": ("UpdateTrail",),
        "global_events": ("UpdateTrail",),
        "validated": ("UpdateTrail",),
        "bucket": ("UpdateTrail",),
        "management_events": ("PutEventSelectors",),
        "write_data_arns": ("PutEventSelectors",),
        "+": ("CreateTrail",),
        "-": ("DeleteTrail",),
    },
    "backup_plan": {
        "version": ("UpdateBackupPlan",),
        "+": ("CreateBackupPlan",),
        "-": ("DeleteBackupPlan",),
    },
    "backup_plan_rule": {
        "schedule": ("UpdateBackupPlan",),
        "delete_after_d": ("UpdateBackupPlan",),
        "continuous": ("UpdateBackupPlan",),
        "copies": ("UpdateBackupPlan",),
        "timezone": ("UpdateBackupPlan",),
        "vault_name": ("UpdateBackupPlan",),
        "+": ("UpdateBackupPlan", "CreateBackupPlan"),
        "-": ("UpdateBackupPlan", "DeleteBackupPlan"),
    },
    "backup_selection": {"+": ("CreateBackupSelection",), "-": ("DeleteBackupSelection",)},
    "backup_vault": {
        "locked": _VAULT_LOCK,
        "lock_date": _VAULT_LOCK,
        "min_retention_d": _VAULT_LOCK,
        "max_retention_d": _VAULT_LOCK,
        "policy": ("PutBackupVaultAccessPolicy", "DeleteBackupVaultAccessPolicy"),
        "notify_topic": ("PutBackupVaultNotifications", "DeleteBackupVaultNotifications"),
        "+": ("CreateBackupVault", "CreateLogicallyAirGappedBackupVault"),
        "-": ("DeleteBackupVault",),
    },
    "backup_region": {"s3_opt_in": ("UpdateRegionSettings",)},
}  # fmt: skip
"""CloudTrail's event names that explain a change of a column, a new row (+) or a lost one (-).
Names as AWS lists them for each service; S3 logs its notification call as PutBucketNotification."""

TOGETHER: dict[tuple[str, str], tuple[str, ...]] = {
    ("iam_role", "permissions"): (*_ROLE, *_FENCE, *_VERSION),
    ("backup_plan", "selections"): _SELECTION,
}
"""Those that explain what is told of several columns, or rows, as one."""

ELSEWHERE = {
    "config_duty": "it is set in the configuration, whose own history tells who",
    "directory_membership": "the directory's own log is not read",
    "directory_user": "the directory's own log is not read",
}
"""Why nobody is named for what changes outside the clouds."""
