"""The emulated AWS: accounts apart, worlds apart, S3, IAM, STS and CloudTrail as the real ones tell."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sandbox_aws_clients import FAR, A, B, R, client

from auditor.sandbox.aws import AwsCloud
from auditor.sandbox.aws.judge import watch

NOW = datetime(2026, 3, 30, 6, tzinfo=UTC)
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Federated": "accounts.google.com"},
            "Action": "sts:AssumeRoleWithWebIdentity",
        }
    ],
}


@pytest.fixture
def cloud() -> Iterator[AwsCloud]:
    cloud = AwsCloud()
    cloud.clock(NOW)
    cloud.start()
    yield cloud
    cloud.stop()


def event(
    n: int, name: str = "AssumeRoleWithWebIdentity", *, at: datetime = NOW, **more: Any
) -> dict[str, Any]:
    data = name in {"PutObject", "GetObject"}
    return {
        "eventVersion": "1.09",
        "eventID": f"00000000-0000-4000-8000-{n:012d}",
        "eventName": name,
        "eventSource": "s3.amazonaws.com" if data else "sts.amazonaws.com",
        "eventTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "awsRegion": R,
        "readOnly": name != "PutObject",
        "managementEvent": not data,
        "eventCategory": "Data" if data else "Management",
        "recipientAccountId": A,
        "userIdentity": {"type": "WebIdentityUser", "userName": "sub-1"},
        "requestParameters": {"bucketName": "exports", "key": f"k{n}"} if data else {"roleArn": "arn:r"},
        **more,
    }


def seed(cloud: AwsCloud) -> None:
    """Put one of everything."""
    cloud.clock(NOW)
    cloud.put_bucket(
        A,
        R,
        "exports",
        at=NOW,
        tags={"zone": "phi"},
        lock={"mode": "COMPLIANCE", "days": 30},
        lifecycle=[{"ID": "a", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 9}}],
        policy={"Version": "2012-10-17", "Statement": []},
        logging="logs",
    )
    cloud.put_bucket(A, R, "logs", at=NOW)
    cloud.put_object("exports", "a/1", b"one", at=NOW)
    cloud.put_object("exports", "a/1", b"two", at=NOW + timedelta(1), multipart=True)
    cloud.delete_object("exports", "a/1", at=NOW + timedelta(2))
    policy = cloud.put_policy(A, "p", document={"Version": "2012-10-17", "Statement": []}, at=NOW)
    cloud.put_role(A, "exporter", trust=TRUST, at=NOW, attached=[policy], inline={"i": "{}"}, tags={"t": "v"})
    cloud.put_user(A, "u", at=NOW, keys=[("AKIAEXAMPLE000000001", "Active", NOW)])
    cloud.put_provider(A, "https://accounts.google.com", client_ids=["1"], thumbprints=["a" * 40], at=NOW)
    cloud.set_public_block(A, (True, True, True, False))
    cloud.put_trail(A, R, "main", bucket="logs", at=NOW)
    cloud.put_events(A, R, [event(1), event(2, "PutObject")])
    vault = cloud.put_vault(A, R, "hipaa", at=NOW, lock={"min_d": 30}, policy="{}")
    plan = cloud.put_plan(A, R, "daily", at=NOW, rules=[{"RuleName": "d", "TargetBackupVaultName": "hipaa"}])
    cloud.put_selection(plan, "s", at=NOW, role="arn:aws:iam::111111111111:role/b", resources=["*"])
    point = cloud.put_point(
        vault,
        "arn:aws:s3:::exports",
        initiated_at=NOW,
        created_at=NOW,
        completed_at=NOW,
        plan_id=plan,
        delete_after_d=35,
        tags={"a": "b"},
    )
    cloud.put_backup_job(
        A,
        R,
        vault_arn=vault,
        point_arn=point,
        resource_arn="arn:aws:s3:::exports",
        state="COMPLETED",
        created_at=NOW,
        plan_id=plan,
    )
    cloud.put_copy_job(
        A,
        R,
        source_vault_arn=vault,
        source_point_arn=point,
        dest_vault_arn=vault,
        resource_arn="arn:aws:s3:::exports",
        state="FAILED",
        message="why",
        created_at=NOW,
    )
    cloud.put_restore_job(
        A, R, point_arn=point, resource_arn="arn:aws:s3:::exports", state="RUNNING", created_at=NOW
    )


def every_reply(cloud: AwsCloud, faults: dict[str, str]) -> dict[str, Any]:
    """Ask everything that the product asks, watched by the judge; reply by operation."""
    clients = {
        name: watch(client(cloud, name), faults)
        for name in ("s3", "s3control", "iam", "sts", "cloudtrail", "backup", "resourcegroupstaggingapi")
    }
    said: dict[str, Any] = {}

    def ask(service: str, operation: str, **asked: Any) -> Any:
        reply = getattr(clients[service], operation)(**asked)
        reply["ResponseMetadata"].pop("HTTPHeaders", None)
        if "Body" in reply:
            reply["Body"] = reply["Body"].read()
        said[f"{service}:{operation}"] = reply
        return reply

    ask("s3", "list_buckets")
    for setting in (
        "bucket_versioning",
        "bucket_encryption",
        "public_access_block",
        "bucket_policy",
        "bucket_logging",
        "bucket_notification_configuration",
        "object_lock_configuration",
        "bucket_tagging",
        "bucket_lifecycle_configuration",
        "bucket_ownership_controls",
        "bucket_location",
    ):
        ask("s3", f"get_{setting}", Bucket="exports")
    versions = ask("s3", "list_object_versions", Bucket="exports")["Versions"]
    ask("s3", "head_object", Bucket="exports", Key="a/1", VersionId=versions[0]["VersionId"])
    ask("s3", "get_object", Bucket="exports", Key="a/1", VersionId=versions[1]["VersionId"])
    ask("s3", "list_objects_v2", Bucket="logs")
    ask("s3control", "get_public_access_block", AccountId=A)
    ask("iam", "get_account_authorization_details")
    ask("iam", "list_access_keys", UserName="u")
    ask("iam", "get_access_key_last_used", AccessKeyId="AKIAEXAMPLE000000001")
    provider = ask("iam", "list_open_id_connect_providers")["OpenIDConnectProviderList"][0]["Arn"]
    ask("iam", "get_open_id_connect_provider", OpenIDConnectProviderArn=provider)
    ask("iam", "list_saml_providers")
    ask("sts", "get_caller_identity")
    ask("sts", "assume_role", RoleArn="arn:aws:iam::111111111111:role/exporter", RoleSessionName="sess")
    ask("cloudtrail", "describe_trails")
    ask("cloudtrail", "list_trails")
    ask("cloudtrail", "get_trail_status", Name="main")
    ask("cloudtrail", "get_event_selectors", TrailName="main")
    ask("cloudtrail", "lookup_events")
    plan = ask("backup", "list_backup_plans")["BackupPlansList"][0]["BackupPlanId"]
    ask("backup", "get_backup_plan", BackupPlanId=plan, MaxScheduledRunsPreview=5)
    selection = ask("backup", "list_backup_selections", BackupPlanId=plan)["BackupSelectionsList"][0][
        "SelectionId"
    ]
    ask("backup", "get_backup_selection", BackupPlanId=plan, SelectionId=selection)
    ask("backup", "list_backup_vaults")
    for operation in (
        "describe_backup_vault",
        "get_backup_vault_access_policy",
        "list_recovery_points_by_backup_vault",
    ):
        ask("backup", operation, BackupVaultName="hipaa")
    point = said["backup:list_recovery_points_by_backup_vault"]["RecoveryPoints"][0]["RecoveryPointArn"]
    ask("backup", "describe_recovery_point", BackupVaultName="hipaa", RecoveryPointArn=point)
    ask("backup", "list_recovery_points_by_resource", ResourceArn="arn:aws:s3:::exports")
    ask("backup", "list_tags", ResourceArn=point)
    for operation in (
        "list_backup_jobs",
        "list_copy_jobs",
        "list_restore_jobs",
        "list_protected_resources",
        "describe_region_settings",
    ):
        ask("backup", operation)
    ask("resourcegroupstaggingapi", "get_resources")
    return said


def test_two_seedings_give_identical_replies_and_every_reply_keeps_to_botocores_model() -> None:
    faults: dict[str, str] = {}
    first, second = AwsCloud(), AwsCloud()
    said = []
    for cloud in (first, second):  # both live at once: worlds do not mix
        cloud.start()
        seed(cloud)
    for cloud in (first, second):
        said.append(every_reply(cloud, faults))
        cloud.stop()
    assert faults == {}
    assert said[0] == said[1]
    assert set(re.findall(r"datetime\(20(\d\d),", repr(said[0]))) <= {"26", "99"}


def test_the_clients_judge_finds_a_lie_too(cloud: AwsCloud) -> None:
    faults: dict[str, str] = {}
    cloud.put_role(A, "exporter", trust=TRUST, at=NOW)
    role = cloud.put_role(A, "r", trust=TRUST, at=NOW)
    with cloud.world.entered():
        from auditor.sandbox.aws.moto_world import moto

        backend = moto("iam.models").iam_backends[A]["aws"]
        backend.get_role_by_arn(role).id = "no id"
    watch(client(cloud, "iam"), faults).get_role(RoleName="r")
    assert "RoleId" in faults["iam:GetRole"]


def test_accounts_do_not_see_each_other_by_key_nor_by_assumed_role(cloud: AwsCloud) -> None:
    cloud.put_bucket(A, R, "of-a", at=NOW)
    cloud.put_bucket(B, R, "of-b", at=NOW)
    cloud.put_object("of-b", "k", b"secret", at=NOW)
    cloud.put_vault(A, R, "vault-of-a", at=NOW)
    role = cloud.put_role(B, "reader", trust=TRUST, at=NOW)
    key = client(cloud, "sts").assume_role(RoleArn=role, RoleSessionName="auditor")["Credentials"][
        "AccessKeyId"
    ]
    assert [b["Name"] for b in client(cloud, "s3").list_buckets()["Buckets"]] == ["of-a"]
    for caller in (B, key):
        assert [b["Name"] for b in client(cloud, "s3", caller).list_buckets()["Buckets"]] == ["of-b"]
        assert client(cloud, "backup", caller).list_backup_vaults()["BackupVaultList"] == []
        assert client(cloud, "sts", caller).get_caller_identity()["Account"] == B
    roles = client(cloud, "iam").get_account_authorization_details()["RoleDetailList"]
    assert roles == []
    for denied in (
        lambda: client(cloud, "s3").get_bucket_versioning(Bucket="of-b"),
        lambda: client(cloud, "s3").get_object(Bucket="of-b", Key="k"),
        lambda: client(cloud, "s3control").get_public_access_block(AccountId=B),
        lambda: client(cloud, "sts").assume_role(RoleArn=f"arn:aws:iam::{B}:role/none", RoleSessionName="aa"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            denied()


def test_a_users_key_acts_in_its_account_and_tells_its_last_use(cloud: AwsCloud) -> None:
    key = "AKIAEXAMPLE000000002"
    cloud.put_user(B, "robot", at=NOW, keys=[(key, "Inactive", NOW)])
    iam = client(cloud, "iam", key)
    assert client(cloud, "sts", key).get_caller_identity()["Arn"] == f"arn:aws:iam::{B}:user/robot"
    [listed] = iam.list_access_keys(UserName="robot")["AccessKeyMetadata"]
    assert (listed["Status"], listed["CreateDate"]) == ("Inactive", NOW)
    assert iam.get_access_key_last_used(AccessKeyId=key)["AccessKeyLastUsed"] == {
        "ServiceName": "N/A",
        "Region": "N/A",
    }
    cloud.use_key(key, at=NOW)
    assert iam.get_access_key_last_used(AccessKeyId=key)["AccessKeyLastUsed"]["LastUsedDate"] == NOW


def test_web_identity_credentials_say_whom_they_were_issued_for(cloud: AwsCloud) -> None:
    import base64

    role = cloud.put_role(A, "exporter", trust=TRUST, at=NOW)
    claims = base64.urlsafe_b64encode(
        json.dumps({"sub": "117-google", "aud": "a", "iss": "https://accounts.google.com"}).encode()
    )
    reply = client(cloud, "sts").assume_role_with_web_identity(
        RoleArn=role, RoleSessionName="job-1", WebIdentityToken=f"x.{claims.decode().rstrip('=')}.y"
    )
    assert (reply["SubjectFromWebIdentityToken"], reply["Audience"]) == ("117-google", "a")
    assert reply["Provider"] == "accounts.google.com"


def test_roles_users_and_policies_page_together_each_exactly_once(cloud: AwsCloud) -> None:
    for n in range(5):
        cloud.put_role(A, f"r{n}", trust=TRUST, at=NOW)
        cloud.put_user(A, f"u{n}", at=NOW)
        cloud.put_policy(A, f"p{n}", document={"Version": "2012-10-17", "Statement": []}, at=NOW)
    client(cloud, "iam").create_group(GroupName="g")
    pages = list(
        client(cloud, "iam")
        .get_paginator("get_account_authorization_details")
        .paginate(PaginationConfig={"PageSize": 4})
    )
    assert len(pages) == 4
    names = [
        row["Arn"]
        for page in pages
        for key in ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies")
        for row in page[key]
    ]
    assert len(names) == len(set(names)) == 16
    only = client(cloud, "iam").get_account_authorization_details(Filter=["Role"])
    assert (len(only["RoleDetailList"]), only["UserDetailList"]) == (5, [])


def test_a_trust_policy_is_kept_byte_for_byte_even_with_a_key_twice(cloud: AwsCloud) -> None:
    from urllib.parse import unquote

    text = '{"Statement": [],  "Statement": [{"Effect": "Allow"}]}'
    cloud.put_role(A, "odd", trust=text, at=NOW)
    iam = client(cloud, "iam")
    bodies: list[bytes] = []
    iam.meta.events.register("before-parse", lambda response_dict, **_: bodies.append(response_dict["body"]))
    iam.get_account_authorization_details()
    assert text in unquote(bodies[0].decode())
    cloud.set_role("arn:aws:iam::111111111111:role/odd", trust=TRUST, max_session_s=7200)
    [role] = iam.get_account_authorization_details()["RoleDetailList"]
    assert role["AssumeRolePolicyDocument"] == TRUST


def test_versions_page_without_loss_or_doubles_whatever_the_page_size(cloud: AwsCloud) -> None:
    cloud.put_bucket(A, R, "exports", at=NOW)
    keys = ["a/ü", "a/z", "b", "b/" + "\x01", "ß", "z z+%"]
    written = [
        (key, cloud.put_object("exports", key, b"x", at=NOW + timedelta(minutes=n)))
        for key in keys
        for n in range(3)
    ]
    gone = cloud.delete_object("exports", "b", at=NOW + timedelta(hours=1))
    s3 = client(cloud, "s3")
    for size in (1, 2, 3, 7, 100):
        pages = list(
            s3.get_paginator("list_object_versions").paginate(
                Bucket="exports", PaginationConfig={"PageSize": size}
            )
        )
        rows = [(row["Key"], row["VersionId"]) for page in pages for row in page.get("Versions", [])]
        marks = [row["VersionId"] for page in pages for row in page.get("DeleteMarkers", [])]
        assert sorted(rows) == sorted(written)
        assert marks == [gone]
    latest = [row["Key"] for row in s3.list_object_versions(Bucket="exports")["Versions"] if row["IsLatest"]]
    assert latest == sorted(set(keys) - {"b"}, key=str.encode)
    under = s3.list_object_versions(Bucket="exports", Prefix="a/")["Versions"]
    assert {row["Key"] for row in under} == {"a/ü", "a/z"}
    folded = s3.list_object_versions(Bucket="exports", Delimiter="/")
    assert [row["Prefix"] for row in folded["CommonPrefixes"]] == ["a/", "b/"]


def test_objects_keep_their_time_class_metadata_and_the_dash_of_a_multipart_etag(cloud: AwsCloud) -> None:
    cloud.put_bucket(A, R, "exports", at=NOW)
    version = cloud.put_object(
        "exports", "k", b"body", at=NOW, storage_class="GLACIER_IR", metadata={"job": "7"}, multipart=True
    )
    head = client(cloud, "s3").head_object(Bucket="exports", Key="k", VersionId=version)
    assert head["LastModified"] == NOW
    assert head["ETag"].strip('"').endswith("-1")
    assert (head["StorageClass"], head["Metadata"]) == ("GLACIER_IR", {"job": "7"})
    assert head["ServerSideEncryption"] == "aws:kms"


def test_settings_that_are_off_answer_as_s3_answers_for_them(cloud: AwsCloud) -> None:
    cloud.put_bucket(
        A,
        R,
        "bare",
        at=NOW,
        versioning="Off",
        eventbridge=False,
        encryption=None,
        public_block=None,
        ownership=None,
    )
    s3 = client(cloud, "s3")
    assert "Status" not in s3.get_bucket_versioning(Bucket="bare")
    assert "EventBridgeConfiguration" not in s3.get_bucket_notification_configuration(Bucket="bare")
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket="bare")
    for operation, code in {
        "get_bucket_encryption": "ServerSideEncryptionConfigurationNotFoundError",
        "get_public_access_block": "NoSuchPublicAccessBlockConfiguration",
        "get_bucket_policy": "NoSuchBucketPolicy",
        "get_object_lock_configuration": "ObjectLockConfigurationNotFoundError",
        "get_bucket_lifecycle_configuration": "NoSuchLifecycleConfiguration",
        "get_bucket_replication": "ReplicationConfigurationNotFoundError",
        "get_bucket_tagging": "NoSuchTagSet",
        "get_bucket_ownership_controls": "OwnershipControlsNotFoundError",
    }.items():
        with pytest.raises(ClientError, match=code):
            getattr(s3, operation)(Bucket="bare")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.get_bucket_versioning(Bucket="none")


def test_suspended_versioning_replaces_the_null_version_and_keeps_the_others(cloud: AwsCloud) -> None:
    cloud.put_bucket(A, R, "exports", at=NOW)
    first = cloud.put_object("exports", "k", b"1", at=NOW)
    cloud.set_bucket("exports", versioning="Suspended")
    assert cloud.put_object("exports", "k", b"2", at=NOW) == "null"
    assert cloud.put_object("exports", "k", b"3", at=NOW) == "null"
    s3 = client(cloud, "s3")
    rows = s3.list_object_versions(Bucket="exports")["Versions"]
    assert [(row["VersionId"], row["IsLatest"]) for row in rows] == [("null", True), (first, False)]
    assert s3.get_object(Bucket="exports", Key="k", VersionId=first)["Body"].read() == b"1"
    assert s3.get_object(Bucket="exports", Key="k")["Body"].read() == b"3"


def test_a_policy_that_denies_plain_http_does_not_block_our_own_reads(cloud: AwsCloud) -> None:
    deny = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": "*",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }
    cloud.put_bucket(A, R, "exports", at=NOW, policy=deny)
    s3 = client(cloud, "s3")
    s3.put_object(Bucket="exports", Key="k", Body=b"x")
    assert s3.get_object(Bucket="exports", Key="k")["Body"].read() == b"x"


def test_what_boto3_writes_is_kept_as_what_the_seeds_write(cloud: AwsCloud) -> None:
    s3 = client(cloud, "s3")
    s3.create_bucket(Bucket="made", CreateBucketConfiguration={"LocationConstraint": R})
    s3.put_bucket_versioning(Bucket="made", VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(
        Bucket="made", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    s3.put_bucket_tagging(Bucket="made", Tagging={"TagSet": [{"Key": "zone", "Value": "phi"}]})
    s3.put_object(Bucket="made", Key="k", Body=b"x")
    assert s3.get_bucket_versioning(Bucket="made")["Status"] == "Enabled"
    assert s3.get_bucket_notification_configuration(Bucket="made")["EventBridgeConfiguration"] == {}
    assert s3.get_bucket_encryption(Bucket="made")["ServerSideEncryptionConfiguration"]["Rules"]
    [version] = s3.list_object_versions(Bucket="made")["Versions"]
    assert version["LastModified"] == s3.list_buckets()["Buckets"][0]["CreationDate"] == NOW
    [row] = client(cloud, "resourcegroupstaggingapi").get_resources()["ResourceTagMappingList"]
    assert row["ResourceARN"] == "arn:aws:s3:::made"


def test_many_first_calls_at_once_are_all_answered(cloud: AwsCloud) -> None:
    cloud.put_bucket(A, R, "exports", at=NOW)
    made = {name: client(cloud, name) for name in ("s3", "iam", "cloudtrail", "backup", "sts")}
    calls = [
        made["s3"].list_buckets,
        made["iam"].list_saml_providers,
        made["cloudtrail"].describe_trails,
        made["backup"].list_backup_vaults,
        made["sts"].get_caller_identity,
    ] * 4
    with ThreadPoolExecutor(8) as threads:
        for reply in threads.map(lambda call: call(), calls):
            assert reply["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert cloud.calls["s3", "ListBuckets"] == 4


def test_log_files_lie_at_their_real_keys_and_lookup_shows_management_events_only(cloud: AwsCloud) -> None:
    cloud.put_bucket(A, R, "logs", at=NOW)
    cloud.put_trail(A, FAR, "main", bucket="logs", prefix="org", at=NOW)
    [key] = cloud.put_events(A, R, [event(1), event(2, "PutObject")])
    assert key.startswith(f"org/AWSLogs/{A}/CloudTrail/{R}/2026/03/30/{A}_CloudTrail_{R}_20260330T0605Z_")
    assert key.endswith(".json.gz")
    body = client(cloud, "s3").get_object(Bucket="logs", Key=key)["Body"].read()
    names = [record["eventName"] for record in json.loads(gzip.decompress(body))["Records"]]
    assert names == ["AssumeRoleWithWebIdentity", "PutObject"]
    trails = client(cloud, "cloudtrail")
    [found] = trails.lookup_events()["Events"]
    assert (found["EventName"], found["ReadOnly"]) == ("AssumeRoleWithWebIdentity", "true")
    assert json.loads(found["CloudTrailEvent"])["eventID"] == found["EventId"]
    assert client(cloud, "cloudtrail", A, FAR).lookup_events()["Events"] == []
    assert trails.get_trail_status(Name="main")["LatestDeliveryTime"] == NOW + timedelta(minutes=5)


def test_lookup_pages_by_fifty_reaches_ninety_days_back_and_filters(cloud: AwsCloud) -> None:
    old = NOW - timedelta(days=91)
    cloud.put_events(A, R, [event(n, at=NOW - timedelta(minutes=n)) for n in range(120)])
    cloud.put_events(A, R, [event(999, at=old), event(998, "PutBucketPolicy", at=NOW - timedelta(days=2))])
    trails = client(cloud, "cloudtrail")
    pages = list(trails.get_paginator("lookup_events").paginate())
    assert [len(page["Events"]) for page in pages] == [50, 50, 21]
    named = trails.lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "PutBucketPolicy"}]
    )
    assert len(named["Events"]) == 1
    between = trails.lookup_events(StartTime=NOW - timedelta(minutes=9), EndTime=NOW - timedelta(minutes=5))
    assert len(between["Events"]) == 5


def test_a_trail_records_only_what_its_selectors_take_and_only_while_it_logs(cloud: AwsCloud) -> None:
    cloud.put_bucket(A, R, "logs", at=NOW)
    writes = cloud.put_trail(
        A,
        R,
        "writes",
        bucket="logs",
        at=NOW,
        management="WriteOnly",
        data_arns=["arn:aws:s3:::other/"],
        data_read_write="WriteOnly",
    )
    assert cloud.put_events(A, R, [event(1), event(2, "PutObject")]) == []
    cloud.set_trail(writes, at=NOW, data_arns=["arn:aws:s3:::exports/"])
    assert len(cloud.put_events(A, R, [event(3), event(4, "PutObject"), event(5, "GetObject")])) == 1
    cloud.set_trail(writes, at=NOW + timedelta(1), logging=False)
    assert cloud.put_events(A, R, [event(6, "PutObject")]) == []
    status = client(cloud, "cloudtrail").get_trail_status(Name="writes")
    assert (status["IsLogging"], status["StopLoggingTime"]) == (False, NOW + timedelta(1))
    advanced = [
        {
            "FieldSelectors": [
                {"Field": "eventCategory", "Equals": ["Data"]},
                {"Field": "resources.ARN", "StartsWith": ["arn:aws:s3:::exports/"]},
                {"Field": "readOnly", "Equals": ["false"]},
            ]
        }
    ]
    cloud.set_trail(writes, at=NOW, logging=True, advanced=advanced)
    assert len(cloud.put_events(A, R, [event(7), event(8, "PutObject")])) == 1
    got = client(cloud, "cloudtrail").get_event_selectors(TrailName="writes")
    assert got["AdvancedEventSelectors"][0]["FieldSelectors"][1]["StartsWith"] == ["arn:aws:s3:::exports/"]
    assert "EventSelectors" not in got
