"""Which buckets a selection takes: AWS's semantics as a table, in three values."""

from __future__ import annotations

from typing import Any

import pytest
from chain_world import ACCOUNT, BUCKET, Tables, facts, gap, point, proven, seen
from hypothesis import given
from hypothesis import strategies as st

from auditor.plans.selection import selects

YES, NO, OPEN = "covered", "not_covered", "undecided"
TAGS = {"backup": "daily", "team": "claims"}
DAILY = {"ConditionType": "STRINGEQUALS", "ConditionKey": "backup", "ConditionValue": "daily"}
WEEKLY = DAILY | {"ConditionValue": "weekly"}


def _test(key: str, value: str) -> dict[str, str]:
    return {"ConditionKey": f"aws:ResourceTag/{key}", "ConditionValue": value}


Selection = dict[str, Any]
CASES: list[tuple[str, str, Selection, Any, bool | None]] = [
    # sentence, verdict, selection, tags of the bucket, whether S3 is opted in
    ("the ARN itself", YES, {"resources": [BUCKET]}, TAGS, True),
    ("another ARN", NO, {"resources": ["arn:aws:s3:::other"]}, TAGS, True),
    ("an ARN that begins like it", NO, {"resources": ["arn:aws:s3:::clai"]}, TAGS, True),
    ("an ARN in another case", NO, {"resources": ["arn:aws:s3:::Claims"]}, TAGS, True),
    ("every bucket", YES, {"resources": ["arn:aws:s3:::*"]}, TAGS, True),
    ("every resource", YES, {"resources": ["*"]}, TAGS, True),
    ("a wildcard at the end", YES, {"resources": ["arn:aws:s3:::cl*"]}, TAGS, True),
    ("a wildcard at the end that takes nothing more", YES, {"resources": [f"{BUCKET}*"]}, TAGS, True),
    ("a wildcard in the middle of the name", OPEN, {"resources": ["arn:aws:s3:::c*ms"]}, TAGS, True),
    ("a wildcard in the middle that does not fit", NO, {"resources": ["arn:aws:s3:::x*ms"]}, TAGS, True),
    ("a wildcard before the name", OPEN, {"resources": ["arn:aws:*:::claims"]}, TAGS, True),
    ("a wildcard for another service", NO, {"resources": ["arn:aws:ec2:*:*:volume/*"]}, TAGS, True),
    ("a tag it has", YES, {"list_of_tags": [DAILY]}, TAGS, True),
    ("a tag with another value", NO, {"list_of_tags": [WEEKLY]}, TAGS, True),
    ("a tag in another case", NO, {"list_of_tags": [DAILY | {"ConditionValue": "Daily"}]}, TAGS, True),
    ("a tag with the key's long form", YES, {"list_of_tags": [DAILY | {"ConditionKey": "aws:ResourceTag/backup"}]}, TAGS, True),
    ("a tag it lacks, written without a value", OPEN, {"list_of_tags": [{"ConditionType": "STRINGEQUALS", "ConditionKey": "none"}]}, TAGS, True),
    ("one of two tags", YES, {"list_of_tags": [WEEKLY, DAILY]}, TAGS, True),
    ("a tag while tags were not read", OPEN, {"list_of_tags": [DAILY]}, None, True),
    ("its ARN while tags were not read", YES, {"resources": [BUCKET]}, None, True),
    ("a tag does not narrow the resources", YES, {"resources": ["arn:aws:s3:::*"], "list_of_tags": [WEEKLY]}, TAGS, True),
    ("a tag adds to the resources", YES, {"resources": ["arn:aws:s3:::other"], "list_of_tags": [DAILY]}, TAGS, True),
    ("a condition narrows the resources", NO, {"resources": [BUCKET], "conditions": {"StringEquals": [_test("team", "other")]}}, TAGS, True),
    ("every condition must hold", NO, {"resources": [BUCKET], "conditions": {"StringEquals": [_test("team", "claims"), _test("backup", "weekly")]}}, TAGS, True),
    ("conditions of two operators hold", YES, {"resources": [BUCKET], "conditions": {"StringEquals": [_test("team", "claims")], "StringLike": [_test("backup", "d*")]}}, TAGS, True),
    ("conditions alone take what meets them", YES, {"conditions": {"StringEquals": [_test("team", "claims")]}}, TAGS, True),
    ("conditions alone leave the others", NO, {"conditions": {"StringEquals": [_test("team", "x")]}}, TAGS, True),
    ("a star anywhere in a pattern", YES, {"conditions": {"StringLike": [_test("team", "*aim*")]}}, TAGS, True),
    ("a star is a star where equality is asked", NO, {"conditions": {"StringEquals": [_test("team", "*")]}}, TAGS, True),
    ("a value that must not be, and is", NO, {"resources": [BUCKET], "conditions": {"StringNotEquals": [_test("team", "claims")]}}, TAGS, True),
    ("a value that must not be, and is not", YES, {"resources": [BUCKET], "conditions": {"StringNotEquals": [_test("team", "x")]}}, TAGS, True),
    ("a pattern that must not fit, and does", NO, {"resources": [BUCKET], "conditions": {"StringNotLike": [_test("team", "cl*")]}}, TAGS, True),
    ("a value that must not be, of a key it lacks", OPEN, {"resources": [BUCKET], "conditions": {"StringNotEquals": [_test("none", "x")]}}, TAGS, True),
    ("a value that must be, of a key it lacks", NO, {"resources": [BUCKET], "conditions": {"StringEquals": [_test("none", "x")]}}, TAGS, True),
    ("a condition while tags were not read", OPEN, {"resources": [BUCKET], "conditions": {"StringEquals": [_test("team", "claims")]}}, None, True),
    ("an operator nobody documents", OPEN, {"resources": [BUCKET], "conditions": {"StringEqualsIgnoreCase": [_test("team", "claims")]}}, TAGS, True),
    ("a tag takes it and a condition does not", OPEN, {"list_of_tags": [DAILY], "conditions": {"StringEquals": [_test("team", "x")]}}, TAGS, True),
    ("a tag takes it and so does the condition", YES, {"list_of_tags": [DAILY], "conditions": {"StringEquals": [_test("team", "claims")]}}, TAGS, True),
    ("left out by its ARN", NO, {"resources": [BUCKET], "not_resources": [BUCKET]}, TAGS, True),
    ("left out by a wildcard", NO, {"list_of_tags": [DAILY], "not_resources": ["arn:aws:s3:::cl*"]}, TAGS, True),
    ("left out by a wildcard in the middle", OPEN, {"resources": [BUCKET], "not_resources": ["arn:aws:s3:::c*ms"]}, TAGS, True),
    ("another is left out", YES, {"resources": ["*"], "not_resources": ["arn:aws:s3:::other"]}, TAGS, True),
    ("nothing is named", YES, {}, TAGS, True),
    ("nothing is named but what is left out", NO, {"not_resources": [BUCKET]}, TAGS, True),
    ("nothing is named and S3 is not opted in", NO, {}, TAGS, False),
    ("a tag, and S3 is not opted in", NO, {"list_of_tags": [DAILY]}, TAGS, False),
    ("a wildcard, and S3 is not opted in", NO, {"resources": ["arn:aws:s3:::*"]}, TAGS, False),
    ("its ARN, and S3 is not opted in", YES, {"resources": [BUCKET]}, TAGS, False),
    ("a tag, and whether S3 is opted in was not read", OPEN, {"list_of_tags": [DAILY]}, TAGS, None),
    ("another tag, and whether S3 is opted in was not read", NO, {"list_of_tags": [WEEKLY]}, TAGS, None),
    ("the selection was not read", OPEN, {"resources": None}, TAGS, True),
]  # fmt: skip

