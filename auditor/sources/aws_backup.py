"""AWS Backup: plans, selections, vaults, recovery points, jobs, what is protected, region settings.

Calls per account and region, with K plans, S selections, V vaults and 1,000 items a page:
1 (plans) + 2 K (plan, its selections) + S (selection) + 1 (vaults) + V (access policy)
+ sum over vaults of max(1, points / 1,000) + 3 (backup, copy and restore jobs) + 1 (protected)
+ 1 (region settings). Listings add a page per 1,000 items; tags of recovery points, when wanted,
a call each.

AWS keeps jobs for 30 days (API reference, ListBackupJobs): what a window asks of an older time
is out of reach, unless an earlier scan has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from auditor.canonical import canonical
from auditor.model import Gap, Row, Seen
from auditor.sources.ask import Ask, Malformed, Suspect, gap, guard, listed, need, pages

TABLES = (
    "backup_plan",
    "backup_plan_rule",
    "backup_selection",
    "backup_vault",
    "backup_recovery_point",
    "backup_job",
    "backup_copy_job",
    "backup_restore_job",
    "backup_protected",
    "backup_region",
)
AFTER: tuple[str, ...] = ()
ACTIONS = (
    "backup:DescribeRegionSettings",
    "backup:GetBackupPlan",
    "backup:GetBackupSelection",
    "backup:GetBackupVaultAccessPolicy",
    "backup:ListBackupJobs",
    "backup:ListBackupPlans",
    "backup:ListBackupSelections",
    "backup:ListBackupVaults",
    "backup:ListCopyJobs",
    "backup:ListProtectedResources",
    "backup:ListRecoveryPointsByBackupVault",
    "backup:ListRestoreJobs",
    "backup:ListTags",
)
KEPT = timedelta(days=30)
"""How long AWS Backup keeps jobs."""

_PAGE = {"PageSize": 1000}
_Yield = Iterator[Row | Seen | Gap]


@dataclass(frozen=True, slots=True)
class Settings:
    """How AWS Backup is read."""

    workers: int = 4
    """Calls at once: the service's rates are low and not raisable by us."""
    overlap_d: int = 8
    """Days before the window for which jobs are asked again: a job may take a week to end."""
    point_tags: bool = False
    """Ask for the tags of each recovery point, a call each."""
    next_runs: int = 10
    """Scheduled runs asked ahead, for due times; AWS gives at most 10."""


@dataclass(frozen=True, slots=True)
class _Place:
    """One account and region, and its client."""

    ask: Ask
    account: str
    region: str

    @property
    def client(self) -> Any:
        return self.ask.clients.aws("backup", self.account, self.region)

    def seen(self, table: str, resource: str = "*") -> Seen:
        return Seen(table, self.account, self.region, resource)

    def row(self, table: str, **values: Any) -> Row:
        return Row(table, {"account": self.account, "region": self.region, **values})


def collect(ask: Ask) -> _Yield:
    """Read every account and region; each vault, plan and listing fails on its own."""
    places = [
        _Place(ask, account, region) for account in ask.accounts("aws") for region in ask.regions(account)
    ]
    vaults: list[tuple[_Place, str, str]] = []
    first: list[Callable[[], _Yield]] = []
    for place in places:
        first += [
            partial(_vaults, place, vaults),
            partial(_plans, place),
            *(partial(_jobs, place, kind) for kind in _JOBS),
            partial(_protected, place),
            partial(_region, place),
        ]
    yield from ask.merged(ask.settings.workers, first)
    yield from ask.merged(
        ask.settings.workers, [partial(_vault_points, *vault) for vault in sorted(vaults, key=_arn)]
    )


def _arn(vault: tuple[_Place, str, str]) -> str:
    return vault[2]


# Plans and selections.


def _plans(place: _Place) -> _Yield:
    below = (place.seen("backup_plan_rule"), place.seen("backup_selection"))
    plans: list[Mapping[str, Any]] = []
    with guard(place.seen("backup_plan"), also=below) as read:
        for page in pages(place.client, "list_backup_plans", "BackupPlansList", PaginationConfig=_PAGE):
            plans += map(_named("BackupPlanArn", "BackupPlanId"), page)
    yield from read
    whole = read.ok
    for plan in plans:
        arn = str(plan["BackupPlanArn"])
        for found in (*_plan(place, plan, arn), *_selections(place, plan, arn)):
            whole = whole and not isinstance(found, Gap)
            yield found
    if whole:
        yield from below


