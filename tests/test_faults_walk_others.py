"""Every operation that a scan calls and `test_faults_walk_backup` does not walk, broken in every way.

The operations are those that an undisturbed scan really called, so none can be forgotten. By default each is refused
(`deny`) and answered with nothing (`empty`), and one or two of each service also hang and answer with what is cut,
ends early or is no answer at all. `make soak` walks every kind at every operation, and every account, region, bucket
and vault on its own.
"""

from __future__ import annotations

import pytest
from fault_laws import Walk
from fault_world import FULL_WALK, FaultWorld, Operation, faults_of, narrow

ELSEWHERE = {"backup", "cloudtrail", "iam"}
"""Services that `test_faults_walk_backup` walks; everything else is walked here."""
OTHERS: list[Operation] = [
    ("dataproc", "ListJobs"),
    ("logging", "ListLogEntries"),
    ("resourcegroupstaggingapi", "GetResources"),
    ("s3", "GetObject"),
    ("s3", "ListObjectVersions"),
    ("s3control", "GetPublicAccessBlock"),
    ("sts", "AssumeRole"),
]
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
    faults = faults_of(called, KINDS + REFUSALS) if FULL_WALK else faults_of(OTHERS, KINDS)
    assert walk.over(faults) == {}


@pytest.mark.skipif(not FULL_WALK, reason="`make soak` walks every place")
def test_an_operation_that_is_refused_in_one_place_makes_nothing_look_better(
    walk: Walk, called: list[Operation]
) -> None:
    assert walk.over(narrow(walk.world, called)) == {}
