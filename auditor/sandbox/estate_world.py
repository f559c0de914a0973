"""The standing estate: buckets, identities, trails, vaults and plans, and everything that changes in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from auditor.sandbox.estate_access import seed_access
from auditor.sandbox.estate_records import (
    AUDIENCE,
    GOOGLE,
    Json,
    role_arn,
    stamp,
)
from auditor.sandbox.estate_stage import Stage
from auditor.sandbox.estate_story import Story, ident

BUILT = datetime(2025, 6, 2, 9, 0, tzinfo=UTC)
"""When everything that the story does not date was made."""
BACKUP_ROLE = "backup-service"
READER = "auditor-reader"
WRITES = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]


def allow(principal: Json, action: str, condition: Json | None = None) -> Json:
    """Return a trust policy of one statement."""
    statement: Json = {"Effect": "Allow", "Principal": principal, "Action": action}
    if condition:
        statement["Condition"] = condition
    return {"Version": "2012-10-17", "Statement": [statement]}


def google_trust(subject: str, *, pinned: bool = True) -> Json:
    """Return the trust policy of an export role; not pinned, any subject of the provider may come."""
    claims: Json = {f"{GOOGLE}:oaud": AUDIENCE}
    if pinned:
        claims |= {f"{GOOGLE}:sub": subject, f"{GOOGLE}:aud": subject}
        condition: Json = {"StringEquals": claims}
    else:
        condition = {"StringEquals": claims, "StringLike": {f"{GOOGLE}:sub": "*"}}
    return allow({"Federated": GOOGLE}, "sts:AssumeRoleWithWebIdentity", condition)


class World:
    """Steps that build the estate and change it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.plan_ids: dict[str, str] = {}
        self.trails: dict[str, str] = {}
        self.selections: dict[str, str] = {}

    def build(self) -> None:
        """Make everything that stands before the first export."""
        for bucket, said in self.stage.story["buckets"].items():
            if "created" not in said:
                self.bucket(bucket, BUILT)
        self._identities()
        self._backup()
        self._gcp()

    def bucket(self, bucket: str, at: datetime) -> None:
        said = self.stage.story["buckets"][bucket]
        account, region = self.stage.story.bucket(bucket)
        tags = {}
        if said.get("zone"):
            tags = {"compliance-zone": said["zone"], "retention-class": said["zone"]}
        if said.get("owner"):
            tags["owner"] = self.stage.story.email(said["owner"])
        plan = self.stage.story.plan_of(bucket)
        tag = plan and self.stage.story["plans"][plan].get("tag")
        if tag:
            tags["backup"] = tag
        self.stage.aws.put_bucket(
            account, region, bucket, at=at, tags=tags,
            encryption=said.get("encryption", "aws:kms"),
            kms_key=None if said.get("encryption") else self._kms(account, region, "data"),
            logging=said.get("access_logs"),
            policy=document(self.stage.story, said.get("policy"), f"arn:aws:s3:::{bucket}", account),
        )  # fmt: skip
        if bucket.endswith("-archive"):
            self.stage.put(bucket, "2024/claims.parquet", b"archived\n" * 99, at=at + timedelta(days=1))

    def _kms(self, account: str, region: str, name: str) -> str:
        return f"arn:aws:kms:{region}:{account}:key/{ident('key', account, region, name)}"

    def _identities(self) -> None:
        story, aws = self.stage.story, self.stage.aws
        main = story.account("production")
        for name, said in story["service_accounts"].items():
            aws.put_role(
                main, self.role_of(name), at=BUILT, trust=google_trust(said["subject"]),
                max_session_s=7200 if name == "claims-export" else 3600,
                inline={"write": self._may_write(name)}, tags={"owner": story.email("finn")},
            )  # fmt: skip
        wrong = {
            "export-legacy": allow(
                {"Federated": GOOGLE}, "sts:AssumeRoleWithWebIdentity",
                {"StringEquals": {f"{GOOGLE}:aud": "acme exports"}},
            ),
            "export-open": google_trust("", pinned=False),
        }  # fmt: skip
        for name, trust in wrong.items():
            aws.put_role(main, name, at=BUILT, trust=trust, max_session_s=43200, inline={})
        for name, said in story["roles"].items():
            arn = role_arn(main, name)
            aws.put_role(main, name, at=BUILT, trust=document(story, said["policy"], arn, main) or "")
        aws.put_role(
            main, "data-maintenance", at=BUILT,
            trust=allow({"AWS": f"arn:aws:iam::{main}:root"}, "sts:AssumeRole"),
        )  # fmt: skip
        service = {"s3-replication": "s3.amazonaws.com", BACKUP_ROLE: "backup.amazonaws.com"}
        for account in story["aws"]["accounts"].values():
            for name, principal in service.items():
                aws.put_role(
                    account, name, at=BUILT,
                    trust=allow(
                        {"Service": principal}, "sts:AssumeRole", {"StringEquals": {"aws:SourceAccount": account}}
                    ),
                )  # fmt: skip
            aws.put_role(
                account, READER, at=BUILT,
                trust=allow(
                    {"AWS": "arn:aws:iam::333333333333:role/auditor"}, "sts:AssumeRole",
                    {"StringEquals": {"sts:ExternalId": "acme-audit"}},
                ),
                attached=("arn:aws:iam::aws:policy/SecurityAudit",),
            )  # fmt: skip
            aws.set_public_block(account, (True, True, True, True))
        aws.put_user(main, "break-glass", at=BUILT, tags={"owner": story.email("finn")})
        aws.put_provider(
            main, "https://token.actions.githubusercontent.com", at=BUILT,
            client_ids=["sts.amazonaws.com"], thumbprints=["6938fd4d98bab03faadb97b34396831e3780aea1"],
        )  # fmt: skip
        for name, said in story["aws"]["trails"].items():
            account = story.account(said["account"])
            self.trails[name] = aws.put_trail(
                account,
                "eu-west-1",
                name,
                bucket=said["bucket"],
                at=BUILT,
                data_arns=self.data_arns(account, BUILT),
            )

    @staticmethod
    def role_of(service_account: str) -> str:
        """Return the export role of a service account."""
        return "export-" + service_account.removesuffix("-export")

    def _may_write(self, service_account: str) -> Json:
        prefixes = sorted(
            {
                f"arn:aws:s3:::{each['to'].partition('{')[0]}*"
                for each in self.stage.story["pipelines"].values()
                if each["account"] == service_account
            }
        )
        statement = {"Effect": "Allow", "Action": WRITES, "Resource": prefixes}
        return {"Version": "2012-10-17", "Statement": [statement]}

    def data_arns(self, account: str, now: datetime) -> list[str]:
        """Return the buckets of an account whose data events are recorded at a moment."""
        story = self.stage.story
        named = (
            name
            for name, said in story["buckets"].items()
            if story.bucket(name)[0] == account
            and all(story.moment(said[since]) <= now for since in ("created", "data_events") if since in said)
        )
        return sorted(f"arn:aws:s3:::{name}/" for name in named)

    def _backup(self) -> None:
        story, aws = self.stage.story, self.stage.aws
        for account in story["aws"]["accounts"].values():
            for region in story["aws"]["regions"]:
                aws.set_region(account, region, s3_opt_in=True)
        for name, said in story["vaults"].items():
            _, _, _, region, account, *_ = story.vault_arn(name).split(":")
            named = "no-deletion" if said.get("deny_deletion") else said.get("policy")
            aws.put_vault(
                account, region, name, at=BUILT, kms_key=self._kms(account, region, f"vault {name}"),
                lock=self.lock(said.get("lock")),
                policy=document(story, named, story.vault_arn(name), account),
            )  # fmt: skip
        for name, said in story["plans"].items():
            account, region = self.place(name)
            self.stage.keep_d[name] = said["keep_d"]
            self.plan_ids[name] = aws.put_plan(account, region, name, at=BUILT, rules=[self.rule(name)])
            self.select(name, said.get("tag"), BUILT, 1)

    def lock(self, said: Mapping[str, Any] | None) -> Json | None:
        if said is None:
            return None
        moved = self.stage.story.moment
        return {name: moved(value) if name == "lock_date" else value for name, value in said.items()}

    def place(self, plan: str) -> tuple[str, str]:
        arn = self.stage.story.vault_arn(self.stage.story["plans"][plan]["vault"])
        _, _, _, region, account, *_ = arn.split(":")
        return account, region

    def rule(self, plan: str) -> Json:
        said = self.stage.story["plans"][plan]
        hour, minute = said["at"].split(":")
        rule: Json = {
            "RuleName": plan,
            "TargetBackupVaultName": said["vault"],
            "ScheduleExpression": f"cron({int(minute)} {int(hour)} ? * * *)",
            "StartWindowMinutes": 60,
            "CompletionWindowMinutes": 480,
            "Lifecycle": {"DeleteAfterDays": self.stage.keep_d[plan]},
            "EnableContinuousBackup": bool(said.get("continuous")),
        }
        if "copy" in said:
            copied = {
                "DestinationBackupVaultArn": self.stage.story.vault_arn(said["copy"]["to"]),
                "Lifecycle": {"DeleteAfterDays": said["copy"]["keep_d"]},
            }
            rule["CopyActions"] = [copied]
        return rule

    def select(self, plan: str, tag: str | None, at: datetime, number: int) -> None:
        account, _ = self.place(plan)
        picked: Json = {}
        if tag:
            one = {"ConditionType": "STRINGEQUALS", "ConditionKey": "backup", "ConditionValue": tag}
            picked["list_of_tags"] = [one]
        else:
            picked["resources"] = [f"arn:aws:s3:::{b}" for b in self.stage.story["plans"][plan]["arns"]]
        self.selections[plan] = self.stage.aws.put_selection(
            self.plan_ids[plan], f"{plan}-{number}", at=at, role=role_arn(account, BACKUP_ROLE), **picked
        )

    def _gcp(self) -> None:
        story, gcp = self.stage.story, self.stage.gcp
        for project in story["gcp"]["projects"]:
            gcp.declare(project, *story["gcp"]["regions"])
        seed_access(self.stage)
        for name, said in story["gcp"]["clusters"].items():
            at = stamp(story.moment(said["created"]))
            cluster = {
                "projectId": said["project"],
                "clusterName": name,
                "clusterUuid": ident("cluster", name),
                "config": {
                    "gceClusterConfig": {
                        "serviceAccount": story.email(said["account"]),
                        "internalIpOnly": True,
                    }
                },
                "status": {"state": "RUNNING", "stateStartTime": at},
                "statusHistory": [{"state": "CREATING", "stateStartTime": at}],
            }
            gcp.add_cluster(cluster, said["project"], said["region"])
        for name, said in story["pipelines"].items():
            if said.get("kind") == "workflow":
                template = {
                    "id": name,
                    "version": 3,
                    "jobs": [
                        {"stepId": "export", "pysparkJob": {"mainPythonFileUri": f"gs://code/{name}.py"}}
                    ],
                }
                gcp.add_template(template, said["project"], said.get("region", "europe-west1"))


def document(story: Story, name: str | None, arn: str, account: str) -> str | None:
    """Return a policy of the scenario as the text that is sent, for the resource that carries it; None for none."""
    if name is None:
        return None
    said = story["policies"][name]
    if isinstance(said, str):
        return said
    text = as_text({"Version": "2012-10-17", "Statement": said})
    return text.replace("{arn}", arn).replace("{account}", account)


def as_text(policy: Mapping[str, Any]) -> str:
    """Return a policy document as the text that is sent."""
    import json

    return json.dumps(policy)
