"""The estate through the real clients: records have the shapes both clouds really use."""

from __future__ import annotations

import csv
import gzip
import json
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.cloud import dataproc_v1 as dataproc
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
from sandbox_aws_clients import FAR, A, B, R, client

from auditor.sandbox.estate import Estate
from auditor.sandbox.estate_config import MEMBERSHIPS, USERS
from auditor.sources.google import connect


def _trail_records(estate: Estate, account: str, region: str) -> list[dict[str, Any]]:
    s3, bucket = client(estate.aws, "s3", account), f"acme-trail-{account}"
    prefix = f"AWSLogs/{account}/CloudTrail/{region}/"
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
    bodies = (s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys)
    return [record for body in bodies for record in json.loads(gzip.decompress(body))["Records"]]


@pytest.fixture(scope="module")
def records(estate: Estate) -> list[dict[str, Any]]:
    return _trail_records(estate, A, R)


def _listing(estate: Estate) -> dict[str, Any]:
    """Everything both clouds would tell of the estate, in one value."""
    s3 = client(estate.aws, "s3")
    versions = {
        name: [
            [each["Key"], each["VersionId"], each["LastModified"].isoformat(), each["ETag"], each["Size"]]
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=name)
            for each in page.get("Versions", ())
        ]
        for name in estate.story["buckets"]
        if name != "acme-trail-222222222222"
    }
    points = {}
    for name in estate.story["vaults"]:
        account, region = (
            estate.story.vault_arn(name).split(":")[4],
            estate.story.vault_arn(name).split(":")[3],
        )
        backup = client(estate.aws, "backup", account, region)
        pages = backup.get_paginator("list_recovery_points_by_backup_vault").paginate(BackupVaultName=name)
        points[name] = [each for page in pages for each in page["RecoveryPoints"]]
    logs = connect(LoggingServiceV2Client, estate.endpoints[1])
    entries = [
        str(entry)
        for project in estate.story["gcp"]["projects"]
        for entry in logs.list_log_entries({"resource_names": [f"projects/{project}"], "page_size": 1000})
    ]
    return {"versions": versions, "points": points, "entries": entries}


def test_two_estates_are_equal_however_they_are_played(estate: Estate) -> None:
    again = Estate.open()
    try:
        for week in (1, 2, 2, 5, 12, 3):
            again.advance(week)
        assert _listing(again) == _listing(estate)
    finally:
        again.close()


def test_sessions_are_web_identity_records_of_the_google_provider(records: list[dict[str, Any]]) -> None:
    issued = [each for each in records if each["eventName"] == "AssumeRoleWithWebIdentity"]
    assert len(issued) > 60
    one = next(each for each in issued if "accessKeyId" in each["responseElements"]["credentials"])
    assert one["readOnly"] is True
    assert one["userIdentity"]["type"] == "WebIdentityUser"
    assert one["userIdentity"]["identityProvider"] == "accounts.google.com"
    assert one["userIdentity"]["userName"] == one["responseElements"]["subjectFromWebIdentityToken"]
    assert one["responseElements"]["credentials"]["accessKeyId"].startswith("ASIA")


def test_every_written_version_has_its_data_event_with_the_credentials_that_were_issued(
    estate: Estate, records: list[dict[str, Any]]
) -> None:
    export = estate.story.export("claims-w01")
    written = {
        (each["requestParameters"]["key"], each["responseElements"]["x-amz-version-id"]): each
        for each in records
        if each["eventName"] == "PutObject" and each["requestParameters"]["key"].startswith(export.prefix)
    }
    s3 = client(estate.aws, "s3")
    listed = s3.list_object_versions(Bucket=export.bucket, Prefix=export.prefix)["Versions"]
    assert {(each["Key"], each["VersionId"]) for each in listed} == written.keys()
    (session,) = [
        each
        for each in records
        if each["eventName"] == "AssumeRoleWithWebIdentity"
        and each["requestParameters"]["roleSessionName"] == export.job_uuid
    ]
    keys = {each["userIdentity"]["accessKeyId"] for each in written.values()}
    assert keys == {session["responseElements"]["credentials"]["accessKeyId"]}
    assert all(each["managementEvent"] is False for each in written.values())


def test_the_manifest_lists_what_was_written_as_the_s3a_committers_do(estate: Estate) -> None:
    export = estate.story.export("claims-w01")
    s3 = client(estate.aws, "s3")
    told = json.loads(s3.get_object(Bucket=export.bucket, Key=f"{export.prefix}_SUCCESS")["Body"].read())
    assert told["name"] == "org.apache.hadoop.fs.s3a.commit.files.SuccessData/1"
    listed = s3.list_objects_v2(Bucket=export.bucket, Prefix=f"{export.prefix}part-")["Contents"]
    assert told["filenames"] == [f"/{each['Key']}" for each in listed]
    ledger = estate.story.export("ledger-w01")
    assert s3.head_object(Bucket=ledger.bucket, Key=f"{ledger.prefix}_SUCCESS")["ContentLength"] == 0


