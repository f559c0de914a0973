"""What every record of one export agrees on: who, where, and under which names."""

from __future__ import annotations

from datetime import timedelta

from auditor.sandbox.estate_records import mark
from auditor.sandbox.estate_stage import Stage
from auditor.sandbox.estate_story import Export, ident

MINUTE = timedelta(minutes=1)
SERVERLESS = {"batch", "session"}
"""Kinds of work that need no cluster of their own."""


class Chain:
    """One export, with what its records in both clouds share."""

    def __init__(self, stage: Stage, export: Export) -> None:
        self.stage = stage
        self.export = export
        story = stage.story
        self.kind: str = export.get("kind", default="job")
        self.project: str = export.get("project")
        self.region: str = export.get("region", default="europe-west1")
        self.service_account = story.email(export.get("account"))
        self.subject: str = story["service_accounts"][export.get("account")]["subject"]
        self.role = "export-" + export.get("account").removesuffix("-export")
        self.aws_account, self.aws_region = story.bucket(export.bucket)
        self.session: str = export.get("session", "name", default=export.job_uuid)
        self.key = mark("ASIA", "session", export.id)
        self.shared = export.get("cluster") not in (None, "forgotten")
        self.cluster: str = (
            export.get("cluster") if self.shared else f"{export.pipeline}-{export.at:%m%d%H%M}"
        )
        self.cluster_uuid = ident("cluster", self.cluster if self.shared else export.id)
