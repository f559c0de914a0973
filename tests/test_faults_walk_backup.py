"""Every operation of AWS Backup, CloudTrail and IAM that a scan calls, broken in every way.

The operations are those that an undisturbed scan really called, so none can be forgotten. By default each is refused
(`deny`) and answered with nothing (`empty`), and one or two of each service also hang or answer with what is cut,
ends early or is no answer at all. `make soak` walks every kind at every operation, and every account, region, bucket
and vault on its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from fault_laws import Walk
from fault_world import FULL_WALK, FaultWorld, Operation, faults_of, narrow

SERVICES = {"backup", "cloudtrail", "iam"}
OTHERS: Mapping[Operation, Sequence[str]] = {
    ("backup", "ListRecoveryPointsByBackupVault"): ("cut", "truncate", "garbage", "hang"),
    ("cloudtrail", "GetEventSelectors"): ("cut", "garbage"),
    ("iam", "GetAccountAuthorizationDetails"): ("cut", "truncate", "garbage"),
}
"""What else is walked by default: each service's answers are cut, torn and read in their own way."""
KINDS = ("hang", "cut", "truncate", "garbage")
REFUSALS = ("throttle", "fail", "expire")
"""To a source these are a refusal with another reason: each source's own tests tell them apart."""


@pytest.fixture(scope="module")
def walk(two_weeks: FaultWorld) -> Walk:
    return Walk(two_weeks)


@pytest.fixture(scope="module")
def called(two_weeks: FaultWorld) -> list[Operation]:
    return [operation for operation in two_weeks.operations if operation[0] in SERVICES]


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


@pytest.mark.skipif(not FULL_WALK, reason="`make soak` walks every place")
def test_an_operation_that_is_refused_in_one_place_makes_nothing_look_better(
    walk: Walk, called: list[Operation]
) -> None:
    assert walk.over(narrow(walk.world, called)) == {}
