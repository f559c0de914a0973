"""The emulated AWS Backup, asked through boto3."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sandbox_aws_clients import FAR, A, B, R, client

from auditor.sandbox.aws import AwsCloud
from auditor.sandbox.aws.judge import Lie

NOW = datetime(2026, 3, 30, 6, tzinfo=UTC)
BUCKET = "arn:aws:s3:::exports"


@pytest.fixture
def cloud() -> Iterator[AwsCloud]:
    cloud = AwsCloud()
    cloud.clock(NOW)
    cloud.start()
    yield cloud
    cloud.stop()


@pytest.fixture
def vault(cloud: AwsCloud) -> str:
    return cloud.put_vault(A, R, "hipaa", at=NOW - timedelta(days=90))


def point(cloud: AwsCloud, vault: str, at: datetime = NOW, resource: str = BUCKET, **more: Any) -> str:
    given = {"initiated_at": at, "created_at": at, "completed_at": at, "bytes": 10, **more}
    return cloud.put_point(vault, resource, **given)


def every(pages: Any, key: str) -> list[dict[str, Any]]:
    return [row for page in pages for row in page[key]]


def test_a_planted_lie_is_refused_by_the_reply_and_again_when_the_cloud_stops() -> None:
    cloud = AwsCloud()
    cloud.clock(NOW)
    cloud.start()
    arn = point(cloud, cloud.put_vault(A, R, "hipaa", at=NOW))
    cloud.books.backup_of(A, R).points[arn]["Status"] = "DONE"
    backup = client(cloud, "backup")
    with pytest.raises(ClientError, match="DONE"):
        backup.list_recovery_points_by_backup_vault(BackupVaultName="hipaa")
    with pytest.raises(Lie, match="ListRecoveryPointsByBackupVault"):
        cloud.stop()


def test_seeding_what_aws_could_never_hold_is_refused_at_once(cloud: AwsCloud, vault: str) -> None:
    with pytest.raises(Lie, match="DONE"):
        point(cloud, vault, status="DONE")
    with pytest.raises(Lie, match="State"):
        cloud.put_backup_job(A, R, vault_arn=vault, resource_arn=BUCKET, state="OK", created_at=NOW)
    with pytest.raises(TypeError, match="no setting"):
        cloud.set_vault(vault, colour="red")


@pytest.mark.parametrize(
    "status", ["COMPLETED", "PARTIAL", "DELETING", "EXPIRED", "AVAILABLE", "STOPPED", "CREATING"]
)
def test_every_status_of_a_recovery_point_comes_back(cloud: AwsCloud, vault: str, status: str) -> None:
    arn = point(
        cloud, vault, status=status, message="why", completed_at=None if status == "CREATING" else NOW
    )
    backup = client(cloud, "backup")
    [listed] = backup.list_recovery_points_by_backup_vault(BackupVaultName="hipaa")["RecoveryPoints"]
    described = backup.describe_recovery_point(BackupVaultName="hipaa", RecoveryPointArn=arn)
    assert listed["Status"] == described["Status"] == status
    assert listed["StatusMessage"] == "why"
    assert ("CompletionDate" in listed) == (status != "CREATING")


def test_kinds_of_recovery_points_are_told_by_their_arns_and_parents(cloud: AwsCloud, vault: str) -> None:
    periodic = point(cloud, vault)
    continuous = point(cloud, vault, continuous=True)
    parent = point(
        cloud, vault, resource="arn:aws:cloudformation:eu-west-1:111111111111:stack/s", is_parent=True
    )
    child = point(cloud, vault, NOW + timedelta(1), parent_arn=parent)
    rows = client(cloud, "backup").list_recovery_points_by_backup_vault(BackupVaultName="hipaa")
    found = {row["RecoveryPointArn"]: row for row in rows["RecoveryPoints"]}
    assert ":recovery-point:exports-20260330060000-" in periodic
    assert ":recovery-point:continuous:exports-" in continuous
    assert ":recovery-point:composite:" in parent
    assert found[parent]["IsParent"]
    assert found[child]["ParentRecoveryPointArn"] == parent


def test_lifecycle_says_when_a_point_goes_and_stays_silent_when_none_was_given(
    cloud: AwsCloud, vault: str
) -> None:
    kept = point(cloud, vault, delete_after_d=35)
    for_ever = point(cloud, vault, NOW + timedelta(1), delete_after_d=-1)
    none = point(cloud, vault, NOW + timedelta(2))
    copied = point(cloud, vault, NOW + timedelta(3), delete_after_d=7, deletes_after_copy=True)
    rows = client(cloud, "backup").list_recovery_points_by_backup_vault(BackupVaultName="hipaa")
    found = {row["RecoveryPointArn"]: row for row in rows["RecoveryPoints"]}
    assert found[kept]["CalculatedLifecycle"]["DeleteAt"] == NOW + timedelta(days=35)
    assert found[for_ever]["Lifecycle"] == {"DeleteAfterDays": -1}
    assert "CalculatedLifecycle" not in found[for_ever]
    assert "Lifecycle" not in found[none]
    assert found[copied]["Lifecycle"]["DeleteAfterEvent"] == "DELETE_AFTER_COPY"


def test_points_come_over_several_pages_filtered_each_exactly_once(cloud: AwsCloud, vault: str) -> None:
    arns = {point(cloud, vault, NOW - timedelta(hours=n)) for n in range(25)}
    other = point(cloud, vault, NOW, resource="arn:aws:dynamodb:eu-west-1:111111111111:table/t")
    listing = client(cloud, "backup").get_paginator("list_recovery_points_by_backup_vault")
    pages = list(
        listing.paginate(BackupVaultName="hipaa", ByResourceType="S3", PaginationConfig={"PageSize": 10})
    )
    sizes = [len(page["RecoveryPoints"]) for page in pages]
    rows = every(pages, "RecoveryPoints")
    assert sizes == [10, 10, 5]
    assert {row["RecoveryPointArn"] for row in rows} == arns
    assert other not in arns
    assert [row["CreationDate"] for row in rows] == sorted(
        (row["CreationDate"] for row in rows), reverse=True
    )
    since = client(cloud, "backup").list_recovery_points_by_backup_vault(
        BackupVaultName="hipaa", ByCreatedAfter=NOW - timedelta(hours=3)
    )
    assert len(since["RecoveryPoints"]) == 4


def test_a_token_aws_never_gave_is_refused(cloud: AwsCloud, vault: str) -> None:
    with pytest.raises(ClientError, match="InvalidParameterValueException"):
        client(cloud, "backup").list_backup_vaults(NextToken="nonsense")


def test_points_of_one_resource_spell_their_size_otherwise(cloud: AwsCloud, vault: str) -> None:
    point(cloud, vault)
    [row] = client(cloud, "backup").list_recovery_points_by_resource(ResourceArn=BUCKET)["RecoveryPoints"]
    assert row["BackupSizeBytes"] == 10


def test_jobs_older_than_thirty_days_are_no_longer_listed(cloud: AwsCloud, vault: str) -> None:
    for days in (1, 29, 31):
        cloud.put_backup_job(
            A,
            R,
            vault_arn=vault,
            resource_arn=BUCKET,
            state="COMPLETED",
            created_at=NOW - timedelta(days=days),
        )
    assert len(client(cloud, "backup").list_backup_jobs()["BackupJobs"]) == 2
    cloud.clock(NOW + timedelta(days=20))
    assert len(client(cloud, "backup").list_backup_jobs()["BackupJobs"]) == 1


def test_a_job_completed_with_issues_says_so_in_its_category_alone(cloud: AwsCloud, vault: str) -> None:
    for hour, category in enumerate([None, "AGGREGATE_ALL"]):
        cloud.put_backup_job(
            A,
            R,
            vault_arn=vault,
            resource_arn=BUCKET,
            state="COMPLETED",
            category=category,
            message="completed with issues" if category else None,
            created_at=NOW - timedelta(hours=hour),
        )
    rows = client(cloud, "backup").list_backup_jobs(ByState="COMPLETED")["BackupJobs"]
    assert [(row["MessageCategory"], row.get("StatusMessage")) for row in rows] == [
        ("SUCCESS", None),
        ("AGGREGATE_ALL", "completed with issues"),
    ]


def test_jobs_of_all_three_kinds_page_and_filter(cloud: AwsCloud, vault: str) -> None:
    far = cloud.put_vault(B, FAR, "dr", at=NOW)
    source = point(cloud, vault)
    for n in range(5):
        at = NOW - timedelta(hours=n)
        state = "FAILED" if n == 4 else "COMPLETED"
        cloud.put_backup_job(A, R, vault_arn=vault, resource_arn=BUCKET, state=state, created_at=at)
        cloud.put_copy_job(
            A,
            R,
            source_vault_arn=vault,
            source_point_arn=source,
            dest_vault_arn=far,
            resource_arn=BUCKET,
            state=state,
            created_at=at,
        )
        cloud.put_restore_job(A, R, point_arn=source, resource_arn=BUCKET, state=state, created_at=at)
    backup = client(cloud, "backup")
    for operation, key in (
        ("list_backup_jobs", "BackupJobs"),
        ("list_copy_jobs", "CopyJobs"),
        ("list_restore_jobs", "RestoreJobs"),
    ):
        pages = list(backup.get_paginator(operation).paginate(PaginationConfig={"PageSize": 2}))
        assert [len(page[key]) for page in pages] == [2, 2, 1]
        ids = [next(v for k, v in row.items() if k.endswith("JobId")) for row in every(pages, key)]
        assert len(set(ids)) == 5
    assert len(backup.list_copy_jobs(ByState="FAILED", ByDestinationVaultArn=far)["CopyJobs"]) == 1
    assert len(backup.list_restore_jobs(ByStatus="FAILED")["RestoreJobs"]) == 1


def test_selections_round_trip_over_pages_and_go_when_dropped(cloud: AwsCloud, vault: str) -> None:
    plan = cloud.put_plan(A, R, "daily", at=NOW, rules=[{"RuleName": "d", "TargetBackupVaultName": "hipaa"}])
    condition = {"StringEquals": [{"ConditionKey": "aws:ResourceTag/zone", "ConditionValue": "phi"}]}
    ids = [
        cloud.put_selection(
            plan,
            f"s{n}",
            at=NOW,
            role="arn:aws:iam::111111111111:role/b",
            resources=["arn:aws:s3:::exports-*"],
            not_resources=["arn:aws:s3:::exports-tmp"],
            list_of_tags=[{"ConditionType": "STRINGEQUALS", "ConditionKey": "k", "ConditionValue": "v"}],
            conditions=condition,
        )
        for n in range(3)
    ]
    backup = client(cloud, "backup")
    pages = backup.get_paginator("list_backup_selections").paginate(
        BackupPlanId=plan, PaginationConfig={"PageSize": 2}
    )
    assert [row["SelectionId"] for row in every(pages, "BackupSelectionsList")] == ids
    got = backup.get_backup_selection(BackupPlanId=plan, SelectionId=ids[0])["BackupSelection"]
    assert got["Conditions"]["StringEquals"] == condition["StringEquals"]
    assert got["NotResources"] == ["arn:aws:s3:::exports-tmp"]
    assert got["ListOfTags"][0]["ConditionValue"] == "v"
    cloud.set_selection(ids[0], resources=["arn:aws:s3:::only"])
    cloud.drop_selection(ids[1])
    got = backup.get_backup_selection(BackupPlanId=plan, SelectionId=ids[0])["BackupSelection"]
    assert got["Resources"] == ["arn:aws:s3:::only"]
    assert len(backup.list_backup_selections(BackupPlanId=plan)["BackupSelectionsList"]) == 2


def test_a_plan_tells_its_next_runs_from_the_clock_and_a_new_version_when_it_changes(cloud: AwsCloud) -> None:
    rules = [
        {
            "RuleName": "nightly",
            "TargetBackupVaultName": "hipaa",
            "ScheduleExpression": "cron(30 1 ? * * *)",
            "ScheduleExpressionTimezone": "Europe/Berlin",
            "EnableContinuousBackup": True,
        }
    ]
    plan = cloud.put_plan(A, R, "daily", at=NOW, rules=rules)
    backup = client(cloud, "backup")
    before = backup.get_backup_plan(BackupPlanId=plan, MaxScheduledRunsPreview=2)
    assert [run["ExecutionTime"] for run in before["ScheduledRunsPreview"]] == [
        datetime(2026, 3, 30, 23, 30, tzinfo=UTC),
        datetime(2026, 3, 31, 23, 30, tzinfo=UTC),
    ]
    assert before["ScheduledRunsPreview"][0]["RuleExecutionType"] == "CONTINUOUS_AND_SNAPSHOTS"
    assert before["BackupPlan"]["Rules"][0]["StartWindowMinutes"] == 480
    cloud.set_plan(plan, rules=[{**rules[0], "Lifecycle": {"DeleteAfterDays": 7}}])
    after = backup.get_backup_plan(BackupPlanId=plan)
    assert after["VersionId"] != before["VersionId"]
    assert after["BackupPlan"]["Rules"][0]["RuleId"] == before["BackupPlan"]["Rules"][0]["RuleId"]
    assert "ScheduledRunsPreview" not in after
    backup.update_backup_plan(BackupPlanId=plan, BackupPlan={"BackupPlanName": "daily", "Rules": rules[:1]})
    assert backup.list_backup_plans()["BackupPlansList"][0]["BackupPlanName"] == "daily"


def test_vaults_tell_their_lock_policy_and_how_much_they_hold(cloud: AwsCloud, vault: str) -> None:
    locked = NOW + timedelta(days=3)
    cloud.set_vault(vault, lock={"min_d": 30, "max_d": 400, "lock_date": locked}, policy='{"Statement": []}')
    cloud.put_vault(A, R, "plain", at=NOW, type="LOGICALLY_AIR_GAPPED_BACKUP_VAULT", lock={"min_d": 7})
    point(cloud, vault)
    backup = client(cloud, "backup")
    described = backup.describe_backup_vault(BackupVaultName="hipaa")
    assert (described["Locked"], described["MinRetentionDays"], described["MaxRetentionDays"]) == (
        True,
        30,
        400,
    )
    assert (described["LockDate"], described["NumberOfRecoveryPoints"]) == (locked, 1)
    assert (described["VaultType"], described["VaultState"]) == ("BACKUP_VAULT", "AVAILABLE")
    pages = backup.get_paginator("list_backup_vaults").paginate(PaginationConfig={"PageSize": 1})
    rows = every(pages, "BackupVaultList")
    assert [row["BackupVaultName"] for row in rows] == ["hipaa", "plain"]
    assert "LockDate" not in rows[1]
    assert backup.get_backup_vault_access_policy(BackupVaultName="hipaa")["Policy"] == '{"Statement": []}'
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        backup.get_backup_vault_access_policy(BackupVaultName="plain")


def test_a_started_copy_lands_in_the_other_account_and_a_continuous_one_is_refused(
    cloud: AwsCloud, vault: str
) -> None:
    far = cloud.put_vault(B, FAR, "dr", at=NOW)
    role = "arn:aws:iam::111111111111:role/b"
    backup = client(cloud, "backup")
    started = backup.start_backup_job(BackupVaultName="hipaa", ResourceArn=BUCKET, IamRoleArn=role)
    asked = {"SourceBackupVaultName": "hipaa", "DestinationBackupVaultArn": far, "IamRoleArn": role}
    backup.start_copy_job(RecoveryPointArn=started["RecoveryPointArn"], **asked)
    [copy] = client(cloud, "backup", B, FAR).list_recovery_points_by_backup_vault(BackupVaultName="dr")[
        "RecoveryPoints"
    ]
    assert copy["SourceBackupVaultArn"] == vault
    with pytest.raises(ClientError, match="Continuous"):
        backup.start_copy_job(RecoveryPointArn=point(cloud, vault, continuous=True), **asked)
    job = backup.start_restore_job(
        RecoveryPointArn=started["RecoveryPointArn"],
        Metadata={"DestinationBucketName": "restored"},
        IamRoleArn=role,
    )["RestoreJobId"]
    assert backup.describe_restore_job(RestoreJobId=job)["CreatedResourceArn"] == "arn:aws:s3:::restored"


def test_protected_resources_tags_and_the_regions_opt_in_are_told(cloud: AwsCloud, vault: str) -> None:
    arn = point(cloud, vault, tags={"retention": "1y"})
    point(cloud, vault, NOW + timedelta(days=1), source_vault_arn=vault)
    backup = client(cloud, "backup")
    [row] = backup.list_protected_resources()["Results"]
    assert (row["ResourceArn"], row["LastBackupTime"]) == (BUCKET, NOW)
    assert backup.list_tags(ResourceArn=arn)["Tags"] == {"retention": "1y"}
    tagged = client(cloud, "resourcegroupstaggingapi").get_resources(
        ResourceTypeFilters=["backup:recovery-point"]
    )
    assert [row["ResourceARN"] for row in tagged["ResourceTagMappingList"]] == [arn]
    assert backup.describe_region_settings()["ResourceTypeOptInPreference"]["S3"] is True
    cloud.set_region(A, R, s3_opt_in=False)
    assert backup.describe_region_settings()["ResourceTypeOptInPreference"]["S3"] is False


def test_an_operation_the_sandbox_lacks_is_refused_loudly(cloud: AwsCloud) -> None:
    with pytest.raises(ClientError, match="NotImplemented"):
        client(cloud, "backup").list_legal_holds()
