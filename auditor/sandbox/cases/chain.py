"""What chain.yaml cannot say: sessions from other places, what was approved, and a trail's digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from auditor.sandbox.estate_records import change, person_identity, web_identity
from auditor.sandbox.estate_stage import Step
from auditor.sandbox.estate_story import Story
from auditor.sandbox.estate_world import World

_EU = "eu-west-1"
_TRAIL = "arn:aws:cloudtrail:eu-west-1:828282828282:trail/chain-trail"
_EVERY = timedelta(hours=6)
"""CloudTrail seals every hour; six are enough of a story, and LOG-006 is told so."""
_SAFE = (
    '{"arguments":["--date","{date}","--output","s3a://chain-safe-phi/runs/date={date}/"],'
    '"main":"gs://chain-exports-code/chain-safe.py","properties":{"spark.submit.deployMode":"cluster"},"type":"pyspark"}'
)
"""The definition that was approved, as it stands in the change."""


def config(_story: Story) -> Mapping[str, Any]:
    """Declare where sessions come from, approve one job, and say how often digests come."""
    return {
        "params": {
            "CHN-012": {"cidrs": ["34.76.110.0/24", "2600:1900::/28"]},
            "LOG-006": {"gap": "6h"},
        },
        "approved_jobs": [
            {
                "digest": hashlib.sha256(_SAFE.encode()).hexdigest(),
                "since": "2026-05-01",
                "approved_by": "board@acme.example",
            }
        ],
    }


def steps(world: World) -> Iterator[Step]:
    """Yield the sessions, and the seals of each week."""
    at = world.stage.story.moment
    home, abroad = at("W02 Wed 12:00"), at("W03 Wed 12:00")
    yield Step(home, partial(_session, world, home, "ASIACHAINATHOME00001", "34.76.110.99"))
    yield Step(home, partial(_session, world, home, "ASIACHAINATHOMEV6001", "2600:1900:0:2d02::7"))
    yield Step(abroad, partial(_session, world, abroad, "ASIACHAINELSEWHERE01", "198.51.100.77"))
    yield Step(at("W01 Tue 11:00"), partial(_change, world, at("W01 Tue 11:00")))
    for week in range(1, 5):
        end = world.stage.story.now(week)
        yield Step(end - timedelta(minutes=1), partial(_seal, world, week, end), needs_trail=True)


def _change(world: World, at: datetime) -> None:
    """Let somebody do something that the trail records: a log file for its digests to name."""
    story = world.stage.story
    account = story.account("chain")
    who = person_identity(account, story.email("chain-cleo"), at)
    made = change(account, _EU, "s3:PutBucketTagging", who=who, at=at, request={"bucketName": "x"})
    world.stage.record([made])


def _seal(world: World, week: int, end: datetime) -> None:
    """Write the digests of a week; of the third week one is signed by somebody else."""
    begin = end - timedelta(days=9 if week == 1 else 7)
    forged = [begin + 4 * _EVERY] if week == 3 else []
    world.stage.aws.put_digests(_TRAIL, _EU, from_at=begin, until_at=end, every=_EVERY, forged=forged)


def _session(world: World, at: datetime, key: str, source: str) -> None:
    """Let the export role be taken from an address."""
    account = world.stage.story.account("production")
    record = web_identity(
        account,
        _EU,
        role="export-chain",
        session=key.lower(),
        subject="105000000000000000077",
        key=key,
        at=at,
    )
    world.stage.record([record | {"sourceIPAddress": source}])
