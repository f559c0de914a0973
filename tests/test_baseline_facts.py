"""Rules about drift compare with an approved state where there is one, and with the scan before where there is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from entities import BUCKET, HOME, VAULT, ago, bucket, estate, facts, vault
from test_entities_drift import PLAN, SEEN, TAGGED, plan, remembered, rule, selection

from auditor.baselines import BEFORE

BY = {"approver": "bob@example.com", "approved_at": ago(days=30), "sign_off_id": "S-1"}
SAID = f"the state approved by bob@example.com on {ago(days=30):%Y-%m-%d}"
ROLE = f"arn:aws:iam::{HOME}:role/export"
POLICY = f"arn:aws:iam::{HOME}:policy/export"


def approved(
    subject_table: str, subject_key: str, fields: tuple[str, ...] = (), **tables: Any
) -> list[dict[str, Any]]:
    return [
        {
            "subject_table": subject_table,
            "subject_key": subject_key,
            "account": HOME,
            "region": "*",
            **BY,
            **row,
        }
        for row in remembered(**tables)
        if not fields or row["field"] in fields or row["table_name"] != subject_table
    ]


def statement(action: str) -> str:
    said = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [said]})


def trust(who: str) -> str:
    said = {"Effect": "Allow", "Principal": {"AWS": who}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [said]})


def role(**more: Any) -> dict[str, Any]:
    return {
        "arn": ROLE, "name": "export", "account": HOME, "created_at": ago(days=400), "max_session_s": 3600, "boundary_arn": "none",
        "trust_policy": trust(f"arn:aws:iam::{HOME}:root"), "inline_policies": {}, "attached_policies": [],
    } | more  # fmt: skip


def test_weakened_bucket_stays_weakened_while_the_scans_before_saw_it_weak_already() -> None:
    weak = bucket(versioning="Suspended")
    tables: Any = {"s3_bucket": [weak], "history_watch": remembered(s3_bucket=[weak])}
    found = facts(estate(**tables), "bucket")[BUCKET]
    assert (found["weakened"], found["compared_with"]) == ([], BEFORE)
    found = facts(
        estate(**tables, history_baseline=approved("s3_bucket", BUCKET, s3_bucket=[bucket()])), "bucket"
    )[BUCKET]
    assert (found["weakened"], found["compared_with"]) == (["versioning: Enabled -> Suspended"], SAID)


def test_what_was_not_approved_of_a_bucket_is_compared_with_the_scan_before() -> None:
    tables: Any = {
        "s3_bucket": [bucket(versioning="Suspended", encryption="AES256", ownership="ObjectWriter")],
        "history_watch": remembered(s3_bucket=[bucket(versioning="Suspended", encryption="AES256")]),
        "history_baseline": approved("s3_bucket", BUCKET, ("versioning",), s3_bucket=[bucket()]),
    }
    found = facts(estate(**tables), "bucket")[BUCKET]
    assert sorted(one.partition(":")[0] for one in found["weakened"]) == ["ownership", "versioning"]
    assert found["compared_with"] == f"{SAID} (versioning) and {BEFORE} (all else)"


def test_block_of_the_account_counts_as_it_was_when_the_bucket_was_approved() -> None:
    bare = bucket(block_public_acls=False)
    blocked, open_ = (
        {"account": HOME, "block_public_acls": True},
        {"account": HOME, "block_public_acls": False},
    )
    tables: Any = {
        "s3_bucket": [bare], "aws_account": [open_],
        "history_watch": remembered(s3_bucket=[bare], aws_account=[open_]),
    }  # fmt: skip
    assert facts(estate(**tables), "bucket")[BUCKET]["weakened"] == []
    baseline = approved("s3_bucket", BUCKET, s3_bucket=[bare], aws_account=[blocked])
    found = facts(estate(**tables, history_baseline=baseline), "bucket")[BUCKET]
    assert found["weakened"] == ["block_public_acls: on -> off"]


def test_a_vault_and_a_plan_that_lost_something_months_ago_are_still_told_by_what_was_approved() -> None:
    loose = vault(locked=False, min_retention_d=-1)
    tables: Any = {"backup_vault": [loose], "history_watch": remembered(backup_vault=[loose])}
    baseline = approved("backup_vault", VAULT, backup_vault=[vault()])
    found = facts(estate(**tables, history_baseline=baseline), "vault")[VAULT]
    assert (found["lock_weakened"], found["compared_with"]) == (["the lock is gone"], SAID)

    now: Any = {
        "backup_plan": [plan("v2")],
        "backup_plan_rule": [rule(delete_after_d=7)],
        "backup_selection": [selection()],
    }
    then: Any = {"backup_plan": [plan("v1")], "backup_plan_rule": [rule(), rule("weekly", delete_after_d=400)], "backup_selection": [selection()]}  # fmt: skip
    tables = now | {"s3_bucket": [TAGGED], "coverage": SEEN, "history_watch": remembered(**now)}
    assert facts(estate(**tables), "plan")[PLAN]["weakened"] == []
    found = facts(estate(**tables, history_baseline=approved("backup_plan", PLAN, **then)), "plan")[PLAN]
    assert found["weakened"] == ["rule daily: keeps 7 d instead of 35 d", "rule weekly is gone"]
    assert (found["all_compared"], found["compared_with"]) == (True, SAID)


def test_rules_that_were_added_after_the_approval_are_no_part_of_it() -> None:
    approved_rules: Any = {
        "backup_plan": [plan("v1")],
        "backup_plan_rule": [rule()],
        "backup_selection": [selection()],
    }
    since: Any = {
        **approved_rules,
        "backup_plan": [plan("v2")],
        "backup_plan_rule": [rule(), rule("extra", delete_after_d=900)],
    }
    tables: Any = {
        **approved_rules, "s3_bucket": [TAGGED], "coverage": SEEN, "history_watch": remembered(**since),
        "backup_plan": [plan("v3")], "history_baseline": approved("backup_plan", PLAN, **approved_rules),
    }  # fmt: skip
    assert facts(estate(**tables), "plan")[PLAN]["weakened"] == []


def test_a_role_is_compared_with_the_policies_as_they_read_when_it_was_approved() -> None:
    holder = role(attached_policies=[POLICY])
    wide = {"arn": POLICY, "name": "export", "account": HOME, "version": "v2", "document": statement("s3:*")}
    narrow = wide | {"version": "v1", "document": statement("s3:GetObject")}
    tables: Any = {
        "iam_role": [holder], "iam_policy": [wide], "history_watch": remembered(iam_role=[holder], iam_policy=[wide]),
    }  # fmt: skip
    found = facts(estate(**tables), "role")[ROLE]
    assert (found["permissions_no_wider"], found["permissions_compared_with"]) == (True, BEFORE)
    baseline = [
        row
        for row in approved("iam_role", ROLE, iam_role=[holder], iam_policy=[narrow])
        if row["table_name"] == "iam_role" or row["field"] == "document"
    ]
    found = facts(estate(**tables, history_baseline=baseline), "role")[ROLE]
    assert (found["permissions_no_wider"], found["permissions_compared_with"]) == (False, SAID)
    assert found["trust_no_wider"] is True and found["trust_compared_with"] == SAID


@pytest.mark.parametrize(("now", "no_wider"), [("*", False), (f"arn:aws:iam::{HOME}:root", True)])
def test_trust_that_was_widened_is_told_until_it_is_reverted(now: str, no_wider: bool) -> None:
    holder = role(trust_policy=trust(now))
    tables: Any = {
        "iam_role": [holder], "history_watch": remembered(iam_role=[holder]),
        "history_baseline": approved("iam_role", ROLE, ("trust_policy",), iam_role=[role()]),
    }  # fmt: skip
    found = facts(estate(**tables), "role")[ROLE]
    assert (found["trust_no_wider"], found["trust_compared_with"]) == (no_wider, SAID)
    assert found["permissions_compared_with"] == BEFORE


def test_unread_trust_is_unknown_against_an_approved_state_too() -> None:
    tables: Any = {
        "iam_role": [role(trust_policy=None)], "history_watch": remembered(iam_role=[role()]),
        "history_baseline": approved("iam_role", ROLE, iam_role=[role()]),
    }  # fmt: skip
    assert facts(estate(**tables), "role")[ROLE]["trust_no_wider"] is None


def test_an_approved_bucket_that_is_gone_is_told_again_and_again_and_one_that_is_back_is_not_new() -> None:
    seen = [{**SEEN[0], "table_name": "s3_bucket"}]
    tables: Any = {
        "s3_bucket": [], "history_watch": remembered(backup_vault=[vault()]), "coverage": seen,
        "history_scan": [{"at": ago(days=7), "complete": True, "state": "finished", "scan": "x"}],
        "history_baseline": approved("s3_bucket", BUCKET, s3_bucket=[bucket()]),
    }  # fmt: skip
    found = facts(estate(**tables), "any")[BUCKET]
    assert (found["vanished"], found["appeared"], found["compared_with"]) == (True, False, SAID)
    hidden = {**tables, "coverage": [{**seen[0], "complete": False, "reason": "denied", "detail": "denied"}]}
    assert facts(estate(**hidden), "any")[BUCKET]["vanished"] is None
    back = {**tables, "s3_bucket": [bucket(created_at=ago(days=1))]}
    found = facts(estate(**back), "any")[BUCKET]
    assert (found["vanished"], found["appeared"]) == (False, False)
    assert facts(estate(**{**back, "history_baseline": []}), "any")[BUCKET]["appeared"] is True