def _plan(place: _Place, plan: Mapping[str, Any], arn: str) -> _Yield:
    plan_id = plan["BackupPlanId"]
    runs: list[dict[str, Any]] | None = None
    with guard(
        place.seen("backup_plan_rule", arn), also=(place.seen("backup_plan", f"{arn}#next_runs"),)
    ) as read:
        answer = place.client.get_backup_plan(
            BackupPlanId=plan_id, MaxScheduledRunsPreview=place.ask.settings.next_runs
        )
        rules = listed(_inner(answer, "BackupPlan"), "Rules")
        runs = sorted(
            (
                {"at": need(run, "ExecutionTime"), "rule_id": run.get("RuleId")}
                for run in answer.get("ScheduledRunsPreview") or ()
            ),
            key=canonical,
        )
        yield from [_rule(place, plan_id, rule) for rule in rules]
    yield place.row(
        "backup_plan",
        arn=arn,
        plan_id=plan_id,
        name=plan.get("BackupPlanName"),
        version=plan.get("VersionId"),
        next_runs=runs,
    )
    yield from read


def _named(*keys: str) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Return a check that an item has what names it; else Malformed, in its guard."""

    def checked(item: Mapping[str, Any]) -> Mapping[str, Any]:
        for key in keys:
            need(item, key)
        return item

    return checked


def _inner(answer: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = answer.get(key)
    if not isinstance(found, Mapping):
        raise Suspect(f"the answer has no {key}")
    return found


def _rule(place: _Place, plan_id: str, rule: Mapping[str, Any]) -> Row:
    copies = [
        {
            "vault_arn": need(copy, "DestinationBackupVaultArn"),
            "delete_after_d": _kept_d(copy.get("Lifecycle")),
        }
        for copy in rule.get("CopyActions") or ()
    ]
    lifecycle = rule.get("Lifecycle") or {}
    return place.row(
        "backup_plan_rule",
        plan_id=plan_id,
        rule_id=rule.get("RuleId"),
        rule_name=need(rule, "RuleName"),
        vault_name=rule.get("TargetBackupVaultName"),
        schedule=rule.get("ScheduleExpression") or "",
        timezone=rule.get("ScheduleExpressionTimezone") or "Etc/UTC",
        start_window_m=rule.get("StartWindowMinutes", 480),
        completion_window_m=rule.get("CompletionWindowMinutes", 10080),
        delete_after_d=_kept_d(lifecycle),
        cold_after_d=lifecycle.get("MoveToColdStorageAfterDays", -1),
        continuous=bool(rule.get("EnableContinuousBackup", False)),
        copies=sorted(copies, key=canonical),
        tags=rule.get("RecoveryPointTags") or {},
    )


def _kept_d(lifecycle: Mapping[str, Any] | None) -> int | None:
    """Days a plan keeps a point: -1 for ever; None when an event ends it instead of a date."""
    lifecycle = lifecycle or {}
    if "DeleteAfterDays" not in lifecycle and lifecycle.get("DeleteAfterEvent"):
        return None
    return int(lifecycle.get("DeleteAfterDays", -1))


def _selections(place: _Place, plan: Mapping[str, Any], arn: str) -> _Yield:
    plan_id = plan["BackupPlanId"]
    selections: list[Mapping[str, Any]] = []
    with guard(place.seen("backup_selection", arn)) as read:
        for page in pages(
            place.client,
            "list_backup_selections",
            "BackupSelectionsList",
            BackupPlanId=plan_id,
            PaginationConfig=_PAGE,
        ):
            selections += page
    lost = None if read.ok else read
    for selection in selections:
        one = guard(place.seen("backup_selection", arn))
        yield from _selection(place, plan_id, selection, one)
        lost = lost or (None if one.ok else one)
    yield from lost or read


def _selection(place: _Place, plan_id: str, entry: Mapping[str, Any], read: Any) -> _Yield:
    known: dict[str, Any] = {}
    with read:
        answer = place.client.get_backup_selection(
            BackupPlanId=plan_id, SelectionId=need(entry, "SelectionId")
        )
        said = _inner(answer, "BackupSelection")
        known = {
            "resources": sorted(said.get("Resources") or ()),
            "not_resources": sorted(said.get("NotResources") or ()),
            "list_of_tags": sorted(said.get("ListOfTags") or (), key=canonical),
            "conditions": {
                operator: sorted(tests, key=canonical)
                for operator, tests in (said.get("Conditions") or {}).items()
                if tests
            },
        }
    yield place.row(
        "backup_selection",
        plan_id=plan_id,
        selection_id=entry.get("SelectionId"),
        name=entry.get("SelectionName"),
        role_arn=entry.get("IamRoleArn"),
        **known,
    )


# Vaults and recovery points.


def _vaults(place: _Place, found: list[tuple[_Place, str, str]]) -> _Yield:
    vaults: list[Mapping[str, Any]] = []
    with guard(place.seen("backup_vault"), also=(place.seen("backup_recovery_point"),)) as read:
        for page in pages(place.client, "list_backup_vaults", "BackupVaultList", PaginationConfig=_PAGE):
            vaults += map(_named("BackupVaultArn", "BackupVaultName"), page)
    for vault in vaults:
        arn, name = str(vault["BackupVaultArn"]), str(vault["BackupVaultName"])
        found.append((place, name, arn))
        yield from _vault(place, vault, name, arn)
    yield from read
    if read.ok:
        # The list of vaults is whole: that no vault is missing. Each vault speaks for its points.
        yield place.seen("backup_recovery_point")


def _vault(place: _Place, vault: Mapping[str, Any], name: str, arn: str) -> _Yield:
    from botocore.exceptions import ClientError

    policy: str | None = None
    with guard(place.seen("backup_vault", f"{arn}#policy")) as read:
        try:
            answer = place.client.get_backup_vault_access_policy(BackupVaultName=name)
            policy = answer.get("Policy")
            if policy is None:
                raise Suspect("the answer has no Policy")
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            policy = "none"
    yield place.row(
        "backup_vault",
        arn=arn,
        name=name,
        type=vault.get("VaultType"),
        created_at=vault.get("CreationDate"),
        kms_key_arn=vault.get("EncryptionKeyArn") or "none",
        locked=vault.get("Locked"),
        lock_date=vault.get("LockDate"),
        min_retention_d=vault.get("MinRetentionDays", -1),
        max_retention_d=vault.get("MaxRetentionDays", -1),
        policy=policy,
        points=vault.get("NumberOfRecoveryPoints"),
    )
    if not read.ok:
        yield from read


def _vault_points(place: _Place, name: str, arn: str) -> _Yield:
    with guard(place.seen("backup_recovery_point", arn)) as read:
        for page in pages(
            place.client,
            "list_recovery_points_by_backup_vault",
            "RecoveryPoints",
            BackupVaultName=name,
            ByResourceType="S3",
            PaginationConfig=_PAGE,
        ):
            for point in page:
                row = _point(place, arn, point)
                if place.ask.settings.point_tags:
                    yield from _tagged(place, row)
                else:
                    yield row
    yield from read


def _point(place: _Place, vault_arn: str, point: Mapping[str, Any]) -> Row:
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
        source_vault_arn=point.get("SourceBackupVaultArn"),
        plan_id=made_by.get("BackupPlanId"),
        rule_id=made_by.get("BackupRuleId"),
        role_arn=point.get("IamRoleArn"),
        vault_type=point.get("VaultType"),
    )


def _tagged(place: _Place, row: Row) -> _Yield:
    arn = row.values["arn"]
    tags: dict[str, str] | None = None
    with guard(place.seen("backup_recovery_point", f"{arn}#tags")) as read:
        answer = place.client.list_tags(ResourceArn=arn, MaxResults=1000)
        tags = dict(_inner(answer, "Tags"))
    yield Row(row.table, {**row.values, "tags": tags})
    if not read.ok:
        yield from read


# Jobs.


def _jobs(place: _Place, kind: _Jobs) -> _Yield:
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
            PaginationConfig=_PAGE,
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
class _Jobs:
    """One of the three listings of jobs."""

    table: str
    operation: str
    key: str
    columns: Callable[[Mapping[str, Any]], dict[str, Any]]


_JOBS = (
    _Jobs("backup_job", "list_backup_jobs", "BackupJobs", _backup_job),
    _Jobs("backup_copy_job", "list_copy_jobs", "CopyJobs", _copy_job),
    _Jobs("backup_restore_job", "list_restore_jobs", "RestoreJobs", _restore_job),
)


# What is protected, and the region's settings.


def _protected(place: _Place) -> _Yield:
    with guard(place.seen("backup_protected")) as read:
        for page in pages(place.client, "list_protected_resources", "Results", PaginationConfig=_PAGE):
            for resource in page:
                if resource.get("ResourceType") == "S3":
                    yield place.row(
                        "backup_protected",
                        resource_arn=need(resource, "ResourceArn"),
                        last_backup_at=resource.get("LastBackupTime"),
                    )
    yield from read


def _region(place: _Place) -> _Yield:
    with guard(place.seen("backup_region")) as read:
        answer = place.client.describe_region_settings()
        yield place.row("backup_region", s3_opt_in=_inner(answer, "ResourceTypeOptInPreference").get("S3"))
    yield from read
