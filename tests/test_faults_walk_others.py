"""Every operation that a scan calls and `test_faults_walk_backup` does not walk, broken in every way.

The operations are those that an undisturbed scan really called, so none can be forgotten. By default each is refused
(`deny`) and answered with nothing (`empty`), and one or two of each service also hang or answer with what is cut,
ends early or is no answer at all. `make soak` walks every kind at every operation, and every account, region, bucket
and vault on its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from fault_judge import Judged, judged
from fault_laws import Walk
from fault_world import FULL_WALK, FaultWorld, Operation, Replaying, faults_of, narrow

from auditor.sources import source

ELSEWHERE = {"backup", "cloudtrail", "iam"}
"""Services that `test_faults_walk_backup` walks; everything else is walked here."""
OTHERS: Mapping[Operation, Sequence[str]] = {
    ("dataproc", "ListJobs"): ("truncate", "garbage"),
    ("iamadmin", "ListServiceAccounts"): ("truncate", "garbage"),
    ("kms", "DescribeKey"): ("cut", "garbage"),
    ("logging", "ListLogEntries"): ("cut", "truncate", "hang"),
    ("resourcemanager", "GetIamPolicy"): ("cut", "hang"),
    ("resourcegroupstaggingapi", "GetResources"): ("truncate", "garbage"),
    ("s3", "GetObject"): ("cut", "garbage"),
    ("s3", "ListObjectVersions"): ("cut", "truncate", "garbage", "hang"),
    ("s3control", "GetPublicAccessBlock"): ("cut",),
    ("sts", "AssumeRole"): ("cut", "garbage", "hang"),
}
"""What else is walked by default: each service's answers are cut, torn and read in their own way."""
WHOLE: list[Operation] = [("logging", "ListLogEntries"), ("s3", "ListBuckets")]
"""Operations whose refusal hides much, here and in the tables of those that read it."""
KINDS = ("hang", "cut", "truncate", "garbage")
REFUSALS = ("throttle", "fail", "expire")
"""To a source these are a refusal with another reason: each source's own tests tell them apart."""


@pytest.fixture(scope="module")
def walk(two_weeks: FaultWorld) -> Walk:
    return Walk(two_weeks)


@pytest.fixture(scope="module")
def called(two_weeks: FaultWorld) -> list[Operation]:
    return [operation for operation in two_weeks.operations if operation[0] not in ELSEWHERE]


def test_an_operation_that_is_refused_makes_nothing_look_better(walk: Walk, called: list[Operation]) -> None:
    assert walk.over(faults_of(called, ["deny"])) == {}


def test_an_operation_that_answers_nothing_makes_nothing_look_better(
    walk: Walk, called: list[Operation]
) -> None:
    assert walk.over(faults_of(called, ["empty"])) == {}


def test_an_operation_that_fails_in_any_other_way_makes_nothing_look_better(
    walk: Walk, called: list[Operation]
) -> None:
    assert {service for service, _ in called} == {service for service, _ in OTHERS}
    by_default = [fault for operation, kinds in OTHERS.items() for fault in faults_of([operation], kinds)]
    faults = list(faults_of(called, KINDS + REFUSALS)) if FULL_WALK else by_default
    assert walk.over(faults) == {}


def test_what_is_collected_and_judged_in_part_comes_out_as_from_nothing(
    walk: Walk, called: list[Operation]
) -> None:
    """The walk asks only whom a fault concerns and judges only what differs: all of a scan must come to the same."""
    world = walk.world
    for fault in faults_of(called if FULL_WALK else WHOLE, ["deny"]):
        concerned = world.concerned(fault)
        every = {
            name: source(name) if name in concerned else Replaying(each) for name, each in world.heard.items()
        }
        whole = judged(world.draft(fault, every).joined(world.joins))
        part = world.judge.judged(*world.disturbed(fault, concerned))
        assert _without_clocks(part) == _without_clocks(whole), fault


def _without_clocks(judged_: Judged) -> Judged:
    """Leave SCN-006 out: it counts the services that answered, and a source that is replayed asks none."""
    kept = {key: row for key, row in judged_.outcomes.items() if key[0] != "clocks-agree"}
    return replace(judged_, outcomes=kept)


@pytest.mark.skipif(not FULL_WALK, reason="`make soak` walks every place")
def test_an_operation_that_is_refused_in_one_place_makes_nothing_look_better(
    walk: Walk, called: list[Operation]
) -> None:
    assert walk.over(narrow(walk.world, called)) == {}
