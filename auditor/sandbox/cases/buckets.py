"""What buckets.yaml cannot say: locks, replication, keys, and objects that nobody's export wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from auditor.sandbox.estate_records import data_key, object_event, person_identity
from auditor.sandbox.estate_stage import Step
from auditor.sandbox.estate_story import Story
from auditor.sandbox.estate_world import BUILT, World

_EU = "eu-west-1"
_ORDERS, _MISC = "buckets-orders-phi", "buckets-misc-phi"
_W01, _W02, _W03 = "2026-04-29", "2026-05-06", "2026-05-13"
"""The days of the exports, which stand in their prefixes."""
_REPLICATION = {
    "Role": "arn:aws:iam::555555555555:role/s3-replication",
    "Rules": [
        {
            "ID": "all",
            "Priority": 1,
            "Status": "Enabled",
            "Filter": {},
            "Destination": {"Bucket": "arn:aws:s3:::buckets-copies-phi"},
            "SourceSelectionCriteria": {"SseKmsEncryptedObjects": {"Status": "Enabled"}},
            "DeleteMarkerReplication": {"Status": "Disabled"},
        }
    ],
}


def config(_story: Story) -> Mapping[str, Any]:
    """Say which zones replicate, when data is to be gone, and that an inventory writes beside the exports."""
    return {
        "params": {
            "BKT-014": {"zones": ["phi"], "type": "CROSS-REGION"},
            "OBJ-006": {"dispose_d": 90, "grace": "30d"},
        },
        "writers": [
            {
                "match": "arn:aws:sts::*:assumed-role/buckets-inventory/*",
                "bucket": _MISC,
                "reason": "inventory",
            }
        ],
    }


def steps(world: World) -> Iterator[Step]:
    """Yield what happens beside the exports."""
    at = world.stage.story.moment
    yield Step(BUILT, partial(_stand, world))
    for week, status in (("W02", "COMPLETED"), ("W03", "FAILED"), ("W04", None)):
        newest = at(f"{week} Mon 03:00")
        day = _W01 if week == "W02" else _W03
        yield Step(
            newest,
            partial(_put, world, _ORDERS, f"orders/date={day}/late-{week}", newest, replication=status),
        )
    wrong = at("W02 Thu 09:00")
    misc = f"misc/date={_W02}"
    yield Step(wrong, partial(_put, world, _MISC, f"{misc}/unchecked", wrong, checksum=None))
    yield Step(wrong, partial(_put, world, _MISC, f"{misc}/archived", wrong, storage_class="GLACIER"))
    yield Step(wrong, partial(_put, world, _MISC, f"{misc}/held", wrong, encryption="SSE-C"))
    yield Step(wrong, partial(_put, world, _MISC, "shadow/copy.parquet", wrong))
    yield Step(wrong, partial(_put, world, _MISC, "inventory/data.csv", wrong, seen=False))
    unseen = at("W03 Thu 09:00")
    yield Step(unseen, partial(_put, world, _MISC, f"misc/date={_W03}/unseen", unseen, seen=False))
    weak, going = (_key(world, name) for name in ("weak", "going"))
    aws = world.stage.aws
    yield Step(at("W03 Tue 09:00"), partial(aws.set_key, weak, rotation=True))
    gone = at("W04 Tue 09:00")
    later = {"state": "PendingDeletion", "deletion_at": gone + timedelta(days=30)}
    yield Step(gone, partial(aws.set_key, going, **later))


def _key(world: World, name: str, account: str = "") -> str:
    return f"arn:aws:kms:{_EU}:{account or world.stage.story.account('production')}:key/buckets-{name}"


def _stand(world: World) -> None:
    """Make what stands from the beginning."""
    aws = world.stage.aws
    aws.set_bucket(_ORDERS, lock={"mode": "COMPLIANCE", "days": 35}, replication=_REPLICATION)
    for bucket, key in {
        "buckets-weak-internal": _key(world, "weak"),
        "buckets-foreign-internal": _key(world, "foreign", "999999999999"),
        "buckets-going-internal": _key(world, "going"),
    }.items():
        aws.set_bucket(bucket, kms_key=key)
    aws.set_key(_key(world, "weak"), rotation=False)
    for bucket, folder in ((_ORDERS, "orders"), (_MISC, "misc")):
        world.stage.put(
            bucket, f"{folder}/date=2025-06-02/old.parquet", b"old\n", at=BUILT + timedelta(days=1)
        )


def _put(
    world: World,
    bucket: str,
    key: str,
    at: datetime,
    *,
    seen: bool = True,
    encryption: str = "aws:kms",
    **how: Any,
) -> None:
    """Put an object by a person's hands; one that is not `seen` leaves no data event."""
    story = world.stage.story
    account, region = story.bucket(bucket)
    version = world.stage.aws.put_object(bucket, key, b"by hand\n", at=at, **how)
    if seen:
        event = object_event(
            account, region, "PutObject", bucket=bucket, key=key, version=version, size=8, at=at,
            who=person_identity(account, story.email("buckets-bea"), at), encryption=encryption,
            kms_key=data_key(account, region) if encryption == "aws:kms" else None,
        )  # fmt: skip
        world.stage.record([event])