def test_a_multipart_upload_is_dated_at_its_start_and_told_at_its_end(
    estate: Estate, records: list[dict[str, Any]]
) -> None:
    export = estate.story.export("claims-w05")
    (event,) = [
        each
        for each in records
        if each["eventName"] == "CompleteMultipartUpload"
        and each["requestParameters"]["key"].startswith(export.prefix)
    ]
    head = client(estate.aws, "s3").head_object(Bucket=export.bucket, Key=event["requestParameters"]["key"])
    assert head["LastModified"] < export.ended_at
    assert event["eventTime"] == (export.ended_at + timedelta(minutes=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert "-" in head["ETag"]


def test_a_trail_of_write_events_holds_no_session(records: list[dict[str, Any]], estate: Estate) -> None:
    since, until = estate.story.moment("W10 Wed 08:00"), estate.story.moment("W10 Thu 12:00")
    issued = [each["eventTime"] for each in records if each["eventName"] == "AssumeRoleWithWebIdentity"]
    assert not [at for at in issued if since.isoformat() < at < until.isoformat()]


def test_the_global_endpoint_logs_its_session_in_us_east_1(estate: Estate) -> None:
    (session,) = [
        each
        for each in _trail_records(estate, A, "us-east-1")
        if each["eventName"] == "AssumeRoleWithWebIdentity"
    ]
    assert session["requestParameters"]["roleSessionName"] == estate.story.export("labs-w05").job_uuid


def test_every_change_names_the_person_who_made_it(estate: Estate, records: list[dict[str, Any]]) -> None:
    everywhere = records + _trail_records(estate, A, "us-east-1") + _trail_records(estate, A, FAR)
    changes = [each for each in everywhere if each["eventName"] in ("UpdateBackupPlan", "DeleteRecoveryPoint",
               "UpdateAssumeRolePolicy", "DeleteBackupVaultLockConfiguration", "PutBucketVersioning")]  # fmt: skip
    assert len(changes) >= 8
    assert all(each["userIdentity"]["arn"].endswith("@acme.example") for each in changes)


def test_backup_holds_every_kind_of_point_and_job(estate: Estate) -> None:
    backup = client(estate.aws, "backup")
    points = [
        point
        for vault in ("phi", "soc2", "internal")
        for page in backup.get_paginator("list_recovery_points_by_backup_vault").paginate(
            BackupVaultName=vault
        )
        for point in page["RecoveryPoints"]
    ]
    assert {"COMPLETED", "PARTIAL", "AVAILABLE"} <= {point["Status"] for point in points}
    (hr,) = [point for point in points if point["ResourceArn"].endswith("acme-hr-internal")]
    assert ":continuous:acme-hr-internal-" in hr["RecoveryPointArn"]
    copies = client(estate.aws, "backup", B, FAR).list_recovery_points_by_backup_vault(
        BackupVaultName="phi-recovery"
    )
    assert {each["SourceBackupVaultArn"].rsplit(":", 1)[1] for each in copies["RecoveryPoints"]} == {
        "phi", "phi-central",
    }  # fmt: skip


def test_jobs_batches_and_sessions_are_listed_where_they_ran(estate: Estate) -> None:
    jobs = connect(dataproc.JobControllerClient, estate.endpoints[1])
    listed = {job.job_uuid: job for job in jobs.list_jobs(project_id="acme-claims", region="europe-west1")}
    export = estate.story.export("claims-w01")
    job = listed[export.job_uuid]
    assert job.done
    assert job.pyspark_job.args[-1] == f"s3a://{export.bucket}/{export.prefix}"
    assert estate.story.export("adhoc-w12").job_uuid not in listed, "it was deleted before any scan"
    batches = connect(dataproc.BatchControllerClient, estate.endpoints[1])
    parent = "projects/acme-claims/locations/europe-west4"
    assert {batch.creator for batch in batches.list_batches(parent=parent)} == {"chloe@acme.example"}


def test_ephemeral_clusters_are_known_by_their_entries_alone(estate: Estate) -> None:
    clusters = connect(dataproc.ClusterControllerClient, estate.endpoints[1])
    alive = [
        cluster.cluster_name
        for region in ("europe-west1", "europe-west4")
        for cluster in clusters.list_clusters(project_id="acme-finance", region=region)
    ]
    assert alive == []


def test_only_what_is_known_that_week_is_in_the_directory(estate: Estate, tmp_path: Path) -> None:
    from auditor.sandbox.estate_config import write_directory

    def users(week: int) -> dict[str, str]:
        write_directory(estate.story, estate.now(week), tmp_path)
        with (tmp_path / USERS).open() as file:
            return {row["email"]: row["status"] for row in csv.DictReader(file)}

    assert users(4)["dan@acme.example"] == "active"
    assert users(5)["dan@acme.example"] == "disabled"
    assert "hugo" not in (tmp_path / MEMBERSHIPS).read_text()
    with (tmp_path / MEMBERSHIPS).open() as file:
        undated = [row for row in csv.DictReader(file) if not row["from"]]
    assert len(undated) == 1


def test_the_configuration_is_accepted_and_knows_every_pipeline(estate: Estate, tmp_path: Path) -> None:
    from auditor import config, sources

    path = estate.config(tmp_path / "demo")
    sections = {f"sources.{name}": sources.source(name).Settings for name in sources.NAMES}
    loaded = config.load(path, sections)
    assert {each.name for each in loaded.exports} == set(estate.story["pipelines"]) - {"scratch"}
    assert [each.name for each in loaded.zones] == ["phi", "soc2", "internal", "public"]
    told = tomllib.loads(path.read_text(encoding="utf-8"))
    assert told["aws"]["endpoint"] == estate.endpoints[0]


def test_a_fault_is_there_for_its_week_only(estate: Estate) -> None:
    backup = client(estate.aws, "backup", B, FAR)
    estate.apply_faults(4)
    with pytest.raises(backup.exceptions.ClientError, match="AccessDenied"):
        backup.list_recovery_points_by_backup_vault(BackupVaultName="phi-recovery")
    estate.apply_faults(5)
    assert backup.list_recovery_points_by_backup_vault(BackupVaultName="phi-recovery")["RecoveryPoints"]