EMPTY: Selection = {"resources": [], "list_of_tags": [], "conditions": {}, "not_resources": []}


@pytest.mark.parametrize(
    ("sentence", "verdict", "selection", "tags", "opted_in"), CASES, ids=[case[0] for case in CASES]
)
def test_selection_that_states(
    sentence: str, verdict: str, selection: Selection, tags: Any, opted_in: bool | None
) -> None:
    found, because = selects(EMPTY | selection, BUCKET, tags, opted_in)

    assert found == verdict, because
    assert because


@given(st.sampled_from(CASES), st.sampled_from(CASES))
def test_what_was_not_read_never_decides_against_what_is_there(one: Any, other: Any) -> None:
    """Tags that were not read leave open, or say what they would have said."""
    _, _, selection, _, opted_in = one
    blind, _ = selects(EMPTY | selection, BUCKET, None, opted_in)
    seen_, _ = selects(EMPTY | selection, BUCKET, other[3] or {}, opted_in)

    assert blind in (OPEN, seen_)


def _planned(**selection: Any) -> Tables:
    tables = proven()
    where = {"account": ACCOUNT, "region": "eu-west-1"}
    tables["backup_plan"] = [{"arn": "arn:plan", "plan_id": "p", "name": "daily", **where, "next_runs": []}]
    tables["backup_plan_rule"] = [{"plan_id": "p", "rule_id": "r", "rule_name": "nightly", **where}]
    tables["backup_selection"] = [
        {
            "plan_id": "p",
            "selection_id": "s",
            "name": "all",
            **where,
            **EMPTY,
            "resources": [BUCKET],
            **selection,
        }
    ]
    tables["backup_region"] = [{**where, "s3_opt_in": True}]
    tables["coverage"].append(seen("backup_plan_rule", ACCOUNT))
    return tables


