"""Drift of settings is told by what they do: other words for the same are none, and a direction is never guessed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from ledger_case import T0, day

from auditor.alerts.compose import compose
from auditor.alerts.routes import Route
from auditor.model import Drift, Gap, Seen
from auditor.schema import tables
from auditor.watch.authors import trace
from auditor.watch.compare import attribute_drift
from auditor.watch.people import watched_rows
from auditor.watch.told import labelled, not_decided
from auditor.watch.values import Watched, watched

HOME, EU = "111111111111", "eu-west-1"
BUCKET = "arn:aws:s3:::b"
ROLE = f"arn:aws:iam::{HOME}:role/export"
POLICY = f"arn:aws:iam::{HOME}:policy/mine"
PLAN = f"arn:aws:backup:{EU}:{HOME}:backup-plan:p"
VAULT, COPY = (f"arn:aws:backup:{each}:{HOME}:backup-vault:v" for each in (EU, "eu-central-1"))
PLACE = {"account": HOME, "region": EU}
SEEN = tuple(Seen(name, "*") for name in tables())
LISTED = frozenset((each.table, part, "*") for each in SEEN for part in (HOME, "*"))

State = Mapping[str, Iterable[Mapping[str, Any]]]


def seen(state: State) -> list[Watched]:
    return [one for name, rows in state.items() for row in rows for one in watched(tables()[name], row)]


def drift(before: State, after: State, **more: Any) -> list[Drift]:
    given_ = {"listed": LISTED, "coverage": SEEN, "changes": (), "previous_at": T0, "now": day(1)}
    return attribute_drift(seen(before), seen(after), **{**given_, **more})


def bucket(**settings: Any) -> State:
    return {"s3_bucket": [{"arn": BUCKET, **PLACE, **settings}]}


def both(before: State, after: State, **more: Any) -> tuple[list[tuple[str, str]], list[str]]:
    """Return field and direction of what is told there and back, and the words of the way there."""
    there, back = drift(before, after, **more), drift(after, before, **more)
    return (
        [(one.field or one.kind, f"{one.direction}/{other.direction}") for one, other in zip(there, back, strict=True)],
        [one.because.partition(": ")[2] for one in there],
    )  # fmt: skip


# Buckets.


def ends(days: Any, prefix: str = "", **more: Any) -> dict[str, Any]:
    return {"ID": "x", "Status": "Enabled", "Filter": {"Prefix": prefix}, "Expiration": {"Days": days}} | more


OLD = {"NoncurrentVersionExpiration": {"NoncurrentDays": 30}, "Expiration": {}}
DATED = {"Expiration": {"Date": "2027-01-01T00:00:00Z"}}


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ([ends(30)], [ends(30, ID="other")], ""),
        ([ends(30), ends(90, "a/")], [ends(90, "a/"), ends(30)], ""),
        ([ends(30)], [{**ends(30), "Filter": {}, "Prefix": ""}], ""),
        ([ends(30, Filter={"Tag": {"Key": "k", "Value": "v"}})], [ends(30, Filter={"And": {"Prefix": "", "Tags": [{"Value": "v", "Key": "k"}]}})], ""),
        ([ends(30)], [ends(7)], "worse/better objects of the whole bucket now end after 7 d instead of after 30 d"),
        ([], [ends(30, "a/")], "worse/better objects under a/ now end after 30 d"),
        ([ends(30)], [ends(30, Status="Disabled")], "better/worse no longer end after 30 d"),
        ([ends(30)], [ends(30), ends(60, "a/")], "neutral/neutral another part of its rules differs"),
        ([ends(30)], [ends(30), ends(7, "a/")], "worse/better objects under a/ now end after 7 d"),
        ([ends(30, "a/")], [ends(30, "b/")], "worse/worse objects under b/ now end"),
        ([ends(30, **OLD)], [ends(30, **OLD | {"NoncurrentVersionExpiration": {"NoncurrentDays": 30, "NewerNoncurrentVersions": 5}})],
         "better/worse versions that are not current"),
        ([ends(30)], [ends(0, **DATED)], "neutral/neutral undecided: objects of the whole bucket now end on 2027-01-01, by another clock"),
        ([ends(30)], [ends(30, Transitions=[{"Days": 1, "StorageClass": "GLACIER"}])], "neutral/neutral Transition"),
        ([ends(30)], [ends(30), ends(1, Status="Disabled")], "neutral/neutral only rules that are not enabled differ"),
        ([ends(30)], [ends("soon")], "neutral/neutral undecided: one of the two cannot be read"),
        ([ends(30)], None, ""),
        (None, [ends(30)], ""),
    ],
)  # fmt: skip
def test_lifecycle_is_told_by_what_ends_sooner(was: Any, now: Any, told: str) -> None:
    found, said = both(bucket(lifecycle=was), bucket(lifecycle=now))
    assert [direction for _, direction in found] == ([told.partition(" ")[0]] if told else [])
    assert all(told.partition(" ")[2] in each for each in said)


def copied(to: str = "arn:aws:s3:::far", prefix: str = "", **more: Any) -> dict[str, Any]:
    return {"ID": to, "Status": "Enabled", "Filter": {"Prefix": prefix}, "Destination": {"Bucket": to}} | more


KMS = {"SourceSelectionCriteria": {"SseKmsEncryptedObjects": {"Status": "Enabled"}}}


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ([copied()], [copied(ID="renamed")], ""),
        ([copied()], [], "worse/better objects of the whole bucket are no longer replicated to arn:aws:s3:::far"),
        ([copied()], [copied(prefix="a/")], "worse/better no longer replicated"),
        ([copied(**KMS)], [copied()], "worse/better (what KMS encrypts too) are no longer replicated"),
        ([copied()], [copied("arn:aws:s3:::near")], "neutral/neutral undecided: objects of the whole bucket go to another bucket"),
        ([copied()], [copied(), copied("arn:aws:s3:::near", "a/")], "better/worse objects under a/ are now replicated to arn:aws:s3:::near"),
        ([copied()], [copied(Priority=2)], "neutral/neutral how they replicate differs"),
    ],
)  # fmt: skip
def test_replication_is_told_by_what_goes_nowhere_any_more(was: Any, now: Any, told: str) -> None:
    found, said = both(bucket(replication=was), bucket(replication=now))
    assert [direction for _, direction in found] == ([told.partition(" ")[0]] if told else [])
    assert all(told.partition(" ")[2] in each for each in said)


@pytest.mark.parametrize(
    ("column", "was", "now", "direction"),
    [
        ("logging_target", "logs", "none", "worse/better"),
        ("logging_target", "logs", "other", "neutral/neutral"),
        ("encryption", "aws:kms", "AES256", "worse/better"),
        ("kms_key_arn", "one", "two", "neutral/neutral"),
        ("ownership", "BucketOwnerEnforced", "ObjectWriter", "worse/better"),
        ("ownership", "BucketOwnerEnforced", "something new", "neutral/neutral"),
    ],
)
def test_setting_of_a_bucket_has_a_direction_only_where_there_is_one(
    column: str, was: Any, now: Any, direction: str
) -> None:
    assert both(bucket(**{column: was}), bucket(**{column: now}))[0] == [(column, direction)]


# What a role may do.


def allow(action: Any, resource: Any = "arn:aws:s3:::b/*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource} | more


def document(*statements: Any, **more: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)} | more


PUT, GET = allow("s3:PutObject"), allow("s3:GetObject")


def role(inline: Any = None, managed: Any = None, boundary: Any = None, **more: Any) -> State:
    texts = [each for each in (managed, boundary) if each is not None]
    policies = [
        {
            "arn": POLICY,
            "account": HOME,
            "version": "v1",
            "document": text if isinstance(text, str) else json.dumps(text),
        }
        for text in texts
    ]
    row = {
        "arn": ROLE, "account": HOME, "inline_policies": {} if inline is None else inline,
        "attached_policies": [POLICY] if managed is not None else [], "boundary_arn": POLICY if boundary is not None else "none",
    }  # fmt: skip
    return {"iam_role": [row | more], "iam_policy": policies}


def of_role(before: State, after: State) -> tuple[list[tuple[str, str]], list[str]]:
    listed = frozenset(each for each in LISTED if each[0] != "iam_policy")  # which come and go with the roles
    covered = tuple(each for each in SEEN if each.table != "iam_policy")
    return both(before, after, listed=listed, coverage=covered)


SAME: tuple[list[Any], list[Any]] = ([], [])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (role({"a": document(PUT, GET)}), role({"a": document(GET, PUT)})),
        (role({"a": document(PUT, GET)}), role({"b": document(allow(["s3:GetObject", "s3:PutObject"], Sid="X"))})),
        (role({"a": document(PUT)}), role(managed=document(PUT))),
        (role({"a": document(PUT), "b": document(GET)}), role({"a": document(PUT, PUT)}, managed=document(GET))),
        (role(managed=document(PUT, GET)), role(managed=json.dumps(document(GET, PUT), indent=4))),
        (role({"a": document(PUT)}), role(None, inline_policies=None)),
        (role({"a": document(PUT)}), role({"a": document(PUT, allow("s3:*", Effect="Deny", Resource="arn:aws:s3:::other/*"))})),
    ],
)  # fmt: skip
def test_policies_that_let_the_same_through_are_no_drift_however_they_are_written(
    before: State, after: State
) -> None:
    assert of_role(before, after) == SAME


def test_role_that_may_do_more_is_weaker_and_its_drift_holds_the_statements_that_differ() -> None:
    before, after = role({"a": document(PUT)}), role({"a": document(PUT), "b": document(GET)})
    assert of_role(before, after)[0] == [("permissions", "worse/better")]
    (one,) = drift(before, after)
    assert one.because.startswith(f"{ROLE}: permissions are wider: ")
    assert "may now" in one.because and "s3:GetObject" in one.because
    assert (json.loads(one.before or ""), json.loads(one.after or "")) == (
        [],
        [{"policy": "b", "statement": GET}],
    )


def test_boundary_that_goes_a_deny_that_goes_and_a_managed_policy_that_grows_all_count() -> None:
    held = role({"a": document(allow("*", "*"))}, boundary=document(PUT))
    free = role({"a": document(allow("*", "*"))})
    assert of_role(held, free)[0] == [("permissions", "worse/better")]
    denied = role({"a": document(allow("s3:*"), allow("s3:DeleteObject", Effect="Deny"))})
    assert of_role(denied, role({"a": document(allow("s3:*"))}))[0] == [("permissions", "worse/better")]
    told = of_role(role(managed=document(PUT)), role(managed=document(PUT, GET)))[0]
    assert told == [("document", "worse/better"), ("permissions", "worse/better")]
    assert of_role(role({"a": document(PUT)}), role({"a": document(GET)}))[0] == [
        ("permissions", "worse/worse")
    ]


def test_what_an_unread_policy_leaves_open_is_said_and_not_guessed() -> None:
    before = role({"a": document(PUT)})
    unread = role({"a": document(PUT)}, attached_policies=[POLICY])
    found, (said,) = of_role(before, unread)
    assert found == [("permissions", "neutral/neutral")]
    assert "undecided" in said and f"the managed policy {POLICY} was not in the answer" in said
    # nothing is known to have changed, so nothing is told
    assert of_role(unread, role({"a": document(PUT)}, managed=document(PUT))) == SAME


def test_new_version_of_a_managed_policy_that_says_the_same_is_no_drift() -> None:
    again = role(managed=document(PUT))
    again["iam_policy"][0]["version"] = "v2"  # type: ignore[index]
    assert of_role(role(managed=document(PUT)), again) == SAME


def test_author_of_a_managed_policys_new_version_is_the_author_of_what_the_role_may_do() -> None:
    event = {
        "event_id": "e-9", "account": HOME, "region": "us-east-1", "at": T0 + timedelta(hours=2), "service": "iam",
        "event_name": "CreatePolicyVersion", "resource": POLICY, "error_code": "", "source_ip": "198.51.100.7",
        "actor": f"arn:aws:sts::{HOME}:assumed-role/admin/ann",
    }  # fmt: skip
    found = drift(role(managed=document(PUT)), role(managed=document(PUT, GET)), changes=(event,))
    assert {(one.subject_table, one.actor, one.changed_at) for one in found} == {
        (table, event["actor"], event["at"]) for table in ("iam_policy", "iam_role")
    }
    assert {trace(one).event_id for one in found} == {"e-9"}


# Plans.


def rule(name: str = "daily", **more: Any) -> dict[str, Any]:
    return {
        "plan_id": "p", "rule_name": name, **PLACE, "vault_name": "v", "schedule": "cron(0 5 * * ? *)", "timezone": "Etc/UTC",
        "delete_after_d": 35, "continuous": False, "copies": [{"vault_arn": COPY, "delete_after_d": 35}],
    } | more  # fmt: skip


TAG = [{"ConditionType": "STRINGEQUALS", "ConditionKey": "backup", "ConditionValue": "daily"}]


def selection(name: str = "s", **more: Any) -> dict[str, Any]:
    empty = {"resources": [], "not_resources": [], "list_of_tags": [], "conditions": {}}
    return {"plan_id": "p", "selection_id": name, **PLACE, **empty} | more


def plan(*rules: Any, taking: Any = None, version: str = "1") -> State:
    return {
        "backup_plan": [{"arn": PLAN, "plan_id": "p", **PLACE, "version": version}],
        "backup_plan_rule": rules or (rule(),),
        "backup_selection": [selection(list_of_tags=TAG)] if taking is None else taking,
    }


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({"schedule": "cron(0  5 ? * * *)"}, ""),
        ({"schedule": "cron(0 5 1-31 * ? *)"}, ""),
        ({"schedule": "cron(0 6 * * ? *)", "timezone": "Etc/GMT-1"}, ""),
        ({"timezone": "UTC"}, ""),
        ({"schedule": "cron(0 6 * * ? *)", "timezone": "Europe/Berlin"}, "schedule neutral/neutral as often"),
        ({"timezone": "Europe/Berlin"}, "timezone neutral/neutral at other times"),
        ({"schedule": "rate(1 day)"}, "schedule neutral/neutral as often"),
        ({"schedule": "cron(0 5 ? * SUN *)"}, "schedule worse/better instead of cron(0 5 * * ? *)"),
        ({"schedule": "cron(0 */6 * * ? *)"}, "schedule better/worse"),
        ({"schedule": "cron(0 5 L * ? *)"}, "schedule neutral/neutral undecided"),
        ({"schedule": ""}, "schedule worse/better runs never"),
        ({"schedule": None}, ""),
        ({"timezone": None}, ""),
        ({"delete_after_d": 7}, "delete_after_d worse/better keeps 7 d instead of 35 d"),
        ({"delete_after_d": -1}, "delete_after_d better/worse keeps for ever instead of 35 d"),
        ({"delete_after_d": None}, ""),
        ({"continuous": True}, "continuous better/worse"),
        ({"copies": []}, f"copies worse/better no longer copies to {COPY}"),
        ({"copies": [{"vault_arn": COPY, "delete_after_d": -1}]}, "copies better/worse for ever instead of 35 d"),
        ({"copies": [{"vault_arn": COPY, "delete_after_d": None}]}, "copies neutral/neutral undecided"),
        ({"copies": [{"vault_arn": VAULT, "delete_after_d": 35}]}, "copies worse/worse now copies to"),
        ({"copies": None}, ""),
        ({"vault_name": "other"}, "vault_name neutral/neutral"),
        ({"copies": "x"}, "copies neutral/neutral undecided: one of the two cannot be read"),
        ({"delete_after_d": "soon"}, "delete_after_d neutral/neutral undecided: one of the two cannot be read"),
    ],
)  # fmt: skip
def test_rule_of_a_plan_is_told_by_what_it_does(now: Any, told: str) -> None:
    found, said = both(plan(), plan(rule(**now), version="2"))
    field, _, rest = told.partition(" ")
    direction, _, words = rest.partition(" ")
    assert found == ([(field, direction)] if told else [])
    assert all(words in each for each in said)


def test_rule_that_goes_is_weaker_unless_another_does_all_it_did_and_a_new_name_is_no_drift() -> None:
    assert both(plan(rule("a"), rule("b", delete_after_d=7)), plan(rule("a"))) == (
        [("vanished", "neutral/neutral")], ["is gone; another rule does all that it did"],
    )  # fmt: skip
    assert both(plan(rule("a"), rule("b", delete_after_d=70)), plan(rule("a"))) == (
        [("vanished", "worse/better")], ["is gone, and no other rule does all that it did"],
    )  # fmt: skip
    assert both(plan(rule("a")), plan(rule("b"))) == SAME
    torn = both(plan(rule("a"), rule("b", copies="x")), plan(rule("a")))
    assert torn[0] == [("vanished", "neutral/neutral")] and "undecided" in torn[1][0]
    gap = [each for each in SEEN if each.table != "backup_plan_rule"]
    hidden = (*gap, Gap("backup_plan_rule", HOME, EU, PLAN, reason="denied"))
    assert drift(plan(rule("a"), rule("b", delete_after_d=70)), plan(rule("a")), coverage=hidden) == []


TAGGED = {"arn": BUCKET, **PLACE, "tags": {"backup": "daily"}}


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ([selection(list_of_tags=TAG)], [selection("again", list_of_tags=TAG)], ""),
        ([selection(resources=[BUCKET, "arn:aws:s3:::c"])], [selection("t", resources=["arn:aws:s3:::c"]), selection("u", resources=[BUCKET])], ""),
        ([selection(resources=[BUCKET])], [selection("t", resources=[BUCKET, "arn:aws:dynamodb:*:*:table/x"])], ""),
        ([selection(list_of_tags=TAG)], [selection("t", resources=[BUCKET])], "worse/better no longer takes buckets like"),
        ([selection(list_of_tags=TAG)], [], f"worse/better no longer takes {BUCKET}"),
        ([selection(list_of_tags=TAG)], [selection("t", resources=["*"])], "better/worse now takes"),
        ([selection(resources=[BUCKET])], [selection("t", resources=[BUCKET], conditions={"StringNotEquals": [{"ConditionKey": "aws:ResourceTag/none", "ConditionValue": "x"}]})],
         "neutral/neutral undecided: whether arn:aws:s3:::b is still taken is not known"),
        ([selection(resources=None)], [selection("t", resources=[BUCKET])], "neutral/neutral undecided"),
    ],
)  # fmt: skip
def test_selections_are_told_by_the_buckets_they_take_together(was: Any, now: Any, told: str) -> None:
    found, said = both(plan(taking=was), plan(taking=now), buckets=[TAGGED])
    assert found == ([("selections", told.partition(" ")[0])] if told else [])
    assert all(told.partition(" ")[2] in each for each in said)


def test_selections_out_of_sight_are_not_gone_and_a_lost_plan_is_weaker() -> None:
    hidden = (
        *(each for each in SEEN if each.table != "backup_selection"),
        Gap("backup_selection", HOME, EU, PLAN),
    )
    assert drift(plan(), plan(taking=[]), coverage=hidden) == []
    (gone, *_) = drift(plan(), {})
    assert (gone.subject_table, gone.kind, gone.direction) == ("backup_plan", "vanished", "worse")


def test_author_of_a_selection_that_was_made_anew_is_named_at_its_plan() -> None:
    event = {
        "event_id": "e-3", "account": HOME, "region": EU, "at": T0 + timedelta(hours=1), "service": "backup", "actor": "ann",
        "event_name": "DeleteBackupSelection", "resource": PLAN, "error_code": "", "source_ip": None,
    }  # fmt: skip
    (one,) = drift(plan(), plan(taking=[]), changes=(event,), buckets=[TAGGED])
    assert (one.subject_key, one.field, one.actor, trace(one).event_id) == (PLAN, "selections", "ann", "e-3")


def named(state: State, *names: str) -> State:
    """A state whose plans are called so; more names are of more plans."""
    rows = [
        {"arn": PLAN[:-1] + chr(ord("p") + n), **PLACE, "version": "1", "name": each}
        for n, each in enumerate(names)
    ]
    return {**state, "backup_plan": rows}


def test_plan_is_called_by_its_name_with_its_id_where_two_have_the_same() -> None:
    rare, days, empty = plan(rule(schedule="rate(7 days)")), plan(rule(delete_after_d=-1)), plan(taking=[])
    cases: list[tuple[State, State, tuple[str, str]]] = [
        (named(plan(), "daily"), named(rare, "daily"), ("rule daily of plan daily", "schedule is weaker: runs rate(7 days) instead of cron(0 5 * * ? *)")),
        (named(plan(), "daily"), named(empty, "new"), ("plan new", "selections are weaker: no longer takes")),
        (named(plan(), "daily", "daily"), named(empty, "daily", "daily"), ("plan daily (p)", "selections are weaker: no longer takes")),
        (named(plan(), "daily"), {}, ("plan daily", "is gone")),
        (named(days, "daily"), named(plan(), "daily"), ("rule daily of plan daily", "delete_after_d is weaker: keeps 35 d instead of for ever")),
        (plan(), empty, (PLAN, "selections are weaker: no longer takes")),
    ]  # fmt: skip
    for before, after, (name, said) in cases:
        one = drift(before, after, buckets=[TAGGED])[0]
        assert labelled(one)[0] == name and labelled(one)[1].startswith(said), one.because
        assert one.because.startswith(f"{one.subject_key}: ")
    assert (kept := drift(cases[4][0], cases[4][1])[0]).before == "for ever" and kept.after == "35 d"
    assert drift(named(plan(), "daily"), named(plan(), "other")) == []


def test_undecided_policy_reads_so_and_still_counts_as_weaker() -> None:
    torn = {"iam_role": [{"arn": ROLE, "account": HOME, "trust_policy": "{"}]}
    sound = {"iam_role": [{"arn": ROLE, "account": HOME, "trust_policy": json.dumps(document(PUT))}]}
    (one,) = drift(sound, torn)
    assert (one.direction, one.severity) == ("worse", "high") and not_decided(one.because)
    assert one.because.startswith(f"{ROLE}: trust_policy may be weaker: not decided because ")
    (alert,) = compose([one], routes=[Route("r", "low", ("worsened",))], now=day(1))
    assert alert.body["data"]["title"].endswith("may have got worse") and alert.opens


# Vaults, providers, trails.


@pytest.mark.parametrize(
    ("table", "column", "was", "now", "told"),
    [
        ("backup_vault", "locked", True, False, "worse/better"),
        ("backup_vault", "min_retention_d", 7, -1, "worse/better"),
        ("backup_vault", "max_retention_d", -1, 30, "neutral/neutral"),
        ("backup_vault", "notify_topic", "topic", "none", "worse/better"),
        ("backup_vault", "notify_topic", "topic", "other", "neutral/neutral"),
        ("iam_provider", "client_ids", ["a"], ["b", "a"], "worse/better"),
        ("iam_provider", "client_ids", ["a", "b"], ["b", "a"], ""),
        ("iam_provider", "thumbprints", ["a"], ["b"], "neutral/neutral"),
        ("cloudtrail_trail", "write_data_arns", ["arn:aws:s3:::b/"], ["arn:aws:s3"], "better/worse"),
        ("cloudtrail_trail", "write_data_arns", ["arn:aws:s3:::b/", "*"], ["*"], "neutral/neutral"),
        ("cloudtrail_trail", "write_data_arns", ["arn:aws:s3:::b/"], [], "worse/better"),
        ("cloudtrail_trail", "bucket", "logs", "elsewhere", "neutral/neutral"),
        ("aws_account", "block_public_acls", True, False, "worse/better"),
        ("backup_region", "s3_opt_in", True, False, "worse/better"),
    ],
)  # fmt: skip
def test_setting_is_told_with_its_direction(table: str, column: str, was: Any, now: Any, told: str) -> None:
    before, after = ({table: [{"arn": VAULT, **PLACE, column: value}]} for value in (was, now))
    assert both(before, after)[0] == ([(column, told)] if told else [])


def test_day_from_which_a_lock_is_out_of_reach_is_told_with_its_lock_and_stays_when_it_has_come() -> None:
    def vault(day_: int | None, **more: Any) -> State:
        at = None if day_ is None else day(day_)
        return {"backup_vault": [{"arn": VAULT, **PLACE, "locked": True, "lock_date": at, **more}]}

    assert drift(vault(0), vault(0), now=day(9)) == []
    assert both(vault(0), vault(3))[0] == [("lock_date", "worse/better")]
    assert both(vault(0), vault(None))[0] == [("lock_date", "worse/better")]
    assert [one.field for one in drift(vault(0), vault(None, locked=False))] == ["locked"]
    assert drift(vault(0), vault(None, locked=None)) == []


def test_lock_without_a_minimum_says_so_in_words() -> None:
    (one,) = drift(
        *({"backup_vault": [{"arn": VAULT, **PLACE, "min_retention_d": days}]} for days in (7, -1))
    )
    assert (one.before, one.after) == ("7 d", "no minimum")
    assert one.because.endswith("min_retention_d is weaker: no minimum instead of 7 d")


def test_lists_tell_what_came_and_what_went_alone() -> None:
    before, after = ({"iam_provider": [{"arn": "p", "account": HOME, "client_ids": each}]} for each in (["a", "b"], ["b", "c"]))  # fmt: skip
    (one,) = drift(before, after)
    assert (one.before, one.after, one.direction) == ('["a"]', '["c"]', "worse")
    assert "tokens for c are now accepted; tokens for a are no longer accepted" in one.because


# People.


def duty(group: str = "exporters", **more: Any) -> dict[str, Any]:
    return {
        "group_name": group,
        "directory": "",
        "project": "*",
        "region": "*",
        "job_id": "*",
        "zone": "*",
        "starts": "*",
    } | more


def people(*members: str, groups: Iterable[str] = ("exporters",), ended: Iterable[str] = ()) -> State:
    rows = {
        "config_duty": [duty(each) for each in groups],
        "directory_membership": [
            {"user_id": each, "group_name": group, "from_at": None, "until_at": None}
            for each in members
            for group in ("exporters", "cooks")
        ],
        "directory_user": [
            {"id": each, "email": f"{each}@x.org", "status": "disabled" if each in ended else "active"}
            for each in ("ann", "bob", "cid")
        ],
    }
    return {"config_duty": rows["config_duty"], **watched_rows(rows.__getitem__, day(1))}


def test_only_who_is_in_a_group_with_a_duty_is_watched_and_told_by_the_groups_name() -> None:
    assert {(one.table, one.key) for one in seen(people("ann"))} == {
        ("config_duty", "exporters//*/*/*/*/*"), ("directory_membership", "ann/exporters"), ("directory_user", "ann"),
    }  # fmt: skip
    found, said = both(people("ann"), people("ann", "bob"))
    assert found == [("appeared", "worse/better")]
    assert said == ["is new: bob@x.org is in exporters now, whose members may trigger jobs"]


def test_first_duty_of_a_group_is_told_and_not_its_members_one_by_one() -> None:
    both_groups = ("exporters", "cooks")
    found, (said,) = both(people("ann", "bob"), people("ann", "bob", groups=both_groups))
    assert (
        found == [("appeared", "worse/better")] and said == "is new: members of cooks may now trigger any job"
    )
    # nor where nobody was ever watched
    assert drift({"config_duty": [duty()]}, people("ann", "bob")) == []


def test_account_that_is_ended_is_stronger_and_one_that_is_back_is_weaker() -> None:
    found, (said,) = both(people("ann"), people("ann", ended=("ann",)))
    assert found == [("status", "better/worse")] and "ann@x.org may no longer trigger jobs" in said


def test_membership_that_could_not_be_read_is_not_over() -> None:
    hidden = (
        *(each for each in SEEN if each.table != "directory_membership"),
        Gap("directory_membership", "*"),
    )
    assert drift(people("ann", "bob"), people("ann"), coverage=hidden) == []
    (one,) = drift(people("ann", "bob"), people("ann"))
    assert (one.actor, one.actor_reason) == (None, "not found, because the directory's own log is not read")


# Laws.

_STATES = st.sampled_from(
    [
        bucket(lifecycle=[ends(30)], logging_target="a"), bucket(lifecycle=[ends(7, "a/"), ends(90)], logging_target="none"),
        bucket(lifecycle=None), role({"a": document(PUT)}), role({"a": document(GET)}, managed=document(PUT)), role(managed="{"),
        plan(), plan(rule(delete_after_d=-1), taking=[]), plan(rule("x", schedule="rate(7 days)")),
        people("ann"), people("ann", "bob", ended=("bob",)), people(groups=()),
    ]
)  # fmt: skip


@limits(deadline=None, max_examples=60)
@given(_STATES, _STATES)
def test_a_state_compared_with_itself_shows_nothing_and_directions_swap_with_the_scans(
    a: State, b: State
) -> None:
    assert drift(a, a) == []
    swap = {"worse": {"better", "worse"}, "better": {"worse"}, "neutral": {"neutral"}}
    back = {(one.subject_key, one.field): one.direction for one in drift(b, a)}
    for one in drift(a, b):
        assert back[one.subject_key, one.field] in swap[one.direction]


def test_not_found_says_why() -> None:
    def why(*coverage: Any, **more: Any) -> str:
        (one,) = drift(bucket(logging_target="a"), bucket(logging_target="b"), coverage=coverage, **more)
        assert one.actor is None and one.actor_reason.startswith("not found, because ")
        return one.actor_reason

    feed = Seen("aws_change", HOME, EU, from_at=T0, until_at=day(1))
    hole = Gap("aws_change", HOME, EU, detail="throttled", from_at=T0, until_at=T0 + timedelta(hours=2))
    other = Gap("aws_change", HOME, EU, "kms.amazonaws.com", detail="left out")
    assert "aws_change was not read in 111111111111" in why()
    assert "throttled (between 2026-02-02T03:00:00Z and 2026-02-02T05:00:00Z)" in why(feed, hole)
    assert why(feed, other).endswith("aws_change in 111111111111 was read to its end")
    assert "events of its last 15 min may still be on their way" in why(feed, settles=timedelta(minutes=15))


def test_address_session_and_event_can_be_read_from_what_the_ledger_keeps() -> None:
    event = {
        "event_id": "e-1", "account": HOME, "region": EU, "at": T0 + timedelta(hours=1), "service": "s3", "resource": BUCKET,
        "actor": f"arn:aws:sts::{HOME}:assumed-role/deploy/ci-77", "event_name": "PutBucketLogging", "error_code": "",
        "source_ip": "2001:db8::1",
    }  # fmt: skip
    again = {**event, "event_id": "e-0", "at": T0 + timedelta(minutes=1)}
    (one,) = drift(bucket(logging_target="a"), bucket(logging_target="b"), changes=(event, again))
    found = trace(one)
    assert (found.event_id, found.event_name, found.address) == ("e-1", "PutBucketLogging", "2001:db8::1")
    assert (found.session, found.others) == ("ci-77", 1)
