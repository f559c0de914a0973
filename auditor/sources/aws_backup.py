"""AWS Backup: plans, selections, vaults, recovery points, jobs, what is protected, who audits it, region settings.

Calls per account and region, with K plans, S selections, V vaults and 1,000 items a page:
1 (plans) + 2 K (plan, its selections) + S (selection) + 1 (vaults) + 2 V (access policy, notifications)
+ sum over vaults of max(1, points / 1,000) + 3 (backup, copy and restore jobs) + 1 (protected)
+ 2 (report plans, frameworks) + 1 (region settings). Listings add a page per 1,000 items; tags of recovery
points, when wanted, a call each. Where what an earlier scan read stands: none for the settings of a vault and the selections
of a plan.

AWS keeps jobs for 30 days (API reference, ListBackupJobs): what a window asks of an older time
is out of reach, unless an earlier scan has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from auditor.sources._backup_audit import frameworks, report_plans
from auditor.sources._backup_jobs import JOBS, jobs
from auditor.sources._backup_plans import plans
from auditor.sources._backup_spot import PAGE, Found, Spot, inner
from auditor.sources._backup_vaults import Vault, vault_points, vaults
from auditor.sources.ask import Ask, guard, need, pages

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
    "backup_report_plan",
    "backup_framework",
    "backup_region",
)
AFTER = ("aws_cloudtrail",)
ACTIONS = (
    "backup:DescribeRegionSettings",
    "backup:GetBackupPlan",
    "backup:GetBackupSelection",
    "backup:GetBackupVaultAccessPolicy",
    "backup:GetBackupVaultNotifications",
    "backup:ListBackupJobs",
    "backup:ListBackupPlans",
    "backup:ListBackupSelections",
    "backup:ListBackupVaults",
    "backup:ListCopyJobs",
    "backup:ListFrameworks",
    "backup:ListProtectedResources",
    "backup:ListRecoveryPointsByBackupVault",
    "backup:ListReportPlans",
    "backup:ListRestoreJobs",
    "backup:ListTags",
)


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


def collect(ask: Ask) -> Found:
    """Read every account and region; each vault, plan and listing fails on its own."""
    places = [
        Spot(ask, account, region) for account in ask.accounts("aws") for region in ask.regions(account)
    ]
    listed: list[Vault] = []
    first: list[Callable[[], Found]] = []
    for place in places:
        first += [
            partial(vaults, place, listed),
            partial(plans, place),
            *(partial(jobs, place, kind) for kind in JOBS),
            partial(_protected, place),
            partial(report_plans, place),
            partial(frameworks, place),
            partial(_region, place),
        ]
    yield from ask.merged(ask.settings.workers, first)
    yield from ask.merged(
        ask.settings.workers, [partial(vault_points, *vault) for vault in sorted(listed, key=_arn)]
    )


def _arn(vault: Vault) -> str:
    return vault[2]


def _protected(place: Spot) -> Found:
    with guard(place.seen("backup_protected")) as read:
        for page in pages(place.client, "list_protected_resources", "Results", PaginationConfig=PAGE):
            for resource in page:
                if resource.get("ResourceType") == "S3":
                    yield place.row(
                        "backup_protected",
                        resource_arn=need(resource, "ResourceArn"),
                        last_backup_at=resource.get("LastBackupTime"),
                    )
    yield from read


def _region(place: Spot) -> Found:
    with guard(place.seen("backup_region")) as read:
        answer = place.client.describe_region_settings()
        yield place.row("backup_region", s3_opt_in=inner(answer, "ResourceTypeOptInPreference").get("S3"))
    yield from read
