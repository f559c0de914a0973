"""What AWS Backup did: the plans' runs that matter, their recovery points, and the copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import partial
from typing import Any

from auditor.sandbox.estate_stage import Stage, Step
from auditor.sandbox.estate_story import SKEW, Export, Story, duration, ident

STARTS_AFTER = timedelta(minutes=4)
TAKES = timedelta(minutes=30)
COPY_TAKES = timedelta(minutes=16)
SINCE = datetime.fromisoformat("2025-12-01T03:00:00+00:00")
"""When the continuous points were first made."""


@dataclass(slots=True)
class Run:
    """One scheduled run of one plan on one bucket."""

    bucket: str
    plan: str
    scheduled_at: datetime
    start_at: datetime
    outcome: str = "COMPLETED"
    point: dict[str, Any] = field(default_factory=dict)
    """What is unusual about its recovery point or job: bytes, status, category, message."""
    copy: dict[str, Any] = field(default_factory=dict)
    """What is unusual about its copy: state, done, encrypted."""

    @property
    def done_at(self) -> datetime:
        """When it ended."""
        return self.start_at + TAKES


def runs(story: Story) -> list[Run]:
    """Return the runs worth seeding: round every export, and the last one before each scan."""
    found: dict[tuple[str, datetime], Run] = {}
    unpicked = _unpicked(story)

    def add(bucket: str, at: datetime, **told: Any) -> Run | None:
        plan = story.plan_of(bucket)
        if plan is None or any(since <= at < until for since, until in unpicked.get(plan, ())):
            return None
        run = found.setdefault((bucket, at), Run(bucket, plan, at, at + STARTS_AFTER))
        for name, value in told.items():
            setattr(run, name, value)
        return run

    first: dict[str, datetime] = {}
    for export in story.exports:
        _around(story, export, add)
        first[export.bucket] = min(export.at, first.get(export.bucket, export.at))
    for bucket in story["buckets"]:
        for week in range(1, story.weeks + 1):
            plan = story.plan_of(bucket)
            since = first.get(bucket, story.first)
            at = plan and _schedule(story, plan, story.now(week) - timedelta(hours=1))
            if at and at > since:
                add(bucket, at)
    return sorted(found.values(), key=lambda run: (run.start_at, run.bucket))


def _around(story: Story, export: Export, add: Any) -> None:
    """Add the run that captures an export, and what its entry says of the runs round it."""
    plan = story.plan_of(export.bucket)
    if plan is None:
        return
    due = export.last_write_at + SKEW - STARTS_AFTER
    before = _schedule(story, plan, due - timedelta(microseconds=1))
    after = before + timedelta(days=1)
    if export.get("run_before"):
        add(export.bucket, before)
    if export.get("run") == "none":
        return
    run = add(export.bucket, after)
    if run is None:
        return
    run.outcome = export.get("run_after", default=run.outcome)
    if export.get("run_late"):
        run.start_at = after + duration(export.get("run_late"))
    run.point |= export.get("point", default={})
    run.copy |= export.get("copy", default={})


def _schedule(story: Story, plan: str, until: datetime) -> datetime:
    """Return a plan's last scheduled time at or before a moment."""
    at = datetime.combine(until.date(), time.fromisoformat(story["plans"][plan]["at"]), until.tzinfo)
    return at if at <= until else at - timedelta(days=1)


def _unpicked(story: Story) -> Mapping[str, list[tuple[datetime, datetime]]]:
    """Return when each plan's selection picked nothing, because its tag was another than its buckets'."""
    spans: dict[str, list[tuple[datetime, datetime]]] = {}
    changes = sorted(
        (story.moment(change["at"]), change["plan"], change["tag"])
        for change in story["changes"]
        if change["do"] == "selection"
    )
    for at, plan, tag in changes:
        if tag != story["plans"][plan]["tag"]:
            spans.setdefault(plan, []).append((at, story.now(story.weeks + 1)))
        else:
            spans[plan][-1] = (spans[plan][-1][0], at)
    return spans


