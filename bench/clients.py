"""Clients of one cloud, each a process of its own: the product's collection or scan, and bare boto3 making its calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cloud import ACCOUNT, NOW, REGIONS

if TYPE_CHECKING:
    from auditor.config import Config

SETTINGS = (
    "get_bucket_versioning", "get_bucket_encryption", "get_public_access_block", "get_bucket_ownership_controls",
    "get_bucket_policy", "get_bucket_logging", "get_bucket_notification_configuration",
    "get_object_lock_configuration", "get_bucket_lifecycle_configuration", "get_bucket_replication",
)  # fmt: skip


def used(which: str, endpoint: str) -> dict[str, float]:
    """Run a client in a child process; return its CPU seconds, net of its imports, and its peak memory in MB."""
    environment = os.environ | {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    command = [sys.executable, "-m", "bench.clients", which, endpoint]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _config(endpoint: str, folder: str) -> Config:
    from auditor.config import Config
    from auditor.config_sections import Account, Aws, State, Zone
    from auditor.sources import source

    names = ("aws_backup", "aws_cloudtrail", "aws_iam", "aws_kms", "aws_s3")
    return Config(
        state=State(folder),
        aws=Aws(endpoint=endpoint, regions=REGIONS, accounts=(Account(ACCOUNT, regions=REGIONS),)),
        sources={name: source(name).Settings() for name in names},
        zones=tuple(_zone(Zone, name, rank) for rank, name in enumerate(("phi", "internal"))),
    )


def _zone(form: type[Any], name: str, rank: int) -> Any:
    """Return a zone that the seeded estate satisfies, so that most of what is judged passes, as in a sound estate."""
    return form(
        policy_ref="bench", approved_by="bench", name=name, rank=rank, capture=86400, retention_d=35, copy_lag=86400,
        copy_to=(), bucket_min_d=-1, regions=REGIONS,
    )  # fmt: skip


def collected(endpoint: str) -> None:
    """Collect a whole account as a scan does."""
    from auditor.collect import collect
    from auditor.model import Window

    with tempfile.TemporaryDirectory() as folder:
        window = Window(NOW - timedelta(days=30), NOW)
        collect(_config(endpoint, folder), now=NOW, window=window, into=Path(folder))


def scanned(endpoint: str) -> None:
    """Scan: collect, join, judge by the shipped rules, record."""
    from auditor.builtin import builtin
    from auditor.ledger import Ledger
    from auditor.rulepack import load
    from auditor.scan import scan

    rules = builtin("rules")
    with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder) / "ledger.sqlite3") as ledger:
        scan(_config(endpoint, folder), ledger, load([rules], [rules / "frameworks"]), now=NOW)


def bare(endpoint: str) -> None:
    """Make the same calls with boto3 and drop the answers."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError

    how = Config(max_pool_connections=16, retries={"mode": "standard", "total_max_attempts": 4})
    session = boto3.Session(region_name=REGIONS[0])

    def client(service: str, region: str = "us-east-1") -> Any:
        return session.client(service, region_name=region, endpoint_url=endpoint, config=how)

    def every(made: Any, operation: str, **given: Any) -> list[dict[str, Any]]:
        return list(made.get_paginator(operation).paginate(**given))

    client("sts").get_caller_identity()
    iam = client("iam")
    every(iam, "get_account_authorization_details", PaginationConfig={"PageSize": 1000})
    every(iam, "list_roles", PaginationConfig={"PageSize": 1000})
    iam.list_open_id_connect_providers()
    iam.list_saml_providers()
    s3 = {region: client("s3", region) for region in REGIONS}
    listed = s3[REGIONS[0]].list_buckets(MaxBuckets=10000)["Buckets"]

    def setting(asked: tuple[str, dict[str, Any]]) -> None:
        operation, bucket = asked
        with suppress(ClientError):  # not set
            getattr(s3[bucket["BucketRegion"]], operation)(Bucket=bucket["Name"])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(setting, [(operation, bucket) for bucket in listed for operation in SETTINGS]))
    for region in REGIONS:
        every(client("resourcegroupstaggingapi", region), "get_resources", ResourceTypeFilters=["s3"])
        client("cloudtrail", region).describe_trails(includeShadowTrails=False)
        _backup(client("backup", region), every)
        for alias in ("alias/aws/s3", "alias/aws/backup"):
            client("kms", region).describe_key(KeyId=alias)


def _backup(backup: Any, every: Any) -> None:
    from botocore.exceptions import ClientError

    since = NOW - timedelta(days=30)
    for page in every(backup, "list_backup_plans", PaginationConfig={"PageSize": 1000}):
        for plan in page["BackupPlansList"]:
            backup.get_backup_plan(BackupPlanId=plan["BackupPlanId"], MaxScheduledRunsPreview=10)
            for found in every(backup, "list_backup_selections", BackupPlanId=plan["BackupPlanId"]):
                for one in found["BackupSelectionsList"]:
                    backup.get_backup_selection(
                        BackupPlanId=plan["BackupPlanId"], SelectionId=one["SelectionId"]
                    )
    for page in every(backup, "list_backup_vaults", PaginationConfig={"PageSize": 1000}):
        for vault in page["BackupVaultList"]:
            name = vault["BackupVaultName"]
            every(backup, "list_recovery_points_by_backup_vault", BackupVaultName=name, ByResourceType="S3",
                  PaginationConfig={"PageSize": 1000})  # fmt: skip
            with suppress(ClientError):  # none
                backup.get_backup_vault_access_policy(BackupVaultName=name)
            with suppress(ClientError):  # none
                backup.get_backup_vault_notifications(BackupVaultName=name)
    for operation in ("list_backup_jobs", "list_copy_jobs", "list_restore_jobs"):
        every(backup, operation, ByResourceType="S3", ByCreatedAfter=since)
    every(backup, "list_protected_resources", PaginationConfig={"PageSize": 1000})
    backup.list_report_plans(MaxResults=1000)
    backup.list_frameworks(MaxResults=1000)
    backup.describe_region_settings()


def main(which: str, endpoint: str) -> None:
    """Import first, so that what is measured is the work."""
    import resource

    import boto3  # noqa: F401

    import auditor.collect  # noqa: F401

    def seconds() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    before = seconds()
    {"collected": collected, "scanned": scanned, "bare": bare}[which](endpoint)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu_s": round(seconds() - before, 2), "peak_mb": round(peak)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
