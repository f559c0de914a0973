"""Drift of plans and vaults on hand-made tables, told by what they do: what was not read is not compared."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from entities import EU, HOME, VAULT, ago, bucket, estate, facts, vault

from auditor.schema import tables as schema_tables
from auditor.watch.values import watched

PLAN = f"arn:aws:backup:{EU}:{HOME}:backup-plan:plan-1"
COPY = f"arn:aws:backup:eu-central-1:{HOME}:backup-vault:copies"
TABLES = ("backup_plan", "backup_plan_rule", "backup_selection", "backup_vault")


def plan(version: str = "v2") -> dict[str, Any]:
    return {
        "arn": PLAN,
        "plan_id": "plan-1",
        "name": "daily",
        "account": HOME,
        "region": EU,
        "version": version,
    }


def rule(name: str = "daily", **more: Any) -> dict[str, Any]:
    return {
        "plan_id": "plan-1", "rule_id": f"id-{name}", "rule_name": name, "account": HOME, "region": EU, "vault_name": "main",
        "schedule": "cron(0 5 * * ? *)", "delete_after_d": 35, "continuous": False,
        "copies": [{"vault_arn": COPY, "delete_after_d": 35}],
    } | more  # fmt: skip


def selection(name: str = "s1", **more: Any) -> dict[str, Any]:
    return {
        "plan_id": "plan-1", "selection_id": name, "name": name, "account": HOME, "region": EU, "resources": [],
        "not_resources": [], "list_of_tags": [{"ConditionType": "STRINGEQUALS", "ConditionKey": "backup", "ConditionValue": "daily"}],
        "conditions": {},
    } | more  # fmt: skip


def remembered(**tables: Any) -> list[dict[str, Any]]:
    described = schema_tables()
    return [
        {"table_name": one.table, "key": one.key, "field": one.field, "value": one.value}
        for name, rows in tables.items()
        for row in rows
        for one in watched(described[name], row)
    ]


SEEN = [
    {
        "table_name": name,
        "account": HOME,
        "region": EU,
        "resource": "*",
        "complete": True,
        "reason": "",
        "detail": "",
    }
    for name in TABLES
]
THEN = {"backup_plan": [plan("v1")], "backup_plan_rule": [rule()], "backup_selection": [selection()]}
TAGGED = bucket(tags={"compliance-zone": "phi", "backup": "daily"})


def judged(then: Any, coverage: Any = SEEN, **now: Any) -> tuple[list[str], bool | None, str]:
    tables = {
        "backup_plan": [plan()], "backup_plan_rule": [rule()], "backup_selection": [selection()],
        "s3_bucket": [TAGGED], "coverage": coverage, "history_watch": remembered(**{**THEN, **then}), **now,
    }  # fmt: skip
    found = facts(estate(**tables), "plan")[PLAN]
    assert found["known_before"] is True
    return found["weakened"], found["all_compared"], found["left_open"]


SAME = ([], True, "")


@pytest.mark.parametrize(
    "rules",
    [
        [rule()],
        [rule("renamed")],
        [rule(schedule="rate(12 hours)", delete_after_d=-1)],
        [rule("a", continuous=True, delete_after_d=90), rule("b", schedule="rate(7 days)")],
        [rule(copies=[{"vault_arn": COPY, "delete_after_d": 90}, {"vault_arn": VAULT, "delete_after_d": 1}])],
    ],
)
def test_a_plan_that_does_all_it_did_is_not_weaker_whatever_its_rules_are_called(rules: Any) -> None:
    assert judged({}, backup_plan_rule=rules) == SAME


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([rule(schedule="rate(7 days)")], "rule daily: runs rate(7 days) instead of cron(0 5 * * ? *)"),
        ([rule(schedule="")], "rule daily: runs never instead of"),
        ([rule(delete_after_d=7)], "rule daily: keeps 7 d instead of 35 d"),
        ([rule(copies=[])], f"no longer copies to {COPY}"),
        ([rule(copies=[{"vault_arn": COPY, "delete_after_d": 7}])], "7 d instead of 35 d"),
        ([rule("other", delete_after_d=7)], "rule daily is gone"),
        ([], "rule daily is gone"),
        # two rules that do a part each do not stand in for one that did all of it
        ([rule("a", copies=[]), rule("b", delete_after_d=7)], "rule daily is gone"),
    ],
)
def test_a_rule_that_does_less_is_told_with_what(rules: Any, said: str) -> None:
    weaker, compared, _ = judged({}, backup_plan_rule=rules)
    assert compared is True and len(weaker) == 1 and said in weaker[0]


def test_continuous_backup_switched_off_is_weaker() -> None:
    assert judged({"backup_plan_rule": [rule(continuous=True)]})[0] == ["rule daily: is no longer continuous"]
    forever = judged({"backup_plan_rule": [rule(delete_after_d=-1)]})[0]
    assert forever == ["rule daily: keeps 35 d instead of for ever"]


def test_the_same_version_has_the_same_rules_even_where_one_cannot_be_compared() -> None:
    odd = {"backup_plan_rule": [rule(delete_after_d=None)]}
    assert judged(odd, backup_plan_rule=[rule(delete_after_d=None)], backup_plan=[plan("v1")]) == SAME
    assert judged(odd, backup_plan_rule=[rule(delete_after_d=None)])[1] is None


@pytest.mark.parametrize("hidden", ["backup_plan_rule", "backup_selection"])
def test_rows_that_were_not_read_are_not_gone(hidden: str) -> None:
    gap = {
        **SEEN[0],
        "table_name": hidden,
        "resource": PLAN,
        "complete": False,
        "reason": "denied",
        "detail": "access denied",
    }
    coverage = [*(row for row in SEEN if row["table_name"] != hidden), gap]
    weaker, compared, why = judged({}, coverage, **{hidden: []})
    assert (weaker, compared) == ([], None) and "access denied" in why


def test_plan_that_is_gone_is_weaker_only_when_its_listing_was_read() -> None:
    assert judged({}, backup_plan=[], backup_plan_rule=[], backup_selection=[])[0] == ["the plan is gone"]
    assert judged({}, [], backup_plan=[], backup_plan_rule=[], backup_selection=[])[:2] == ([], None)


def test_schedule_that_cannot_be_told_is_left_open() -> None:
    assert judged({}, backup_plan_rule=[rule(schedule="cron(0 5 L * ? *)")])[1] is None


TAG = [{"ConditionType": "STRINGEQUALS", "ConditionKey": "backup", "ConditionValue": "weekly"}]


@pytest.mark.parametrize(
    ("then", "now", "lost"),
    [
        ({}, {"resources": ["*"], "list_of_tags": []}, ""),
        ({}, {"list_of_tags": [*TAG, *selection()["list_of_tags"]]}, ""),
        ({}, {"list_of_tags": TAG}, TAGGED["arn"]),
        ({}, {"not_resources": [TAGGED["arn"]]}, TAGGED["arn"]),
        (
            {},
            {
                "conditions": {
                    "StringEquals": [{"ConditionKey": "aws:ResourceTag/env", "ConditionValue": "prod"}]
                }
            },
            None,
        ),
        (
            {"resources": ["*"], "list_of_tags": []},
            {"resources": [TAGGED["arn"]], "list_of_tags": []},
            "buckets like",
        ),
        (
            {"resources": [TAGGED["arn"]], "list_of_tags": []},
            {"resources": ["arn:aws:s3:::exports-*"], "list_of_tags": []},
            "",
        ),
        (
            {"resources": ["arn:aws:s3:::gone"], "list_of_tags": []},
            {"resources": [TAGGED["arn"]], "list_of_tags": []},
            "",
        ),
    ],
)
def test_selections_are_compared_by_the_buckets_they_take(then: Any, now: Any, lost: str | None) -> None:
    old = {"backup_selection": [selection(**then)]}
    weaker, compared, _ = judged(old, backup_selection=[selection("s2", **now)])
    if lost is None:
        assert (weaker, compared) == ([], None)
    elif lost:
        assert len(weaker) == 1 and weaker[0].startswith("no longer takes") and lost in weaker[0]
    else:
        assert (weaker, compared) == ([], True)


def test_bucket_whose_tag_went_is_not_the_plan_s_doing() -> None:
    assert judged({}, s3_bucket=[bucket()]) == SAME


def test_new_plan_has_nothing_to_be_compared_with() -> None:
    found = facts(estate(backup_plan=[plan()], coverage=SEEN), "plan")[PLAN]
    assert found["known_before"] is False and found["weakened"] == []


# Vaults ------------------------------------------------------------------------------------------------------------------

DENIES = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Deny", "Principal": "*", "Action": "backup:DeleteRecoveryPoint", "Resource": "*"}
        ],
    }
)


def of_vault(then: dict[str, Any], now: dict[str, Any]) -> tuple[list[str], bool | None, bool | None]:
    tables = {"backup_vault": [vault(**now)], "history_watch": remembered(backup_vault=[vault(**then)])}
    found = facts(estate(**tables), "vault")[VAULT]
    assert found["known_before"] is True
    return found["lock_weakened"], found["lock_compared"], found["policy_no_looser"]


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ({}, {}, ([], True, True)),
        ({}, {"locked": False, "min_retention_d": -1}, (["the lock is gone"], True, True)),
        ({}, {"min_retention_d": 7}, (["the lock keeps at least 7 d instead of 35 d"], True, True)),
        ({"min_retention_d": -1}, {"min_retention_d": 7}, ([], True, True)),
        ({"locked": False}, {"locked": True}, ([], True, True)),
        ({}, {"locked": None}, ([], None, True)),
        (
            {},
            {"lock_date": None},
            (
                [
                    "the lock is governance now, who may can take it away; it was compliance from 2025-05-06 06:00 on"
                ],
                True,
                True,
            ),
        ),
        ({"lock_date": None}, {}, ([], True, True)),
        (
            {},
            {"lock_date": ago(days=-9)},
            (
                ["nobody can change the lock from 2026-03-11 06:00 on, instead of 2025-05-06 06:00"],
                True,
                True,
            ),
        ),
        ({"lock_date": ago(days=-9)}, {"lock_date": ago(days=-8)}, ([], True, True)),
        ({}, {"lock_date": None, "locked": False}, (["the lock is gone"], True, True)),
        ({"locked": None}, {}, ([], None, True)),
        ({"policy": DENIES}, {"policy": "none"}, ([], True, False)),
        ({"policy": "none"}, {"policy": DENIES}, ([], True, True)),
        ({"policy": DENIES}, {"policy": DENIES.replace("{", "{ ")}, ([], True, True)),
        ({"policy": DENIES}, {"policy": "{"}, ([], True, None)),
        ({"policy": DENIES}, {"policy": None}, ([], True, None)),
    ],
)
def test_vault_is_weaker_when_its_lock_or_its_policy_holds_back_less(
    then: Any, now: Any, expected: Any
) -> None:
    assert of_vault(then, now) == expected


@pytest.mark.parametrize("fraction", [0, 5_000])
def test_date_of_a_lock_is_one_change_when_it_moves_and_none_when_it_comes(fraction: int) -> None:
    then, later = (ago(days=each).replace(microsecond=fraction) for each in (2, 1))

    def told(was: Any, now: Any) -> list[str]:
        both = {"s3_bucket": [], "aws_account": [], "backup_vault": [vault(lock_date=now)]}
        history = {"history_watch": placed(backup_vault=[vault(lock_date=was)]), "history_scan": WHOLE}
        return list(facts(estate(**both, **history), "change"))

    assert told(then, then) == []
    assert told(then, later) == told(None, later) == told(then, None) == [f"backup_vault/{VAULT}#lock_date"]


def test_new_vault_has_nothing_to_be_compared_with() -> None:
    assert facts(estate(), "vault")[VAULT]["known_before"] is False


# Changes and their records -----------------------------------------------------------------------------------------------

SINCE, AHEAD = ago(days=7), ago(days=-30)
DEPLOY = f"arn:aws:sts::{HOME}:assumed-role/deploy/CHG-7"
WHOLE = [{"scan": "s", "slot": "w", "at": SINCE, "state": "finished", "complete": True, "interval_s": 604800}]


def change(name: str = "CHG-7", **more: Any) -> dict[str, Any]:
    return {
        "id": name, "approved_by": "board@example.com", "subjects": ["*"], "actors": ["*"], "from_at": ago(days=30),
        "until_at": AHEAD,
    } | more  # fmt: skip


def event(**more: Any) -> dict[str, Any]:
    return {
        "event_id": "e1", "account": HOME, "region": EU, "at": ago(days=2), "service": "s3", "event_name": "PutBucketVersioning",
        "resource": TAGGED["arn"], "actor": DEPLOY, "access_key_id": "ASIA1", "source_ip": "", "user_agent": "", "error_code": "",
    } | more  # fmt: skip


def changes(then: dict[str, Any], **now: Any) -> dict[str, dict[str, Any]]:
    tables = {
        "s3_bucket": [TAGGED],
        "backup_vault": [],
        "history_watch": placed(**then),
        "history_scan": WHOLE,
        **now,
    }
    return facts(estate(**tables), "change")


def placed(**tables: Any) -> list[dict[str, Any]]:
    described = schema_tables()
    return [
        {
            "table_name": o.table,
            "key": o.key,
            "field": o.field,
            "value": o.value,
            "account": o.account,
            "region": o.region,
        }
        for name, rows in tables.items()
        for row in rows
        for o in watched(described[name], row)
    ]


SUSPENDED = {"s3_bucket": [{**TAGGED, "versioning": "Suspended"}]}
ACCOUNT = {"aws_account": [{"account": HOME}]}
OF_BUCKET = f"s3_bucket/{TAGGED['arn']}#versioning"


def one(record: Any, *events: Any, **now: Any) -> tuple[bool | None, str | None]:
    found = changes(SUSPENDED | ACCOUNT, config_change=record, aws_change=events, **now)
    assert list(found) == [OF_BUCKET]
    return found[OF_BUCKET]["recorded"], found[OF_BUCKET]["change_id"]


def test_nothing_that_stayed_is_a_change() -> None:
    assert changes({"s3_bucket": [TAGGED]} | ACCOUNT) == {}
    assert changes({"s3_bucket": [{**TAGGED, "versioning": None}]} | ACCOUNT) == {}


def test_every_watched_column_is_compared() -> None:
    from auditor.correlate import steps

    text = next(step.text for step in steps() if step.table == "watched_change")
    for table in schema_tables().values():
        for column in table.columns:
            if column.watch:
                assert f"'{column.name}'" in text and re.search(rf"FROM {table.name}\b", text)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ([], (False, None)),
        ([change()], (True, "CHG-7")),
        ([change(subjects=["arn:aws:iam::*"])], (False, None)),
        ([change(until_at=ago(days=10))], (False, None)),
        ([change(from_at=ago(days=-1))], (False, None)),
        ([change(actors=["*:assumed-role/deploy/*"])], (None, None)),
        ([change("B", actors=["*/nobody"]), change("A", subjects=["*exports-phi"])], (True, "A")),
    ],
)
def test_change_without_an_author_is_explained_by_subject_and_days(record: Any, expected: Any) -> None:
    assert one(record) == expected


def test_author_s_session_name_must_fit_and_the_day_of_the_event_counts() -> None:
    named = change(actors=["*:assumed-role/deploy/CHG-7*"])
    assert one([named], event()) == (True, "CHG-7")
    assert one([named], event(actor=DEPLOY.replace("CHG-7", "ana"))) == (False, None)
    assert one([change(until_at=ago(days=3))], event()) == (False, None)
    assert one([named], event(error_code="AccessDenied")) == (None, None)


def test_policy_that_says_the_same_in_other_words_is_no_change() -> None:
    tls = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}],
        }
    )
    then = {"s3_bucket": [{**TAGGED, "policy": tls.replace('"s3:*"', '["s3:*"]')}]}
    assert changes(then | ACCOUNT, s3_bucket=[{**TAGGED, "policy": tls}]) == {}
    assert list(changes(then | ACCOUNT)) == [f"s3_bucket/{TAGGED['arn']}#policy"]


def test_row_that_came_or_went_is_a_change_where_it_could_be_seen() -> None:
    other = bucket("arn:aws:s3:::other")
    came = f"s3_bucket/{other['arn']}#appeared"
    assert list(changes({"s3_bucket": [TAGGED]} | ACCOUNT, s3_bucket=[TAGGED, other])) == [came]
    partly = [{**WHOLE[0], "complete": False}]
    assert changes({"s3_bucket": [TAGGED]} | ACCOUNT, s3_bucket=[TAGGED, other], history_scan=partly) == {}
    then = {"s3_bucket": [TAGGED, other]} | ACCOUNT
    assert changes(then) == {}
    seen = [{**SEEN[0], "table_name": "s3_bucket", "region": "*"}]
    assert list(changes(then, coverage=seen)) == [f"s3_bucket/{other['arn']}#vanished"]


def duty(group: str, zone: str = "*") -> dict[str, Any]:
    return {
        "group_name": group,
        "directory": "",
        "project": "p",
        "region": "*",
        "job_id": "*",
        "zone": zone,
        "starts": "*",
    }


def mapped(then: Any, now: Any, record: Any = ()) -> dict[str, tuple[str, bool]]:
    tables = {"config_duty": now, "history_watch": placed(config_duty=then), "config_change": record}
    found = facts(estate(**tables), "identity_map").values()
    return {row["group_name"]: (row["change"], row["recorded"]) for row in found if row["compared"]}


def test_mapping_added_or_removed_needs_an_approved_change() -> None:
    assert mapped([duty("a"), duty("b")], [duty("a"), duty("c")]) == {
        "a": ("", False), "b": ("removed", False), "c": ("added", False)
    }  # fmt: skip
    assert mapped([duty("a")], [duty("a"), duty("c")], [change(subjects=["c/*"])])["c"] == ("added", True)
    assert mapped([duty("a")], [duty("a"), duty("c")], [change(subjects=["b/*"])])["c"] == ("added", False)
    assert mapped([duty("a")], [duty("a"), duty("c")], [change(until_at=ago(days=20))])["c"] == (
        "added",
        False,
    )


def test_mapping_into_another_zone_is_another_mapping() -> None:
    found = facts(
        estate(config_duty=[duty("a", "phi")], history_watch=placed(config_duty=[duty("a", "internal")])),
        "identity_map",
    )
    assert sorted(row["change"] for row in found.values()) == ["added", "removed"]


def test_first_mappings_have_nothing_to_be_compared_with() -> None:
    assert mapped([], [duty("a")]) == {}
