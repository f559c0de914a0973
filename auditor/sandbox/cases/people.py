"""What people.yaml cannot say: an attempt that was denied, and what counts as dormant in a story of six weeks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from auditor.sandbox.estate_records import JOBS, audit_entry
from auditor.sandbox.estate_stage import Step
from auditor.sandbox.estate_story import Story
from auditor.sandbox.estate_world import World

STRANGER = "eve@people.example"


def config(_story: Story) -> Mapping[str, Any]:
    """Let access be dormant after a week."""
    return {"params": {"IDN-006": {"dormant": "7d"}}}


def steps(world: World) -> Iterator[Step]:
    """Yield the denied attempt."""
    at = world.stage.story.moment("W02 Wed 10:00")
    yield Step(at, partial(_denied, world, at))


def _denied(world: World, at: datetime) -> None:
    project, region = "base-exports", "europe-west1"
    entry = audit_entry(
        project,
        region,
        f"{JOBS}.SubmitJob",
        at=at,
        email=STRANGER,
        resource_name=f"projects/{project}/regions/{region}/jobs/people-theft",
        nonce="people-denied",
        request={"projectId": project, "region": region, "job": {"reference": {"jobId": "people-theft"}}},
    )
    payload = entry["protoPayload"]
    payload["status"] = {"code": 7, "message": "The caller does not have permission"}
    payload["authorizationInfo"] = [{**each, "granted": False} for each in payload["authorizationInfo"]]
    payload.pop("response", None)
    world.stage.log([entry])