class Backups:
    """Steps that make what the plans' runs left behind."""

    def __init__(self, stage: Stage, plan_ids: Mapping[str, str]) -> None:
        self.stage = stage
        self.plan_ids = plan_ids
        self.rule_ids: dict[str, str] = {}
        self.continuous: dict[str, str] = {}

    def steps(self) -> Iterator[Step]:
        """Yield every run's steps, and the continuous points first."""
        story = self.stage.story
        for name, plan in story["plans"].items():
            for bucket in (*plan.get("buckets", ()), *plan.get("arns", ())):
                if plan.get("continuous"):
                    yield Step(SINCE, partial(self._first, bucket, name))
        for run in runs(story):
            week = story.week_of(run.scheduled_at)
            if story.week_of(run.done_at) != week and run.outcome == "COMPLETED":
                yield Step(run.scheduled_at, partial(self._job, run, "RUNNING", None))
            yield Step(run.done_at, partial(self._done, run))
            yield from self._copying(run)
            keep = story["plans"][run.plan]["keep_d"]
            gone = run.start_at + timedelta(days=keep, hours=3)
            lasting = run.outcome != "COMPLETED" or story["plans"][run.plan].get("continuous")
            if not lasting and gone < story.now(story.weeks):
                yield Step(gone, partial(self._expired, run))

    def _first(self, bucket: str, plan: str) -> None:
        """Make the one continuous point of a bucket."""
        story = self.stage.story
        self.continuous[bucket] = self.stage.aws.put_point(
            story.vault_arn(story["plans"][plan]["vault"]),
            f"arn:aws:s3:::{bucket}",
            initiated_at=SINCE,
            created_at=SINCE,
            completed_at=SINCE + TAKES,
            status="AVAILABLE",
            bytes=1024,
            delete_after_d=story["plans"][plan]["keep_d"],
            continuous=True,
            plan_id=self.plan_ids[plan],
            tags=self._tags(bucket),
        )

    def _tags(self, bucket: str) -> dict[str, str]:
        zone = self.stage.story["buckets"][bucket].get("zone")
        return {"compliance-zone": zone, "retention-class": zone} if zone else {}

    def _job(self, run: Run, state: str, point: str | None) -> None:
        story = self.stage.story
        account, region = story.bucket(run.bucket)
        ended = state in {"COMPLETED", "PARTIAL", "FAILED"}
        self.stage.aws.put_backup_job(
            account,
            region,
            vault_arn=story.vault_arn(story["plans"][run.plan]["vault"]),
            resource_arn=f"arn:aws:s3:::{run.bucket}",
            state=state,
            created_at=run.scheduled_at
            if run.start_at - run.scheduled_at < TAKES
            else run.start_at - STARTS_AFTER,
            started_at=run.start_at,
            completed_at=run.done_at if ended else None,
            point_arn=point,
            category=run.point.get("category") if ended else None,
            message=run.point.get("message", "Access denied to the bucket" if state == "FAILED" else None),
            bytes=self._bytes(run) if ended and state != "FAILED" else None,
            plan_id=self.plan_ids[run.plan],
            job_id=self._job_id(run),
        )

    def _job_id(self, run: Run) -> str:
        return ident("backup job", run.bucket, run.scheduled_at).upper()

    def _bytes(self, run: Run) -> int:
        return int(run.point.get("bytes", self.stage.size(run.bucket)))

    def _done(self, run: Run) -> None:
        """Make the job, and the recovery point where the run left one."""
        story = self.stage.story
        if run.outcome != "COMPLETED":
            self._job(run, run.outcome, None)
            return
        plan = story["plans"][run.plan]
        if plan.get("continuous"):
            point = self.continuous[run.bucket]
            self.stage.aws.set_point(point, bytes=self._bytes(run))
        else:
            point = self.stage.aws.put_point(
                story.vault_arn(plan["vault"]),
                f"arn:aws:s3:::{run.bucket}",
                initiated_at=run.start_at,
                created_at=run.start_at + timedelta(seconds=20),
                completed_at=run.done_at,
                status=run.point.get("status", "COMPLETED"),
                bytes=self._bytes(run),
                delete_after_d=self.stage.keep_d[run.plan],
                plan_id=self.plan_ids[run.plan],
                tags=self._tags(run.bucket),
            )
        self.stage.points[run.bucket, run.scheduled_at] = point
        self._job(run, "PARTIAL" if run.point.get("status") == "PARTIAL" else "COMPLETED", point)

    def _expired(self, run: Run) -> None:
        self.stage.aws.drop_point(self.stage.points[run.bucket, run.scheduled_at])

    # ------------------------------------------------------------------------------------------ copies
    def _copying(self, run: Run) -> Iterator[Step]:
        story = self.stage.story
        plan = story["plans"][run.plan]
        if "copy" not in plan or run.outcome != "COMPLETED" or run.copy.get("state") == "none":
            return
        begun = run.done_at + timedelta(minutes=2)
        told = run.copy.get("done")
        done = story.moment(told) if told else begun + COPY_TAKES
        if story.week_of(begun) != story.week_of(done):
            yield Step(begun, lambda: self._copy_job(run, "RUNNING", begun, None, None))
        yield Step(done, lambda: self._copied(run, begun, done))

    def _copied(self, run: Run, begun: datetime, done: datetime) -> None:
        story = self.stage.story
        plan = story["plans"][run.plan]
        if run.copy.get("state") == "FAILED":
            self._copy_job(run, "FAILED", begun, done, None)
            return
        copied = self.stage.aws.put_point(
            story.vault_arn(plan["copy"]["to"]),
            f"arn:aws:s3:::{run.bucket}",
            initiated_at=begun,
            created_at=begun,
            completed_at=done,
            bytes=self._bytes(run),
            delete_after_d=plan["copy"]["keep_d"],
            encrypted=run.copy.get("encrypted", True),
            source_vault_arn=story.vault_arn(plan["vault"]),
            tags=self._tags(run.bucket),
        )
        self._copy_job(run, "COMPLETED", begun, done, copied)

    def _copy_job(
        self, run: Run, state: str, begun: datetime, done: datetime | None, copied: str | None
    ) -> None:
        story = self.stage.story
        plan = story["plans"][run.plan]
        account, region = story.bucket(run.bucket)
        self.stage.aws.put_copy_job(
            account,
            region,
            source_vault_arn=story.vault_arn(plan["vault"]),
            source_point_arn=self.stage.points[run.bucket, run.scheduled_at],
            dest_vault_arn=story.vault_arn(plan["copy"]["to"]),
            dest_point_arn=copied,
            resource_arn=f"arn:aws:s3:::{run.bucket}",
            state=state,
            message="The destination vault refused the copy" if state == "FAILED" else None,
            created_at=begun,
            completed_at=done,
            bytes=self._bytes(run) if done else None,
            plan_id=self.plan_ids[run.plan],
        )
