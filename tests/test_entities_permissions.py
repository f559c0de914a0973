"""Facts of permission policies on hand-made tables: what was not read leaves its own role or user unknown, with the reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from entities import AWAY, HOME, bucket, estate, facts

from auditor.schema import tables as schema_tables
from auditor.watch.values import plain

ROLE = f"arn:aws:iam::{HOME}:role/exporter"
USER = f"arn:aws:iam::{HOME}:user/ana"
MINE = f"arn:aws:iam::{HOME}:policy/mine"
AWS = "arn:aws:iam::aws:policy/ReadOnlyAccess"
INSIDE = "arn:aws:s3:::exports-phi/a/*"


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action: Any, resource: Any = "*", **condition: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource} | (
        {"Condition": condition} if condition else {}
    )


WRITE = document(
    allow(["s3:PutObject", "s3:GetObject"], INSIDE), allow("s3:ListBucket", "arn:aws:s3:::exports-phi")
)
EVERYTHING = document(allow("*"))


def role(arn: str = ROLE, **more: Any) -> dict[str, Any]:
    return {
        "arn": arn, "name": arn.rpartition("/")[2], "account": arn.split(":")[4], "inline_policies": {"write": WRITE},
        "attached_policies": [], "boundary_arn": "none", "tags": {},
    } | more  # fmt: skip


def managed(arn: str, text: Any) -> dict[str, Any]:
    written = text if text is None or isinstance(text, str) else json.dumps(text)
    return {"arn": arn, "name": arn.rpartition("/")[2], "account": HOME, "version": "v1", "document": written}


def way(**more: Any) -> dict[str, Any]:
    return {
        "role_arn": ROLE,
        "provider": "accounts.google.com",
        "audiences": [],
        "subject_of": "",
        "bucket": "exports-phi",
        "prefix": "a/",
    } | more


def judged(one: dict[str, Any], *policies: dict[str, Any], **tables: Any) -> dict[str, Any]:
    known = {"iam_role": [one], "iam_policy": policies, "config_federation": [way()], **tables}
    return facts(estate(**known), "role")[one["arn"]]


TWICE = '{"Version":"2012-10-17","Statement":[],"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'


@pytest.mark.parametrize(
    ("one", "policies", "why"),
    [
        (role(inline_policies=None), (), "not read"),
        (role(attached_policies=None), (), "not read"),
        (role(inline_policies={"write": WRITE, "twice": TWICE}), (), "twice cannot be read"),
        (role(inline_policies={"odd": "{"}), (), "odd cannot be read"),
        (role(inline_policies={"odd": document({"Effect": "Allow"})}), (), "odd cannot be read"),
        (role(attached_policies=[MINE]), (), f"{MINE} was not in the answer"),
        (role(attached_policies=[MINE]), (managed(MINE, None),), f"{MINE} was not in the answer"),
        (role(attached_policies=[MINE]), (managed(MINE, TWICE),), f"{MINE} cannot be read"),
        (role(attached_policies=[AWS]), (managed(MINE, WRITE),), f"{AWS} was not in the answer"),
        (role(boundary_arn=MINE), (), f"{MINE} was not in the answer"),
        (role(boundary_arn=None), (), "boundary was not read"),
    ],
)
def test_a_policy_that_was_not_read_leaves_the_role_unknown_with_the_reason(
    one: Any, policies: Any, why: str
) -> None:
    found = judged(one, *policies)
    assert found["permissions_known"] is None and why in found["permissions_unknown"]
    for name in ("prefix_actions", "beyond_prefix"):
        assert found[name] is None and found[f"{name}_decided"] is None and why in found[f"{name}_open"]
    if "boundary" not in why and one["boundary_arn"] == "none":
        assert found["escalations"] is None and found["escalations_decided"] is None


def test_a_boundary_that_was_not_read_cannot_add_to_what_nothing_allows() -> None:
    assert judged(role(boundary_arn=MINE))["escalations"] == []
    open_ = judged(role(boundary_arn=MINE, inline_policies={"all": EVERYTHING}))
    assert open_["escalations"] is None and open_["boundary_holds"] is None


def test_sound_export_role() -> None:
    found = judged(role())
    assert found["prefix_actions"] == ["s3:GetObject", "s3:ListBucket", "s3:PutObject"]
    assert (found["beyond_prefix"], found["escalations"]) == ([], [])
    assert found["prefix_actions_decided"] and found["beyond_prefix_decided"] and found["escalations_decided"]
    assert found["boundary_holds"] is False


def test_managed_policies_and_aws_s_own_count() -> None:
    found = judged(
        role(attached_policies=[MINE, AWS]),
        managed(MINE, document(allow("iam:PassRole"))),
        managed(AWS, document(allow("s3:Get*"))),
    )
    assert found["escalations"] == ["iam:PassRole"]
    assert "s3:GetBucketPolicy" in found["prefix_actions"]
    assert "s3:GetObject" in found["beyond_prefix"]


def test_boundary_counts_by_meaning() -> None:
    fenced = judged(role(boundary_arn=MINE, inline_policies={"all": EVERYTHING}), managed(MINE, WRITE))
    assert fenced["boundary_holds"] is True and fenced["escalations"] == []
    assert fenced["prefix_actions"] == ["s3:GetObject", "s3:ListBucket", "s3:PutObject"]
    none = judged(role(boundary_arn=MINE), managed(MINE, EVERYTHING))
    assert none["boundary_holds"] is False and "refuses nothing" in none["boundary_says"]


def test_bucket_s_account_decides_a_test_on_it() -> None:
    here = {
        "inline_policies": {
            "write": document(allow("s3:PutObject", INSIDE, StringEquals={"s3:ResourceAccount": HOME}))
        }
    }
    assert judged(role(**here))["prefix_actions"] == ["s3:PutObject"]
    away = judged(role(**here), s3_bucket=[bucket("arn:aws:s3:::exports-phi", account=AWAY)])
    assert away["prefix_actions"] == []
    lost = judged(role(**here), s3_bucket=[])
    assert lost["prefix_actions_decided"] is None and "s3:resourceaccount" in lost["prefix_actions_open"]


def test_parts_of_a_prefix_that_stand_for_one_run_are_anything() -> None:
    dated = way(prefix="a/date={date}/")
    inside = {"w": document(allow("s3:PutObject", "arn:aws:s3:::exports-phi/a/date=2026-*/part-1"))}
    assert judged(role(inline_policies=inside), config_federation=[dated])["beyond_prefix"] == []
    assert judged(role(), config_federation=[dated])["beyond_prefix"] == ["s3:GetObject", "s3:PutObject"]


def test_export_role_without_a_declared_bucket_is_unknown() -> None:
    found = judged(role(), config_federation=[way(bucket="", prefix="")])
    assert found["prefix_actions"] is None and "no bucket is declared" in found["prefix_actions_open"]


def test_declared_role_that_was_not_found_is_unknown() -> None:
    found = facts(estate(iam_role=[], config_federation=[way()]), "role")[ROLE]
    assert (
        found["escalations"] is None and found["prefix_actions"] is None and found["boundary_holds"] is None
    )


# Drift -------------------------------------------------------------------------------------------------------------------


def remembered(one: dict[str, Any], *policies: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for table, rows in (("iam_role", [one]), ("iam_policy", policies)):
        for row in rows:
            for column in schema_tables()[table].columns:
                if column.watch:
                    value = plain(column, row.get(column.name))
                    found.append(
                        {"table_name": table, "key": row["arn"], "field": column.name, "value": value}
                    )
    return found


def changed(before: Any, then: Any, now: Any, policies: Any) -> tuple[bool | None, str]:
    found = judged(now, *policies, history_watch=remembered(before, *then))
    assert found["permissions_known_before"] is True
    return found["permissions_no_wider"], found["permissions_change"]


def test_moving_a_policy_from_inline_to_managed_is_no_change() -> None:
    moved = role(inline_policies={}, attached_policies=[MINE])
    assert changed(role(), (), moved, (managed(MINE, WRITE),)) == (True, "no wider")
    assert changed(role(), (), role(), ()) == (True, "the same")


def test_new_version_of_a_managed_policy_is_compared_with_the_old_document() -> None:
    attached = role(inline_policies={}, attached_policies=[MINE])
    assert changed(attached, (managed(MINE, WRITE),), attached, (managed(MINE, EVERYTHING),)) == (
        False,
        "wider",
    )
    assert changed(attached, (managed(MINE, EVERYTHING),), attached, (managed(MINE, WRITE),)) == (
        True,
        "no wider",
    )


def test_document_that_one_of_the_scans_did_not_see_leaves_it_open() -> None:
    attached = role(attached_policies=[MINE])
    assert changed(attached, (), attached, (managed(MINE, WRITE),)) == (None, "not known")
    assert changed(attached, (managed(MINE, WRITE),), attached, ()) == (None, "not known")
    assert changed(role(inline_policies={"a": TWICE}), (), role(), ()) == (None, "not known")


def test_boundary_that_is_gone_widens() -> None:
    assert changed(role(boundary_arn=MINE), (managed(MINE, document(allow("s3:Get*"))),), role(), ()) == (
        False,
        "wider",
    )


def test_role_that_is_new_has_nothing_to_be_compared_with() -> None:
    found = judged(role())
    assert found["permissions_known_before"] is False and found["permissions_no_wider"] is None


# Users -------------------------------------------------------------------------------------------------------------------


def user(**more: Any) -> dict[str, Any]:
    return {
        "arn": USER, "name": "ana", "account": HOME, "groups": [], "inline_policies": {}, "attached_policies": [],
        "boundary_arn": "none", "tags": {"owner": "ana@example.com"},
    } | more  # fmt: skip


KEY = {"access_key_id": "AKIA1", "user_arn": USER, "account": HOME, "status": "Active"}


def of_user(one: dict[str, Any], *policies: dict[str, Any], **tables: Any) -> dict[str, Any]:
    known = {
        "iam_user": [one],
        "iam_policy": policies,
        "iam_access_key": [KEY],
        "config_federation": [way()],
        **tables,
    }
    return facts(estate(**known), "principal")[USER]


def test_user_in_a_group_that_may_write() -> None:
    found = of_user(user(groups=["ops"], inline_policies={"group/ops/all": EVERYTHING}))
    assert found["active_keys"] == 1 and found["may_write"] == ["exports-phi/a/"]
    assert "may do s3:" in found["may_write_says"]


def test_group_whose_details_did_not_come_leaves_its_member_unknown() -> None:
    found = of_user(user(groups=["ops"], inline_policies=None, attached_policies=None))
    assert found["may_write"] is None and found["may_write_decided"] is None


def test_user_behind_a_boundary_or_without_policies_writes_nothing() -> None:
    fenced = of_user(
        user(inline_policies={"all": EVERYTHING}, boundary_arn=MINE),
        managed(MINE, document(allow("s3:Get*"))),
    )
    assert (fenced["may_write"], fenced["may_write_decided"]) == ([], True)
    assert of_user(user())["may_write"] == []


@pytest.mark.parametrize(("policy", "known"), [(None, False), (TWICE, False), ("none", True)])
def test_bucket_s_policy_must_be_known(policy: str | None, known: bool) -> None:
    found = of_user(user(), s3_bucket=[bucket("arn:aws:s3:::exports-phi", policy=policy)])
    assert found["may_write_decided"] is (True if known else None)


def test_bucket_policy_may_let_the_user_in_by_itself() -> None:
    grant = {**allow("s3:PutObject", "arn:aws:s3:::exports-phi/*"), "Principal": {"AWS": USER}}
    found = of_user(
        user(), s3_bucket=[bucket("arn:aws:s3:::exports-phi", policy=json.dumps(document(grant)))]
    )
    assert found["may_write"] == ["exports-phi/a/"]


def test_declared_bucket_that_was_not_found_is_open() -> None:
    assert of_user(user(), s3_bucket=[])["may_write_decided"] is None
    assert of_user(user(), config_federation=[])["may_write"] is None


def test_inactive_keys_do_not_count() -> None:
    assert of_user(user(), iam_access_key=[{**KEY, "status": "Inactive"}])["active_keys"] == 0


# Who scans ---------------------------------------------------------------------------------------------------------------


def scanner(caller: str, **tables: Any) -> dict[str, Any]:
    (found,) = facts(
        estate(aws_account=[{"account": HOME, "caller_arn": caller}], **tables), "scanner"
    ).values()
    return found


SESSION = f"arn:aws:sts::{HOME}:assumed-role/reader/auditor"
READER = role(
    f"arn:aws:iam::{HOME}:role/team/reader",
    inline_policies={"read": document(allow(["s3:Get*", "s3:List*"]))},
)


def test_session_is_traced_to_its_role_by_name_whatever_its_path() -> None:
    found = scanner(SESSION, iam_role=[READER])
    assert (found["subject_key"], found["changes"], found["changes_decided"]) == (READER["arn"], [], True)


def test_scanner_that_may_write_is_told_with_what() -> None:
    writer = {**READER, "inline_policies": {"w": document(allow("s3:PutObject"))}}
    assert scanner(SESSION, iam_role=[writer])["changes"] == ["s3:PutObject"]
    assert scanner(f"arn:aws:iam::{HOME}:root")["changes"] == ["*"]


def test_scanner_that_was_not_listed_or_whose_policy_is_missing_is_unknown() -> None:
    assert scanner(SESSION)["changes"] is None
    assert scanner(SESSION, iam_role=[{**READER, "account": AWAY}])["changes"] is None
    assert scanner(SESSION, iam_role=[{**READER, "attached_policies": [AWS]}])["changes_decided"] is None


def test_scanning_user_is_judged_by_its_policies() -> None:
    assert scanner(USER, iam_user=[user(inline_policies={"all": EVERYTHING})])["changes"][0] == "*"
