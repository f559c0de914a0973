"""One export on AWS: the session it got, every object it wrote, and what else wrote beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from auditor.sandbox.estate_chain import MINUTE, Chain
from auditor.sandbox.estate_records import (
    Json,
    chained,
    data_key,
    mark,
    object_event,
    session_identity,
    user_identity,
    web_identity,
)
from auditor.sandbox.estate_stage import Stage, Step
from auditor.sandbox.estate_story import Export, duration, ident

LEGACY_KEY = "AKIAEXAMPLELEGACY001"
HOSTILE = (
    "<script>alert(1)</script>.parquet",
    '=HYPERLINK("https://evil.example","claims").parquet',
    "\u202egnp.parquet",
    "part-00003 & 'quotes'\"\t.parquet",
)
"""Names that want to be markup, a formula, or another name."""


class Writes(Chain):
    """The records that CloudTrail and S3 hold of one export."""

    def __init__(self, stage: Stage, export: Export) -> None:
        super().__init__(stage, export)
        self._versions: dict[str, str] = {}

    def steps(self) -> Iterator[Step]:
        """Yield everything that happens, each with its moment."""
        if not self.export.get("session", "missing"):
            yield Step(self._issued_at, lambda: self.stage.record([self._issue()]))
        yield from self._writes()
        yield from self._extras()

    @property
    def _issued_at(self) -> datetime:
        return self.export.at + 2 * MINUTE

    def _issue(self) -> Json:
        export = self.export
        return web_identity(
            self.aws_account,
            export.get("session", "region", default=self.aws_region),
            role=self.role,
            session=self.session,
            subject=self.subject,
            key=self.key if export.get("session", "issue_key", default=True) else None,
            at=self._issued_at,
            duration_s=7200 if export.ended_at - export.at > 45 * MINUTE else 3600,
        )

    def _who(self) -> Json:
        return session_identity(self.aws_account, self.role, self.session, self.key, self._issued_at)

    def _names(self) -> list[str]:
        export = self.export
        if export.get("hostile_names"):
            return [export.prefix + name for name in HOSTILE]
        tail = "" if export.get("same_keys") else "-" + ident("part", export.id)[:8]
        count = export.get("files", default=4)
        return [f"{export.prefix}part-{n:05d}{tail}.snappy.parquet" for n in range(count)]

    def _writes(self) -> Iterator[Step]:
        """Yield each object and then the marker, in the job's last minutes."""
        export, end = self.export, self.export.ended_at
        names = self._names()
        first = export.at + 5 * MINUTE if export.get("spread") else end - 11 * MINUTE
        gap = (end - 3 * MINUTE - first) / max(1, len(names) - 1)
        for n, key in enumerate(names):
            at = (first + gap * n).replace(microsecond=0)
            done = at
            last = n == len(names) - 1
            if last and export.get("multipart"):
                done = end + duration(export.get("multipart"))
            if last and export.get("trailing"):
                at = done = end + 2 * MINUTE
            body = f"{export.id} part {n}\n".encode() * 20
            yield self._write(key, body, at=at, done=done, who=self._who())
        if export.get("marker") != "none":
            body = b"" if export.get("marker") == "empty" else self._manifest(names)
            at = max(
                end - 2 * MINUTE,
                export.last_write_at
                if export.get("trailing") or export.get("multipart")
                else end - 2 * MINUTE,
            )
            yield self._write(f"{export.prefix}_SUCCESS", body, at=at, done=at, who=self._who())

    def _write(self, key: str, body: bytes, *, at: datetime, done: datetime, who: Json) -> Step:
        """Return the step that writes an object; a multipart one is dated at its start and told at its end."""
        bucket = self.export.bucket
        name = "PutObject" if at == done else "CompleteMultipartUpload"
        encryption = self.stage.story["buckets"][bucket].get("encryption")
        sealed: Json = {"encryption": encryption or "aws:kms"}
        if not encryption:
            sealed["kms_key"] = data_key(self.aws_account, self.aws_region)

        def act() -> None:
            version = self.stage.put(bucket, key, body, at=at, multipart=at != done)
            self._versions[key] = version
            event = object_event(
                self.aws_account, self.aws_region, name,
                bucket=bucket, key=key, version=version, size=len(body), who=who, at=done, **sealed,
            )  # fmt: skip
            self.stage.record([event])

        return Step(done, act)

    def _manifest(self, names: list[str]) -> bytes:
        """Return a `_SUCCESS` as the S3A committers write it: at most 100 names."""
        export = self.export
        missing = [
            f"{export.prefix}part-9000{n}.snappy.parquet" for n in range(export.get("unwritten", default=0))
        ]
        told: dict[str, Any] = {
            "name": "org.apache.hadoop.fs.s3a.commit.files.SuccessData/1",
            "timestamp": int(export.ended_at.timestamp() * 1000),
            "date": export.ended_at.strftime("%a %b %d %H:%M:%S UTC %Y"),
            "hostname": f"{self.cluster}-w-0",
            "committer": "magic",
            "description": "Task committer",
            "jobId": ident("spark", export.id),
            "jobIdSource": "spark.sql.sources.writeJobUUID",
            "metrics": {"committer_jobs_completed": 1},
            "diagnostics": {"fs.s3a.committer.magic.enabled": "true"},
            "filenames": [f"/{name}" for name in [*names, *missing]][:100],
            "iostatistics": {
                "counters": {},
                "gauges": {},
                "minimums": {},
                "maximums": {},
                "meanstatistics": {},
            },
        }
        return json.dumps(told, indent=2).encode()

    # ------------------------------------------------------------------------------- what else happened
    def _extras(self) -> Iterator[Step]:
        for extra in self.export.get("also", default=()):
            yield from getattr(self, f"_also_{extra['do']}")(self.export.at + duration(extra["after"]))

    def _extra_write(self, name: str, at: datetime, who: Json) -> Step:
        return self._write(self.export.prefix + name, b"written by another\n" * 9, at=at, done=at, who=who)

    def _also_replicated(self, at: datetime) -> Iterator[Step]:
        who = session_identity(
            self.aws_account,
            "s3-replication",
            "s3-replication",
            mark("ASIA", "replication", at),
            at,
            federated=False,
        )
        yield self._extra_write("replicated-00000.parquet", at, who | {"invokedBy": "s3.amazonaws.com"})

    def _also_overwritten_by_key(self, at: datetime) -> Iterator[Step]:
        who = user_identity(self.aws_account, "legacy-loader", LEGACY_KEY)
        yield self._write(self._names()[1], b"written with a static key\n" * 9, at=at, done=at, who=who)

    def _also_chained(self, at: datetime) -> Iterator[Step]:
        key = mark("ASIA", "chained", self.export.id)
        where = (self.aws_account, self.aws_region)
        issue = chained(*where, who=self._who(), role="data-maintenance", session="fix", key=key, at=at)
        yield Step(at, lambda: self.stage.record([issue]))
        who = session_identity(self.aws_account, "data-maintenance", "fix", key, at, federated=False)
        yield self._extra_write("fix-00000.parquet", at + MINUTE, who)

    def _also_other_subject(self, at: datetime) -> Iterator[Step]:
        subject = self.stage.story["service_accounts"]["labs-export"]["subject"]
        yield from self._second_session("other-subject", "fix", subject, at, "foreign-00000.parquet")

    def _also_late_session(self, at: datetime) -> Iterator[Step]:
        yield from self._second_session("late", self.session, self.subject, at, "late-00000.parquet")

    def _also_session_without_job(self, at: datetime) -> Iterator[Step]:
        yield from self._second_session("orphan", "debug", self.subject, at, None)

    def _second_session(
        self, why: str, session: str, subject: str, at: datetime, name: str | None
    ) -> Iterator[Step]:
        key = mark("ASIA", why, self.export.id)
        issue = web_identity(
            self.aws_account,
            self.aws_region,
            role=self.role,
            session=session,
            subject=subject,
            key=key,
            at=at,
        )
        yield Step(at, lambda: self.stage.record([issue]))
        if name:
            who = session_identity(self.aws_account, self.role, session, key, at)
            yield self._extra_write(name, at + MINUTE, who)

    def _also_deleted(self, at: datetime) -> Iterator[Step]:
        yield Step(at, lambda: self._delete(at, None))

    def _also_deleted_version(self, at: datetime) -> Iterator[Step]:
        yield Step(at, lambda: self._delete(at, self._versions[self._names()[2]]))

    def _delete(self, at: datetime, version: str | None) -> None:
        """Delete one object with the job's own credentials: by a marker, or one version for good."""
        key = self._names()[2]
        marker = self.stage.delete(self.export.bucket, key, at=at, version=version)
        event = object_event(
            self.aws_account, self.aws_region, "DeleteObject",
            bucket=self.export.bucket, key=key, version=version or marker, size=0, who=self._who(), at=at,
        )  # fmt: skip
        if version:
            event["requestParameters"]["versionId"] = version
            event["responseElements"] = {"x-amz-version-id": version}
        self.stage.record([event])
