"""The generated permissions hold every call of a full scan, no write, and fit what the clouds take."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auditor import collect as collecting
from auditor import config as configuration
from auditor.cli._app import sections
from auditor.config_sections import Account, Aws, Bucket
from auditor.model import Window
from auditor.permissions import MOST_CHARACTERS, Statement, parted, permissions
from auditor.permissions_forms import terraform
from auditor.sandbox.estate import Estate
from auditor.sources import NAMES, source
from auditor.sources.pages import Page, Pages
from tests.cli_case import answer, run

LEVELS = {
    "List": """
        backup:ListBackupJobs backup:ListBackupPlans backup:ListBackupSelections backup:ListBackupVaults backup:ListCopyJobs
        backup:ListFrameworks backup:ListProtectedResources backup:ListRecoveryPointsByBackupVault backup:ListReportPlans
        backup:ListRestoreJobs iam:GetAccountSummary iam:ListAccessKeys iam:ListOpenIDConnectProviders iam:ListRoles
        iam:ListSAMLProviders s3:ListAllMyBuckets s3:ListBucket s3:ListBucketVersions
    """,
    "Read": """
        backup:DescribeRegionSettings backup:GetBackupPlan backup:GetBackupSelection backup:GetBackupVaultAccessPolicy
        backup:GetBackupVaultNotifications backup:ListTags cloudtrail:DescribeTrails cloudtrail:GetEventSelectors
        cloudtrail:GetTrailStatus cloudtrail:ListPublicKeys cloudtrail:LookupEvents iam:GetAccessKeyLastUsed
        iam:GetAccountAuthorizationDetails iam:GetOpenIDConnectProvider kms:DescribeKey kms:GetKeyPolicy
        kms:GetKeyRotationStatus s3:GetAccountPublicAccessBlock s3:GetBucketLocation s3:GetBucketLogging
        s3:GetBucketNotification s3:GetBucketObjectLockConfiguration s3:GetBucketOwnershipControls s3:GetBucketPolicy
        s3:GetBucketPublicAccessBlock s3:GetBucketTagging s3:GetBucketVersioning s3:GetEncryptionConfiguration
        s3:GetInventoryConfiguration s3:GetLifecycleConfiguration s3:GetObject s3:GetObjectVersion
        s3:GetReplicationConfiguration sts:GetCallerIdentity tag:GetResources
    """,
    "Write": "kms:Decrypt sts:AssumeRole",
}
"""Column "Access level" of the Service Authorization Reference (docs.aws.amazon.com/service-authorization), read 2026-11."""
LEVEL = {action: level for level, actions in LEVELS.items() for action in actions.split()}
OPERATIONS = {
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:HeadObject": "s3:GetObject",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:GetBucketReplication": "s3:GetReplicationConfiguration",
    "s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "s3:GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:ListBucketInventoryConfigurations": "s3:GetInventoryConfiguration",
    "s3control:GetPublicAccessBlock": "s3:GetAccountPublicAccessBlock",
    "resourcegroupstaggingapi:GetResources": "tag:GetResources",
}
"""Operations whose action has another name: the same reference, tables "API operations" of each service."""
GOOGLE = {
    "JobController.ListJobs": "dataproc.jobs.list",
    "JobController.GetJob": "dataproc.jobs.get",
    "BatchController.ListBatches": "dataproc.batches.list",
    "BatchController.GetBatch": "dataproc.batches.get",
    "SessionController.ListSessions": "dataproc.sessions.list",
    "SessionController.GetSession": "dataproc.sessions.get",
    "ClusterController.ListClusters": "dataproc.clusters.list",
    "WorkflowTemplateService.ListWorkflowTemplates": "dataproc.workflowTemplates.list",
    "LoggingServiceV2.ListLogEntries": "logging.logEntries.list",
    "ConfigServiceV2.ListBuckets": "logging.buckets.list",
    "ConfigServiceV2.ListSinks": "logging.sinks.list",
    "Projects.GetProject": "resourcemanager.projects.get",
    "Projects.GetIamPolicy": "resourcemanager.projects.getIamPolicy",
    "Folders.GetFolder": "resourcemanager.folders.get",
    "Folders.GetIamPolicy": "resourcemanager.folders.getIamPolicy",
    "Organizations.GetIamPolicy": "resourcemanager.organizations.getIamPolicy",
    "IAMPolicy.GetIamPolicy": "dataproc.clusters.getIamPolicy",
    "IAM.GetIamPolicy": "iam.serviceAccounts.getIamPolicy",
    "IAM.ListServiceAccounts": "iam.serviceAccounts.list",
    "IAM.ListServiceAccountKeys": "iam.serviceAccountKeys.list",
    "IAM.ListRoles": "iam.roles.list",
    "IAM.GetRole": "iam.roles.get",
}
"""Methods and their permissions: IAM permissions reference of each service at cloud.google.com."""

Json = dict[str, Any]


def allowed(policies: list[Json], action: str, resource: str, context: Mapping[str, str]) -> bool:
    """Evaluate a request as IAM does, for policies that only allow."""
    return any(
        action in statement["Action"]
        and any(_like(pattern, resource) for pattern in _many(statement["Resource"]))
        and all(
            any(_like(pattern, context.get(key, "")) for pattern in patterns)
            for key, patterns in statement.get("Condition", {}).get("StringLike", {}).items()
        )
        for policy in policies
        for statement in policy["Statement"]
    )


def _many(said: Any) -> list[str]:
    return [said] if isinstance(said, str) else list(said)


def _like(pattern: str, text: str) -> bool:
    return bool(re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text, re.DOTALL))


def request_of(page: Page) -> tuple[str, str, dict[str, str]]:
    """Return what IAM was asked for a page: action, resource, and the keys that our conditions ask for."""
    operation = f"{page.service}:{page.operation}"
    action = OPERATIONS.get(operation, operation)
    said = json.loads(page.params) if page.params.startswith("{") else {}
    if page.operation in ("GetObject", "HeadObject") and "VersionId" in said:
        action = "s3:GetObjectVersion"
    resource = "*"
    if page.service == "s3" and "Bucket" in said:
        resource = f"arn:aws:s3:::{said['Bucket']}" + (f"/{said['Key']}" if "Key" in said else "")
    return action, resource, {"s3:prefix": said.get("Prefix", "")}


@pytest.fixture(scope="module")
def read(
    estate: Estate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, list[Page], set[tuple[str, str]]]]:
    """The configuration of the estate, every page of a full scan of it, and the operations that its AWS saw."""
    folder = tmp_path_factory.mktemp("permissions")
    config = configuration.load(estate.config(folder), sections())
    heard: list[Page] = []

    class Listening(Pages):
        def answered(self, page: Page, body: bytes) -> Page:
            heard.append(page)
            return super().answered(page, body)

        def streamed(self, page: Page) -> Page:
            heard.append(page)
            return super().streamed(page)

    before = dict(estate.aws.calls)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collecting, "Pages", Listening)
        now = estate.now(estate.weeks)
        snapshot = collecting.collect(
            config, now=now, window=Window(estate.now(1), now), into=folder / "into"
        )
    yield config, heard, {call for call, count in estate.aws.calls.items() if count > before.get(call, 0)}
    shutil.rmtree(snapshot.dir)


def test_every_call_of_a_full_scan_is_allowed_by_the_generated_policy_and_role(
    read: tuple[Any, list[Page], set[tuple[str, str]]],
) -> None:
    config, pages, seen = read
    scan = permissions(config, "scan")
    asked = {
        (action, resource, tuple(context.items()))
        for page in pages
        if page.cloud == "aws"
        for action, resource, context in [request_of(page)]
    }
    assert len(asked) > 100
    refused = [each for each in asked if not allowed(scan.policies(), each[0], each[1], dict(each[2]))]
    assert not refused, refused[:5]
    google = {f"{page.service.rpartition('.')[2]}.{page.operation}" for page in pages if page.cloud == "gcp"}
    assert google <= GOOGLE.keys()
    assert {GOOGLE[each] for each in google} <= set(scan.gcp)
    # And what was answered with an error too: only the names of those calls are known.
    named = {OPERATIONS.get(f"{service}:{name}", f"{service}:{name}") for service, name in seen}
    assert named <= {*scan.actions, "sts:AssumeRole"}
    assert len(named) > 40


def test_what_is_assumed_for_a_scan_is_in_the_policy_of_the_caller_alone(
    read: tuple[Any, list[Page], set[tuple[str, str]]],
) -> None:
    config = read[0]
    role = "arn:aws:iam::222222222222:role/auditor"
    more = replace(config, aws=Aws(accounts=(Account("222222222222", role), Account("111111111111"))))
    assert permissions(more, "caller").policies()[0]["Statement"][0]["Resource"] == role
    assert "sts:AssumeRole" not in permissions(more, "scan").actions
    assert permissions(replace(config, aws=Aws()), "caller").policies() == []


def test_every_action_of_the_scan_is_a_read_by_awss_own_classification() -> None:
    scan = permissions(None, "scan")
    assert set(scan.actions) <= LEVEL.keys(), "classify a new action from the reference"
    assert {action for action in scan.actions if LEVEL[action] not in ("List", "Read")} == {"kms:Decrypt"}
    (decrypt,) = [each for each in scan.statements if "kms:Decrypt" in each.actions]
    assert decrypt.condition == {"StringLike": {"kms:ViaService": ("s3.*.amazonaws.com",)}}
    verbs = {permission.rpartition(".")[2] for permission in scan.gcp}
    assert verbs == {"get", "getIamPolicy", "list"}


def test_with_all_every_declared_action_is_there_and_none_has_a_wildcard() -> None:
    scan = permissions(None, "scan")
    assert {*scan.actions, *scan.gcp} == {action for name in NAMES for action in source(name).ACTIONS}
    assert not any("*" in action for action in scan.actions)


def test_only_the_sources_that_the_configuration_names_are_permitted(
    read: tuple[Any, list[Page], set[tuple[str, str]]],
) -> None:
    config = read[0]
    less = replace(config, sources={"aws_iam": config.sources["aws_iam"]})
    scan = permissions(less, "scan")
    assert {action.partition(":")[0] for action in scan.actions} == {"iam"}
    assert scan.gcp == ()
    assert any(action.startswith("backup:") for action in permissions(less, "scan", every=True).actions)


def test_objects_are_read_of_declared_export_buckets_and_delivered_files_alone(
    read: tuple[Any, list[Page], set[tuple[str, str]]],
) -> None:
    policies = permissions(read[0], "scan").policies()

    def may(action: str, resource: str, prefix: str = "") -> bool:
        return allowed(policies, action, f"arn:aws:s3:::{resource}", {"s3:prefix": prefix})

    assert may("s3:GetObjectVersion", "acme-claims-phi/claims/date=1/_SUCCESS")
    assert may("s3:GetObjectVersion", "not-declared/date=1/_SUCCESS")
    assert not may("s3:GetObjectVersion", "payroll/2026.csv")
    assert not may("s3:GetObject", "acme-claims-phi/claims/date=1/part-0")
    assert may("s3:GetObject", "any/below/AWSLogs/o-1/111111111111/CloudTrail-Digest/eu-west-1/x.json.gz")
    assert not may("s3:GetObject", "any/AWSLogs/111111111111/elasticloadbalancing/x.log")
    assert may("s3:GetObject", "inventories/daily/acme-claims-phi/all/2026-01-01T01-00Z/manifest.json")
    assert not may("s3:ListBucket", "payroll", "2026/")


def test_log_files_in_a_bucket_are_permitted_where_the_configuration_reads_them(
    read: tuple[Any, list[Page], set[tuple[str, str]]],
) -> None:
    config = read[0]
    logging = config.sources["gcp_logging"]
    assert not any(each.startswith("storage.") for each in permissions(config, "scan").gcp)
    files = ("s3://sink-copies/logs/", "gs://sink/logs")
    more = replace(config, sources={"gcp_logging": replace(logging, files=files)})
    scan = permissions(more, "scan")
    assert {"storage.objects.get", "storage.objects.list"} <= set(scan.gcp)
    assert allowed(scan.policies(), "s3:GetObject", "arn:aws:s3:::sink-copies/logs/a/2026/01/01/x.json", {})
    assert not allowed(scan.policies(), "s3:GetObject", "arn:aws:s3:::sink-copies/other", {})


def test_a_policy_that_would_be_too_long_is_split_and_loses_nothing(
    read: tuple[Any, list[Page], set[tuple[str, str]]],
) -> None:
    buckets = tuple(Bucket(f"exports-of-a-department-with-a-long-name-{n:04}") for n in range(300))
    scan = permissions(replace(read[0], buckets=buckets), "scan")
    policies = scan.policies()
    assert len(policies) > 5
    sids = [statement["Sid"] for policy in policies for statement in policy["Statement"]]
    assert len(set(sids)) == len(sids)
    assert all(re.fullmatch("[A-Za-z0-9]+", sid) for sid in sids)
    for policy in policies:
        assert len(json.dumps(policy, separators=(",", ":"))) <= MOST_CHARACTERS
    for bucket in buckets:
        asked = f"arn:aws:s3:::{bucket.name}"
        assert allowed(policies, "s3:ListBucket", asked, {})
        assert allowed(policies, "s3:GetObjectVersion", f"{asked}/a/_SUCCESS", {})
        assert allowed(
            policies, "s3:ListBucket", "arn:aws:s3:::inventories", {"s3:prefix": f"x/{bucket.name}/all/"}
        )
    assert {a for policy in policies for s in policy["Statement"] for a in s["Action"]} == set(scan.actions)
    (whole,) = parted([Statement("A", "", ("s3:GetObject",), ("x" * 10,))])
    assert whole[0].sid == "A"


def test_two_runs_print_the_same_bytes_and_sorted_actions(
    read: tuple[Any, list[Page], set[tuple[str, str]]],
) -> None:
    told = [permissions(read[0], "scan") for _ in range(2)]
    assert terraform(told[:1]) == terraform(told[1:])
    for statement in told[0].statements:
        assert list(statement.actions) == sorted(set(statement.actions))


def test_delivery_is_permitted_to_the_receivers_that_are_named_and_to_nothing_else(
    read: tuple[Any, list[Page], set[tuple[str, str]]],
) -> None:
    config = read[0]
    assert permissions(config, "delivery").policies() == []
    named = replace(
        config,
        alerts={
            "sns": {"topic": "arn:aws:sns:eu-west-1:111111111111:alerts"},
            "eventbridge": {"bus": "arn:aws:events:eu-west-1:111111111111:event-bus/security"},
            "pubsub": {"topic": "projects/acme/topics/alerts"},
        },
        report=replace(config.report, dir="s3://acme-reports/weekly/"),
    )
    delivery = permissions(named, "delivery")
    by_action = {a: s["Resource"] for s in delivery.policies()[0]["Statement"] for a in s["Action"]}
    assert by_action == {
        "sns:Publish": "arn:aws:sns:eu-west-1:111111111111:alerts",
        "events:PutEvents": "arn:aws:events:eu-west-1:111111111111:event-bus/security",
        "s3:PutObject": "arn:aws:s3:::acme-reports/weekly/*",
        "s3:PutObjectRetention": "arn:aws:s3:::acme-reports/weekly/*",
        "s3:GetBucketObjectLockConfiguration": "arn:aws:s3:::acme-reports",
    }
    assert delivery.gcp == ("pubsub.topics.publish",)
    assert permissions(config, "delivery", every=True).actions == delivery.actions


def test_every_action_that_a_channel_declares_is_in_the_permissions_of_delivery() -> None:
    from auditor.alerts.routes import CHANNELS, channel

    delivery = permissions(None, "delivery")
    declared = {action for name in CHANNELS for action in getattr(channel(name), "ACTIONS", ())}
    assert declared <= {*delivery.actions, *delivery.gcp}
    assert "sns:Publish" in declared


@pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not on this machine")
@pytest.mark.filterwarnings("default")
def test_terraform_fmt_leaves_the_hcl_as_it_is(tmp_path: Path) -> None:
    told = [permissions(None, purpose, every=True) for purpose in ("scan", "delivery", "caller")]
    (tmp_path / "auditor.tf").write_text(f"{terraform(told)}\n", encoding="utf-8")
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-diff", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_a_text_of_the_configuration_opens_no_template_in_the_hcl() -> None:
    from auditor.permissions import Permissions

    hostile = Statement("A", "because", ("s3:GetObject",), ('arn:aws:s3:::${file("/etc/passwd")}"x%{if}',))
    said = terraform([Permissions("scan", (hostile,))])
    assert "$${file(" in said
    assert '\\"x%%{if}' in said


def test_a_role_of_google_is_yaml_that_gcloud_takes(tmp_path: Path) -> None:
    import yaml

    said = yaml.safe_load(run("permissions", "--format", "gcp-role", "--all").stdout)
    assert said.keys() == {"title", "description", "stage", "includedPermissions"}
    assert said["includedPermissions"] == sorted(said["includedPermissions"])


def test_before_there_is_a_configuration_every_source_is_permitted_and_it_says_so(tmp_path: Path) -> None:
    done = run("permissions", "--format", "aws-policy", config=tmp_path / "config.toml")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["Version"] == "2012-10-17"
    assert "config.toml is not there" in done.stderr
    rows = answer("permissions", config=tmp_path / "config.toml")["rows"]
    assert {(row["purpose"], row["cloud"]) for row in rows} == {
        ("scan", "aws"), ("scan", "gcp"), ("delivery", "aws"), ("delivery", "gcp"),
    }  # fmt: skip


def test_a_broken_configuration_is_told_and_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[awz]\n")
    done = run("permissions", config=tmp_path / "config.toml")
    assert done.exit_code == 2
    assert "config.toml:1: awz" in done.stderr
