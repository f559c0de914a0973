"""What core.yaml cannot say: an open account, old keys, plans that fall short, jobs that failed, restores nobody meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from auditor.sandbox.estate_records import chained, person_identity, role_arn, stamp
from auditor.sandbox.estate_stage import Step
from auditor.sandbox.estate_story import Story
from auditor.sandbox.estate_world import BACKUP_ROLE, BUILT, World

_EU = "eu-west-1"
_MEANT = "arn:aws:iam::{}:role/core-restore"


def config(story: Story) -> Mapping[str, Any]:
    """Declare two exports' intervals, and who may restore."""
    account = story.account("production")
    return {
        "exports": {"base-claims": {"every": "7d"}, "core-torn": {"every": "7d"}},
        "params": {"RST-004": {"allow": [_MEANT.format(account)]}},
    }


def steps(world: World) -> Iterator[Step]:
    """Yield what happens beside the exports."""
    at = world.stage.story.moment
    yield Step(BUILT, partial(_stand, world, BUILT))
    yield Step(at("W02 Tue 09:00"), partial(_open, world))
    yield Step(
        at("W02 Tue 10:00"), partial(_blind, world, at("W02 Tue 10:00"), "WriteOnly"), needs_trail=True
    )
    yield Step(at("W03 Tue 10:00"), partial(_blind, world, at("W03 Tue 10:00"), "All"), needs_trail=True)
    yield Step(at("W03 Wed 10:00"), partial(_assume, world, at("W03 Wed 10:00")))
    yield Step(at("W03 Wed 11:00"), partial(_leak, world, at("W03 Wed 11:00")))
    yield Step(at("W03 Thu 12:00"), partial(_jobs, world, at("W03 Thu 12:00")))


def _stand(world: World, at: datetime) -> None:
    """Make what stands from the beginning: users with keys, a plan that falls short of its zone, a vault without a key."""
    story, aws = world.stage.story, world.stage.aws
    main, core = story.account("production"), story.account("core")
    aws.set_public_block(core, (False, False, False, False))
    aws.put_user(main, "core-old", at=at, keys=[("AKIACOREOLDKEY000001", "Active", at)])
    new = story.moment("W01 Mon 06:30")
    aws.put_user(main, "core-new", at=new, keys=[("AKIACORENEWKEY000001", "Active", new)])
    rule = {
        "RuleName": "core-weekly",
        "TargetBackupVaultName": "core-local",
        "ScheduleExpression": "cron(0 3 ? * 2 *)",
        "StartWindowMinutes": 60,
        "CompletionWindowMinutes": 480,
        "Lifecycle": {"DeleteAfterDays": 20},
    }
    role = role_arn(main, BACKUP_ROLE)
    weekly = aws.put_plan(main, _EU, "core-weekly", at=at, rules=[rule])
    aws.put_selection(
        weekly, "core-weekly-1", at=at, role=role, resources=["arn:aws:s3:::core-weekly-strict"]
    )
    aws.put_vault(main, _EU, "core-keyless", at=at, kms_key=None)
    keyless = {
        **rule,
        "RuleName": "core-keyless",
        "TargetBackupVaultName": "core-keyless",
        "ScheduleExpression": "cron(0 3 ? * * *)",
    }
    plan = aws.put_plan(main, _EU, "core-keyless", at=at, rules=[keyless])
    aws.put_selection(plan, "core-keyless-1", at=at, role=role, resources=["arn:aws:s3:::core-vault-phi"])


def _open(world: World) -> None:
    world.stage.aws.set_bucket("core-open-internal", public_block=(False, False, False, False))


def _blind(world: World, at: datetime, management: str) -> None:
    world.stage.aws.set_trail(world.trails["core-trail"], at=at, management=management)


def _assume(world: World, at: datetime) -> None:
    """Let a person take the export role by AssumeRole."""
    story = world.stage.story
    account = story.account("production")
    who = person_identity(account, story.email("cora"), at)
    world.stage.record(
        [
            chained(
                account, _EU, who=who, role="export-core", session="debug", key="ASIACOREASSUMED00001", at=at
            )
        ]
    )


