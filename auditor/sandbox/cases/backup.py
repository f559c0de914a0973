"""What backup.yaml cannot say: who audits, whom a vault tells, an air gap, sizes of points, foreign keys, restore tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from auditor.sandbox.estate_stage import Step
from auditor.sandbox.estate_story import Story
from auditor.sandbox.estate_world import BUILT, World

_EU, _CENTRAL = "eu-west-1", "eu-central-1"
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_SIZED = "arn:aws:s3:::backup-size-internal"
_GAPPED = "arn:aws:s3:::backup-gap-phi"


def config(story: Story) -> Mapping[str, Any]:  # noqa: ARG001 - every chapter is asked alike
    """Ask for the tags of points, and say which of them must be there."""
    return {
        "sources": {"aws_backup": {"point_tags": True}},
        "params": {"RPT-007": {"tags": ["retention-class"]}},
    }


def steps(world: World) -> Iterator[Step]:
    """Yield what happens beside the plans' own runs."""
    at = world.stage.story.moment
    yield Step(BUILT, partial(_stand, world))
    yield Step(at("W02 Tue 09:00"), partial(_mend, world))
    yield Step(at("W02 Sat 09:00"), partial(_points, world))
    yield Step(at("W02 Sat 10:00"), partial(_restores, world, at("W02 Sat 10:00")))
    yield Step(at("W03 Tue 09:00"), partial(_audit, world, at("W03 Tue 09:00")))


def _stand(world: World) -> None:
    """Make an air-gapped vault, and let one place be audited from the beginning."""
    story, aws = world.stage.story, world.stage.aws
    aws.put_vault(
        story.account("recovery"), _CENTRAL, "backup-gap", at=BUILT, lock={"min_d": 7, "max_d": 400},
        type="LOGICALLY_AIR_GAPPED_BACKUP_VAULT",
    )  # fmt: skip
    aws.put_framework(story.account("production"), _CENTRAL, "backup_controls", at=BUILT)
    # Not deployed: it audits nothing.
    aws.put_framework(story.account("production"), _EU, "backup_controls", at=BUILT, status="FAILED")


def _mend(world: World) -> None:
    """Let the vault tell how jobs end, and let old versions of one bucket end."""
    story, aws = world.stage.story, world.stage.aws
    topic = f"arn:aws:sns:{_EU}:{story.account('production')}:backup-jobs"
    aws.set_vault(story.vault_arn("backup-main"), notify={"topic": topic, "events": ["BACKUP_JOB_COMPLETED"]})
    tidy = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": ""}}
    aws.set_bucket(
        "backup-size-internal", lifecycle=[{**tidy, "NoncurrentVersionExpiration": {"NoncurrentDays": 90}}]
    )


def _audit(world: World, at: datetime) -> None:
    world.stage.aws.put_report_plan(world.stage.story.account("production"), _EU, "backup_jobs", at=at)


def _points(world: World) -> None:
    """Make a week of points of one size and one that is not, a copy under the source's key, and one behind the gap."""
    story, aws = world.stage.story, world.stage.aws
    vault = story.vault_arn("backup-main")
    first = story.moment("W01 Sat 05:00")
    for night in range(7):
        begun = first + night * _DAY
        aws.put_point(
            vault, _SIZED, initiated_at=begun, created_at=begun, completed_at=begun + _HOUR,
            bytes=10_000 if night < 6 else 100, delete_after_d=60,
        )  # fmt: skip
    key = world._kms(story.account("production"), _EU, "vault backup-main")  # noqa: SLF001 - its own key's name
    _copied(world, story.vault_arn("backup-far"), _SIZED, first + _DAY, kms_key=key)
    gap = f"arn:aws:backup:{_CENTRAL}:{story.account('recovery')}:backup-vault:backup-gap"
    _copied(world, gap, _GAPPED, story.moment("W02 Sat 06:00"))


def _copied(world: World, vault: str, resource: str, at: datetime, **more: Any) -> None:
    world.stage.aws.put_point(
        vault, resource, initiated_at=at, created_at=at, completed_at=at + _HOUR, bytes=10_000,
        delete_after_d=60, source_vault_arn=world.stage.story.vault_arn("backup-main"), **more,
    )  # fmt: skip


def _restores(world: World, at: datetime) -> None:
    """Test restores: one quick and sound, one slow and wrong, one that nobody validated, one that never ends."""
    story, aws = world.stage.story, world.stage.aws
    account = story.account("production")
    plan = f"arn:aws:backup:{_EU}:{account}:restore-testing-plan:backup_weekly-5d1c"
    point = aws.put_point(
        story.vault_arn("backup-main"), _GAPPED, initiated_at=at - _DAY, created_at=at - _DAY,
        completed_at=at - _DAY + _HOUR, bytes=10_000, delete_after_d=60,
    )  # fmt: skip
    tests: tuple[tuple[str, str, timedelta | None, str | None, str | None], ...] = (
        ("BACKUP-RESTORE-QUICK", "COMPLETED", _HOUR, "SUCCESSFUL", "checksums of 500 objects agree"),
        ("BACKUP-RESTORE-SLOW", "COMPLETED", 13 * _HOUR, "FAILED", "3 of 500 objects differ"),
        ("BACKUP-RESTORE-MUTE", "COMPLETED", _HOUR, None, None),
        ("BACKUP-RESTORE-HANGS", "RUNNING", None, None, None),
    )
    for job_id, state, took, validation, message in tests:
        aws.put_restore_job(
            account, _EU, point_arn=point, state=state, created_at=at, resource_arn=_GAPPED,
            completed_at=None if took is None else at + took, testing_plan_arn=plan, validation=validation,
            validation_message=message, restore_job_id=job_id,
        )  # fmt: skip
