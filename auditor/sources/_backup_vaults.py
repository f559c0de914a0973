"""Vaults with their policies, and the recovery points they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from auditor.model import Row, Seen
from auditor.sources._backup_spot import PAGE, Found, Spot, inner, named
from auditor.sources.ask import Suspect, guard, listed, need, pages

Vault = tuple[Spot, str, str]
"""Where a vault is, its name and its ARN."""


def vaults(place: Spot, found: list[Vault]) -> Found:
    """Read every vault of a place; `found` is told of each."""
    every: list[Mapping[str, Any]] = []
    with guard(place.seen("backup_vault"), also=(place.seen("backup_recovery_point"),)) as read:
        for page in pages(place.client, "list_backup_vaults", "BackupVaultList", PaginationConfig=PAGE):
            every += map(named("BackupVaultArn", "BackupVaultName"), page)
    for vault in every:
        arn, name = str(vault["BackupVaultArn"]), str(vault["BackupVaultName"])
        found.append((place, name, arn))
        yield from _vault(place, vault, name, arn)
    yield from read
    if read.ok:
        # The list of vaults is whole: that no vault is missing. Each vault speaks for its points.
        yield place.seen("backup_recovery_point")


def _vault(place: Spot, vault: Mapping[str, Any], name: str, arn: str) -> Found:
    policy, notifies = (
        place.seen("backup_vault", f"{arn}#policy"),
        place.seen("backup_vault", f"{arn}#notify"),
    )
    if stood := _standing(place, arn, vault):
        row, observed_at = stood
        said, topic, events = row["policy"], row["notify_topic"], row["notify_events"]
        yield _row(place, vault, said, topic, events)
        yield Seen("backup_vault", place.account, place.region, arn, observed_at=observed_at)
        return
    with guard(policy) as read_policy:
        answer = _optional(place.client.get_backup_vault_access_policy, name)
        said = "none" if answer is None else _given(answer, "Policy")
    with guard(notifies) as read_notified:
        answer = _optional(place.client.get_backup_vault_notifications, name)
        topic = "none" if answer is None else _given(answer, "SNSTopicArn")
        events = [] if answer is None else sorted(map(str, listed(answer, "BackupVaultEvents")))
    yield _row(
        place,
        vault,
        said if read_policy.ok else None,
        topic if read_notified.ok else None,
        events if read_notified.ok else None,
    )
    for read in (read_policy, read_notified):
        if not read.ok:
            yield from read


def _row(
    place: Spot, vault: Mapping[str, Any], policy: str | None, topic: str | None, events: list[str] | None
) -> Row:
    return place.row(
        "backup_vault",
        arn=str(vault["BackupVaultArn"]),
        name=str(vault["BackupVaultName"]),
        type=vault.get("VaultType"),
        created_at=vault.get("CreationDate"),
        kms_key_arn=vault.get("EncryptionKeyArn") or "none",
        locked=vault.get("Locked"),
        lock_date=vault.get("LockDate"),
        min_retention_d=vault.get("MinRetentionDays", -1),
        max_retention_d=vault.get("MaxRetentionDays", -1),
        policy=policy,
        notify_topic=topic,
        notify_events=events,
        points=vault.get("NumberOfRecoveryPoints"),
    )


def _standing(place: Spot, arn: str, vault: Mapping[str, Any]) -> tuple[Mapping[str, Any], datetime] | None:
    """Return the row that an earlier scan read of this very vault, where nothing wrote to it since."""
    stood = place.ask.standing("backup_vault", place.account, place.region, arn)
    if stood is None or len(stood.rows) != 1:
        return None
    row = stood.rows[0]
    known = all(row[name] is not None for name in ("policy", "notify_topic", "notify_events"))
    same = row["created_at"] is not None and row["created_at"] == vault.get("CreationDate")
    return (row, stood.observed_at) if known and same else None


def _optional(ask: Callable[..., Mapping[str, Any]], vault: str) -> Mapping[str, Any] | None:
    """Return a setting of a vault; None where AWS says that it has none."""
    from botocore.exceptions import ClientError

    try:
        return ask(BackupVaultName=vault)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return None


def _given(answer: Mapping[str, Any], key: str) -> str:
    if not answer.get(key):
        raise Suspect(f"the answer has no {key}")
    return str(answer[key])


def vault_points(place: Spot, name: str, arn: str) -> Found:
    """Read what a vault holds of buckets."""
    with guard(place.seen("backup_recovery_point", arn)) as read:
        for page in pages(
            place.client,
            "list_recovery_points_by_backup_vault",
            "RecoveryPoints",
            BackupVaultName=name,
            ByResourceType="S3",
            PaginationConfig=PAGE,
        ):
            for point in page:
                row = _point(place, arn, point)
                if place.ask.settings.point_tags:
                    yield from _tagged(place, row)
                else:
                    yield row
    yield from read


def _point(place: Spot, vault_arn: str, point: Mapping[str, Any]) -> Row:
    arn = str(need(point, "RecoveryPointArn"))
    lifecycle = point.get("Lifecycle") or {}
    made_by = point.get("CreatedBy") or {}
    return place.row(
        "backup_recovery_point",
        arn=arn,
        vault_arn=vault_arn,
        resource_arn=point.get("ResourceArn"),
        status=point.get("Status"),
        status_message=point.get("StatusMessage"),
        continuous=":continuous:" in arn,
        initiated_at=point.get("InitiationDate"),
        created_at=point.get("CreationDate"),
        completed_at=point.get("CompletionDate"),
        bytes=point.get("BackupSizeInBytes"),
        delete_after_d=lifecycle.get("DeleteAfterDays"),
        delete_at=(point.get("CalculatedLifecycle") or {}).get("DeleteAt"),
        deletes_after_copy=lifecycle.get("DeleteAfterEvent") == "DELETE_AFTER_COPY",
        encrypted=point.get("IsEncrypted"),
        kms_key_arn=point.get("EncryptionKeyArn"),
        key_type=point.get("EncryptionKeyType"),
        source_vault_arn=point.get("SourceBackupVaultArn"),
        plan_id=made_by.get("BackupPlanId"),
        rule_id=made_by.get("BackupRuleId"),
        role_arn=point.get("IamRoleArn"),
        vault_type=point.get("VaultType"),
    )


def _tagged(place: Spot, row: Row) -> Found:
    arn = row.values["arn"]
    tags: dict[str, str] | None = None
    with guard(place.seen("backup_recovery_point", f"{arn}#tags")) as read:
        answer = place.client.list_tags(ResourceArn=arn, MaxResults=1000)
        tags = dict(inner(answer, "Tags"))
    yield Row(row.table, {**row.values, "tags": tags})
    if not read.ok:
        yield from read