def _leak(world: World, at: datetime) -> None:
    """Start a job that is handed an access key in its arguments."""
    job = {
        "reference": {"projectId": "core-exports", "jobId": "core-leak"},
        "placement": {"clusterName": "core-leak", "clusterUuid": "0c0ffee0-0000-4000-8000-0000000000c1"},
        "status": {"state": "DONE", "stateStartTime": stamp(at + timedelta(minutes=5))},
        "statusHistory": [{"state": "RUNNING", "stateStartTime": stamp(at)}],
        "pysparkJob": {"mainPythonFileUri": "gs://core/x.py", "args": ["--key=AKIAIOSFODNN7EXAMPLE"]},
        "labels": {"zone": "internal", "owner": "cora"},
        "jobUuid": "0c0ffee0-0000-4000-8000-000000000001",
        "done": True,
    }
    world.stage.gcp.add_job(job, "core-exports", "europe-west1")


def _jobs(world: World, at: datetime) -> None:
    """Let a backup and a copy fail, once for good and once until a second try; and restore, as meant and not."""
    story, aws = world.stage.story, world.stage.aws
    account, hour = story.account("production"), timedelta(hours=1)
    vault, other = story.vault_arn("core-local"), story.vault_arn("core-central")
    lost, kept = "arn:aws:s3:::core-weekly-strict", "arn:aws:s3:::core-local"
    earlier = at - timedelta(days=2)
    for job_id, resource in (("CORE-BACKUP-LOST", lost), ("CORE-BACKUP-REPEATED", kept)):
        aws.put_backup_job(
            account, _EU, vault_arn=vault, resource_arn=resource, state="FAILED", created_at=earlier,
            completed_at=earlier + hour, message="Access denied to the bucket", job_id=job_id,
        )  # fmt: skip
    point = _point(world, kept, earlier + 2 * hour)
    aws.put_backup_job(
        account, _EU, vault_arn=vault, resource_arn=kept, state="COMPLETED", created_at=earlier + 2 * hour,
        completed_at=earlier + 3 * hour, point_arn=point, bytes=1024, job_id="CORE-BACKUP-AGAIN",
    )  # fmt: skip
    copies = (
        ("CORE-COPY-LOST", "FAILED", _point(world, lost, earlier)),
        ("CORE-COPY-REPEATED", "FAILED", point),
    )
    for job_id, state, source in copies:
        aws.put_copy_job(
            account, _EU, source_vault_arn=vault, source_point_arn=source, dest_vault_arn=other,
            resource_arn=lost if source != point else kept, state=state, created_at=earlier + 4 * hour,
            completed_at=earlier + 5 * hour, message="Access denied to the vault", copy_job_id=job_id,
        )  # fmt: skip
    copied = aws.put_point(
        other, kept, initiated_at=earlier + 2 * hour, created_at=earlier + 6 * hour,
        completed_at=earlier + 7 * hour, bytes=1024, delete_after_d=40, source_vault_arn=vault,
    )  # fmt: skip
    aws.put_copy_job(
        account, _EU, source_vault_arn=vault, source_point_arn=point, dest_vault_arn=other, resource_arn=kept,
        state="COMPLETED", created_at=earlier + 6 * hour, completed_at=earlier + 7 * hour,
        dest_point_arn=copied, copy_job_id="CORE-COPY-AGAIN",
    )  # fmt: skip
    for job_id, role in (
        ("CORE-RESTORE-MEANT", _MEANT.format(account)),
        ("CORE-RESTORE-STRANGE", role_arn(account, "odd")),
    ):
        aws.put_restore_job(
            account, _EU, point_arn=point, state="COMPLETED", created_at=at, completed_at=at + hour,
            resource_arn=kept, created_arn="arn:aws:s3:::core-restored", validation="SUCCESSFUL",
            role=role, restore_job_id=job_id,
        )  # fmt: skip


def _point(world: World, resource: str, at: datetime) -> str:
    return world.stage.aws.put_point(
        world.stage.story.vault_arn("core-local"), resource, initiated_at=at, created_at=at,
        completed_at=at + timedelta(hours=1), bytes=1024, delete_after_d=40,
    )  # fmt: skip