def _verdict(tables: Tables) -> str:
    (row,) = facts(tables, "protection")
    assert row["because"]
    return str(row["verdict"])


def test_plan_and_recovery_points_agree() -> None:
    assert _verdict(_planned()) == "agree"


def test_bucket_that_a_plan_takes_and_nothing_ever_backed_up() -> None:
    tables = _planned()
    tables["backup_recovery_point"].clear()

    assert _verdict(tables) == "covered_never_backed_up"


def test_point_that_is_still_being_made_backs_up_nothing_yet() -> None:
    tables = _planned()
    tables["backup_recovery_point"] = [point(status="CREATING")]

    assert _verdict(tables) == "covered_never_backed_up"


def test_bucket_that_somebody_backs_up_by_hand() -> None:
    assert _verdict(_planned(resources=["arn:aws:s3:::other"])) == "backed_up_no_plan"


def test_bucket_that_nothing_protects() -> None:
    tables = _planned(resources=["arn:aws:s3:::other"])
    tables["backup_recovery_point"].clear()

    assert _verdict(tables) == "unprotected"


@pytest.mark.parametrize("table", ["backup_plan", "backup_selection"])
def test_plans_that_could_not_be_read_leave_it_undecided(table: str) -> None:
    tables = _planned(resources=["arn:aws:s3:::other"])
    tables["coverage"].append(gap(table))

    assert _verdict(tables) == "undecided"


def test_gap_in_the_next_runs_of_a_plan_hides_no_plan() -> None:
    tables = _planned(resources=["arn:aws:s3:::other"])
    tables["coverage"].append(gap("backup_plan", resource="arn:plan#next_runs"))

    assert _verdict(tables) == "backed_up_no_plan"


def test_vaults_that_could_not_be_read_leave_it_unknown() -> None:
    tables = _planned()
    tables["backup_recovery_point"].clear()
    tables["coverage"].append(gap("backup_recovery_point"))

    assert _verdict(tables) == "unknown"


def test_gap_in_another_account_hides_nothing_of_this_bucket() -> None:
    tables = _planned(resources=["arn:aws:s3:::other"])
    tables["coverage"].append(gap("backup_selection", "222222222222"))

    assert _verdict(tables) == "backed_up_no_plan"


def test_plan_of_another_region_does_not_take_it() -> None:
    tables = _planned()
    for table in ("backup_plan", "backup_plan_rule", "backup_selection"):
        tables[table][0]["region"] = "eu-central-1"

    assert _verdict(tables) == "backed_up_no_plan"


def test_bucket_whose_region_is_not_known_may_be_taken_by_any_plan() -> None:
    tables = _planned()
    tables["s3_bucket"][0]["region"] = None

    assert _verdict(tables) == "undecided"


def test_plan_whose_rules_were_not_read_decides_nothing() -> None:
    tables = _planned()
    tables["backup_plan_rule"].clear()

    assert _verdict(tables) == "undecided"
