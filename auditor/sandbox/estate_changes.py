"""Everything that changes in the estate, each change with the CloudTrail record of who made it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from auditor.sandbox.estate_records import Json, change, person_identity, role_arn
from auditor.sandbox.estate_stage import Step
from auditor.sandbox.estate_world import World, as_text, document, google_trust


class Changes:
    """Steps that change what a world holds."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stage = world.stage
        self._passing: dict[str, str] = {}

    def steps(self) -> Iterator[Step]:
        """Yield what changes, each change with the CloudTrail record of who made it."""
        story = self.stage.story
        for bucket, said in story["buckets"].items():
            if "created" in said:
                at = story.moment(said["created"])
                yield Step(at, partial(self._appear, bucket, at), needs_trail=True)
        for week in range(1, story.weeks + 1):
            at = story.moment(f"W{week:02d} Fri 09:30")
            yield Step(at, partial(self._look, at))
        for said in story["changes"]:
            at = story.moment(said["at"])
            act = getattr(self, f"_do_{said['do']}")
            yield Step(
                at,
                partial(act, said, at),
                needs_trail=said["do"] in {"trail", "data_events"},
            )
            if "gone" in said:
                gone = story.moment(said["gone"])
                yield Step(gone, partial(self._passed, said["bucket"]))

    def _changed(
        self, said: Mapping[str, Any], at: datetime, call: str, request: Json, *,
        resource: str = "", account: str | None = None, region: str = "eu-west-1",
    ) -> None:  # fmt: skip
        """Record who made a change."""
        story = self.stage.story
        number = account or story.account("production")
        who = person_identity(number, story.email(said["by"]), at)
        event = change(number, region, call, who=who, at=at, request=request, resource=resource)
        self.stage.record([event])

    def _look(self, at: datetime) -> None:
        """Let somebody look at the recovery account, so that its trail has something to tell."""
        story = self.stage.story
        account, (vault, _) = (
            story.account("recovery"),
            next((name, said) for name, said in story["vaults"].items() if said.get("account") == "recovery"),
        )
        who = person_identity(account, story.email("omar"), at)
        request = {"backupVaultName": vault}
        event = change(
            account, "eu-central-1", "backup:ListRecoveryPointsByBackupVault", who=who, at=at, request=request
        )
        self.stage.record([event | {"readOnly": True}])

    def _appear(self, bucket: str, at: datetime) -> None:
        """Make a new bucket, and let the trail record its data events."""
        said = self.stage.story["buckets"][bucket]
        self.world.bucket(bucket, at)
        self._changed(said, at, "s3:CreateBucket", {"bucketName": bucket}, resource=f"arn:aws:s3:::{bucket}")
        self._do_data_events({"by": "finn", "trail": "acme-trail"}, at)

    def _do_data_events(self, said: Mapping[str, Any], at: datetime) -> None:
        """Let a trail record the data events of every bucket that is to be recorded by now."""
        trail = self.world.trails[said["trail"]]
        arns = self.world.data_arns(self.stage.story.account("production"), at)
        self.stage.aws.set_trail(trail, at=at, data_arns=arns)
        selected = {"type": "AWS::S3::Object", "values": arns}
        selectors = [{"readWriteType": "All", "includeManagementEvents": True, "dataResources": [selected]}]
        request = {"trailName": trail, "eventSelectors": selectors}
        self._changed(said, at, "cloudtrail:PutEventSelectors", request, resource=trail)

    def _do_bucket(self, said: Mapping[str, Any], at: datetime) -> None:
        bucket, settings = said["name"], dict(said["set"])
        calls: dict[str, tuple[str, Json]] = {
            "versioning": (
                "PutBucketVersioning",
                {"VersioningConfiguration": {"Status": settings.get("versioning")}},
            ),
            "eventbridge": (
                "PutBucketNotification",
                {
                    "NotificationConfiguration": {"EventBridgeConfiguration": {}}
                    if settings.get("eventbridge")
                    else {}
                },
            ),
            "lifecycle_d": (
                "PutBucketLifecycle",
                {"LifecycleConfiguration": {"Rule": [{"Status": "Enabled"}]}},
            ),
        }
        (setting,) = settings
        days = settings.pop("lifecycle_d", None)
        if days:
            settings["lifecycle"] = [
                {
                    "ID": "tidy",
                    "Status": "Enabled",
                    "Filter": {"Prefix": ""},
                    "Expiration": {"Days": days},
                    "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
                }
            ]
        self.stage.aws.set_bucket(bucket, **settings)
        name, request = calls[setting]
        account, region = self.stage.story.bucket(bucket)
        self._changed(
            said, at, f"s3:{name}", {"bucketName": bucket, **request},
            resource=f"arn:aws:s3:::{bucket}", account=account, region=region,
        )  # fmt: skip

    def _do_selection(self, said: Mapping[str, Any], at: datetime) -> None:
        """A selection cannot be edited: the console deletes it and makes another."""
        plan = said["plan"]
        _, region = self.world.place(plan)
        plan_id, old = self.world.plan_ids[plan], self.world.selections[plan]
        self.stage.aws.drop_selection(old)
        self.world.select(plan, said["tag"], at, 1 + int(at.timestamp()))
        gone = {"backupPlanId": plan_id, "selectionId": old}
        self._changed(said, at, "backup:DeleteBackupSelection", gone, region=region)
        tag = {"conditionType": "STRINGEQUALS", "conditionKey": "backup", "conditionValue": said["tag"]}
        made = {"backupPlanId": plan_id, "backupSelection": {"listOfTags": [tag]}}
        self._changed(said, at, "backup:CreateBackupSelection", made, region=region)

    def _do_plan(self, said: Mapping[str, Any], at: datetime) -> None:
        plan = said["name"]
        account, region = self.world.place(plan)
        self.stage.keep_d[plan] = said["keep_d"]
        self.stage.aws.set_plan(self.world.plan_ids[plan], rules=[self.world.rule(plan)])
        request = {
            "backupPlanId": self.world.plan_ids[plan],
            "backupPlan": {"rules": [self.world.rule(plan)]},
        }
        arn = f"arn:aws:backup:{region}:{account}:backup-plan:{self.world.plan_ids[plan]}"
        self._changed(said, at, "backup:UpdateBackupPlan", request, resource=arn, region=region)

    def _do_vault(self, said: Mapping[str, Any], at: datetime) -> None:
        arn = self.stage.story.vault_arn(said["name"])
        _, _, _, region, account, *_ = arn.split(":")
        lock = None if said["lock"] == "none" else self.world.lock(said["lock"])
        self.stage.aws.set_vault(arn, lock=lock)
        verb = "Put" if lock else "Delete"
        self._changed(
            said, at, f"backup:{verb}BackupVaultLockConfiguration", {"backupVaultName": said["name"]},
            resource=arn, account=account, region=region,
        )  # fmt: skip

    def _do_trail(self, said: Mapping[str, Any], at: datetime) -> None:
        trail = self.world.trails[said["name"]]
        self.stage.aws.set_trail(trail, at=at, **said["set"])
        selectors = [{"readWriteType": said["set"]["management"], "includeManagementEvents": True}]
        request = {"trailName": trail, "eventSelectors": selectors}
        self._changed(said, at, "cloudtrail:PutEventSelectors", request, resource=trail)

    def _do_trust(self, said: Mapping[str, Any], at: datetime) -> None:
        story = self.stage.story
        arn = role_arn(story.account("production"), said["role"])
        subject = story["service_accounts"][said["role"].removeprefix("export-") + "-export"]["subject"]
        trust = google_trust(subject, pinned=not said["open"])
        self.stage.aws.set_role(arn, trust=trust)
        request = {"roleName": said["role"], "policyDocument": as_text(trust)}
        self._changed(said, at, "iam:UpdateAssumeRolePolicy", request, resource=arn, region="us-east-1")

    def _do_policy(self, said: Mapping[str, Any], at: datetime) -> None:
        """Put a policy of the scenario on a role, a bucket or a vault."""
        story, aws = self.stage.story, self.stage.aws
        kind, _, name = said["of"].partition("/")
        arn = story.arn(said["of"])
        account, region = story.account("production"), "us-east-1"
        if kind == "bucket":
            account, region = story.bucket(name)
        elif kind == "vault":
            _, _, _, region, account, *_ = arn.split(":")
        text = document(story, said["is"], arn, account)
        if kind == "role":
            aws.set_role(arn, trust=text)
            call, request = "iam:UpdateAssumeRolePolicy", {"roleName": name, "policyDocument": text}
        elif kind == "bucket":
            aws.set_bucket(name, policy=text)
            call, request = "s3:PutBucketPolicy", {"bucketName": name}
        else:
            aws.set_vault(arn, policy=text)
            call, request = "backup:PutBackupVaultAccessPolicy", {"backupVaultName": name, "policy": text}
        self._changed(said, at, call, request, resource=arn, account=account, region=region)

    def _do_provider(self, said: Mapping[str, Any], at: datetime) -> None:
        arn = self.stage.aws.put_provider(
            self.stage.story.account("production"), f"https://{said['url']}", client_ids=said["clients"],
            thumbprints=["9e99a48a9960b14926bb7f3b02e22da2b0ab7280"], at=at,
        )  # fmt: skip
        request = {"url": f"https://{said['url']}", "clientIDList": said["clients"]}
        self._changed(said, at, "iam:CreateOpenIDConnectProvider", request, resource=arn, region="us-east-1")

    def _do_user_with_key(self, said: Mapping[str, Any], at: datetime) -> None:
        account = self.stage.story.account("production")
        policy = {
            "Effect": "Allow",
            "Action": ["s3:PutObject"],
            "Resource": ["arn:aws:s3:::acme-claims-phi/*"],
        }
        arn = self.stage.aws.put_user(
            account, said["name"], at=at, keys=[(said["key"], "Active", at)],
            inline={"load": {"Version": "2012-10-17", "Statement": [policy]}},
        )  # fmt: skip
        user = {"userName": said["name"]}
        self._changed(said, at, "iam:CreateUser", user, resource=arn, region="us-east-1")
        self._changed(said, at, "iam:CreateAccessKey", user, resource=arn, region="us-east-1")

    def _do_drop_point(self, said: Mapping[str, Any], at: datetime) -> None:
        """Delete by hand the recovery point that captured an export."""
        export = self.stage.story.export(said["of"])
        after = (at_ for bucket, at_ in self.stage.points if bucket == export.bucket and at_ > export.at)
        arn = self.stage.points[export.bucket, min(after)]
        self.stage.aws.drop_point(arn)
        account, region = self.stage.story.bucket(export.bucket)
        self._changed(
            said,
            at,
            "backup:DeleteRecoveryPoint",
            {"recoveryPointArn": arn},
            resource=arn,
            account=account,
            region=region,
        )

    def _do_passing_point(self, said: Mapping[str, Any], at: datetime) -> None:
        """Make an on-demand point that AWS Backup deletes once it is copied."""
        story, bucket = self.stage.story, said["bucket"]
        account, region = story.bucket(bucket)
        vault, resource = story.vault_arn("soc2"), f"arn:aws:s3:::{bucket}"
        done = at + timedelta(minutes=20)
        point = self.stage.aws.put_point(
            vault, resource, initiated_at=at, created_at=at, completed_at=done,
            bytes=self.stage.size(bucket), deletes_after_copy=True,
        )  # fmt: skip
        self._passing[bucket] = point
        self.stage.aws.put_backup_job(
            account, region, vault_arn=vault, resource_arn=resource, state="COMPLETED",
            created_at=at, completed_at=done, point_arn=point,
        )  # fmt: skip
        self._changed(said, at, "backup:StartBackupJob", {"resourceArn": resource}, resource=resource)

    def _passed(self, bucket: str) -> None:
        self.stage.aws.drop_point(self._passing[bucket])

    def _do_restored(self, said: Mapping[str, Any], at: datetime) -> None:
        """Restore the newest point of a bucket elsewhere, as a test."""
        story, bucket = self.stage.story, said["bucket"]
        account, region = story.bucket(bucket)
        newest = max(when for name, when in self.stage.points if name == bucket)
        self.stage.aws.put_restore_job(
            account, region, point_arn=self.stage.points[bucket, newest], state="COMPLETED", created_at=at,
            completed_at=at + timedelta(minutes=50), resource_arn=f"arn:aws:s3:::{bucket}",
            created_arn="arn:aws:s3:::acme-restore-test", validation="SUCCESSFUL",
        )  # fmt: skip
        self._changed(said, at, "backup:StartRestoreJob", {"resourceType": "S3"})
